import Synchronization

// Text to token ids and back, by byte-pair encoding, byte-level (GPT-2, Llama 3, Qwen, SmolLM) and
// SentencePiece-style (Llama 2), or by a unigram model. What `tokenizer.json` describes is carried out in its order:
// added tokens are taken out, the rest is normalised and divided into words, and each word becomes tokens.

/// A tokenizer, exact to the id with the one that the model was trained with.
public final class Tokenizer: Sendable {
  /// How many ids there are, counting unused ones in between: every id is below this.
  public let vocabularySize: Int
  /// The token that starts a text, if the model has one.
  public let bosID: Int32?
  /// The token that ends a text, if the model has one.
  public let eosID: Int32?
  /// The token that fills up short rows, if the model has one.
  public let padID: Int32?
  /// The token for what is not in the vocabulary, if the model has one.
  public let unkID: Int32?
  /// Whether the model was trained on texts that start with `bosID` (`encode` never adds it).
  public let addsBOS: Bool
  /// The source of the chat template, if the model has one.
  public let chatTemplate: String?

  /// How many spaces decoding cuts from the start of a text.
  let strippedSpaces: Int
  let files: TokenizerFiles

  private let model: TokenModel
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer?
  private let addedTokens: [AddedToken]
  private let rawMatcher: AddedTokenMatcher
  private let normalisedMatcher: AddedTokenMatcher
  /// The bytes that all tokens stand for, one after the other; `pieceEnds[id]` is where they end.
  private let pieces: [UInt8]
  private let pieceEnds: [Int]
  /// The working memory of the last encode, taken by the next one. Concurrent calls make their own.
  private let work = Mutex<EncodeWork?>(nil)

  init(_ description: TokenizerDescription, files: TokenizerFiles) {
    model = description.model
    normalizer = description.normalizer
    preTokenizer = description.preTokenizer
    addedTokens = description.addedTokens
    rawMatcher = AddedTokenMatcher(addedTokens.filter { !$0.isNormalised })
    let normalizer = description.normalizer
    normalisedMatcher = AddedTokenMatcher(
      addedTokens.filter(\.isNormalised).map { token in
        var token = token
        token.content = normalizer?.normalised(token.content) ?? token.content
        return token
      })
    pieces = description.pieces
    pieceEnds = description.pieceEnds
    strippedSpaces = description.strippedSpaces
    vocabularySize = description.pieceEnds.count
    bosID = description.bosID
    eosID = description.eosID
    padID = description.padID
    unkID = description.unkID ?? description.model.unknown
    addsBOS = description.addsBOS
    chatTemplate = description.chatTemplate
    self.files = files
  }

  /// The ids of a text. No special tokens are added; those that are in the text are recognised.
  ///
  /// - Throws: `TextError` with the offset of the first byte that is not UTF-8.
  public func encode(_ utf8: some Collection<UInt8>) throws -> [Int32] {
    if let ids = try utf8.withContiguousStorageIfAvailable({ try encode(contiguous: $0) }) { return ids }
    return try Array(utf8).withUnsafeBufferPointer { try encode(contiguous: $0) }
  }

  /// The ids of a text. No special tokens are added; those that are in the text are recognised.
  public func encode(_ text: String) throws -> [Int32] {
    try encode(text.utf8)
  }

