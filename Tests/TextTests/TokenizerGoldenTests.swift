import Foundation
import TestSupport
import Testing

import Text

/// Ids and texts against transformers and llama.cpp.
@Suite struct TokenizerGoldenTests {
  private func check(_ tokenizer: Tokenizer, model: String) throws {
    let goldens = try JSON(parsing: fileContents(#require(Places.shared("goldens/tokenizer.json"))))
    let cases = try #require(goldens[model]?.array)
    #expect(cases.count == 165)
    for one in cases {
      let text = try #require(one["text"]?.string)
      let expected = try #require(one["ids"]?.array).compactMap { $0.int.map { Int32($0) } }
      let ids = try tokenizer.encode(text)
      #expect(ids == expected, "\(text.debugDescription)")
      #expect(try tokenizer.decode(ids) == Array(#require(one["decoded"]?.string).utf8))
    }
  }

  /// Trained by SentencePiece, encoded by Hugging Face's tokenizers (Tests/Goldens/make_unigram.py).
  @Test(arguments: ["plain", "bytes"]) func unigram(_ name: String) throws {
    let tokenizer = try Tokenizer(path: Places.golden("text/unigram-\(name).json").path)
    let cases = try JSON(parsing: fileContents(Places.golden("text/unigram-\(name)-cases.json").path))
    #expect(try #require(cases.array).count == 26)
    for one in try #require(cases.array) {
      let text = try #require(one["text"]?.string)
      let ids = try tokenizer.encode(text)
      #expect(ids.map { Int64($0) } == one["ids"]?.array?.compactMap(\.int), "\(text.debugDescription)")
      #expect(
        try tokenizer.decode(ids) == Array(#require(one["decoded"]?.string).utf8), "\(text.debugDescription)")
    }
  }

  @Test(.enabled(if: Places.shared("models/stories260k/tokenizer.json") != nil))
  func stories260k() throws {
    try check(Tokenizer(path: #require(Places.shared("models/stories260k"))), model: "stories260k-f32")
  }

  @Test(.enabled(if: Places.smolLM2Folder != nil && Places.shared("goldens") != nil))
  func smolLM2Folder() throws {
    let tokenizer = try Tokenizer(path: #require(Places.smolLM2Folder))
    #expect(tokenizer.bosID == 1 && tokenizer.eosID == 2 && tokenizer.vocabularySize == 49152)
    try check(tokenizer, model: "smollm2-135m-instruct")
  }

  @Test(.enabled(if: Places.smolLM2GGUF != nil && Places.shared("goldens") != nil))
  func smolLM2GGUF() throws {
    let path = try #require(Places.smolLM2GGUF)
    let tokenizer = try Tokenizer(GGUFReader(path: path).vocabulary)
    #expect(tokenizer.bosID == 1 && tokenizer.eosID == 2 && tokenizer.vocabularySize == 49152)
    let goldens = try JSON(
      parsing: fileContents(#require(Places.shared("goldens/smollm2-135m-instruct.json"))))
    for chat in try #require(goldens["chat"]?.array) {
      let text = try tokenizer.applyChatTemplate(#require(chat["messages"]?.array), addGenerationPrompt: true)
      #expect(text == chat["text"]?.string)
    }
    try check(tokenizer, model: "smollm2-135m-instruct")
    // What is exported is the same tokenizer.
    let files = Dictionary(uniqueKeysWithValues: try tokenizer.huggingFaceFiles())
    let again = try Tokenizer(
      tokenizerJSON: #require(files["tokenizer.json"]), config: files["tokenizer_config.json"],
      chatTemplate: files["chat_template.jinja"].map { String(decoding: $0, as: UTF8.self) })
    #expect(again.bosID == 1 && again.eosID == 2 && again.chatTemplate == tokenizer.chatTemplate)
    try check(again, model: "smollm2-135m-instruct")
    #expect(try Dictionary(uniqueKeysWithValues: again.huggingFaceFiles()) == files)
  }

  @Test(.enabled(if: Places.shared("goldens/vocab") != nil), arguments: ["gpt-2", "llama-bpe", "qwen2"])
  func vocabulary(_ name: String) throws {
    let path = try #require(Places.shared("goldens/vocab/ggml-vocab-\(name).gguf"))
    let tokenizer = try Tokenizer(GGUFReader(path: path).vocabulary)
    let inputs = try String(decoding: fileContents(path + ".inp"), as: UTF8.self)
      .components(separatedBy: "\n__ggml_vocab_test__\n")
    let outputs = try String(decoding: fileContents(path + ".out"), as: UTF8.self).components(
      separatedBy: "\n")
    #expect(inputs.count >= 40)
    for (text, line) in zip(inputs, outputs) {
      let expected = line.split(separator: " ").compactMap { Int32($0) }
      let ids = try tokenizer.encode(text)
      #expect(ids == expected, "\(text.debugDescription)")
      #expect(try tokenizer.decode(ids) == Array(text.utf8))
    }
  }
}
