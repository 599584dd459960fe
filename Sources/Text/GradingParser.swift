// Tokens to a formula, by recursive descent with a bounded depth.

/// Reads what people and models write: implicit products, functions without brackets, mixed numbers, units, chains of
/// relations, lists with commas, semicolons and words.
struct GradingParser {
  private var tokens: [GradingToken]
  private var position = 0
  private var depth = 0
  /// How many absolute values are open: inside one, `|` closes.
  private var openBars = 0

  private static let maximumDepth = 40

  /// nil where the tokens are not a formula from beginning to end.
  static func formula(of tokens: [GradingToken]) -> Formula? {
    var parser = GradingParser(tokens: tokens)
    guard let formula = parser.list(), parser.position == tokens.count else { return nil }
    return formula
  }

  private init(tokens: [GradingToken]) { self.tokens = tokens }

  private var next: GradingToken? { position < tokens.count ? tokens[position] : nil }
  private var sign: String? { if case .sign(let sign)? = next { sign } else { nil } }

  private mutating func take(_ wanted: String) -> Bool {
    guard sign == wanted else { return false }
    position += 1
    return true
  }

  /// The sign at the current position if it is one of these, which is then read.
  private mutating func take(anyOf wanted: Set<String>) -> String? {
    guard let sign, wanted.contains(sign) else { return nil }
    position += 1
    return sign
  }

  // MARK: Lists

  /// `a, b; c or d`: semicolons, and an "or" or "and" between lists, divide what commas join.
  private mutating func list() -> Formula? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else { return nil }
    var groups: [Formula] = []
    var items: [Formula] = []
    func closed(_ items: [Formula]) -> Formula { items.count == 1 ? items[0] : .list(items) }
    while true {
      guard let item = relation() else { return nil }
      items.append(item)
      if take(anyOf: [","]) != nil {
        if take(anyOf: ["and", "or"]) != nil { continue }
        if isAtEnd { break }
      } else if let separator = take(anyOf: [";", "and", "or"]) {
        guard separator != "and" || items.count > 1 else { continue }
        groups.append(closed(items))
        items = []
        if isAtEnd { break }
      } else {
        break
      }
    }
    if !items.isEmpty { groups.append(closed(items)) }
    return closed(groups)
  }

  private var isAtEnd: Bool {
    guard let next else { return true }
    return [.sign(")"), .sign("]"), .sign("}"), .sign("\\}")].contains(next)
  }

  private static let relations: [String: Formula.Sign] = [
    "=": .equal, "≈": .approximately, "≠": .unequal, "<": .less, "≤": .lessOrEqual, ">": .greater,
    "≥": .greaterOrEqual, "∈": .element,
  ]

  private mutating func relation() -> Formula? {
    guard let first = setExpression() else { return nil }
    var comparisons: [Formula.Comparison] = []
    while let sign, let relation = Self.relations[sign] {
      position += 1
      guard let right = setExpression() else { return nil }
      comparisons.append(.init(sign: relation, right: right))
    }
    return comparisons.isEmpty ? first : .relation(first, comparisons)
  }

  private mutating func setExpression() -> Formula? {
    guard var left = ratio() else { return nil }
    var count = 0
    while let sign = take(anyOf: ["∪", "∩", "∖"]) {
      count += 1
      guard count < Self.maximumDepth, let right = ratio() else { return nil }
      left = .setOperation(sign == "∪" ? .union : sign == "∩" ? .intersection : .difference, left, right)
    }
    return left
  }

  private mutating func ratio() -> Formula? {
    guard let first = sum() else { return nil }
    var parts = [first]
    while take(":") {
      guard let part = sum() else { return nil }
      parts.append(part)
    }
    let texts = parts.count { if case .text = $0 { true } else { false } }
    // "The area: 5" is a sentence.
    guard texts == 0 || texts == parts.count else { return nil }
    return parts.count == 1 ? first : .ratio(parts)
  }

  // MARK: Arithmetic

  private mutating func sum() -> Formula? {
    var terms: [Formula] = []
    repeat {
      var isNegative = false
      var plusMinus: Bool?
      while let sign = take(anyOf: ["+", "-", "±", "∓"]) {
        if sign == "-" { isNegative.toggle() }
        if sign == "±" || sign == "∓" { plusMinus = sign == "∓" }
      }
      guard var term = term() else { return nil }
      if let plusMinus {
        term = .plusMinus(term, isMinusPlus: plusMinus != isNegative)
      } else if isNegative {
        term = .negative(term)
      }
      terms.append(term)
    } while sign.map { ["+", "-", "±", "∓"].contains($0) } ?? false
    // "The minimum is -3" is no difference.
    guard terms.count == 1 || !terms.contains(where: \.isWords) else { return nil }
    return terms.count == 1 ? terms[0] : .sum(terms)
  }

  private mutating func term() -> Formula? {
    guard let first = factor() else { return nil }
    // Words cannot be multiplied: a sentence is not a formula.
    if case .text = first { return startsFactor ? nil : first }
    var factors = [first]
    func product(_ factors: [Formula]) -> Formula { factors.count == 1 ? factors[0] : .product(factors) }
    // Divisions nest to the left; so many of them are not an answer.
    var divisions = 0
    while true {
      if take("*") {
        guard let factor = factor() else { return nil }
        factors.append(factor)
      } else if sign == "/" {
        position += 1
        divisions += 1
        guard divisions < Self.maximumDepth, let divisor = factor() else { return nil }
        factors = [.quotient(product(factors), divisor)]
      } else if take("choose") {
        guard let lower = factor() else { return nil }
        factors = [.function("binom", [product(factors), lower])]
      } else if let mixed = mixedFraction(after: factors.last) {
        factors[factors.count - 1] = mixed
      } else if case .text? = next {
        return unit(of: product(factors))
      } else if startsFactor {
        guard let factor = factor() else { return nil }
        factors.append(factor)
      } else {
        return product(factors)
      }
    }
  }

  /// `1\frac{1}{2}` and `1 1/2`.
  private mutating func mixedFraction(after whole: Formula?) -> Formula? {
    guard case .number(let number, false)? = whole, number.isInteger, position > 0,
      case .number = tokens[position - 1]
    else { return nil }
    let start = position
    var fraction: Formula?
    if sign == "frac", let quotient = atom(), case .quotient(.number, .number) = quotient {
      fraction = quotient
    } else {
      position = start
      if case .number? = next, let above = atom(), take("/"), case .number? = next, let below = atom() {
        fraction = .quotient(above, below)
      }
    }
    if let fraction {
      let mixed = Formula.sum([.number(number, isDecimal: false), fraction])
      return take("%") ? .quantity(mixed, unit: "%") : mixed
    }
    position = start
    return nil
  }

  /// Words after a value: `cm`, `cm^2`, `km / h`, `red apples`.
  private mutating func unit(of value: Formula) -> Formula? {
    guard value.contains({ if case .number = $0 { true } else { false } }) else { return nil }
    var words: [String] = []
    while let next {
      switch next {
      case .text(let word): words.append(word)
      case .name(let name) where name.count == 1 && words.last == "/": words.append(name)
      case .sign("/"), .sign("*"): if words.isEmpty { return nil } else { words.append(sign ?? "") }
      case .sign("^"):
        guard position + 1 < tokens.count else { return nil }
        position += 1
        let braced = take("{")
        guard case .number(let exponent)? = self.next else { return nil }
        words.append("^" + exponent)
        if braced { position += 1 }
        if braced, sign != "}" { return nil }
      default: return .quantity(value, unit: words.joined(separator: " "))
      }
      position += 1
    }
    return .quantity(value, unit: words.joined(separator: " "))
  }

  private var startsFactor: Bool {
    switch next {
    case .name: true
    case .sign("|"): openBars == 0
    case .sign(let sign):
      ["(", "[", "{", "\\{", "frac", "sqrt", "binom", "begin", "⌊", "⌈", "overline"].contains(sign)
    default: false
    }
  }

  private mutating func factor() -> Formula? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else { return nil }
    if take("-") { return factor().map { .negative($0) } }
    if take("+") { return factor() }
    guard var base = atom() else { return nil }
    var marks = 0
    while let mark = take(anyOf: ["!", "%", "°"]) {
      marks += 1
      guard marks < 4 else { return nil }
      base = mark == "!" ? .function("factorial", [base]) : .quantity(base, unit: mark)
    }
    guard take("^") else { return base }
    if take("°") { return .quantity(base, unit: "°") }
    if sign == "{", position + 2 < tokens.count, tokens[position + 1] == .sign("°"),
      tokens[position + 2] == .sign("}")
    {
      position += 3
      return .quantity(base, unit: "°")
    }
    guard let exponent = sign == "-" ? factor() : exponent() else { return nil }
    return .power(base, exponent)
  }

  /// What stands above a `^`: one atom, or another power in `a^b^c`.
  private mutating func exponent() -> Formula? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth, let base = atom() else { return nil }
    guard take("^") else { return base }
    return exponent().map { .power(base, $0) }
  }

  // MARK: Atoms

  private mutating func atom() -> Formula? {
    guard let token = next else { return nil }
    position += 1
    switch token {
    case .number(let literal): return number(literal)
    case .name(let name): return Self.isFunction(name) ? function(name) : symbol(name)
    case .text(let word):
      var words = word
      while case .text(let more)? = next {
        words += " " + more
        position += 1
      }
      return .text(words)
    case .sign(let sign): return bracketed(sign)
    }
  }

  private mutating func number(_ literal: String) -> Formula? {
    let halves = literal.split(separator: "e", omittingEmptySubsequences: false)
    guard let mantissa = halves.first, let exponent = halves.count > 1 ? Int(halves[1]) : 0 else {
      return nil
    }
    let point = mantissa.split(separator: ".", omittingEmptySubsequences: false)
    let decimals = point.count > 1 ? point[1].count : 0
    var digits = mantissa.filter { $0 != "." }
    if sign == "_" {
      // A number in another base, which only equals its like.
      return symbol(literal)
    }
    guard take("overline") else {
      return GradingNumber(digits: digits, decimals: decimals, exponent: exponent).map {
        .number($0, isDecimal: literal.contains { $0 == "." || $0 == "e" })
      }
    }
    // 0.1\overline{6} is (16 - 1) / 90.
    guard take("{"), case .number(let period)? = next, period.allSatisfy(\.isNumber), point.count < 3 else {
      return nil
    }
    position += 1
    guard take("}"), let before = GradingNumber(digits: digits, decimals: 0, exponent: 0) else { return nil }
    digits += period
    guard let all = GradingNumber(digits: digits, decimals: 0, exponent: 0), let above = all + -before,
      let scale = GradingNumber(digits: "1", decimals: 0, exponent: decimals),
      let nines = GradingNumber(
        digits: String(repeating: "9", count: period.count), decimals: 0, exponent: 0),
      let below = scale * nines, let value = above / below
    else { return nil }
    return .number(value, isDecimal: false)
  }

  private static func isFunction(_ name: String) -> Bool { GradingLexer.functions.contains(name) }

  /// A variable with its index and primes, or a function of the problem's own: `f(x)` is a name.
  private mutating func symbol(_ first: String) -> Formula? {
    var name = first
    if first == "∅" { return .set([]) }
    if take("_") {
      guard let index = rawGroup() else { return nil }
      name += "_" + index
    }
    while take("'") { name += "'" }
    guard sign == "(", let close = closing(position) else { return .symbol(name) }
    let inside = tokens[(position + 1)..<close]
    if "fghFGH".contains(first) || "pqPQ".contains(first) && inside.count == 1 {
      position = close + 1
      name += "(" + inside.map(\.description).joined() + ")"
    }
    return .symbol(name)
  }

  /// The tokens of an index, in braces or one alone, as they are.
  private mutating func rawGroup() -> String? {
    guard let token = next else { return nil }
    guard token == .sign("{") else {
      position += 1
      return token.description
    }
    guard let close = closing(position) else { return nil }
    defer { position = close + 1 }
    return tokens[(position + 1)..<close].map(\.description).joined()
  }

  /// Where the bracket at a position closes.
  private func closing(_ start: Int) -> Int? {
    guard case .sign(let open) = tokens[start] else { return nil }
    let close = open == "(" ? ")" : "}"
    var level = 0
    for index in start..<tokens.count {
      if tokens[index] == .sign(open) { level += 1 }
      if tokens[index] == .sign(close) { level -= 1 }
      if level == 0 { return index }
    }
    return nil
  }

  /// `\sin^2 x`, `\log_2 (8)`, `\max(1, 2)`.
  private mutating func function(_ name: String) -> Formula? {
    var base: Formula?
    var exponent: Formula?
    if take("_") {
      guard let index = atom() else { return nil }
      base = index
    }
    if take("^") {
      guard let power = sign == "-" ? factor() : atom() else { return nil }
      exponent = power
    }
    guard let argument = argument() else { return nil }
    var name = name
    if case .negative(.number(let one, _))? = exponent, one.integer == 1 {
      name = "arc" + name
      exponent = nil
    }
    var arguments = [argument]
    if case .tuple(let items, .round, .round) = argument { arguments = items }
    if let base { arguments.append(base) }
    let call = Formula.function(name, arguments)
    return exponent.map { .power(call, $0) } ?? call
  }

  /// The argument of a function: brackets, or factors up to the next function or sign.
  private mutating func argument() -> Formula? {
    if sign == "(" || sign == "{" { return factorWithoutPower() }
    guard let first = factor() else { return nil }
    var factors = [first]
    while startsFactor, sign != "(" {
      if case .name(let name)? = next, Self.isFunction(name) { break }
      guard let more = factor() else { return nil }
      factors.append(more)
    }
    if take("/") {
      guard let below = factor() else { return nil }
      return .quotient(.product(factors), below)
    }
    return .product(factors)
  }

  private mutating func factorWithoutPower() -> Formula? {
    depth += 1
    defer { depth -= 1 }
    return depth <= Self.maximumDepth ? atom() : nil
  }

  private mutating func bracketed(_ sign: String) -> Formula? {
    switch sign {
    case "(", "[": return tuple(opening: sign == "(" ? .round : .square)
    case "{":
      guard let inside = list(), take("}") else { return nil }
      return inside
    case "\\{":
      if take("\\}") { return .set([]) }
      guard let inside = list(), take("\\}") else { return nil }
      if case .list(let items) = inside { return .set(items) }
      return .set([inside])
    case "|":
      openBars += 1
      defer { openBars -= 1 }
      guard let inside = sum(), take("|") else { return nil }
      return .function("abs", [inside])
    case "⌊", "⌈":
      guard let inside = sum(), take(sign == "⌊" ? "⌋" : "⌉") else { return nil }
      return .function(sign == "⌊" ? "floor" : "ceil", [inside])
    case "frac":
      guard let above = operand(), let below = operand() else { return nil }
      return .quotient(above, below)
    case "binom":
      guard let upper = operand(), let lower = operand() else { return nil }
      return .function("binom", [upper, lower])
    case "sqrt":
      var degree: Formula?
      if take("[") {
        guard let index = sum(), take("]") else { return nil }
        degree = index
      }
      guard let inside = operand(inFraction: false) else { return nil }
      return .function("root", [inside] + (degree.map { [$0] } ?? []))
    case "overline":
      return atom()
    case "begin": return matrix()
    default: return nil
    }
  }

  private mutating func tuple(opening: Formula.Bracket) -> Formula? {
    let bars = openBars
    openBars = 0
    defer { openBars = bars }
    guard let inside = list(), let close = take(anyOf: [")", "]"]) else { return nil }
    if case .list(let items) = inside {
      return .tuple(items, opening: opening, closing: close == ")" ? .round : .square)
    }
    return inside
  }

  /// The argument of `\frac` and its like: braces, or one digit or name. `\frac13` is a third.
  private mutating func operand(inFraction: Bool = true) -> Formula? {
    depth += 1
    defer { depth -= 1 }
    guard depth <= Self.maximumDepth else { return nil }
    // The lexer has read `13` in `\frac13` as one number; a root takes all of it.
    guard case .number(let digits)? = next, digits.count > 1, digits.allSatisfy(\.isNumber), inFraction else {
      return atom()
    }
    tokens[position] = .number(String(digits.dropFirst()))
    return number(String(digits.prefix(1)))
  }

  private mutating func matrix() -> Formula? {
    var rows: [[Formula]] = [[]]
    while !take("end") {
      if take("\\\\") {
        if sign == "end" { continue }
        rows.append([])
      } else if take("&") {
        continue
      } else {
        guard let entry = relation() else { return nil }
        rows[rows.count - 1].append(entry)
      }
    }
    guard let width = rows.first?.count, width > 0, rows.allSatisfy({ $0.count == width }) else { return nil }
    return .matrix(rows)
  }
}

extension GradingToken: CustomStringConvertible {
  var description: String {
    switch self {
    case .number(let text), .name(let text), .text(let text), .sign(let text): text
    }
  }
}