  /// The text of a list of ids, special tokens included. An id for which there is no token (a model's output
  /// may be padded beyond its vocabulary) stands for nothing, as in transformers.
  ///
  /// - Parameter continuing: the ids carry on a text, so the space that SentencePiece vocabularies put before
  ///   a text is not cut.
  /// - Returns: bytes; they need not be UTF-8, because a token may be a part of a character.
  /// - Throws: `TextError` for a negative id.
  public func decode(_ ids: [Int32], continuing: Bool = false) throws -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(ids.count * 5)
    for id in ids { bytes.append(contentsOf: try piece(id)) }
    if !continuing, strippedSpaces > 0 {
      bytes.removeFirst(min(strippedSpaces, bytes.prefix { $0 == 0x20 }.count))
    }
    return bytes
  }

  /// The bytes that one id stands for; empty for an id without a token.
  ///
  /// - Throws: `TextError` for a negative id.
  public func token(_ id: Int32) throws -> [UInt8] {
    Array(try piece(id))
  }

  /// The id of the token that stands for exactly these bytes: added tokens first, then the lowest id. This
  /// is a search through the vocabulary, not a look-up.
  public func id(of bytes: some Collection<UInt8>) -> Int32? {
    if let added = addedTokens.first(where: { $0.content.elementsEqual(bytes) }) { return added.id }
    var start = 0
    for (id, end) in pieceEnds.enumerated() {
      if end - start == bytes.count, end > start, pieces[start..<end].elementsEqual(bytes) {
        return Int32(id)
      }
      start = end
    }
    return nil
  }

  /// The ids of tokens that belong to the markup, such as `<|im_end|>`.
  public var specialIDs: [Int32] { addedTokens.filter(\.isSpecial).map(\.id) }

  /// The words that a text without added tokens is divided into, for tests of pre-tokenizers.
  package func words(_ text: String) -> [[UInt8]] {
    let bytes = Array(text.utf8)
    var words = Words(normalizer?.normalised(bytes) ?? bytes, startsText: true)
    preTokenizer?.apply(to: &words)
    return words.ranges.map { Array(words.bytes[$0]) }
  }

  private func piece(_ id: Int32) throws -> ArraySlice<UInt8> {
    guard id >= 0 else { throw TextError("token id \(id) is negative; ids are 0 to \(vocabularySize - 1)") }
    let id = Int(id)
    guard id < pieceEnds.count else { return [] }
    return pieces[(id == 0 ? 0 : pieceEnds[id - 1])..<pieceEnds[id]]
  }

  private func encode(contiguous text: UnsafeBufferPointer<UInt8>) throws -> [Int32] {
    try checkUTF8(text, "the text to encode")
    var ids: [Int32] = []
    ids.reserveCapacity(text.count / 3 + 1)
    var work = self.work.withLock { $0.take() } ?? EncodeWork()
    rawMatcher.divide(text) { range, token in
      if let token {
        ids.append(token.id)
      } else {
        encodeStretch(Array(text[range]), startsText: range.lowerBound == 0, into: &ids, &work)
      }
    }
    self.work.withLock { $0 = work }
    return ids
  }

  /// Encodes text that has none of the added tokens which are found before normalisation.
  private func encodeStretch(
    _ text: [UInt8], startsText: Bool, into ids: inout [Int32], _ work: inout EncodeWork
  ) {
    let text = normalizer?.normalised(text) ?? text
    if normalisedMatcher.isEmpty {
      encodeWords(Words(text, startsText: startsText), into: &ids, &work)
      return
    }
    text.withUnsafeBufferPointer { bytes in
      normalisedMatcher.divide(bytes) { range, token in
        if let token {
          ids.append(token.id)
        } else {
          let words = Words(Array(bytes[range]), startsText: startsText && range.lowerBound == 0)
          encodeWords(words, into: &ids, &work)
        }
      }
    }
  }

  private func encodeWords(_ words: Words, into ids: inout [Int32], _ work: inout EncodeWork) {
    var words = words
    preTokenizer?.apply(to: &words)
    words.bytes.withUnsafeBufferPointer { bytes in
      for range in words.ranges {
        let word = UnsafeBufferPointer(rebasing: bytes[range])
        let isShort = word.count <= WordCache.maximumWordLength
        if isShort, work.cache.append(word, to: &ids) { continue }
        let start = ids.count
        model.encode(word, into: &ids, &work.merge)
        if isShort { work.cache.insert(word, ids[start...]) }
      }
    }
  }
}

/// What encoding keeps from call to call.
private struct EncodeWork {
  var merge = MergeWork()
  var cache = WordCache()
}
