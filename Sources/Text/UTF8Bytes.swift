// Code points in UTF-8 buffers: validation, decoding, and the three classes that tokenizers ask for.

/// The offset of the first byte that is not part of well-formed UTF-8; nil when all of it is.
func firstInvalidUTF8(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
  var i = 0
  let count = bytes.count
  while i < count {
    let lead = bytes[i]
    if lead < 0x80 {
      i += 1
      continue
    }
    let length: Int
    var low: UInt8 = 0x80
    var high: UInt8 = 0xBF
    switch lead {
    case 0xC2...0xDF: length = 2
    case 0xE0...0xEF:
      length = 3
      if lead == 0xE0 { low = 0xA0 }
      if lead == 0xED { high = 0x9F }  // surrogates
    case 0xF0...0xF4:
      length = 4
      if lead == 0xF0 { low = 0x90 }
      if lead == 0xF4 { high = 0x8F }  // above U+10FFFF
    default: return i
    }
    guard i + length <= count, low...high ~= bytes[i + 1] else { return i }
    for k in 2..<max(length, 2) where bytes[i + k] & 0xC0 != 0x80 { return i }
    i += length
  }
  return nil
}

/// Throws when the bytes are not UTF-8, naming the first offset at which they are not.
func checkUTF8(_ bytes: UnsafeBufferPointer<UInt8>, _ what: String) throws {
  if let offset = firstInvalidUTF8(bytes) {
    throw TextError("\(what) is not UTF-8: byte 0x\(hex(bytes[offset])) at offset \(offset)")
  }
}

/// The length of the character that starts with this byte, in well-formed UTF-8.
@inline(__always)
func utf8Length(_ lead: UInt8) -> Int {
  lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4
}

/// What pre-tokenizers tell apart: `\p{L}`, `\p{N}`, `\s` and the rest.
enum CharacterClass: UInt8 {
  case other, letter, number, space

  /// The class of one code point.
  @inline(__always)
  init(_ scalar: UInt32) {
    guard scalar < 0x80 else {
      self.init(beyondASCII: scalar)
      return
    }
    if (scalar | 0x20) &- 0x61 < 26 {
      self = .letter
    } else if scalar &- 0x30 < 10 {
      self = .number
    } else {
      self = scalar == 0x20 || scalar &- 0x09 < 5 ? .space : .other
    }
  }

  private init(beyondASCII scalar: UInt32) {
    let properties = Unicode.Scalar(scalar)!.properties
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
    case .decimalNumber, .letterNumber, .otherNumber: self = .number
    default: self = properties.isWhitespace ? .space : .other
    }
  }
}

/// A window of well-formed UTF-8 that is read character by character.
struct CharacterReader {
  let bytes: UnsafeBufferPointer<UInt8>
  let end: Int

  /// The code point at an offset and how many bytes it takes.
  @inline(__always)
  func scalar(at offset: Int) -> (value: UInt32, length: Int) {
    let lead = UInt32(bytes[offset])
    if lead < 0x80 { return (lead, 1) }
    let second = UInt32(bytes[offset + 1] & 0x3F)
    if lead < 0xE0 { return ((lead & 0x1F) << 6 | second, 2) }
    let third = UInt32(bytes[offset + 2] & 0x3F)
    if lead < 0xF0 { return ((lead & 0x0F) << 12 | second << 6 | third, 3) }
    return ((lead & 0x07) << 18 | second << 12 | third << 6 | UInt32(bytes[offset + 3] & 0x3F), 4)
  }

  /// The class of the character at an offset and how many bytes it takes.
  @inline(__always)
  func characterClass(at offset: Int) -> (CharacterClass, length: Int) {
    let (value, length) = scalar(at: offset)
    return (CharacterClass(value), length)
  }

  /// The end of the run of characters of one class that starts at an offset.
  @inline(__always)
  func endOfRun(_ wanted: CharacterClass, from offset: Int) -> Int {
    var i = offset
    while i < end {
      let (found, length) = characterClass(at: i)
      if found != wanted { break }
      i += length
    }
    return i
  }
}
