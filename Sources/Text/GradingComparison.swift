// Whether two formulas are the same answer.

/// Compares a gold answer with another one, by the kind of both.
enum GradingComparison {
  static func areEqual(_ gold: Formula, _ answer: Formula) -> Bool {
    matches(gold.normalised, answer.normalised)
  }

  private static func matches(_ gold: Formula, _ answer: Formula) -> Bool {
    switch (gold, answer) {
    case (.relation, .relation): return relationsMatch(gold, answer)
    case (.relation(_, let signs), let other), (let other, .relation(_, let signs)):
      if signs.contains(where: \.sign.isInequality) { return regionsMatch(gold, answer) }
      guard let defined = (gold.isRelation ? gold : answer).definedValue else { return false }
      return gold.isRelation ? matches(defined, other) : matches(other, defined)
    case (.list(let a), .list(let b)): return listsMatch(a, b) || regionsMatch(gold, answer)
    case (.set(let a), .set(let b)): return haveSameMembers(a, b)
    case (.set(let a), .list(let b)), (.list(let b), .set(let a)): return !b.isSystem && haveSameMembers(a, b)
    case (.set(let items), let other) where items.count == 1 && other.isScalar:
      return matches(items[0], other)
    case (let other, .set(let items)) where items.count == 1 && other.isScalar:
      return matches(other, items[0])
    case (.tuple(let a, let open, let close), .tuple(let b, let open2, let close2)):
      guard a.count != 2 || open == open2 && close == close2 else { return false }
      return areEqualInOrder(a, b)
    case (.tuple(let a, let open, let close), .list(let b)),
      (.list(let b), .tuple(let a, let open, let close)):
      if open == close, areEqualInOrder(a, b.map { $0.definedValue ?? $0 }) { return true }
      return regionsMatch(gold, answer)
    case (.matrix(let a), .matrix(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { areEqualInOrder($0, $1) }
    case (.matrix(let rows), .tuple(let items, .round, .round)),
      (.tuple(let items, .round, .round), .matrix(let rows)):
      guard rows.count == 1 || rows.allSatisfy({ $0.count == 1 }) else { return false }
      return areEqualInOrder(rows.flatMap { $0 }, items)
    case (.ratio(let a), .ratio(let b)): return ratiosMatch(a, b)
    case (.ratio(let parts), let other), (let other, .ratio(let parts)):
      return parts.count == 2 && other.isScalar && Formula.areEqual(.quotient(parts[0], parts[1]), other)
    case (.text(let a), .text(let b)): return words(a) == words(b)
    default:
      if gold.isScalar && answer.isScalar { return scalarsMatch(gold, answer) }
      return regionsMatch(gold, answer)
    }
  }

  // MARK: Collections

  private static func areEqualInOrder(_ gold: [Formula], _ answer: [Formula]) -> Bool {
    gold.count == answer.count && zip(gold, answer).allSatisfy { matches($0, $1) }
  }

  /// As sets are equal: whatever is in one is in the other.
  private static func haveSameMembers(_ gold: [Formula], _ answer: [Formula]) -> Bool {
    gold.allSatisfy { item in answer.contains { matches(item, $0) } }
      && answer.allSatisfy { item in gold.contains { matches($0, item) } }
  }

  /// Several solutions stand in any order; values of different quantities are told apart by name, else by order.
  private static func listsMatch(_ gold: [Formula], _ answer: [Formula]) -> Bool {
    switch (gold.isSystem, answer.isSystem) {
    case (false, false): return haveSameMembers(gold, answer)
    case (true, true): return gold.count == answer.count && haveSameMembers(gold, answer)
    default: return areEqualInOrder(gold.map { $0.definedValue ?? $0 }, answer.map { $0.definedValue ?? $0 })
    }
  }

  private static func ratiosMatch(_ gold: [Formula], _ answer: [Formula]) -> Bool {
    guard gold.count == answer.count else { return false }
    if areEqualInOrder(gold, answer) { return true }
    if isTime(gold), isTime(answer) { return false }
    // 4:6 is 2:3; a zero has no ratio.
    return zip(gold, answer).dropFirst().allSatisfy { a, b in
      Formula.areEqual(.quotient(a, gold[0]), .quotient(b, answer[0]))
    } && !(gold + answer).contains { Formula.areEqual($0, .number(.zero, isDecimal: false)) }
  }

  /// Whether it may be a time of day: 10:30 is not 20:60.
  private static func isTime(_ parts: [Formula]) -> Bool {
    let values = parts.map { $0.value(at: GradingPoint(0))?.integer ?? -1 }
    return parts.count == 2 && 0...24 ~= values[0] && 10...60 ~= values[1]
  }

  // MARK: Relations

  private static func relationsMatch(_ gold: Formula, _ answer: Formula) -> Bool {
    guard case .relation(let a, let signsA) = gold, case .relation(let b, let signsB) = answer else {
      return false
    }
    let hasInequality = (signsA + signsB).contains { $0.sign.isInequality }
    guard hasInequality else {
      if signsA.count == 1, signsB.count == 1, signsA[0].sign == .equal, signsB[0].sign == .equal,
        let factor = proportion(difference(a, signsA[0].right), difference(b, signsB[0].right)), factor != 0
      {
        return true
      }
      guard let first = gold.definedValue, let second = answer.definedValue else { return false }
      if case .symbol(let name) = a, case .symbol(let other) = b, name != other { return false }
      return matches(first, second)
    }
    if gold.symbols != answer.symbols { return false }
    if gold.symbols.count == 1 { return regionsMatch(gold, answer) }
    guard signsA.count == signsB.count else { return false }
    let links = normalisedLinks(a, signsA)
    let others = normalisedLinks(b, signsB)
    return links.allSatisfy { link in others.contains { isSame(link, $0) } }
      && others.allSatisfy { link in links.contains { isSame(link, $0) } }
  }

  /// Each link of a chain as `formula > 0` or `formula ≥ 0`.
  private static func normalisedLinks(
    _ first: Formula, _ comparisons: [Formula.Comparison]
  ) -> [(Formula, Formula.Sign)] {
    zip([first] + comparisons.map(\.right), comparisons).map { left, comparison in
      switch comparison.sign {
      case .less: (difference(comparison.right, left), .greater)
      case .lessOrEqual: (difference(comparison.right, left), .greaterOrEqual)
      default: (difference(left, comparison.right), comparison.sign)
      }
    }
  }

  private static func isSame(_ a: (Formula, Formula.Sign), _ b: (Formula, Formula.Sign)) -> Bool {
    guard a.1 == b.1, let factor = proportion(a.0, b.0) else { return false }
    return factor > 0 || factor < 0 && !a.1.isInequality
  }

  private static func difference(_ a: Formula, _ b: Formula) -> Formula { .sum([a, .negative(b)]) }

  /// The constant that one formula is of another, nil if it is not constant: `2x = 4` and `x = 2` are one equation.
  private static func proportion(_ a: Formula, _ b: Formula) -> Double? {
    guard !a.symbols.isEmpty, a.symbols == b.symbols else { return nil }
    var factor: GradingNumber?
    var agreements = 0
    for index in UInt64(0)..<8 {
      let point = GradingPoint(index)
      guard let left = a.value(at: point), let right = b.value(at: point), let quotient = left / right else {
        continue
      }
      if let factor, !factor.isEqual(to: quotient, roundedDecimals: false) { return nil }
      factor = quotient
      agreements += 1
    }
    return agreements >= 4 ? factor?.double : nil
  }

  private static func regionsMatch(_ gold: Formula, _ answer: Formula) -> Bool {
    guard gold.isRegion || answer.isRegion, let a = GradingRegion(gold), let b = GradingRegion(answer) else {
      return false
    }
    return a.isSame(as: b)
  }

  // MARK: Values

  /// Units that both sides name must agree; one that a side leaves out is taken from the question. A percentage is both
  /// the number before its sign, as in "how many percent", and a hundredth of it: 28 % is 28 and 0.28. The same holds for
  /// degrees and radians. Between two percentages there is no such choice.
  private static func scalarsMatch(_ gold: Formula, _ answer: Formula) -> Bool {
    let (a, unitA) = gold.withoutUnit
    let (b, unitB) = answer.withoutUnit
    if let unitA, let unitB, GradingUnit.areDifferent(unitA, unitB) { return false }
    // "5 m" without upright letters reads as a product.
    if let unitA, unitB == nil, case .product(let parts) = b, parts.count == 2, case .symbol(unitA) = parts[1]
    {
      return Formula.areEqual(a, parts[0])
    }
    if let unitB, unitA == nil, case .product(let parts) = a, parts.count == 2, case .symbol(unitB) = parts[1]
    {
      return Formula.areEqual(parts[0], b)
    }
    switch (a, b) {
    case (.quantity(let x, let first), .quantity(let y, let second)) where first == second:
      return Formula.areEqual(x, y)
    case (.quantity(let x, _), _): return Formula.areEqual(x, b) || Formula.areEqual(a, b)
    case (_, .quantity(let y, _)): return Formula.areEqual(a, y) || Formula.areEqual(a, b)
    default: return Formula.areEqual(a, b)
    }
  }

  private static func words(_ text: String) -> [Substring] {
    text.lowercased().split { !$0.isLetter && !$0.isNumber }
  }
}

/// Names of units.
enum GradingUnit {
  /// Whether both are units that are known, and not the same. Other words describe the value and are not compared.
  static func areDifferent(_ a: String, _ b: String) -> Bool {
    guard let a = canonical(a), let b = canonical(b) else { return false }
    return a != b
  }

  private static let letters: Set<String> = ["m", "g", "s", "h", "l", "n", "j", "w", "v"]

  private static func canonical(_ unit: String) -> [String]? {
    var words = unit.lowercased().split { $0 == " " || $0 == "." }.map(String.init)
    let powers = ["square": "^2", "sq": "^2", "cubic": "^3"]
    if let first = words.first, let power = powers[first], words.count > 1 {
      words.removeFirst()
      words.insert(power, at: 1)
    }
    guard let first = words.first, GradingLexer.units.contains(first) || letters.contains(first) else {
      return nil
    }
    return words.map { word in
      let singular = word.count > 2 && word.hasSuffix("s") && word != "hertz" ? String(word.dropLast()) : word
      return GradingLexer.unitSpellings[word] ?? GradingLexer.unitSpellings[singular] ?? singular
    }
  }
}

extension Formula {
  fileprivate var isRelation: Bool { if case .relation = self { true } else { false } }

  /// Whether it is certainly a set of numbers; a pair may also be a point.
  fileprivate var isRegion: Bool {
    switch self {
    case .setOperation: true
    case .symbol("\\R"): true
    case .relation(_, let comparisons): comparisons.contains { $0.sign.isInequality }
    case .list(let items): items.contains(where: \.isRegion)
    default: false
    }
  }

  fileprivate var isScalar: Bool {
    switch self {
    case .number, .symbol, .sum, .product, .quotient, .power, .negative, .function, .quantity: true
    default: false
    }
  }

  /// The value and the words after it; "%" and "°" stay.
  fileprivate var withoutUnit: (Formula, String?) {
    guard case .quantity(let value, let unit) = self, unit != "%", unit != "°" else { return (self, nil) }
    return (value.withoutUnit.0, unit)
  }

  /// What a chain of equations says that a name is: `z = 1 + 1 = 2` says 2. What follows a ≈ is less exact than what
  /// stands before it.
  fileprivate var definedValue: Formula? {
    guard case .relation(let first, let comparisons) = self,
      comparisons.allSatisfy({ $0.sign == .equal || $0.sign == .approximately })
    else { return nil }
    let equal = comparisons.prefix { $0.sign == .equal }
    guard let last = (equal.isEmpty ? comparisons[...] : equal).last?.right else { return nil }
    let sides = [first] + comparisons.map(\.right)
    if comparisons.count == 1 {
      return first.isName ? last : last.isName ? first : constantResult(first, last)
    }
    if sides.contains(where: \.isName) { return last }
    return zip(sides, sides.dropFirst()).allSatisfy({ Formula.areEqual($0, $1) })
      ? constantResult(first, last) : nil
  }

  /// `2 + 3 = 5` is a way to say 5, if it is true.
  private func constantResult(_ first: Formula, _ last: Formula) -> Formula? {
    symbols.isEmpty && Formula.areEqual(first, last) ? last : nil
  }

  /// Without what is only wording: memberships, nested lists, the two signs of ±, products of matrices.
  fileprivate var normalised: Formula {
    switch self {
    case .relation(let first, let comparisons):
      if comparisons.count == 1, comparisons[0].sign == .element, first.isName {
        return comparisons[0].right.normalised
      }
      if hasPlusMinus { return .list([resolved(upper: true), resolved(upper: false)]) }
      return .relation(
        first, comparisons.map { Comparison(sign: $0.sign, right: $0.right.normalised) })
    case .list(let items):
      let flat = Formula.flattened(items)
      // "n = 1, 2, 3" and "x_1 = 1, x_2 = 3" are several values of one quantity.
      let values =
        flat.isSystem || flat.contains(where: \.isRegion) ? flat : flat.map { $0.definedValue ?? $0 }
      return values.count == 1 ? values[0] : .list(values)
    case .set(let items): return .set(Formula.flattened(items))
    case .tuple(let items, let opening, let closing):
      if hasPlusMinus { return .list([resolved(upper: true), resolved(upper: false)]) }
      return .tuple(items.map(\.normalised), opening: opening, closing: closing)
    case .product(let factors): return Formula.matrixProduct(factors) ?? (hasPlusMinus ? bothSigns : self)
    case .quantity(let value, let unit):
      if case .list(let items) = value.normalised { return .list(items.map { .quantity($0, unit: unit) }) }
      return self
    default: return hasPlusMinus ? bothSigns : self
    }
  }

  private static func flattened(_ items: [Formula]) -> [Formula] {
    items.map(\.normalised).flatMap { item in
      if case .list(let inner) = item, !inner.isSystem { return inner }
      return [item]
    }
  }

  private var hasPlusMinus: Bool { contains { if case .plusMinus = $0 { true } else { false } } }
  private var bothSigns: Formula { .list([resolved(upper: true), resolved(upper: false)]) }

  /// With the upper or the lower sign of every ±.
  private func resolved(upper: Bool) -> Formula {
    func inside(_ formula: Formula) -> Formula { formula.resolved(upper: upper) }
    return switch self {
    case .number, .symbol, .text, .matrix, .setOperation: self
    case .plusMinus(let term, let isMinusPlus): upper == isMinusPlus ? .negative(inside(term)) : inside(term)
    case .sum(let terms): .sum(terms.map(inside))
    case .product(let factors): .product(factors.map(inside))
    case .quotient(let a, let b): .quotient(inside(a), inside(b))
    case .power(let a, let b): .power(inside(a), inside(b))
    case .negative(let term): .negative(inside(term))
    case .function(let name, let arguments): .function(name, arguments.map(inside))
    case .quantity(let value, let unit): .quantity(inside(value), unit: unit)
    case .tuple(let items, let opening, let closing):
      .tuple(items.map(inside), opening: opening, closing: closing)
    case .set(let items): .set(items.map(inside))
    case .list(let items): .list(items.map(inside))
    case .ratio(let parts): .ratio(parts.map(inside))
    case .relation(let first, let comparisons):
      .relation(inside(first), comparisons.map { Comparison(sign: $0.sign, right: inside($0.right)) })
    }
  }

  /// The product of two small matrices, or of numbers and a matrix.
  private static func matrixProduct(_ factors: [Formula]) -> Formula? {
    let matrices = factors.compactMap { if case .matrix(let rows) = $0 { rows } else { nil } }
    let scalars = factors.filter(\.isScalar)
    guard (1...2).contains(matrices.count), scalars.count + matrices.count == factors.count else {
      return nil
    }
    var rows = matrices[0]
    if matrices.count == 2 {
      let right = matrices[1]
      guard rows.allSatisfy({ $0.count == right.count }), rows.count * right.count * right[0].count <= 216
      else {
        return nil
      }
      rows = rows.map { row in
        right[0].indices.map { column in .sum(zip(row, right).map { .product([$0, $1[column]]) }) }
      }
    }
    return .matrix(scalars.isEmpty ? rows : rows.map { $0.map { .product(scalars + [$0]) } })
  }
}

extension [Formula] {
  /// Whether they define different quantities: `k = 45, n = 2`, but not `x_1 = 1, x_2 = 3`.
  fileprivate var isSystem: Bool {
    var stems: Set<String> = []
    for item in self {
      guard case .relation(let name, _) = item, item.definedValue != nil else { return false }
      let stem: String =
        if case .symbol(let symbol) = name { String(symbol.prefix { $0 != "_" }) } else { "\(name)" }
      guard stems.insert(stem).inserted else { return false }
    }
    return count > 1
  }
}
