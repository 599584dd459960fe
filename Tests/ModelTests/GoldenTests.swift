// Whole models against PyTorch: logits, loss, every gradient, greedy continuations.
import Foundation
import Tensor
import TestSupport
import Testing

import Model

/// Folders of the goldens that this repository carries.
enum Goldens {
  static func json(_ path: String) throws -> [String: Any] {
    let data = try Data(contentsOf: Places.golden(path))
    return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  static func model(_ name: String) throws -> CausalLM {
    try CausalLM(ModelFiles(path: Places.golden(name).path))
  }
}

/// A file of golden tensors.
struct GoldenTensors {
  let file: SafetensorsFile

  init(_ name: String) throws {
    file = try SafetensorsFile(path: Places.golden("\(name)/golden.safetensors").path)
  }

  func floats(_ name: String) throws -> [Float] {
    var values = [Float](repeating: 0, count: try file.shape(of: name).reduce(1, *))
    try values.withUnsafeMutableBufferPointer { try file.read(name, into: $0) }
    return values
  }

  func integers(_ name: String) throws -> [Int32] {
    try file.withBytes(of: name) { bytes in bytes.bindMemory(to: Int64.self).map { Int32($0) } }
  }
}

@Suite struct GoldenTests {
  static let models = ["tiny-llama", "tiny-qwen2", "tiny-qwen3", "tiny-mistral", "tiny-gpt2", "tiny-neox"]

  /// Two sequences of 24 tokens as two roots of a forest.
  private func batch(_ golden: GoldenTensors) throws -> Forest {
    let ids = try golden.integers("input_ids")
    var forest = Forest()
    try forest.add(Array(ids[..<24]))
    try forest.add(Array(ids[24...]))
    return forest
  }

  @Test(arguments: models) func logits(_ name: String) throws {
    let (model, golden) = (try Goldens.model(name), try GoldenTensors(name))
    let logits = try Tape.withoutRecording { try model.logits(model.hiddenStates(batch(golden))) }.values
    let expected = try golden.floats("logits")
    #expect(logits.count == expected.count)
    #expect(zip(logits, expected).allSatisfy { abs($0 - $1) < 1e-4 })
  }

  @Test(arguments: models) func lossAndGradients(_ name: String) throws {
    let (model, golden) = (try Goldens.model(name), try GoldenTensors(name))
    for (_, tensor) in model.parameters { tensor.requiresGradient = true }
    let loss = try model.logProbs(batch(golden)).logProbs.sum().multiplied(by: -1 / 46)
    try loss.backward()
    #expect(abs(try loss.item() - golden.floats("loss")[0]) < 1e-5)
    for (parameter, tensor) in model.parameters {
      let expected = try golden.floats("grad.\(parameter)")
      let gradient = try #require(tensor.gradient, "\(parameter) has no gradient").values
      let scale = expected.reduce(0) { max($0, abs($1)) }
      let worst = zip(gradient, expected).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(worst <= 1e-4 * max(scale, 1e-6), "\(parameter): off by \(worst) of \(scale)")
    }
  }

  @Test(arguments: models) func greedy(_ name: String) throws {
    let model = try Goldens.model(name)
    let greedy = try #require(try Goldens.json("\(name)/train10.json")["greedy"] as? [String: [Int]])
    var forest = Forest()
    let prompt = try forest.add(greedy["prompt"]!.map(Int32.init))
    var options = SamplingOptions()
    options.temperature = 0
    let expected = greedy["new_ids"]!.map(Int32.init)
    // A batch of three must give the same as one alone.
    let completions = try model.generate(
      forest, from: [prompt], count: 3, maxTokens: expected.count, options: options, stopIDs: [])
    for completion in completions[0] { #expect(completion.ids == expected) }
  }

  /// Where a window would begin to matter, or no position has an embedding, nothing is computed wrongly.
  @Test(arguments: ["tiny-mistral", "tiny-gpt2"]) func contextsAreFixed(_ name: String) throws {
    let model = try Goldens.model(name)
    #expect(model.config.maxPositionEmbeddings == 64)
    for (count, fits) in [(64, true), (65, false)] {
      var forest = Forest()
      try forest.add((0..<count).map { Int32($0 % 90 + 3) })
      if fits {
        #expect(try model.logProbs(forest).logProbs.values.allSatisfy(\.isFinite))
      } else {
        #expect(throws: ModelError.self) { try model.logProbs(forest) }
      }
    }
  }
}
