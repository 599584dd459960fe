// The optimiser's state on disk: a run that is interrupted goes on as if it had not been.
import Foundation
import Model
import Tensor
import TestSupport
import Testing
import Train

@Suite struct StateTests {
  private let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "midtrain-\(UUID().uuidString)")

  private static func tiny() throws -> CausalLM {
    try CausalLM(ModelFiles(path: Places.golden("tiny-qwen3").path))
  }

  private func step(_ model: CausalLM, _ optimizer: AdamW, _ number: Int) throws {
    var forest = Forest()
    try forest.add((0..<20).map { Int32(($0 * 7 + number * 13) % 97) })
    optimizer.zeroGradients()
    try model.logProbs(forest).logProbs.mean().negated().backward()
    _ = optimizer.step(maxGradNorm: 1)
  }

  @Test func goesOnBitIdentically() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let (whole, wholeModel) = try { (AdamW(parameters: $0.parameters), $0) }(Self.tiny())
    for number in 0..<6 { try step(wholeModel, whole, number) }

    let (first, firstModel) = try { (AdamW(parameters: $0.parameters), $0) }(Self.tiny())
    for number in 0..<3 { try step(firstModel, first, number) }
    try LanguageModel(network: firstModel, tokenizer: nil, path: "").save(to: folder.path)
    try first.save(to: folder.path)

    let resumedModel = try LanguageModel.load(folder.path).network
    let resumed = AdamW(parameters: resumedModel.parameters)
    try resumed.load(from: folder.path)
    #expect(resumed.stepCount == 3)
    for number in 3..<6 { try step(resumedModel, resumed, number) }
    for ((name, a), (_, b)) in zip(wholeModel.parameters, resumedModel.parameters) {
      #expect(a.values == b.values, "\(name)")
    }
  }

  @Test func refusesTheStateOfAnotherModel() throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let model = try Self.tiny()
    let optimizer = AdamW(parameters: model.parameters)
    try step(model, optimizer, 0)
    try optimizer.save(to: folder.path)
    let part = AdamW(parameters: Array(model.parameters.prefix(3)))
    #expect(throws: ModelError.self) { try part.load(from: folder.path) }
    #expect(part.stepCount == 0)
    try Data("{}".utf8).write(to: folder.appendingPathComponent("optimizer.safetensors"))
    #expect(throws: ModelError.self) { try optimizer.load(from: folder.path) }
    #expect(optimizer.stepCount == 1)
  }
}
