// The parser: strict (RFC 8259), on bytes, one pass. A tokenizer.json of several megabytes is read at every
// start of the program, so there is no tokenising in between, and short strings stay free of allocations.

extension JSON {
  /// How deep arrays and objects may be nested.
  public static let maximumDepth = 256

  /// Parses one JSON text.
  ///
  /// - Parameters:
  ///   - bytes: UTF-8, optionally with a byte order mark.
  ///   - name: what errors call the text, usually a file's path.
  /// - Throws: `TextError` "name:line:column: what was expected".
  public init(parsing bytes: [UInt8], name: String = "JSON") throws {
    self = try bytes.withUnsafeBufferPointer { buffer in
      var parser = JSONParser(bytes: buffer, name: name)
      return try parser.document()
    }
  }

  /// Parses one JSON text.
  public init(parsing text: String, name: String = "JSON") throws {
    try self.init(parsing: Array(text.utf8), name: name)
  }
}

private struct JSONParser {
  let bytes: UnsafeBufferPointer<UInt8>
  let name: String
  private var position = 0
  private var depth = 0
  private var scratch: [UInt8] = []

  init(bytes: UnsafeBufferPointer<UInt8>, name: String) {
    self.bytes = bytes
    self.name = name
  }

  /// The byte at the current position, 0 at the end. A zero byte is legal nowhere outside of strings, so the
  /// two need no telling apart except in messages.
  private var current: UInt8 { position < bytes.count ? bytes[position] : 0 }

  mutating func document() throws -> JSON {
    if bytes.count >= 3, bytes[0] == 0xEF, bytes[1] == 0xBB, bytes[2] == 0xBF { position = 3 }
    skipSpace()
    let value = try value()
    skipSpace()
    if position < bytes.count { throw unexpected("the end of the text") }
    return value
  }

