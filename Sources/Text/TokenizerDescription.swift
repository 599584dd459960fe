// From the JSON of `tokenizer.json` and `tokenizer_config.json` to the tables that encoding and decoding
// need.

/// Everything about a tokenizer, read and checked.
struct TokenizerDescription {
  let model: TokenModel
  let normalizer: Normalizer?
  let preTokenizer: PreTokenizer?
  let addedTokens: [AddedToken]
  private(set) var pieces: [UInt8] = []
  private(set) var pieceEnds: [Int] = []
  let strippedSpaces: Int
  private(set) var bosID: Int32?
  private(set) var eosID: Int32?
  private(set) var padID: Int32?
  private(set) var unkID: Int32?
  private(set) var addsBOS = false
  private(set) var chatTemplate: String?

  /// Larger ids are taken for damage: tables are as long as the largest.
  static let largestID: Int64 = 1 << 24

  /// Reads a tokenizer.
  ///
  /// - Parameters:
  ///   - json: `tokenizer.json`.
  ///   - config: `tokenizer_config.json`, if there is one.
  ///   - chatTemplate: the text of `chat_template.jinja`, which goes before the one in `config`.
  init(_ json: JSON, config: JSON?, chatTemplate: String?) throws {
    guard json.object != nil else { throw TextError("expected an object, found \(json.kind)") }
    normalizer = try Normalizer(json["normalizer"])
    preTokenizer = try PreTokenizer(json["pre_tokenizer"])
    addedTokens = try (json["added_tokens"]?.array ?? []).map { try AddedToken($0) }
    let decoder = try TokenDecoder(json["decoder"])
    strippedSpaces = decoder.strippedSpaces

    let names = try Names(json["model"]?["vocab"])
    model = try TokenizerDescription.model(
      json["model"], names, isByteLevel: preTokenizer?.isByteLevel ?? false)
    readPieces(names, decoder)

    func id(_ key: String) -> Int32? {
      let entry = config?[key]
      guard let content = entry?.string ?? entry?["content"]?.string else { return nil }
      return addedTokens.first { $0.content.elementsEqual(content.utf8) }?.id ?? names.id(content)
    }
    bosID = id("bos_token")
    eosID = id("eos_token")
    padID = id("pad_token")
    unkID = id("unk_token")
    let prefix = TokenizerDescription.firstSpecialToken(json["post_processor"])
    addsBOS =
      prefix.flatMap { prefix in addedTokens.first { $0.content.elementsEqual(prefix.utf8) }?.id }
      .map { $0 == bosID } ?? config?["add_bos_token"]?.bool ?? false
    self.chatTemplate = chatTemplate ?? TokenizerDescription.chatTemplate(config?["chat_template"])
  }

  /// Lays out the bytes of all tokens by id. An added token stands for its content.
  private mutating func readPieces(_ names: Names, _ decoder: TokenDecoder) {
    let largest = max(names.ids.max() ?? -1, addedTokens.map(\.id).max() ?? -1)
    var numbers = [Int32](repeating: -1, count: Int(largest) + 1)
    for (number, id) in names.ids.enumerated() { numbers[Int(id)] = Int32(number) }
    var added: [Int32: [UInt8]] = [:]
    for token in addedTokens { added[token.id] = token.content }
    pieceEnds.reserveCapacity(numbers.count)
    for (id, number) in numbers.enumerated() {
      if let content = added[Int32(id)] {
        pieces += content
      } else if number >= 0 {
        pieces += decoder.bytes(of: Array(names.table[Int(number)]))
      }
      pieceEnds.append(pieces.count)
    }
  }

  private static func model(_ json: JSON?, _ names: Names, isByteLevel: Bool) throws -> TokenModel {
    let type = json?["type"]?.string ?? (json?["merges"] == nil ? "" : "BPE")
    switch (type, json) {
    case ("BPE", let json?): return .bytePairs(try bytePairs(json, names, isByteLevel: isByteLevel))
    case ("Unigram", let json?): return .unigram(try unigram(json))
    default: throw TextError("the model is of type '\(type)', but only BPE and Unigram are supported")
    }
  }

  private static func unigram(_ json: JSON) throws -> UnigramModel {
    guard let entries = json["vocab"]?.array else {
      throw TextError("model.vocab must be a list of tokens and their scores")
    }
    let vocabulary = try entries.enumerated().map { id, entry in
      guard let token = entry.array?.first?.string, let score = entry.array?.last?.double, score.isFinite
      else {
        throw TextError("model.vocab[\(id)] must be a token and its score")
      }
      return (Array(token.utf8), score)
    }
    let unknown = json["unk_id"]?.int
    guard unknown.map({ $0 >= 0 && $0 < vocabulary.count }) ?? true else {
      throw TextError("model.unk_id is \(unknown!), but there are \(vocabulary.count) tokens")
    }
    return UnigramModel(
      vocabulary, unknown: unknown.map(Int32.init), fallsBackToBytes: json["byte_fallback"]?.bool ?? false)
  }

