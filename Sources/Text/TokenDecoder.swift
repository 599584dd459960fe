// From tokens back to text: which bytes each token stands for, and what is cut from the start of a text.

/// The decoder of `tokenizer.json`, as far as it concerns one token at a time.
struct TokenDecoder: Sendable {
  /// Tokens are spelt in GPT-2's alphabet of 256 printable characters.
  private var isByteLevel = false
  /// Tokens such as `<0x0A>` are bytes.
  private var hasByteTokens = false
  private var replacements: [(from: [UInt8], to: [UInt8])] = []
  /// How many spaces a whole text loses at its start.
  private(set) var strippedSpaces = 0

  /// Reads the `decoder` entry.
  init(_ json: JSON?) throws {
    guard let json, !json.isNull else {
      throw TextError("tokenizer.json has no decoder, so tokens cannot be turned into text")
    }
    try read(json)
  }

  private mutating func read(_ json: JSON) throws {
    switch json["type"]?.string ?? "" {
    case "Sequence":
      for part in json["decoders"]?.array ?? [] { try read(part) }
    case "ByteLevel":
      isByteLevel = true
    case "ByteFallback":
      hasByteTokens = true
    case "Fuse":
      break
    case "Replace":
      guard case .literal(let from) = try Pattern(json["pattern"]) else {
        throw TextError("decoder Replace: only literal strings are supported")
      }
      replacements.append((from, Array((json["content"]?.string ?? "").utf8)))
    case "Strip":
      guard json["content"]?.string == " ", json["stop"]?.int ?? 0 == 0, let start = json["start"]?.int,
        start >= 0
      else { throw TextError("decoder Strip: only spaces at the start can be stripped") }
      strippedSpaces += Int(clamping: start)
    case "Metaspace":
      replacements.append((Array((json["replacement"]?.string ?? "▁").utf8), [0x20]))
      let scheme = json["prepend_scheme"]?.string
      let prepends = scheme.map { $0 != "never" } ?? json["add_prefix_space"]?.bool ?? true
      if prepends { strippedSpaces += 1 }
    case let type:
      throw TextError(
        "decoder '\(type)' is not known; known are Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, "
          + "Metaspace")
    }
  }

  /// The bytes that a token of the vocabulary stands for.
  func bytes(of token: [UInt8]) -> [UInt8] {
    if isByteLevel { return ByteAlphabet.bytes(spelling: token) ?? token }
    if hasByteTokens, let byte = byteToken(token) { return [byte] }
    return replacements.reduce(token) { text, replacement in
      Normalizer.replace(.literal(replacement.from), replacement.to).normalised(text)
    }
  }
}

/// The byte that a token `<0x0A>` stands for.
func byteToken(_ token: [UInt8]) -> UInt8? {
  guard token.count == 6, token.starts(with: Array("<0x".utf8)), token[5] == UInt8(ascii: ">") else {
    return nil
  }
  return UInt8(String(decoding: token[3..<5], as: UTF8.self), radix: 16)
}

/// GPT-2's alphabet: a printable character for each byte, so that a vocabulary is legible text. Printable
/// Latin-1 bytes are themselves; the other 68 are U+0100 and up (a space is `Ġ`).
enum ByteAlphabet {
  private static func isItself(_ byte: UInt8) -> Bool {
    (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
  }

  /// The code point of each byte.
  static let scalars: [Unicode.Scalar] = {
    var next: UInt32 = 0x100
    return (0...255).map { (byte: UInt8) in
      if isItself(byte) { return Unicode.Scalar(byte) }
      defer { next += 1 }
      return Unicode.Scalar(next)!
    }
  }()

  /// The byte of each code point below U+0144, -1 for those outside of the alphabet.
  private static let byteOfScalar: [Int16] = {
    var table = [Int16](repeating: -1, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = Int16(byte) }
    return table
  }()

  /// The bytes that a token's characters spell, nil when one of them is not of the alphabet.
  static func bytes(spelling token: [UInt8]) -> [UInt8]? {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(token.count)
    let spelt = token.withUnsafeBufferPointer { token in
      let reader = CharacterReader(bytes: token, end: token.count)
      var i = 0
      while i < token.count {
        let (scalar, length) = reader.scalar(at: i)
        guard scalar < byteOfScalar.count, byteOfScalar[Int(scalar)] >= 0 else { return false }
        bytes.append(UInt8(byteOfScalar[Int(scalar)]))
        i += length
      }
      return true
    }
    return spelt ? bytes : nil
  }
}
