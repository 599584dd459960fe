// One trunk, many branches: a forest gives what its branches give as independent sequences.
import Tensor
import TestSupport
import Testing

import Model

@Suite struct ForestTests {
  @Test(arguments: GoldenTests.models) func matchesIndependentSequences(_ name: String) throws {
    let model = try Goldens.model(name)
    for (_, tensor) in model.parameters { tensor.requiresGradient = true }
    var random = Random(7)
    for _ in 0..<12 {
      let (forest, branches) = try randomForest(&random, depth: 3)
      let weights = (0..<forest.count).map { _ in Float.random(in: -1...1, using: &random) }

      let together = try model.logProbs(forest, entropy: true)
      try together.logProbs.multiplied(by: Tensor(weights, shape: [forest.count])).sum().backward()
      let gradients = model.parameters.map { $0.tensor.gradient!.values }
      for (_, tensor) in model.parameters { tensor.zeroGradient() }

      for (segment, branch) in zip(forest.segments, branches) {
        var alone = Forest()
        try alone.add(branch)
        let expected = try model.logProbs(alone, entropy: true)
        let tail = branch.count - segment.rows.count..<branch.count
        let own = try expected.logProbs.sliced(dim: 0, tail)
        let actual = Array(together.logProbs.values[segment.rows])
        #expect(zip(actual, own.values).allSatisfy { abs($0 - $1) < 1e-4 })
        let entropies = Array(expected.entropy!.values[tail])
        #expect(zip(together.entropy!.values[segment.rows], entropies).allSatisfy { abs($0 - $1) < 1e-4 })
        let share = try Tensor(Array(weights[segment.rows]), shape: [segment.rows.count])
        try own.multiplied(by: share).sum().backward()
      }
      for ((parameter, tensor), actual) in zip(model.parameters, gradients) {
        let expected = tensor.gradient!.values
        let scale = max(1e-2, expected.reduce(0) { max($0, abs($1)) })
        #expect(zip(actual, expected).allSatisfy { abs($0 - $1) < 1e-4 * scale }, "\(parameter)")
        tensor.zeroGradient()
      }
    }
  }

  @Test func samplesDoNotDependOnTheirBatchAndMatchTraining() throws {
    let model = try Goldens.model("tiny-llama")
    var options = SamplingOptions()
    (options.temperature, options.seed, options.step) = (0.8, 3, 11)
    var forest = Forest()
    let trunk = try forest.add([5, 17, 40, 3, 22, 61])
    let first = try forest.add([9, 33], parent: trunk, offset: 4)
    let second = try forest.add([71], parent: trunk)
    let all = try model.generate(
      forest, from: [first, second], count: 8, maxTokens: 12, options: options, stopIDs: [2])
    let few = try model.generate(
      forest, from: [first], count: 3, maxTokens: 12, options: options, stopIDs: [2])
    #expect(Array(all[0][..<3]).map(\.ids) == few[0].map(\.ids))
    #expect(Set(all[0].map(\.ids)).count > 1)

    // The log-probabilities seen while sampling are those of a training pass.
    var batch = forest
    var rows: [(Range<Int>, [Float])] = []
    for (segment, completions) in zip([first, second], all) {
      for completion in completions {
        let number = try batch.add(completion.ids, parent: segment, temperature: 0.8)
        rows.append((batch.segments[number].rows, completion.logProbs))
      }
    }
    let trained = try Tape.withoutRecording { try model.logProbs(batch).logProbs.values }
    for (range, sampled) in rows { #expect(zip(trained[range], sampled).allSatisfy { abs($0 - $1) < 1e-4 }) }
  }

  @Test func filtersKeepTheMostProbable() throws {
    let model = try Goldens.model("tiny-llama")
    var forest = Forest()
    let prompt = try forest.add([5, 17, 40])
    let logits = try Tape.withoutRecording { try model.logits(model.hiddenStates(forest)) }.values.suffix(97)
    let ranked = logits.enumerated().sorted { $0.element > $1.element }.map { Int32($0.offset) }
    func drawn(_ change: (inout SamplingOptions) -> Void) throws -> Set<Int32> {
      var options = SamplingOptions()
      change(&options)
      return Set(
        try model.generate(forest, from: [prompt], count: 400, maxTokens: 1, options: options, stopIDs: [])[0]
          .map { $0.ids[0] })
    }
    #expect(try drawn { $0.topK = 3 } == Set(ranked[..<3]))
    #expect(try drawn { $0.topP = 1e-6 } == [ranked[0]])
    #expect(try drawn { $0.minP = 1 } == [ranked[0]])
    #expect(try drawn { $0.temperature = 0 } == [ranked[0]])
    #expect(try drawn { _ in }.count > 40)
    #expect(throws: ModelError.self) { try drawn { $0.topP = 0 } }
    // More completions than anybody can want are refused before they are made.
    #expect(throws: ModelError.self) {
      try model.generate(
        forest, from: [prompt], count: 1 << 40, maxTokens: 8, options: SamplingOptions(), stopIDs: [])
    }
    #expect(throws: ModelError.self) { try drawn { $0.temperature = -1 } }
  }
}