  private static func bytePairs(_ json: JSON, _ names: Names, isByteLevel: Bool) throws -> BytePairModel {
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] where !(json[key]?.string ?? "").isEmpty {
      throw TextError("the model has a \(key), which is not supported")
    }
    if let dropout = json["dropout"]?.double, dropout > 0 {
      throw TextError("the model has dropout \(dropout), so it has no one tokenization")
    }
    var model = BytePairModel()
    model.isByteLevel = isByteLevel
    model.fusesUnknown = json["fuse_unk"]?.bool ?? false
    model.fallsBackToBytes = json["byte_fallback"]?.bool ?? false
    model.ignoresMerges = json["ignore_merges"]?.bool ?? false
    if let unknown = json["unk_token"]?.string {
      guard let id = names.id(unknown) else {
        throw TextError("unk_token '\(unknown)' is not in the vocabulary")
      }
      model.unknown = id
    }
    for byte in 0..<256 {
      let name = isByteLevel ? String(Character(ByteAlphabet.scalars[byte])) : "<0x\(hex(UInt8(byte)))>"
      model.tokenOfByte[byte] = names.id(name) ?? -1
    }
    if !isByteLevel {
      model.vocabulary = names.table
      model.ids = names.ids
    } else if model.ignoresMerges {
      model.vocabulary = ByteTable(capacity: names.ids.count)
      for (number, id) in names.ids.enumerated() {
        let name = Array(names.table[number])
        let isNew = (ByteAlphabet.bytes(spelling: name) ?? name).withUnsafeBufferPointer {
          model.vocabulary.insert($0).isNew
        }
        if isNew { model.ids.append(id) }
      }
    }
    model.merges = try merges(json["merges"], names)
    return model
  }

  /// Reads merges, each "a b" or ["a", "b"], the first of which merges first.
  private static func merges(_ json: JSON?, _ names: Names) throws -> PairTable {
    guard let entries = json?.array else { throw TextError("model.merges must be an array") }
    var table = PairTable(count: entries.count)
    var merged: [UInt8] = []
    for (rank, entry) in entries.enumerated() {
      let left: String
      let right: String
      switch entry {
      case .array(let pair) where pair.count == 2:
        left = pair[0].string ?? ""
        right = pair[1].string ?? ""
      case .string(let pair):
        let space = pair.utf8.firstIndex(of: 0x20) ?? pair.endIndex
        left = String(pair[..<space])
        right = String(pair[space...].dropFirst())
      default:
        throw TextError("model.merges[\(rank)] must be \"a b\" or [\"a\", \"b\"]")
      }
      merged.removeAll(keepingCapacity: true)
      merged.append(contentsOf: left.utf8)
      merged.append(contentsOf: right.utf8)
      guard let leftID = names.id(left), let rightID = names.id(right),
        let token = names.id(merged)
      else {
        throw TextError(
          "model.merges[\(rank)] joins '\(left)' and '\(right)', but not all are in the vocabulary"
        )
      }
      table[leftID, rightID] = PairTable.Merge(rank: UInt32(rank), token: token)
    }
    return table
  }

  /// The token that a post-processor puts before a text.
  private static func firstSpecialToken(_ json: JSON?) -> String? {
    if let parts = json?["processors"]?.array { return parts.lazy.compactMap(firstSpecialToken).first }
    return json?["single"]?.array?.first?["SpecialToken"]?["id"]?.string
  }

  /// A chat template: a string, or a list of named ones of which "default" counts.
  private static func chatTemplate(_ json: JSON?) -> String? {
    if let text = json?.string { return text }
    return json?.array?.first { $0["name"]?.string == "default" }?["template"]?.string
  }
}

/// How words become tokens.
enum TokenModel: Sendable {
  case bytePairs(BytePairModel)
  case unigram(UnigramModel)

  /// What text becomes that is in no vocabulary, if it is not left out.
  var unknown: Int32? {
    switch self {
    case .bytePairs(let model): model.unknown
    case .unigram(let model): model.unknown
    }
  }

  /// Appends the tokens of one word.
  func encode(_ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ work: inout MergeWork) {
    switch self {
    case .bytePairs(let model): model.encode(word, into: &output, &work)
    case .unigram(let model): model.encode(word, into: &output)
    }
  }
}

/// The tokens of a vocabulary as the file spells them.
private struct Names {
  private(set) var table: ByteTable
  /// The id of each of the table's numbers.
  private(set) var ids: [Int32] = []

  init(_ json: JSON?) throws {
    let largestID = TokenizerDescription.largestID
    if let list = json?.array {
      // A unigram model's: the place is the id.
      table = ByteTable(capacity: list.count)
      for (id, entry) in list.enumerated() {
        guard var name = entry.array?.first?.string else {
          throw TextError("model.vocab[\(id)] must be a token and its score")
        }
        let (number, isNew) = name.withUTF8 { table.insert($0) }
        if isNew { ids.append(Int32(id)) } else { ids[number] = Int32(id) }
      }
      return
    }
    guard let vocabulary = json?.object else { throw TextError("model.vocab must be an object or a list") }
    table = ByteTable(capacity: vocabulary.count)
    ids.reserveCapacity(vocabulary.count)
    for (name, value) in vocabulary {
      guard let id = value.int, id >= 0, id <= largestID else {
        throw TextError("model.vocab: the id of '\(name)' must be an integer from 0 to \(largestID)")
      }
      var name = name
      let (number, isNew) = name.withUTF8 { table.insert($0) }
      if isNew { ids.append(Int32(id)) } else { ids[number] = Int32(id) }
    }
  }

  func id(_ name: String) -> Int32? { table.find(name).map { ids[$0] } }
  func id(_ name: [UInt8]) -> Int32? { table.find(name).map { ids[$0] } }
}
