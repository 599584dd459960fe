// Where the answer stands in a longer text.

/// Finds the answer by fixed rules that know nothing of the gold answer, so that a text which mentions many numbers has
/// one answer and not many:
///
/// 1. What follows a closing `</think>` counts.
/// 2. The last `\boxed{…}`, with those before it in the same formula; or what follows "final answer is", "final answer:"
///    or "####", if that is later.
/// 3. What follows the last "answer is" or "answer:".
/// 4. The whole text if it is a formula; else its last formula or, where that is later, its last number.
struct GradingExtraction {
  private let text: [Character]
  private let formulas: [Span]

  /// A formula between dollars or brackets. One whose dollars stand beside line breaks is none: it is not shown as a
  /// formula anywhere, and what is in it is not an answer.
  private struct Span {
    let outer: Range<Int>
    let inner: Range<Int>
    let isValid: Bool
  }

  /// Answers stand at the end; what comes before this many bytes is not read.
  private static let maximumLength = 65_536
  /// A whole text up to this length is tried as a formula.
  private static let maximumFormula = 2000

  /// The answer in a text, empty if there is none.
  static func answer(in text: String) -> String {
    var text = String(decoding: text.utf8.suffix(maximumLength), as: UTF8.self)
    for marker in ["</think>", "<|im_end|>", "<|endoftext|>", "<|eot_id|>", "</s>"] {
      guard let range = lastRange(of: Array(marker), in: Array(text)) else { continue }
      let characters = Array(text)
      if marker == "</think>" {
        let rest = String(characters[range.upperBound...])
        if !rest.trimmingSpaces().isEmpty { text = rest }
      } else if characters[range.upperBound...].allSatisfy(\.isWhitespace) {
        text = String(characters[..<range.lowerBound])
      }
    }
    let extraction = GradingExtraction(Array(text))
    return extraction.answer().trimmingSpaces()
  }

  private init(_ text: [Character]) {
    self.text = text
    formulas = GradingExtraction.formulas(in: text)
  }

  private func answer() -> String {
    let boxes = boxes()
    let anchor = lastAnchor()
    if let box = boxes.last {
      if let anchor, anchor.isFinal, anchor.end > box.outer.upperBound {
        let answer = answer(in: sentence(from: anchor.end))
        if !answer.isEmpty { return answer }
      }
      return joined(boxes)
    }
    if let anchor { return answer(in: sentence(from: anchor.end)) }
    return answer(in: 0..<text.count)
  }

  // MARK: Boxes

  private func boxes() -> [Span] {
    let closings = closings()
    var boxes: [Span] = []
    var index = 0
    while index < text.count {
      defer { index += 1 }
      guard text[index] == "\\" else { continue }
      guard let name = ["\\boxed", "\\fbox"].first(where: { starts($0, at: index) }) else { continue }
      var open = index + name.count
      while open < text.count, text[open] == " " { open += 1 }
      guard open < text.count, let close = closings[open] else { continue }
      boxes.append(Span(outer: index..<(close + 1), inner: (open + 1)..<close, isValid: true))
      index = close
    }
    return boxes
  }

  /// For every opening brace that is closed, where.
  private func closings() -> [Int: Int] {
    var closings: [Int: Int] = [:]
    var open: [Int] = []
    var isEscaped = false
    for (index, character) in text.enumerated() {
      if character == "{", !isEscaped { open.append(index) }
      if character == "}", !isEscaped, let start = open.popLast() { closings[start] = index }
      isEscaped = character == "\\" && !isEscaped
    }
    return closings
  }

  /// The last box and those that belong to it: in the same formula, or with nothing but "and" between them.
  private func joined(_ boxes: [Span]) -> String {
    guard var first = boxes.last else { return "" }
    var parts = [String(text[first.inner])]
    for box in boxes.dropLast().reversed() {
      let isSameFormula = formulas.contains {
        $0.outer.contains(box.outer.lowerBound) && $0.outer.contains(first.outer.lowerBound)
      }
      guard isSameFormula || isJoint(box.outer.upperBound..<first.outer.lowerBound) else { break }
      parts.insert(String(text[box.inner]), at: 0)
      first = box
      if parts.count == 50 { break }
    }
    return parts.joined(separator: ", ")
  }

