// SentencePiece's table of characters and what they are replaced by before a text is tokenised: a double-array trie
// (Aoe, 1989, as darts-clone lays it out) whose values are places in a list of texts that end with a zero byte.
import Foundation

/// A normalizer of type `Precompiled`.
struct PrecompiledCharacters: Sendable {
  private let units: [UInt32]
  private let texts: [UInt8]

  /// Reads `precompiled_charsmap`.
  ///
  /// - Throws: if it is no base64, or its lengths do not fit it.
  init(base64: String) throws {
    guard let data = Data(base64Encoded: base64) else {
      throw TextError("normalizer Precompiled: precompiled_charsmap is not base64")
    }
    let bytes = [UInt8](data)
    func word(_ i: Int) -> UInt32 { (0..<4).reduce(0) { $0 | UInt32(bytes[i + $1]) << (8 * $1) } }
    guard bytes.count >= 4, case let size = Int(word(0)), size % 4 == 0, size >= 4, size <= bytes.count - 4
    else {
      throw TextError("normalizer Precompiled: the trie of precompiled_charsmap is longer than what there is")
    }
    units = stride(from: 4, to: 4 + size, by: 4).map(word)
    texts = Array(bytes[(4 + size)...])
  }

  /// The text with all characters of the table replaced. As in Hugging Face's tokenizers, a grapheme of up to five
  /// bytes is replaced as a whole by what its beginning stands for; longer ones go code point by code point.
  func normalised(_ text: [UInt8]) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    for grapheme in String(decoding: text, as: UTF8.self) {
      let bytes = Array(grapheme.utf8)
      if bytes.count < 6, let replacement = replacement(bytes[...]) {
        result += replacement
        continue
      }
      var start = 0
      while start < bytes.count {
        let end = start + utf8Length(bytes[start])
        result += replacement(bytes[start..<end]) ?? bytes[start..<end]
        start = end
      }
    }
    return result
  }

  /// What the shortest entry that these bytes begin with is replaced by.
  private func replacement(_ bytes: ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
    func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 1 << 9) >> 6)) }
    var node = offset(units[0])
    for byte in bytes {
      if byte == 0 { return nil }
      node ^= Int(byte)
      guard node < units.count, units[node] & (1 << 31 | 0xFF) == UInt32(byte) else { return nil }
      let unit = units[node]
      node ^= offset(unit)
      guard unit >> 8 & 1 == 1 else { continue }
      guard node < units.count, case let place = Int(units[node] & (1 << 31 - 1)), place < texts.count else {
        return nil
      }
      return texts[place...].prefix { $0 != 0 }
    }
    return nil
  }
}
