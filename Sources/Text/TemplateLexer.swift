// Jinja's lexer: text, `{{ expression }}`, `{% statement %}` and `{# comment #}`. White space is handled as
// transformers configures it: `trim_blocks` (the line break after a statement or comment disappears) and
// `lstrip_blocks` (so does white space between the start of the line and a statement or comment), besides the
// explicit `-` and `+` signs.

/// A token and the line that it is on.
struct TemplateToken {
  enum Kind: Equatable {
    case text(String)
    case beginOutput, endOutput, beginStatement, endStatement
    case name(String)
    case string(String)
    case int(Int64)
    case double(Double)
    case sign(String)
    case end
  }

  let kind: Kind
  let line: Int
}

/// Splits a template into tokens.
struct TemplateLexer {
  private let source: [UInt8]
  private let name: String
  private var position = 0
  private var line = 1
  private var tokens: [TemplateToken] = []
  /// Whether what was read last ended a line, so that a statement here would be the first on its line.
  private var startsLine = true

  private init(_ text: String, name: String) {
    // Line breaks become "\n", and one at the very end does not count.
    var bytes: [UInt8] = []
    var previous: UInt8 = 0
    for byte in text.utf8 {
      if byte == 0x0A, previous == 0x0D {
      } else {
        bytes.append(byte == 0x0D ? 0x0A : byte)
      }
      previous = byte
    }
    if bytes.last == 0x0A { bytes.removeLast() }
    source = bytes
    self.name = name
  }

  /// The tokens of a template.
  static func tokens(of text: String, name: String) throws -> [TemplateToken] {
    var lexer = TemplateLexer(text, name: name)
    try lexer.run()
    return lexer.tokens
  }

