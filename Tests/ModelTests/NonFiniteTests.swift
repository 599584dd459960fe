// Weights that are not numbers: sampling and scoring give tokens and log-probabilities that say so, and do not crash.
import Model
import Tensor
import Testing

@Suite struct NonFiniteTests {
  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func samplingFromNothing(value: Float) throws {
    let model = try CausalLM(ModelFiles(path: goldens + "/tiny-llama"))
    for (_, tensor) in model.parameters {
      tensor.pointer.update(repeating: value, count: tensor.count)
      tensor.markWritten()
    }
    var forest = Forest()
    try forest.add([1, 2, 3])
    for (temperature, topK, topP, minP) in [
      (0, 0, 1, 0), (1, 0, 1, 0), (1, 5, 1, 0), (0.5, 0, 0.9, 0), (1, 3, 0.5, 0.1),
    ]
      as [(Float, Int, Float, Float)]
    {
      var options = SamplingOptions()
      (options.temperature, options.topK, options.topP, options.minP) = (temperature, topK, topP, minP)
      let groups = try model.generate(
        forest, from: [0], count: 2, maxTokens: 3, options: options, stopIDs: [])
      for completion in groups[0] {
        #expect(completion.ids.count == 3)
        #expect(completion.ids.allSatisfy { (0..<Int32(model.config.vocabSize)).contains($0) })
        #expect(completion.logProbs.allSatisfy { !$0.isFinite })
      }
    }
    #expect(try model.score([1, 2, 3]).allSatisfy { !$0.isFinite })
    #expect(
      try model.generate(forest, from: [], count: 2, maxTokens: 3, options: .init(), stopIDs: []).isEmpty)
  }
}
