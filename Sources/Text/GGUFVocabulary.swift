// The vocabulary inside a GGUF file. It is turned into the `tokenizer.json` that describes the same tokenizer
// and loaded from that, so there is one way to tokenise, and what is exported is what was used.

/// The `tokenizer.ggml.*` metadata of a GGUF file.
public struct GGUFVocabulary: Sendable {
  /// `tokenizer.ggml.model`: "gpt2" (byte-level) or "llama" (SentencePiece).
  public var model: String
  /// `tokenizer.ggml.pre`: which pre-tokenizer a byte-level vocabulary has.
  public var pre: String?
  /// `tokenizer.ggml.tokens` by id.
  public var tokens: [[UInt8]]
  /// `tokenizer.ggml.token_type` by id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
  public var types: [Int32] = []
  /// `tokenizer.ggml.scores` by id; the merge order of a SentencePiece vocabulary.
  public var scores: [Float] = []
  /// `tokenizer.ggml.merges`: "left right", the first of which merges first.
  public var merges: [[UInt8]] = []
  /// `tokenizer.ggml.bos_token_id`.
  public var bosID: Int32?
  /// `tokenizer.ggml.eos_token_id`.
  public var eosID: Int32?
  /// `tokenizer.ggml.padding_token_id`.
  public var padID: Int32?
  /// `tokenizer.ggml.unknown_token_id`.
  public var unkID: Int32?
  /// `tokenizer.ggml.add_bos_token`.
  public var addsBOS: Bool?
  /// `tokenizer.ggml.add_space_prefix`; SentencePiece vocabularies have one unless they say otherwise.
  public var addsSpacePrefix: Bool?
  /// `tokenizer.chat_template`.
  public var chatTemplate: String?
  /// `<architecture>.context_length`.
  public var contextLength: Int?

  /// A vocabulary; what is not given is absent from the file.
  public init(model: String, pre: String? = nil, tokens: [[UInt8]]) {
    self.model = model
    self.pre = pre
    self.tokens = tokens
  }
}

extension GGUFVocabulary {
  private enum TokenType {
    static let normal: Int32 = 1
    static let unknown: Int32 = 2
    static let control: Int32 = 3
    static let userDefined: Int32 = 4
    static let byte: Int32 = 6
  }

  private func type(_ id: Int) -> Int32 { id < types.count ? types[id] : TokenType.normal }

  /// The contents of `tokenizer_config.json`.
  func tokenizerConfig() throws -> JSON {
    let names = try names()
    func name(_ id: Int32?) -> JSON {
      guard let id, names.indices.contains(Int(id)) else { return .null }
      return .string(names[Int(id)])
    }
    var config = JSON.Object()
    config.append("tokenizer_class", "PreTrainedTokenizerFast")
    config.append("bos_token", name(bosID))
    config.append("eos_token", name(eosID))
    config.append("pad_token", name(padID))
    config.append("unk_token", name(unkID))
    config.append("clean_up_tokenization_spaces", false)
    if let contextLength { config.append("model_max_length", .int(Int64(contextLength))) }
    return .object(config)
  }

  /// The contents of `tokenizer.json`.
  func tokenizerJSON() throws -> JSON {
    let names = try names()
    var added: [JSON] = []
    var vocabulary = JSON.Object()
    vocabulary.reserveCapacity(names.count)
    var seen = ByteTable(capacity: names.count)
    for (id, name) in names.enumerated() {
      // Two ids of one name cannot be told apart in text: the first keeps it, as in llama.cpp.
      var bytes = name
      guard bytes.withUTF8({ seen.insert($0).isNew }) else { continue }
      vocabulary.append(name, .int(Int64(id)))
      let type = type(id)
      if type == TokenType.unknown || type == TokenType.control || type == TokenType.userDefined {
        added.append([
          "id": .int(Int64(id)), "content": .string(name), "single_word": false, "lstrip": false,
          "rstrip": false,
          "normalized": false, "special": .bool(type != TokenType.userDefined),
        ])
      }
    }
    let parts = model == "llama" ? try sentencePiece(names, vocabulary) : try byteLevel(vocabulary)
    return [
      "version": "1.0", "truncation": nil, "padding": nil, "added_tokens": .array(added),
      "normalizer": parts.normalizer, "pre_tokenizer": parts.preTokenizer,
      "post_processor": postProcessor(names),
      "decoder": parts.decoder, "model": parts.model,
    ]
  }

  private typealias Parts = (normalizer: JSON, preTokenizer: JSON, decoder: JSON, model: JSON)

  private func names() throws -> [String] {
    try tokens.enumerated().map { id, token in
      guard let name = String(validating: token, as: UTF8.self) else {
        throw TextError("tokenizer.ggml.tokens[\(id)] is not UTF-8")
      }
      return name
    }
  }

  private func postProcessor(_ names: [String]) -> JSON {
    guard addsBOS == true, let bosID, names.indices.contains(Int(bosID)) else { return nil }
    let bos = JSON.string(names[Int(bosID)])
    func special(_ type: JSON) -> JSON { ["SpecialToken": ["id": bos, "type_id": type]] }
    func sequence(_ name: JSON, _ type: JSON) -> JSON { ["Sequence": ["id": name, "type_id": type]] }
    let entry: JSON = ["id": bos, "ids": [.int(Int64(bosID))], "tokens": [bos]]
    return [
      "type": "TemplateProcessing",
      "single": [special(0), sequence("A", 0)],
      "pair": [special(0), sequence("A", 0), special(1), sequence("B", 1)],
      "special_tokens": .object(JSON.Object([(names[Int(bosID)], entry)])),
    ]
  }

