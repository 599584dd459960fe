// The tokens of an answer, in LaTeX or as it is typed. Layout is dropped; the many spellings of one sign become one token.

/// What the parser reads.
enum GradingToken: Equatable, Sendable {
  case number(String)
  /// A variable, a constant or a function: `x`, `pi`, `sin`.
  case name(String)
  /// Words and units, which are not mathematics.
  case text(String)
  /// A sign, a bracket or a separator; commands with arguments are signs too: "frac", "sqrt", "binom".
  case sign(String)
}

/// How digits around commas are read. Only the writer knows whether "1,234" is one number, so a text is read in several
/// ways.
enum CommaReading: CaseIterable, Sendable {
  /// Thousands outside brackets, separators inside.
  case byPlace
  case thousands, separators
  /// As a decimal point: "1,22" or "0,111".
  case decimal
}

struct GradingLexer {
  private let text: [Character]
  private let commas: CommaReading
  private var position = 0
  private var depth = 0
  private var tokens: [GradingToken] = []
  private let nesting: Int

  /// Longer answers are only compared as text.
  static let maximumTokens = 1000

  /// nil where the text holds what is not understood: sums and integrals, dots, foreign signs.
  static func tokens(of text: String, commas: CommaReading) -> [GradingToken]? {
    tokens(of: text, commas: commas, nesting: 0)
  }

  /// `nesting`: inside how many `\text{…}`.
  private static func tokens(of text: String, commas: CommaReading, nesting: Int) -> [GradingToken]? {
    guard text.utf8.count <= 8 * maximumTokens, nesting < 8 else { return nil }
    var lexer = GradingLexer(text: Array(text), commas: commas, nesting: nesting)
    while lexer.position < lexer.text.count {
      guard lexer.readToken(), lexer.tokens.count <= maximumTokens else { return nil }
    }
    return lexer.tokens
  }

  private init(text: [Character], commas: CommaReading, nesting: Int) {
    self.text = text
    self.nesting = nesting
    self.commas = commas
  }

  private func peek(_ offset: Int = 0) -> Character? {
    let index = position + offset
    return text.indices.contains(index) ? text[index] : nil
  }

  private mutating func add(_ sign: String) {
    if ["(", "[", "{", "\\{"].contains(sign) { depth += 1 }
    if [")", "]", "}", "\\}"].contains(sign) { depth -= 1 }
    tokens.append(.sign(sign))
  }

  private var followsNumber: Bool {
    switch tokens.last {
    case .number, .text: true
    case .sign(let sign): ["}", ")", "/"].contains(sign) && tokens.count > 1
    default: false
    }
  }

  private mutating func readToken() -> Bool {
    guard let character = peek() else { return false }
    if character.isWhitespace || "$~\u{200B}€£".contains(character) {
      position += 1
      return true
    }
    if character == "\\" { return readCommand() }
    if isDigit(character) || character == "." && isDigit(peek(1)) { return readNumber() }
    if character.isASCII, character.isLetter {
      let start = position
      while let next = peek(), next.isASCII, next.isLetter { position += 1 }
      return readLetters(String(text[start..<position]))
    }
    position += 1
    if character == "*", peek() == "*" {
      position += 1
      add("^")
      return true
    }
    if let two = peek(), let sign = Self.pairs["\(character)\(two)"] {
      position += 1
      add(sign)
    } else if let sign = Self.signs[character] {
      add(sign)
    } else if let name = Self.letters[character] {
      tokens.append(.name(name))
    } else if let exponent = Self.superscripts[character] {
      add("^")
      tokens.append(.number(exponent))
    } else if character == "." {
      // A full stop after the answer; elsewhere it means nothing that could be compared.
      return text[position...].allSatisfy(\.isWhitespace)
    } else {
      return false
    }
    return true
  }

  // MARK: Numbers

  private func isDigit(_ character: Character?) -> Bool { character.map { "0"..."9" ~= $0 } ?? false }

  private mutating func readDigits() -> String {
    let start = position
    while isDigit(peek()) { position += 1 }
    return String(text[start..<position])
  }

  private func digits(at offset: Int) -> Int {
    var count = 0
    while isDigit(peek(offset + count)) { count += 1 }
    return count
  }

  /// The length of what joins two groups of digits at the current position: a comma, `{,}`, `,\!` or `\,`.
  private func thousandsSeparator() -> Int? {
    for separator in [",\\!", "{,}", "\\,", "\\!", ","] where starts(separator) {
      var length = separator.count
      if separator == "," {
        let joins = commas == .thousands || commas == .byPlace && depth == 0
        guard joins else { return nil }
      } else {
        while peek(length) == " " { length += 1 }
      }
      return digits(at: length) == 3 ? length : nil
    }
    return nil
  }

  private func starts(_ string: String) -> Bool {
    zip(0..., string).allSatisfy { peek($0) == $1 }
  }

  private mutating func readNumber() -> Bool {
    var number = readDigits()
    if (1...3).contains(number.count), number.first != "0" {
      while let length = thousandsSeparator() {
        position += length
        number += readDigits()
      }
    }
    if peek() == ".", isDigit(peek(1)) || starts(".\\overline") {
      position += 1
      number += "." + readDigits()
    } else if commas == .decimal && peek() == "," && isDigit(peek(1)) || starts("{,}") && digits(at: 3) > 0 {
      position += peek() == "," ? 1 : 3
      number += "." + readDigits()
    }
    if let mark = peek(), mark == "e" || mark == "E" {
      let signed = peek(1) == "-" || peek(1) == "+"
      if isDigit(peek(signed ? 2 : 1)) {
        number += "e"
        position += 1
        if signed {
          number += peek() == "-" ? "-" : ""
          position += 1
        }
        number += readDigits()
      }
    }
    tokens.append(.number(number))
    return true
  }

