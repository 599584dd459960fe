// The tree that an answer is parsed into.

/// A mathematical expression, a collection of them, or words. Sums and products hold all their terms, so that the depth
/// of a tree is the depth of the brackets in the text and not its length.
indirect enum Formula: Sendable {
  case number(GradingNumber, isDecimal: Bool)
  case symbol(String)
  case text(String)

  case sum([Formula])
  case product([Formula])
  case quotient(Formula, Formula)
  case power(Formula, Formula)
  case negative(Formula)
  /// A term of a sum with both signs: `isMinusPlus` for ∓, which is minus where ± is plus.
  case plusMinus(Formula, isMinusPlus: Bool)
  case function(String, [Formula])
  /// A value with a unit in words, or with "%" or "°".
  case quantity(Formula, unit: String)

  case tuple([Formula], opening: Bracket, closing: Bracket)
  case set([Formula])
  /// Several answers side by side, in no brackets.
  case list([Formula])
  case ratio([Formula])
  case matrix([[Formula]])
  case relation(Formula, [Comparison])
  case setOperation(SetOperator, Formula, Formula)

  enum Bracket: Sendable { case round, square }
  enum SetOperator: Sendable { case union, intersection, difference }

  /// One link of a chain of relations: `≤ 3`.
  struct Comparison: Sendable {
    let sign: Sign
    let right: Formula
  }

  enum Sign: Sendable {
    case equal, approximately, unequal, less, lessOrEqual, greater, greaterOrEqual, element

    var isInequality: Bool { self != .equal && self != .approximately && self != .element }
  }

  /// The formulas that this one is made of.
  var parts: [Formula] {
    switch self {
    case .number, .symbol, .text: []
    case .sum(let parts), .product(let parts), .function(_, let parts), .tuple(let parts, _, _),
      .set(let parts),
      .list(let parts), .ratio(let parts):
      parts
    case .quotient(let a, let b), .power(let a, let b), .setOperation(_, let a, let b): [a, b]
    case .negative(let part), .plusMinus(let part, _), .quantity(let part, _): [part]
    case .matrix(let rows): rows.flatMap { $0 }
    case .relation(let first, let comparisons): [first] + comparisons.map(\.right)
    }
  }

  /// How many formulas it consists of, itself included.
  var size: Int { parts.reduce(1) { $0 + $1.size } }

  /// Whether this formula or one inside it fulfils a condition.
  func contains(_ condition: (Formula) -> Bool) -> Bool {
    condition(self) || parts.contains { $0.contains(condition) }
  }

  /// The names in it that have no fixed value.
  var symbols: Set<String> {
    if case .symbol(let name) = self { return Formula.constants[name] == nil ? [name] : [] }
    return parts.reduce(into: []) { $0.formUnion($1.symbols) }
  }

  /// Whether a number in it was written with a decimal point or an exponent, and so may be rounded.
  var hasDecimals: Bool {
    contains { if case .number(_, let isDecimal) = $0 { isDecimal } else { false } }
  }

  /// Whether it can be the left side of a definition: `x_1`, `f(x)`, `|AB|`, `NO/BO`, `(x, y)`.
  var isName: Bool {
    switch self {
    case .symbol(let name): Formula.constants[name] == nil
    case .text: true
    case .function("abs", let parts), .ratio(let parts), .tuple(let parts, _, _): parts.allSatisfy(\.isName)
    case .quotient(let a, let b): a.isName && b.isName
    case .product(let parts):
      parts.allSatisfy { if case .symbol(let name) = $0 { name.first?.isUppercase == true } else { false } }
    default: false
    }
  }

  /// Whether it is nothing but words.
  var isWords: Bool { if case .text = self { true } else { false } }

  static let constants: [String: Double] = ["pi": .pi, "e": 2.718281828459045, "∞": .infinity]
}