  private func bytePairModel(
    _ vocabulary: JSON.Object, merges: [JSON], unknown: JSON, isSentencePiece: Bool, ignoresMerges: Bool
  ) -> JSON {
    [
      "type": "BPE", "dropout": nil, "unk_token": unknown, "continuing_subword_prefix": nil,
      "end_of_word_suffix": nil, "fuse_unk": .bool(isSentencePiece), "byte_fallback": .bool(isSentencePiece),
      "ignore_merges": .bool(ignoresMerges), "vocab": .object(vocabulary), "merges": .array(merges),
    ]
  }

  // MARK: Byte-level vocabularies

  private func byteLevel(_ vocabulary: JSON.Object) throws -> Parts {
    guard model == "gpt2" else {
      throw TextError("tokenizer.ggml.model is '\(model)'; supported are 'gpt2' (byte-level BPE) and 'llama'")
    }
    func byteLevel(splits: Bool) -> JSON {
      ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(splits)]
    }
    func sequence(_ first: JSON, splits: Bool) -> JSON {
      ["type": "Sequence", "pretokenizers": [first, byteLevel(splits: splits)]]
    }
    func cl100k(_ number: String) -> JSON {
      let expression =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\(number)| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
        + "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
      return [
        "type": "Split", "pattern": ["Regex": .string(expression)], "behavior": "Isolated", "invert": false,
      ]
    }
    var normalizer: JSON = nil
    let preTokenizer: JSON
    var ignoresMerges = false
    switch pre ?? "" {
    case "gpt-2", "phi-2", "olmo", "jais", "mpt":
      preTokenizer = byteLevel(splits: true)
    case "smollm", "starcoder", "refact", "codeshell", "command-r":
      preTokenizer = sequence(["type": "Digits", "individual_digits": true], splits: true)
    case "llama-bpe", "llama3", "llama-v3":
      preTokenizer = sequence(cl100k("\\p{N}{1,3}"), splits: false)
      ignoresMerges = true
    case "qwen2", "deepseek-r1-qwen":
      preTokenizer = sequence(cl100k("\\p{N}"), splits: false)
      normalizer = ["type": "NFC"]
    case let pre:
      throw TextError(
        "tokenizer.ggml.pre is '\(pre)'; supported are gpt-2, smollm, starcoder, llama-bpe and qwen2. "
          + "Load the model from its Hugging Face folder instead")
    }
    let merges: [JSON] = try self.merges.enumerated().map { rank, merge in
      guard let text = String(validating: merge, as: UTF8.self), let space = text.utf8.firstIndex(of: 0x20)
      else {
        throw TextError("tokenizer.ggml.merges[\(rank)] is not two tokens with a space between them")
      }
      return [.string(String(text[..<space])), .string(String(text[space...].dropFirst()))]
    }
    let model = bytePairModel(
      vocabulary, merges: merges, unknown: nil, isSentencePiece: false, ignoresMerges: ignoresMerges)
    return (normalizer, preTokenizer, byteLevel(splits: true), model)
  }

  // MARK: SentencePiece vocabularies

  private func sentencePiece(_ names: [String], _ vocabulary: JSON.Object) throws -> Parts {
    guard scores.count == tokens.count else {
      throw TextError("tokenizer.ggml.scores has \(scores.count) entries for \(tokens.count) tokens")
    }
    let prefix = addsSpacePrefix ?? true
    let replace: JSON = ["type": "Replace", "pattern": ["String": " "], "content": "▁"]
    let prepend: JSON = ["type": "Prepend", "prepend": "▁"]
    let normalizer: JSON = ["type": "Sequence", "normalizers": prefix ? [prepend, replace] : [replace]]
    var decoders: [JSON] = [
      ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"],
      ["type": "Fuse"],
    ]
    if prefix { decoders.append(["type": "Strip", "content": " ", "start": 1, "stop": 0]) }
    let unknown = unkID.map(Int.init) ?? names.indices.first { type($0) == TokenType.unknown }
    let model = bytePairModel(
      vocabulary, merges: mergesFromScores(names),
      unknown: unknown.flatMap { names.indices.contains($0) ? .string(names[$0]) : nil } ?? .null,
      isSentencePiece: true, ignoresMerges: false)
    return (normalizer, nil, ["type": "Sequence", "decoders": .array(decoders)], model)
  }

  /// SentencePiece merges whatever gives the token of the highest score. As a list of merges: every way to
  /// divide a token into two others, ordered by the score of the whole.
  private func mergesFromScores(_ names: [String]) -> [JSON] {
    struct Merge {
      var left: Substring
      var right: Substring
      var score: Float
      var leftLength: Int
      var rightLength: Int
    }
    var ids = ByteTable(capacity: names.count)
    for token in tokens { token.withUnsafeBufferPointer { _ = ids.insert($0) } }
    var merges: [Merge] = []
    for (id, name) in names.enumerated()
    where type(id) == TokenType.normal || type(id) == TokenType.userDefined {
      let scalars = name.unicodeScalars
      var parts: [(left: Int, right: Int, merge: Merge)] = []
      for (offset, index) in scalars.indices.enumerated().dropFirst() {
        let (left, right) = (name[..<index], name[index...])
        guard let leftID = ids.find(String(left)), let rightID = ids.find(String(right)) else { continue }
        let merge = Merge(
          left: left, right: right, score: scores[id], leftLength: offset, rightLength: scalars.count - offset
        )
        parts.append((leftID, rightID, merge))
      }
      parts.sort { ($0.left, $0.right) < ($1.left, $1.right) }
      merges += parts.map(\.merge)
    }
    // Equal keys keep the order of the vocabulary: the sort is stable.
    merges.sort { ($0.score, $0.leftLength, $0.rightLength) > ($1.score, $1.leftLength, $1.rightLength) }
    return merges.map { [.string(String($0.left)), .string(String($0.right))] }
  }
}