  /// Whether what stands between two answers joins them: "and", "or", commas, layout.
  private func isJoint(_ range: Range<Int>) -> Bool {
    guard range.count < 60 else { return false }
    var between = String(text[range])
    for layout in ["\\text", "\\quad", "\\qquad", "\\)", "\\(", "\\]", "\\[", "\\,", "\\;", "\\ "] {
      between = between.split(separator: layout, omittingEmptySubsequences: false).joined(separator: " ")
    }
    let words = between.filter { !"{}$~".contains($0) }.split { $0.isWhitespace || $0 == "," || $0 == ";" }
    let hasSeparator = between.contains(",") || between.contains(";") || !words.isEmpty
    return hasSeparator && words.allSatisfy { $0 == "and" || $0 == "or" }
  }

  // MARK: Anchors

  private func lastAnchor() -> (end: Int, isFinal: Bool)? {
    var best: (end: Int, isFinal: Bool)?
    for phrase in ["answer is", "answer:", "answer**:", "answer :", "####"] {
      guard let range = Self.lastRange(of: Array(phrase), in: text), range.upperBound > best?.end ?? -1 else {
        continue
      }
      let before = text[max(0, range.lowerBound - 6)..<range.lowerBound]
      best = (range.upperBound, phrase == "####" || String(before).lowercased() == "final ")
    }
    return best
  }

  /// The sentence or line that starts at a position; full stops inside formulas and numbers do not end it.
  private func sentence(from start: Int) -> Range<Int> {
    var start = start
    while start < text.count, text[start].isWhitespace || "*:".contains(text[start]) { start += 1 }
    var index = start
    var next = formulas.firstIndex { $0.outer.lowerBound >= start } ?? formulas.count
    while index < text.count {
      if next < formulas.count, formulas[next].outer.lowerBound == index {
        index = formulas[next].outer.upperBound
        next += 1
        continue
      }
      let isStop = text[index] == "." && (index + 1 == text.count || text[index + 1].isWhitespace)
      if text[index].isNewline || isStop { break }
      index += 1
    }
    return start..<index
  }

  // MARK: Formulas and numbers

  private func answer(in range: Range<Int>) -> String {
    var whole = String(text[range]).trimmingSpaces()
    while let last = whole.last, last == "." || last == "*" { whole.removeLast() }
    if whole.hasPrefix("=") { whole.removeFirst() }
    if whole.hasPrefix("not ") { return "" }
    let inside = formulas.filter {
      range.contains($0.outer.lowerBound) && $0.outer.upperBound <= range.upperBound
    }
    let hasInvalid = inside.contains { !$0.isValid }
    if !hasInvalid, whole.utf8.count <= Self.maximumFormula {
      if AnswerGrader.choice(of: whole) != nil { return whole }
      if !AnswerGrader.readings(of: whole).isEmpty { return whole }
    }
    let last = inside.last { $0.isValid }
    let numbersFrom = max(range.lowerBound, last?.outer.upperBound ?? 0)
    // A formula that is not understood, perhaps because it is cut off, is not its last number; a sentence may be.
    guard last != nil || hasWords(range) else { return whole }
    if last == nil, let predicate = predicate(of: whole) { return predicate }
    if let number = lastNumber(in: numbersFrom..<max(numbersFrom, range.upperBound)) { return number }
    if last != nil { return joined(inside.filter(\.isValid)) }
    return whole
  }

  /// What a sentence says that something "is", if that is a formula.
  private func predicate(of sentence: String) -> String? {
    let characters = Array(sentence.suffix(Self.maximumFormula))
    let ends = [" is ", " are ", " equals "].compactMap {
      Self.lastRange(of: Array($0), in: characters)?.upperBound
    }
    guard let start = ends.max() else { return nil }
    let rest = String(characters[start...])
    return AnswerGrader.readings(of: rest).contains { !$0.isWords } ? rest : nil
  }

  /// Whether there is a word in it that is no command.
  private func hasWords(_ range: Range<Int>) -> Bool {
    var length = 0
    var isCommand = false
    for character in text[range] {
      guard character.isLetter else {
        isCommand = character == "\\"
        length = 0
        continue
      }
      length += 1
      if length > 1, !isCommand { return true }
    }
    return false
  }