  // MARK: Words

  private mutating func readLetters(_ run: String) -> Bool {
    let word = run.lowercased()
    if word == "and" || word == "or" {
      add(word)
    } else if word == "in", run.count == 2, !followsNumber {
      add("∈")
    } else if let sign = Self.words[word] {
      add(sign)
    } else if ["sqrt", "frac", "binom"].contains(word) {
      add(word)
    } else if Self.functions.contains(word) {
      tokens.append(.name(word))
    } else if let name = Self.names[word], run.count > 1 {
      tokens.append(.name(name))
    } else if ["about", "approximately", "approx"].contains(word) {
      // The number that follows says it all.
    } else if run.count == 1, followsNumber, peek() == "²" || peek() == "³" {
      // "5m²" with a typed sign is an area.
      tokens.append(.text(run))
    } else if run.count > 1, followsNumber, Self.units.contains(word) {
      tokens.append(.text(run))
    } else if Self.shortWords.contains(word) {
      tokens.append(.text(run))
    } else if let function = Self.functions.first(where: { word.dropLast() == $0 }),
      "xyztan".contains(word.suffix(1))
    {
      tokens += [.name(function), .name(String(run.suffix(1)))]
    } else if run.count < 3 || run.allSatisfy({ "xyz".contains($0) })
      || run.allSatisfy({ "abc".contains($0) })
    {
      tokens += run.map { .name(String($0)) }
    } else if run.count < 6, run == run.uppercased() {
      // Points of a figure, in their order.
      tokens.append(.name(run))
    } else {
      tokens.append(.text(run))
    }
    return true
  }

  // MARK: Commands

  private mutating func readCommand() -> Bool {
    position += 1
    guard let next = peek() else { return true }
    guard next.isASCII, next.isLetter else {
      position += 1
      switch next {
      case "\\": return readDoubleBackslash()
      case "{", "}": add("\\\(next)")
      case "%", "&": add(String(next))
      case "|": add("|")
      default: break  // spaces and escaped currency
      }
      return true
    }
    return readNamedCommand()
  }

  /// `\\` ends a row of a matrix, but a text that was escaped twice has it before every command.
  private mutating func readDoubleBackslash() -> Bool {
    let start = position
    while let next = peek(), next.isASCII, next.isLetter { position += 1 }
    let command = String(text[start..<position])
    position = start
    if command.count > 2,
      Self.commandSigns[command] != nil || Self.layout.contains(command) || command == "text"
    {
      return readNamedCommand()
    }
    add("\\\\")
    return true
  }

  private mutating func readNamedCommand() -> Bool {
    let start = position
    while let next = peek(), next.isASCII, next.isLetter { position += 1 }
    var command = String(text[start..<position])
    for space in ["qquad", "quad"] where command.hasPrefix(space) && command != space {
      // `\quadx` is a slip that people make.
      position -= command.count - space.count
      command = space
    }
    if let sign = Self.commandSigns[command] {
      add(sign)
    } else if Self.layout.contains(command) {
      // Nothing but looks.
    } else if Self.functions.contains(command) {
      tokens.append(.name(command))
    } else if let name = Self.names[command] {
      tokens.append(.name(name))
    } else if Self.greek.contains(command) {
      tokens.append(.name(command))
    } else if Self.textCommands.contains(command) {
      return readText()
    } else if command == "begin" || command == "end" {
      guard var environment = readBraces() else { return false }
      if environment == "array" { _ = readBraces() }
      environment.removeAll { $0 == "*" }
      // A determinant is not its matrix.
      if environment.lowercased() == "vmatrix" { return false }
      if environment.hasSuffix("matrix") || environment == "array" {
        depth += command == "begin" ? 1 : -1
        tokens.append(.sign(command))
      }
    } else if command == "pmod" {
      _ = readBraces()
    } else if command == "mathbb" {
      guard let set = readBraces() else { return false }
      tokens.append(.name("\\" + set))
    } else if command.hasSuffix("dots") {
      return false
    } else {
      // Unknown, so it only equals itself.
      tokens.append(.name("\\" + command))
    }
    return true
  }

  /// The text of the braces that follow; nil if none do.
  private mutating func readBraces() -> String? {
    while peek() == " " { position += 1 }
    guard peek() == "{" else { return nil }
    var level = 0
    let start = position + 1
    while let next = peek() {
      position += 1
      if next == "{" { level += 1 }
      if next == "}" { level -= 1 }
      if level == 0 { return String(text[start..<(position - 1)]) }
    }
    return nil
  }

  /// `\text{…}`: a separator, mathematics in upright letters, or words.
  private mutating func readText() -> Bool {
    guard let braces = readBraces() else { return false }
    let content = braces.trimmingSpaces()
    if content.isEmpty { return true }
    let words = content.filter { $0.isLetter || $0 == " " }.lowercased().trimmingSpaces()
    if words == "and" || words == "or" {
      add(words)
    } else if let sign = Self.words[words] {
      add(sign)
    } else if content.count > 1, content.allSatisfy({ $0.isLetter || " .-'/".contains($0) }) {
      tokens.append(.text(content))
    } else if content.count == 1, content.allSatisfy(\.isLetter), followsNumber {
      tokens.append(.text(content))
    } else {
      guard let inner = GradingLexer.tokens(of: content, commas: commas, nesting: nesting + 1) else {
        return false
      }
      tokens += inner
    }
    return true
  }
}

extension String {
  /// Without white space at the ends.
  func trimmingSpaces() -> String {
    String(drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
  }
}
