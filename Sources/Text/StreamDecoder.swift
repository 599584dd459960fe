// Decoding while tokens still arrive. A character may be spread over several tokens, so bytes that could be
// the start of one are held back until the rest is there.

/// Turns tokens into text one at a time; the pieces together are exactly what decoding all at once gives.
public struct StreamDecoder: Sendable {
  private let tokenizer: Tokenizer
  private var held: [UInt8] = []
  private var spacesToStrip: Int

  /// A decoder for one text.
  ///
  /// - Parameter continuing: the tokens carry on a text, so nothing is cut from their start.
  public init(_ tokenizer: Tokenizer, continuing: Bool = false) {
    self.tokenizer = tokenizer
    spacesToStrip = continuing ? 0 : tokenizer.strippedSpaces
  }

  /// The text that is complete after this token: whole characters, possibly none.
  public mutating func append(_ id: Int32) throws -> [UInt8] {
    var bytes = try tokenizer.token(id)
    while spacesToStrip > 0, let first = bytes.first {
      spacesToStrip = first == 0x20 ? spacesToStrip - 1 : 0
      if first == 0x20 { bytes.removeFirst() }
    }
    held.append(contentsOf: bytes)
    let tail = StreamDecoder.incompleteTail(held)
    defer { held.removeFirst(held.count - tail) }
    return Array(held.dropLast(tail))
  }

  /// What is left when no token follows: bytes that never became a character.
  public mutating func finish() -> [UInt8] {
    defer { held = [] }
    return held
  }

  /// How many bytes at the end are the start of a character whose other bytes are missing.
  private static func incompleteTail(_ bytes: [UInt8]) -> Int {
    for length in 1...3 where length <= bytes.count {
      let byte = bytes[bytes.count - length]
      if byte & 0xC0 == 0x80 { continue }
      return byte >= 0xC2 && byte < 0xF5 && utf8Length(byte) > length ? length : 0
    }
    return 0
  }
}
