// Training what is not stored in 32 bits: master copies of bfloat16 matrices, and adapters beside frozen ones.
import Foundation
import Kernels
import Model
import Tensor
import TestSupport
import Testing
import Train

@Suite struct PackedTrainingTests {
  private func load(_ name: String, _ storage: WeightStorage) throws -> CausalLM {
    try CausalLM(ModelFiles(path: Places.golden(name).path), storage: storage)
  }

  /// Ten steps on one batch; the loss before each.
  private func train(_ model: CausalLM, _ optimizer: AdamW, steps: Int = 10) throws -> [Float] {
    var forest = Forest()
    for row in 0..<3 { try forest.add((0..<20).map { Int32(($0 * 7 + row * 31 + 3) % 97) }) }
    return try (0..<steps).map { step in
      optimizer.zeroGradients()
      var options = CausalLM.TrainingOptions()
      options.checkpointing = Checkpointing.allCases[step % 3]
      let loss = try model.logProbs(forest, options: options).logProbs.sum().multiplied(by: -1 / 57)
      try loss.backward()
      #expect(!optimizer.step(maxGradNorm: 1).isSkipped)
      return try loss.item()
    }
  }

  private func settings(_ learningRate: Float) -> AdamW.Settings {
    var settings = AdamW.Settings()
    settings.learningRate = learningRate
    return settings
  }

  private func rounded(_ values: [Float]) -> [Float] {
    var packed = [UInt8](repeating: 0, count: 2 * values.count)
    var result = values
    packed.withUnsafeMutableBytes {
      WeightFormat.bf16.pack(values, into: $0.baseAddress!, count: values.count)
    }
    WeightFormat.bf16.expand(packed, into: &result, count: values.count)
    return result
  }

  @Test(arguments: ["tiny-llama", "tiny-qwen2", "tiny-qwen3"]) func masterCopies(_ name: String) throws {
    let model = try load(name, .bf16)
    let before = model.weights.map { $0.weight.expanded().values }
    let bytes = model.weightBytes
    try model.makeTrainable()
    #expect(model.parameters.map(\.name) == model.weights.map(\.name))
    #expect(model.weightBytes > bytes + 3 * model.parameterCount)
    let losses = try train(model, AdamW(parameters: model.parameters, settings: settings(1e-3)))
    #expect(losses[9] < losses[0] - 0.1)
    for ((name, weight), old) in zip(model.weights, before) {
      let master = try #require(weight.tensor).values
      #expect(master != old, "\(name)")
      if weight.format == .bf16 {
        #expect(weight.expanded().values == rounded(master), "\(name)")
        #expect(master != rounded(master), "\(name)")
      }
    }
    // It follows training in 32 bits. A step of Adam's is about as large as the distance of two bfloat16 numbers.
    let full = try load(name, .f32)
    let expected = try train(full, AdamW(parameters: full.parameters, settings: settings(1e-3)))
    #expect(zip(losses, expected).allSatisfy { abs($0 - $1) < 0.1 }, "\(losses) \(expected)")
    // What is saved is the master copy.
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "midtrain-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    try LanguageModel(network: model, tokenizer: nil, path: "").save(to: folder.path)
    let again = try LanguageModel.load(folder.path).network
    for ((name, a), (_, b)) in zip(model.parameters, again.parameters) {
      #expect(a.values == b.values, "\(name)")
    }
  }

  @Test(arguments: WeightStorage.allCases) func adaptersAlone(_ storage: WeightStorage) throws {
    let model = try load("tiny-llama", storage)
    let before = model.weights.map { $0.weight.expanded().values }
    try model.addAdapters(
      AdapterConfig(rank: 4, alpha: 8, dropout: 0.1, targetModules: AdapterConfig.allLinear, seed: 3))
    try model.makeTrainable()
    #expect(model.parameters.allSatisfy { $0.name.contains(".lora_") })
    let initial = model.parameters.map { $0.tensor.values }
    let optimizer = AdamW(parameters: model.parameters, settings: settings(1e-2))
    #expect(optimizer.stateBytes == 8 * model.parameters.reduce(0) { $0 + $1.tensor.count })
    let losses = try train(model, optimizer)
    #expect(losses[9] < losses[0] - 0.1)
    #expect(model.weights.map { $0.weight.expanded().values } == before)
    #expect(model.weights.allSatisfy { $0.weight.tensor?.gradient == nil })
    for ((name, tensor), old) in zip(model.parameters, initial) { #expect(tensor.values != old, "\(name)") }

    // The optimiser's state goes by the adapters' names.
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "midtrain-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try model.saveAdapters(to: folder.path, baseModel: "tiny-llama")
    try optimizer.save(to: folder.path)
    let again = try load("tiny-llama", storage)
    try again.loadAdapters(from: folder.path)
    let resumed = AdamW(parameters: again.parameters, settings: settings(1e-2))
    try resumed.load(from: folder.path)
    #expect(resumed.stepCount == 10)
    #expect(try again.score([1, 2, 3, 4]) == model.score([1, 2, 3, 4]))

    // Merged into the whole, it is a model like any other.
    let scores = try model.score([5, 6, 7, 8])
    let merged = try model.copy(.f32).score([5, 6, 7, 8])
    #expect(zip(merged, scores).allSatisfy { abs($0 - $1) < 1e-4 })
  }
}