  private mutating func value() throws -> JSON {
    switch current {
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "{"): return try object()
    case UInt8(ascii: "["): return try array()
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
    case UInt8(ascii: "t"): return try word("true", .bool(true))
    case UInt8(ascii: "f"): return try word("false", .bool(false))
    case UInt8(ascii: "n"): return try word("null", .null)
    default: throw unexpected("a value")
    }
  }

  private mutating func object() throws -> JSON {
    try descend()
    var object = JSON.Object()
    if current == UInt8(ascii: "}") {
      position += 1
    } else {
      while true {
        guard current == UInt8(ascii: "\"") else { throw unexpected("a key in quotes") }
        let key = try string()
        skipSpace()
        guard current == UInt8(ascii: ":") else { throw unexpected("':' after a key") }
        position += 1
        skipSpace()
        object.append(key, try value())
        if try endsList(UInt8(ascii: "}"), "',' or '}'") { break }
      }
    }
    depth -= 1
    return .object(object)
  }

  private mutating func array() throws -> JSON {
    try descend()
    var elements: [JSON] = []
    if current == UInt8(ascii: "]") {
      position += 1
    } else {
      elements.reserveCapacity(2)  // merges are 280,000 pairs in Llama 3: one allocation each, not two
      repeat { elements.append(try value()) } while try !endsList(UInt8(ascii: "]"), "',' or ']'")
    }
    depth -= 1
    return .array(elements)
  }

  /// Enters an array or an object.
  private mutating func descend() throws {
    depth += 1
    if depth > JSON.maximumDepth { throw error("nested more than \(JSON.maximumDepth) deep") }
    position += 1
    skipSpace()
  }

  /// Steps over a comma (false) or the closing bracket (true).
  private mutating func endsList(_ close: UInt8, _ expected: String) throws -> Bool {
    skipSpace()
    guard current == close || current == UInt8(ascii: ",") else { throw unexpected(expected) }
    let ends = current == close
    position += 1
    if !ends { skipSpace() }
    return ends
  }

  private mutating func word(_ word: StaticString, _ value: JSON) throws -> JSON {
    for i in 0..<word.utf8CodeUnitCount {
      guard position + i < bytes.count, bytes[position + i] == word.utf8Start[i] else {
        throw unexpected("a value")
      }
    }
    position += word.utf8CodeUnitCount
    return value
  }

  @inline(__always)
  private mutating func skipSpace() {
    while position < bytes.count {
      let byte = bytes[position]
      guard byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 else { return }
      position += 1
    }
  }

  private mutating func number() throws -> JSON {
    let start = position
    let negative = current == UInt8(ascii: "-")
    if negative { position += 1 }
    let digits = position
    var magnitude: Int64 = 0
    var fits = true
    while isDigit(current) {
      // Accumulated as a negative number, because Int64.min has no positive counterpart.
      let (product, overflow) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, overflow2) = product.subtractingReportingOverflow(Int64(current &- UInt8(ascii: "0")))
      if overflow || overflow2 { fits = false }
      magnitude = sum
      position += 1
    }
    if position == digits { throw unexpected("a digit") }
    if bytes[digits] == UInt8(ascii: "0"), position - digits > 1 {
      position = digits
      throw error("a number may not start with 0")
    }
    var whole = true
    if current == UInt8(ascii: ".") {
      whole = false
      position += 1
      try someDigits()
    }
    if current | 0x20 == UInt8(ascii: "e") {
      whole = false
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      try someDigits()
    }
    if whole, fits, negative || magnitude != Int64.min {
      // "-0" is kept as a double: it is the only spelling in which the sign would be lost.
      if !(negative && magnitude == 0) { return .int(negative ? magnitude : -magnitude) }
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let value = Double(text), value.isFinite else {
      position = start
      throw error("the number \(text) is too large")
    }
    return .double(value)
  }

  private mutating func someDigits() throws {
    guard isDigit(current) else { throw unexpected("a digit") }
    while isDigit(current) { position += 1 }
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

  private mutating func string() throws -> String {
    let open = position
    position += 1
    let start = position
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        defer { position += 1 }
        return try decoded(UnsafeBufferPointer(rebasing: bytes[start..<position]), at: start)
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(from: start, open: open) }
      if byte < 0x20 { throw error("a control character in a string: write it as \\u00\(hex(byte))") }
      position += 1
    }
    position = open
    throw error("a string without its closing quote")
  }

  /// The rest of a string in which there is at least one backslash, at the current position.
  private mutating func escapedString(from start: Int, open: Int) throws -> String {
    scratch.removeAll(keepingCapacity: true)
    scratch.append(contentsOf: bytes[start..<position])
    while position < bytes.count {
      let byte = bytes[position]
      if byte == UInt8(ascii: "\"") {
        position += 1
        return try scratch.withUnsafeBufferPointer { try decoded($0, at: start) }
      }
      if byte < 0x20 { throw error("a control character in a string: write it as \\u00\(hex(byte))") }
      position += 1
      if byte == UInt8(ascii: "\\") { try escape() } else { scratch.append(byte) }
    }
    position = open
    throw error("a string without its closing quote")
  }

  /// What follows a backslash.
  private mutating func escape() throws {
    let byte = current
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scratch.append(byte)
    case UInt8(ascii: "b"): scratch.append(0x08)
    case UInt8(ascii: "f"): scratch.append(0x0C)
    case UInt8(ascii: "n"): scratch.append(0x0A)
    case UInt8(ascii: "r"): scratch.append(0x0D)
    case UInt8(ascii: "t"): scratch.append(0x09)
    case UInt8(ascii: "u"):
      let at = position - 2
      var code = try hexQuad()
      if code & 0xFC00 == 0xD800, current == UInt8(ascii: "\\"), position + 1 < bytes.count,
        bytes[position + 1] == UInt8(ascii: "u")
      {
        position += 2
        let low = try hexQuad()
        code = low & 0xFC00 == 0xDC00 ? 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF : 0xD800
      }
      guard let scalar = Unicode.Scalar(code) else {
        position = at
        throw error("half of a surrogate pair, which is no character")
      }
      scratch.append(contentsOf: UTF8.encode(scalar)!)
    default:
      position -= 1
      throw unexpected("one of \" \\ / b f n r t u after a backslash")
    }
  }

  private mutating func hexQuad() throws -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      switch current {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): code = code << 4 | UInt32(current - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): code = code << 4 | UInt32(current - UInt8(ascii: "a") + 10)
      case UInt8(ascii: "A")...UInt8(ascii: "F"): code = code << 4 | UInt32(current - UInt8(ascii: "A") + 10)
      default: throw unexpected("four hexadecimal digits after \\u")
      }
      position += 1
    }
    return code
  }

  @inline(__always)
  private mutating func decoded(_ utf8: UnsafeBufferPointer<UInt8>, at start: Int) throws -> String {
    if let text = String(validating: utf8, as: UTF8.self) { return text }
    let raw = UnsafeBufferPointer(rebasing: bytes[start...])
    position = start + (firstInvalidUTF8(raw) ?? 0)
    throw error("a byte that is not UTF-8 (0x\(hex(current)))")
  }

  private func unexpected(_ expected: String) -> TextError {
    guard position < bytes.count else { return error("expected \(expected), but the text ends here") }
    let byte = bytes[position]
    let found = byte > 0x20 && byte < 0x7F ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(hex(byte))"
    return error("expected \(expected), found \(found)")
  }

  private func error(_ message: String) -> TextError {
    let before = bytes[..<min(position, bytes.count)]
    let line = before.count { $0 == 0x0A } + 1
    let column = position - (before.lastIndex(of: 0x0A) ?? -1)
    return TextError("\(name):\(line):\(column): \(message)")
  }
}

/// Two hexadecimal digits.
func hex(_ byte: UInt8) -> String {
  (byte < 16 ? "0" : "") + String(byte, radix: 16, uppercase: true)
}