  private mutating func run() throws {
    while position < source.count {
      let start = position
      let tag = nextTag(from: start)
      var text = source[start..<(tag ?? source.count)]
      guard let tag else {
        add(.text(String(decoding: text, as: UTF8.self)))
        break
      }
      let kind = source[tag + 1]
      let sign = tag + 2 < source.count ? source[tag + 2] : 0
      if sign == UInt8(ascii: "-") {
        while let last = text.last, isSpace(last) { text.removeLast() }
      } else if sign != UInt8(ascii: "+"), kind != UInt8(ascii: "{") {
        stripIndent(&text)
      }
      if !text.isEmpty { add(.text(String(decoding: text, as: UTF8.self))) }
      advance(to: tag + (sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") ? 3 : 2))
      switch kind {
      case UInt8(ascii: "#"): try comment()
      case UInt8(ascii: "{"): try tagContents(.beginOutput, .endOutput, close: "}}")
      default:
        if try !rawBlock() { try tagContents(.beginStatement, .endStatement, close: "%}") }
      }
    }
    add(.end)
  }

  private func nextTag(from start: Int) -> Int? {
    var i = start
    while i + 1 < source.count {
      if source[i] == UInt8(ascii: "{"), "{%#".utf8.contains(source[i + 1]) { return i }
      i += 1
    }
    return nil
  }

  /// Removes the white space between the start of the line and a tag that is first on it.
  private func stripIndent(_ text: inout ArraySlice<UInt8>) {
    let lineStart = text.lastIndex(of: 0x0A).map { $0 + 1 }
    guard lineStart != nil || startsLine else { return }
    let from = lineStart ?? text.startIndex
    if text[from...].allSatisfy(isSpace) { text = text[..<from] }
  }

  /// Steps behind a tag's end, and over the white space that it takes along.
  private mutating func finishTag(strips: Bool, keeps: Bool, trimsLine: Bool) {
    startsLine = false
    if strips {
      var i = position
      while i < source.count, isSpace(source[i]) { i += 1 }
      startsLine = i > position && source[i - 1] == 0x0A
      advance(to: i)
    } else if trimsLine, !keeps, position < source.count, source[position] == 0x0A {
      advance(to: position + 1)
      startsLine = true
    }
  }

  private mutating func comment() throws {
    let opened = line
    while position + 1 < source.count {
      if source[position] == UInt8(ascii: "#"), source[position + 1] == UInt8(ascii: "}") {
        let sign = source[position - 1]
        advance(to: position + 2)
        finishTag(strips: sign == UInt8(ascii: "-"), keeps: sign == UInt8(ascii: "+"), trimsLine: true)
        return
      }
      advance(to: position + 1)
    }
    throw TextError("\(name):\(opened): a comment without its closing '#}'")
  }

  /// Reads `raw %} … {% endraw %}` as text; false when this statement is another one.
  private mutating func rawBlock() throws -> Bool {
    func skippingSpace(_ start: Int) -> Int {
      var i = start
      while i < source.count, isSpace(source[i]) { i += 1 }
      return i
    }
    func word(_ word: String, at start: Int) -> Int? {
      let i = skippingSpace(start)
      return source[i...].starts(with: word.utf8) ? i + word.utf8.count : nil
    }
    guard let afterRaw = word("raw", at: position) else { return false }
    let strips = word("-%}", at: afterRaw)
    guard let begin = strips ?? word("%}", at: afterRaw) else { return false }
    let opened = line
    advance(to: begin)
    finishTag(strips: strips != nil, keeps: false, trimsLine: true)
    let start = position
    var tag = start
    while tag + 1 < source.count {
      if source[tag] == UInt8(ascii: "{"), source[tag + 1] == UInt8(ascii: "%") {
        let sign = tag + 2 < source.count ? source[tag + 2] : 0
        let inner = tag + (sign == UInt8(ascii: "-") || sign == UInt8(ascii: "+") ? 3 : 2)
        if let after = word("endraw", at: inner) {
          let stripsAfter = word("-%}", at: after)
          if let end = stripsAfter ?? word("%}", at: after) {
            var text = source[start..<tag]
            if sign == UInt8(ascii: "-") {
              while let last = text.last, isSpace(last) { text.removeLast() }
            } else if sign != UInt8(ascii: "+") {
              stripIndent(&text)
            }
            add(.text(String(decoding: text, as: UTF8.self)))
            advance(to: end)
            finishTag(strips: stripsAfter != nil, keeps: false, trimsLine: true)
            return true
          }
        }
      }
      tag += 1
    }
    throw TextError("\(name):\(opened): 'raw' without 'endraw'")
  }

  private mutating func tagContents(
    _ begin: TemplateToken.Kind, _ end: TemplateToken.Kind, close: String
  ) throws {
    add(begin)
    let opened = line
    var brackets = 0
    while true {
      while position < source.count, isSpace(source[position]) { advance(to: position + 1) }
      guard position < source.count else {
        throw TextError("\(name):\(opened): a tag without its closing '\(close)'")
      }
      let rest = source[position...]
      if brackets == 0 {
        let sign = rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") ? rest.first : nil
        let offset = sign == nil ? 0 : 1
        if rest.dropFirst(offset).starts(with: close.utf8) {
          add(end)
          advance(to: position + offset + 2)
          finishTag(
            strips: sign == UInt8(ascii: "-"), keeps: sign == UInt8(ascii: "+"), trimsLine: close == "%}")
          return
        }
      }
      try tagToken(&brackets)
    }
  }

  private mutating func tagToken(_ brackets: inout Int) throws {
    let byte = source[position]
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
      var i = position
      while i < source.count, isWordByte(source[i]) { i += 1 }
      add(.name(String(decoding: source[position..<i], as: UTF8.self)))
      advance(to: i)
    case UInt8(ascii: "0")...UInt8(ascii: "9"):
      try number()
    case UInt8(ascii: "'"), UInt8(ascii: "\""):
      try string(quote: byte)
    default:
      let rest = source[position...]
      guard let sign = TemplateLexer.signs.first(where: { rest.starts(with: $0.utf8) }) else {
        throw TextError("\(name):\(line): unexpected byte 0x\(hex(byte)) in a tag")
      }
      if "([{".contains(sign) { brackets += 1 }
      if ")]}".contains(sign) { brackets -= 1 }
      add(.sign(sign))
      advance(to: position + sign.utf8.count)
    }
  }

  /// Longer ones first.
  private static let signs = [
    "==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{",
    "}", ",",
    ":", ".", "|",
  ]

  private mutating func number() throws {
    var i = position
    func skipDigits() {
      while i < source.count, isDigit(source[i]) || source[i] == UInt8(ascii: "_") { i += 1 }
    }
    skipDigits()
    var isWhole = true
    if i + 1 < source.count, source[i] == UInt8(ascii: "."), isDigit(source[i + 1]) {
      isWhole = false
      i += 1
      skipDigits()
    }
    if i < source.count, source[i] | 0x20 == UInt8(ascii: "e") {
      isWhole = false
      i += 1
      if i < source.count, source[i] == UInt8(ascii: "+") || source[i] == UInt8(ascii: "-") { i += 1 }
      skipDigits()
    }
    let text = String(decoding: source[position..<i].filter { $0 != UInt8(ascii: "_") }, as: UTF8.self)
    if isWhole, let value = Int64(text) {
      add(.int(value))
    } else if !isWhole, let value = Double(text) {
      add(.double(value))
    } else {
      throw TextError("\(name):\(line): \(text) is not a number that fits 64 bits")
    }
    advance(to: i)
  }

  private mutating func string(quote: UInt8) throws {
    let opened = line
    var text: [UInt8] = []
    var i = position + 1
    while i < source.count, source[i] != quote {
      guard source[i] == UInt8(ascii: "\\"), i + 1 < source.count else {
        text.append(source[i])
        i += 1
        continue
      }
      let escaped = source[i + 1]
      i += 2
      switch escaped {
      case UInt8(ascii: "n"): text.append(0x0A)
      case UInt8(ascii: "t"): text.append(0x09)
      case UInt8(ascii: "r"): text.append(0x0D)
      case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): text.append(escaped)
      case 0x0A: break
      case UInt8(ascii: "x"), UInt8(ascii: "u"), UInt8(ascii: "U"):
        let digits = escaped == UInt8(ascii: "x") ? 2 : escaped == UInt8(ascii: "u") ? 4 : 8
        let code = String(decoding: source[i..<min(i + digits, source.count)], as: UTF8.self)
        guard code.utf8.count == digits, let value = UInt32(code, radix: 16),
          let scalar = Unicode.Scalar(value)
        else { throw TextError("\(name):\(opened): a bad escape sequence in a string") }
        text.append(contentsOf: UTF8.encode(scalar)!)
        i += digits
      default: text += [UInt8(ascii: "\\"), escaped]
      }
    }
    guard i < source.count else { throw TextError("\(name):\(opened): a string without its closing quote") }
    add(.string(String(decoding: text, as: UTF8.self)))
    advance(to: i + 1)
  }

  private mutating func add(_ kind: TemplateToken.Kind) {
    tokens.append(TemplateToken(kind: kind, line: line))
  }

  private mutating func advance(to target: Int) {
    for byte in source[position..<target] where byte == 0x0A { line += 1 }
    position = target
  }

  private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }
  private func isWordByte(_ byte: UInt8) -> Bool {
    isDigit(byte) || (byte | 0x20) &- UInt8(ascii: "a") < 26 || byte == UInt8(ascii: "_")
  }
}

private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }
