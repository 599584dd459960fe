// Whether a model's answer to a mathematical problem is right.

/// Compares answers with gold answers.
public enum AnswerGrader {
  /// Whether an answer says the same as the gold answer.
  ///
  /// Both may be bare answers or longer texts that an answer is taken from: the last `\boxed{…}`, what follows "the final
  /// answer is", the last formula or number. Numbers, fractions, expressions, equations, inequalities, sets, intervals,
  /// matrices, tuples and lists are compared as mathematics: rational numbers exactly, other values to 1e-10, and to 1e-6
  /// where only one side is written in decimals. Expressions in variables are equal if they agree at several fixed
  /// points. What is not understood is compared as text.
  ///
  /// Units that both name must agree. A percentage equals the bare number and its hundredth: 28 % is 28 and 0.28.
  ///
  /// The result depends on nothing but the two texts, and any text is graded in bounded time.
  public static func accepts(_ answer: String, gold: String) -> Bool {
    if areSameWords(answer, gold) { return true }
    let gold = GradingExtraction.answer(in: gold)
    let answer = GradingExtraction.answer(in: answer)
    let (plainGold, plainAnswer) = (canonicalText(gold), canonicalText(answer))
    guard !plainGold.isEmpty, !plainAnswer.isEmpty else { return false }
    if plainGold == plainAnswer { return true }
    if let a = choice(of: gold), let b = choice(of: answer), a.isAlone || b.isAlone {
      return a.letter == b.letter
    }
    let goldReadings = readings(of: gold)
    guard !goldReadings.isEmpty else { return false }
    return readings(of: answer).contains { reading in
      goldReadings.contains { GradingComparison.areEqual($0, reading) }
    }
  }

  /// The formulas that a text can be read as.
  static func readings(of text: String) -> [Formula] {
    var seen: [[GradingToken]] = []
    var formulas: [Formula] = []
    let isDecimal = hasDecimalComma(text)
    for commas in CommaReading.allCases where commas != .decimal || isDecimal {
      guard let tokens = GradingLexer.tokens(of: text, commas: commas), !tokens.isEmpty,
        !seen.contains(tokens)
      else {
        continue
      }
      seen.append(tokens)
      if let formula = GradingParser.formula(of: tokens) { formulas.append(formula) }
    }
    return formulas
  }

  /// Whether a text is one number whose comma can only be a decimal point or divide a list: "1,22" or "0,5", but not
  /// "1,234" and not "1,5".
  private static func hasDecimalComma(_ text: String) -> Bool {
    let number = text.filter { !"$ ".contains($0) }.drop { $0 == "-" }
    let halves = number.split(separator: ",", omittingEmptySubsequences: false)
    guard halves.count == 2, let whole = halves.first, let part = halves.last, !whole.isEmpty,
      !text.contains(", "),
      whole.allSatisfy(\.isNumber), part.allSatisfy(\.isNumber)
    else { return false }
    return whole == "0" ? !part.isEmpty : part.count == 2 || part.count > 3
  }

  // MARK: Text

  /// Whether two short texts have a word and are the same but for upper case: "June 20", "No solution".
  private static func areSameWords(_ a: String, _ b: String) -> Bool {
    guard a.utf8.count < 200, b.utf8.count < 200 else { return false }
    let plain = canonicalText(a)
    guard !plain.contains(where: { "\\{}".contains($0) }),
      plain.split(whereSeparator: { !$0.isLetter }).contains(where: { $0.count > 2 })
    else { return false }
    return plain.lowercased() == canonicalText(b).lowercased()
  }

  /// The letter of a choice: "B", "(B)", "B.", "(B) 42"; alone if nothing follows.
  static func choice(of text: String) -> (letter: Character, isAlone: Bool)? {
    var rest = Substring(canonicalText(text))
    let isBracketed = rest.first == "("
    if isBracketed { rest = rest.dropFirst() }
    guard let first = rest.first, let letter = first.uppercased().first, "A"..."J" ~= letter,
      isBracketed || first == letter
    else { return nil }
    rest = rest.dropFirst()
    guard let mark = rest.first else { return isBracketed ? nil : (letter, true) }
    guard isBracketed ? mark == ")" : ".:)".contains(mark) else { return nil }
    return (letter, rest.count == 1)
  }

  /// Without what only changes the look of a text.
  private static func canonicalText(_ text: String) -> String {
    let characters = Array(text.prefix(8000))
    var result = ""
    var index = 0
    func skip(_ string: String) -> Bool {
      guard characters[index...].starts(with: string) else { return false }
      index += string.count
      return true
    }
    let layout = [
      "\\text", "\\textbf", "\\mathrm", "\\mbox", "\\left", "\\right", "\\,", "\\!", "\\;", "\\ ", "\\$", "$",
      "**",
    ]
    scan: while index < characters.count {
      if skip("\\dfrac") || skip("\\tfrac") {
        result += "\\frac"
        continue
      }
      for command in layout.sorted(by: { $0.count > $1.count }) {
        let before = index
        guard skip(command) else { continue }
        let isWord = command.last?.isLetter ?? false
        guard isWord, index < characters.count, characters[index].isLetter else {
          if isWord, index < characters.count, characters[index] == "{", !command.hasPrefix("\\l"),
            let close =
              characters[index...].firstIndex(of: "}")
          {
            result += String(characters[(index + 1)..<close])
            index = close + 1
          }
          continue scan
        }
        index = before
      }
      let character = characters[index]
      index += 1
      if character.isWhitespace {
        // A space only counts between two words or numbers.
        let next = characters[index...].first { !$0.isWhitespace }
        guard let last = result.last, last.isLetter || last.isNumber, let next, next.isLetter || next.isNumber
        else {
          continue
        }
        result += " "
        index = characters[index...].firstIndex { !$0.isWhitespace } ?? characters.count
        continue
      }
      result.append(character)
    }
    while let last = result.last, last == "." || last == " " { result.removeLast() }
    return result
  }
}
