import Foundation

// What `tokenizer.json` calls a pattern: a literal string or a regular expression. The expressions that
// Llama 3, Qwen2 and GPT-2 split text with are scanned by hand; any other one goes through ICU.

/// A pattern that divides text into matches and what lies between them.
enum Pattern: @unchecked Sendable {  // NSRegularExpression is immutable and may be used from any thread.
  case literal([UInt8])
  case scanner(Scanner)
  case expression(NSRegularExpression)

  /// A piece of text, and whether it is a match or lies between two.
  typealias Span = (range: Range<Int>, isMatch: Bool)

  /// Reads `{"String": …}` or `{"Regex": …}`.
  init(_ json: JSON?) throws {
    if let text = json?["String"]?.string {
      self = .literal(Array(text.utf8))
    } else if let source = json?["Regex"]?.string {
      self = try Scanner(source).map(Pattern.scanner) ?? .expression(Pattern.compile(source))
    } else {
      throw TextError("a pattern must be {\"String\": …} or {\"Regex\": …}")
    }
  }

  /// Matches and gaps, in order and without empty ones: together they are the range.
  func spans(_ bytes: UnsafeBufferPointer<UInt8>, _ range: Range<Int>) -> [Span] {
    var spans: [Span] = []
    var gap = range.lowerBound
    func add(_ match: Range<Int>) {
      if gap < match.lowerBound { spans.append((gap..<match.lowerBound, false)) }
      if !match.isEmpty { spans.append((match, true)) }
      gap = match.upperBound
    }
    switch self {
    case .literal(let text):
      var i = range.lowerBound
      while !text.isEmpty, i + text.count <= range.upperBound {
        if bytes[i] == text[0], bytes[i..<(i + text.count)].elementsEqual(text) {
          add(i..<(i + text.count))
          i += text.count
        } else {
          i += 1
        }
      }
    case .scanner(let scanner):
      let reader = CharacterReader(bytes: bytes, end: range.upperBound)
      while gap < range.upperBound { add(gap..<scanner.end(of: gap, reader)) }
    case .expression(let expression):
      let text = String(decoding: bytes[range], as: UTF8.self)
      let whole = NSRange(location: 0, length: text.utf16.count)
      var index = text.startIndex
      var offset = range.lowerBound
      // Matches come in order, so their UTF-8 offsets are found by walking along once.
      func utf8Offset(of utf16: Int) -> Int {
        let next = String.Index(utf16Offset: utf16, in: text)
        offset += text.utf8.distance(from: index, to: next)
        index = next
        return offset
      }
      for match in expression.matches(in: text, range: whole) {
        let start = utf8Offset(of: match.range.location)
        add(start..<utf8Offset(of: match.range.location + match.range.length))
      }
    }
    if gap < range.upperBound { spans.append((gap..<range.upperBound, false)) }
    return spans
  }

  /// ICU's `\s` leaves out vertical tab and next line, which belong to it in the engine that
  /// tokenizers are trained with.
  private static func compile(_ source: String) throws -> NSRegularExpression {
    let spaces = "\\t-\\r\\u0085\\p{Z}"
    var pattern = ""
    var characters = source.makeIterator()
    while let character = characters.next() {
      guard character == "\\", let escaped = characters.next() else {
        pattern.append(character)
        continue
      }
      switch escaped {
      case "s": pattern += "[\(spaces)]"
      case "S": pattern += "[^\(spaces)]"
      default: pattern += "\\\(escaped)"
      }
    }
    guard let expression = try? NSRegularExpression(pattern: pattern) else {
      throw TextError("the regular expression \(source) is not understood")
    }
    return expression
  }
}