  /// The last number, with its sign, fraction and percent sign.
  private func lastNumber(in range: Range<Int>) -> String? {
    var last: Range<Int>?
    var index = range.lowerBound
    var next = formulas.firstIndex { $0.outer.lowerBound >= index } ?? formulas.count
    func isDigit(_ index: Int) -> Bool { index < range.upperBound && "0"..."9" ~= text[index] }
    while index < range.upperBound {
      if next < formulas.count, formulas[next].outer.lowerBound <= index {
        index = max(index, formulas[next].outer.upperBound)
        next += 1
        continue
      }
      guard isDigit(index) || text[index] == "." && isDigit(index + 1) else {
        index += 1
        continue
      }
      var start = index
      var end = index
      while end < range.upperBound,
        isDigit(end) || ".,/".contains(text[end]) && isDigit(end + 1)
          || "eE".contains(text[end]) && isDigit(end + 1) || text[end] == "%"
      {
        end += 1
      }
      index = end
      if start > range.lowerBound, "-−".contains(text[start - 1]) {
        let before = text[range.lowerBound..<(start - 1)].last { $0 != " " }
        if !(before.map { $0.isLetter && start > 1 && text[start - 2] != " " || $0.isNumber || $0 == ")" }
          ?? false)
        {
          start -= 1
        }
      }
      let isGlued = start > range.lowerBound && (text[start - 1].isLetter || text[start - 1] == "_")
      // What stands in braces is part of a formula without dollars.
      let isInBraces = end < range.upperBound && text[end] == "}"
      if !isGlued, !isInBraces { last = start..<end }
    }
    guard let last else { return nil }
    let after = String(text[last.upperBound..<min(last.upperBound + 12, range.upperBound)]).lowercased()
    let isPercentage = [" percent", " %", "\\%", " \\%", " pct"].contains { after.hasPrefix($0) }
    return String(text[last]) + (isPercentage ? "%" : "")
  }

  private static func formulas(in text: [Character]) -> [Span] {
    var formulas: [Span] = []
    // Where each kind of delimiter was looked for in vain: beyond that there is none.
    var exhausted: Set<String> = []
    var index = 0
    while index < text.count {
      let character = text[index]
      let next = index + 1 < text.count ? text[index + 1] : nil
      var close: String?
      if character == "\\", let next {
        close = next == "[" ? "\\]" : next == "(" ? "\\)" : nil
        if close == nil {
          index += 2
          continue
        }
      } else if character == "$" {
        close = next == "$" ? "$$" : "$"
      }
      guard let close, !exhausted.contains(close) else {
        index += 1
        continue
      }
      let start = index + close.count
      guard let end = position(of: Array(close), in: text, from: start) else {
        exhausted.insert(close)
        index = start
        continue
      }
      let after = end + close.count
      let inner = text[start..<end]
      // "$5 and $10" is money.
      let isMoney =
        close == "$" && after < text.count && text[after].isNumber && inner.last?.isWhitespace == true
      guard !isMoney else {
        index += 1
        continue
      }
      let edges = [inner.first { $0 != " " }, inner.last { $0 != " " }]
      let isBroken = close == "$" && edges.contains { $0?.isNewline ?? true }
      formulas.append(Span(outer: index..<after, inner: start..<end, isValid: !isBroken))
      index = after
    }
    return formulas
  }

  // MARK: Searching

  private func starts(_ string: String, at index: Int) -> Bool {
    text[index...].starts(with: string)
  }

  private static func position(of wanted: [Character], in text: [Character], from start: Int) -> Int? {
    var index = start
    while index + wanted.count <= text.count {
      // An escaped dollar closes nothing; `\]` begins with the backslash itself.
      if text[index] == "\\", wanted[0] != "\\" {
        index += 2
        continue
      }
      if text[index...].starts(with: wanted) { return index }
      index += 1
    }
    return nil
  }

  /// The last place of a phrase, in any case.
  private static func lastRange(of phrase: [Character], in text: [Character]) -> Range<Int>? {
    guard text.count >= phrase.count else { return nil }
    for start in stride(from: text.count - phrase.count, through: 0, by: -1) {
      if zip(text[start...], phrase).allSatisfy({ $0 == $1 || $0.lowercased() == String($1) }) {
        return start..<(start + phrase.count)
      }
    }
    return nil
  }
}
