// Real checkpoints against PyTorch: tokens, log-probabilities, logits, greedy text, and the folder that they save.
//
// SmolLM2-135M-Instruct is looked for in the model cache (scripts/fetch-model puts it there), the 260K-parameter Llama
// of TinyStories in the folder that MIDTRAIN_SHARED names or ../shared. Without them these tests are skipped.
import Foundation
import Model
import Tensor
import TestSupport
import Testing
import Train

/// A checkpoint and what PyTorch computed with it.
struct RealModel: CustomTestStringConvertible, Sendable {
  let name: String
  let path: String
  var testDescription: String { name }

  struct Golden: Decodable {
    struct Case: Decodable {
      let text: String
      let ids, last_top10_ids, greedy_24: [Int32]
      let next_token_logprobs, last_top10_logits: [Double]
    }
    let cases: [Case]
  }

  func golden() throws -> Golden {
    let file = Places.golden("models/\(name).json")
    return try JSONDecoder().decode(Golden.self, from: Data(contentsOf: file))
  }

  /// Those that this machine has.
  static let available: [RealModel] =
    [
      ("smollm2-135m-instruct", Places.smolLM2GGUF), ("stories260k-f32", Places.shared("models/stories260k")),
    ].compactMap { name, path in path.map { RealModel(name: name, path: $0) } }
}

@Suite(.serialized, .enabled(if: !RealModel.available.isEmpty)) struct RealModelTests {
  @Test(arguments: RealModel.available) func agreesWithPyTorch(_ real: RealModel) throws {
    let model = try LanguageModel.load(real.path)
    for golden in try real.golden().cases {
      #expect(try model.prompt(golden.text.utf8) == golden.ids)
      let scores = try model.network.score(golden.ids)
      #expect(scores.count == golden.next_token_logprobs.count)
      #expect(zip(scores, golden.next_token_logprobs).allSatisfy { abs(Double($0) - $1) < 2e-3 })

      var forest = Forest()
      let prompt = try forest.add(golden.ids)
      let logits = try Tape.withoutRecording { try model.network.logits(model.network.hiddenStates(forest)) }
      let last = Array(logits.values.suffix(model.network.config.vocabSize))
      for (id, expected) in zip(golden.last_top10_ids, golden.last_top10_logits) {
        #expect(abs(Double(last[Int(id)]) - expected) < 2e-3)
      }
      var options = SamplingOptions()
      options.temperature = 0
      let greedy = try model.network.generate(
        forest, from: [prompt], count: 1, maxTokens: 24, options: options, stopIDs: [])
      #expect(greedy[0][0].ids == golden.greedy_24)
    }
  }

  @Test(arguments: RealModel.available) func savesWhatItLoaded(_ real: RealModel) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "midtrain-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let model = try LanguageModel.load(real.path)
    try model.save(to: folder.path)
    let again = try LanguageModel.load(folder.path)
    #expect(again.stopIDs == model.stopIDs)
    for ((name, tensor), (_, copy)) in zip(model.network.parameters, again.network.parameters) {
      #expect(memcmp(tensor.pointer, copy.pointer, tensor.count * 4) == 0, "\(name)")
    }
    let text = try real.golden().cases[1].text
    #expect(try again.requireTokenizer().encode(text) == model.requireTokenizer().encode(text))
    #expect(again.tokenizer?.chatTemplate == model.tokenizer?.chatTemplate)
  }
}