/// The pre-tokenizer expressions of common models, by hand. Each of them matches any text from end to end.
enum Scanner: Equatable {
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
  case gpt2
  /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}|`
  /// ` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`: Llama 3 has three digits, Qwen2 one.
  case cl100k(digits: Int)

  /// The scanner for an expression, nil when there is none for it.
  init?(_ source: String) {
    if source == Scanner.gpt2Source {
      self = .gpt2
      return
    }
    let contractions = ["(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)"]
    for (digits, number) in [(1, "\\p{N}"), (3, "\\p{N}{1,3}")] {
      let tail =
        "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\(number)| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
        + "|\\s+(?!\\S)|\\s+"
      if contractions.contains(where: { source == $0 + tail }) {
        self = .cl100k(digits: digits)
        return
      }
    }
    return nil
  }

  /// GPT-2's expression, as `tokenizer.json` spells it.
  static let gpt2Source = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

  /// The end of the match that starts at an offset before the reader's end.
  @inline(__always)
  func end(of start: Int, _ reader: CharacterReader) -> Int {
    switch self {
    case .gpt2: Scanner.gpt2End(start, reader)
    case .cl100k(let digits): Scanner.cl100kEnd(start, reader, digits: digits)
    }
  }

  private static func gpt2End(_ start: Int, _ reader: CharacterReader) -> Int {
    if reader.bytes[start] == UInt8(ascii: "'"), let end = contraction(start, reader, ignoringCase: false) {
      return end
    }
    // " ?" of the three alternatives: a space before a letter, a number or a sign belongs to it.
    let first = reader.bytes[start] == 0x20 && start + 1 < reader.end ? start + 1 : start
    let (kind, length) = reader.characterClass(at: first)
    return kind == .space ? spaceEnd(start, reader) : reader.endOfRun(kind, from: first + length)
  }

  private static func cl100kEnd(_ start: Int, _ reader: CharacterReader, digits: Int) -> Int {
    let lead = reader.bytes[start]
    if lead == UInt8(ascii: "'"), let end = contraction(start, reader, ignoringCase: true) { return end }
    let (kind, length) = reader.characterClass(at: start)
    let second = start + length
    switch kind {
    case .letter: return reader.endOfRun(.letter, from: second)
    case .number:
      var end = second
      for _ in 1..<max(digits, 1) where end < reader.end {
        let (kind, length) = reader.characterClass(at: end)
        if kind != .number { break }
        end += length
      }
      return end
    case .space, .other: break
    }
    let isNewline = lead == 0x0A || lead == 0x0D
    if !isNewline, second < reader.end, reader.characterClass(at: second).0 == .letter {
      return reader.endOfRun(.letter, from: second)
    }
    let sign = lead == 0x20 && second < reader.end ? second : start
    if reader.characterClass(at: sign).0 == .other {
      var end = reader.endOfRun(.other, from: sign)
      while end < reader.end, reader.bytes[end] == 0x0A || reader.bytes[end] == 0x0D { end += 1 }
      return end
    }
    let run = reader.endOfRun(.space, from: start)
    if let newline = reader.bytes[start..<run].lastIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
      return newline + 1
    }
    return spaceEnd(start, reader)
  }

  /// `\s+(?!\S)|\s+`: all white space, less its last character if a word follows and something remains.
  private static func spaceEnd(_ start: Int, _ reader: CharacterReader) -> Int {
    let run = reader.endOfRun(.space, from: start)
    if run == reader.end { return run }
    var last = run - 1
    while reader.bytes[last] & 0xC0 == 0x80 { last -= 1 }
    return last > start ? last : run
  }

  /// The end of `'s 't 're 've 'm 'll 'd`.
  private static func contraction(_ start: Int, _ reader: CharacterReader, ignoringCase: Bool) -> Int? {
    let fold: UInt8 = ignoringCase ? 0x20 : 0
    func letter(_ offset: Int) -> UInt8 {
      start + offset < reader.end ? reader.bytes[start + offset] | fold : 0
    }
    switch letter(1) {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return start + 2
    case UInt8(ascii: "r") where letter(2) == UInt8(ascii: "e"): return start + 3
    case UInt8(ascii: "v") where letter(2) == UInt8(ascii: "e"): return start + 3
    case UInt8(ascii: "l") where letter(2) == UInt8(ascii: "l"): return start + 3
    // ſ (U+017F) is an s to whoever ignores case. Its bytes are C5 BF; with the fold bit E5 BF.
    case 0xE5
    where ignoringCase && start + 2 < reader.end && reader.bytes[start + 1] == 0xC5
      && reader.bytes[start + 2] == 0xBF:
      return start + 3
    default: return nil
    }
  }
}
