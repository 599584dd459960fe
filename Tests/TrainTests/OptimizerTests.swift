// Ten AdamW steps of tiny models against PyTorch: the loss before each step and the gradient norm before clipping.
import Foundation
import Model
import Tensor
import TestSupport
import Testing
import Train

@Suite struct OptimizerTests {
  private struct Golden: Decodable {
    struct Settings: Decodable {
      let lr, eps, weight_decay, max_grad_norm: Double
      let betas: [Double]
    }
    struct Step: Decodable { let loss, grad_norm: Double }
    let adamw: Settings
    let batches: [[[Int32]]]
    let steps: [Step]
  }

  private func model(_ name: String) throws -> CausalLM {
    try CausalLM(ModelFiles(path: Places.golden(name).path))
  }

  @Test(arguments: ["tiny-llama", "tiny-qwen2", "tiny-qwen3", "tiny-mistral", "tiny-gpt2", "tiny-neox"])
  func tenSteps(_ name: String) throws {
    let golden = try JSONDecoder().decode(
      Golden.self, from: Data(contentsOf: Places.golden("\(name)/train10.json")))
    let model = try model(name)
    var settings = AdamW.Settings()
    settings.learningRate = Float(golden.adamw.lr)
    settings.beta1 = Float(golden.adamw.betas[0])
    settings.beta2 = Float(golden.adamw.betas[1])
    settings.epsilon = Float(golden.adamw.eps)
    settings.weightDecay = Float(golden.adamw.weight_decay)
    let optimizer = AdamW(parameters: model.parameters, settings: settings)
    for (batch, expected) in zip(golden.batches, golden.steps) {
      var forest = Forest()
      for ids in batch { try forest.add(ids) }
      let predicted = batch.reduce(0) { $0 + $1.count - 1 }
      optimizer.zeroGradients()
      let loss = try model.logProbs(forest).logProbs.sum().multiplied(by: -1 / Float(predicted))
      try loss.backward()
      let report = optimizer.step(maxGradNorm: golden.adamw.max_grad_norm)
      #expect(abs(Double(try loss.item()) - expected.loss) < 1e-4)
      #expect(abs(report.gradNorm - expected.grad_norm) < 1e-3)
      #expect(!report.isSkipped)
    }
    #expect(optimizer.stepCount == 10)
  }

  @Test func aStepThatIsNotFiniteChangesNothing() throws {
    let model = try model("tiny-llama")
    let optimizer = AdamW(parameters: model.parameters)
    var forest = Forest()
    try forest.add([1, 2, 3, 4])
    try model.logProbs(forest).logProbs.sum().multiplied(by: .nan).backward()
    let before = model.parameters.map { $0.tensor.values }
    let report = optimizer.step(maxGradNorm: 1)
    #expect(report.isSkipped)
    #expect(!report.gradNorm.isFinite)
    #expect(optimizer.stepCount == 0)
    #expect(model.parameters.map { $0.tensor.values } == before)
  }
}
