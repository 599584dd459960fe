// Sets of real numbers: intervals, their unions, and the solutions of inequalities in one variable.

/// A set of real numbers that is known by its members, and the places where it can change.
struct GradingRegion {
  let contains: (GradingNumber) -> Bool
  let borders: [GradingNumber]

  private init(_ borders: [GradingNumber], _ contains: @escaping (GradingNumber) -> Bool) {
    self.borders = borders
    self.contains = contains
  }

  /// The region that a formula describes; nil where it describes none.
  init?(_ formula: Formula) {
    switch formula {
    case .symbol("\\R"), .symbol("\\mathbb{R}"): self.init([]) { _ in true }
    case .tuple(let ends, let opening, let closing):
      guard ends.count == 2, let low = Self.constant(ends[0]), let high = Self.constant(ends[1]),
        low.double <= high.double
      else { return nil }
      self.init([low, high]) { x in
        (low < x || opening == .square && low.isSame(x)) && (x < high || closing == .square && x.isSame(high))
      }
    case .set(let items):
      var members: [GradingNumber] = []
      for item in items {
        guard let member = Self.constant(item) else { return nil }
        members.append(member)
      }
      self.init(members) { [members] x in members.contains { $0.isSame(x) } }
    case .setOperation(let sign, let left, let right):
      guard let a = GradingRegion(left), let b = GradingRegion(right) else { return nil }
      self.init(a.borders + b.borders) { x in
        switch sign {
        case .union: a.contains(x) || b.contains(x)
        case .intersection: a.contains(x) && b.contains(x)
        case .difference: a.contains(x) && !b.contains(x)
        }
      }
    case .relation(let first, let comparisons): self.init(relation: first, comparisons)
    case .list(let items): self.init(conditions: items)
    default: return nil
    }
  }

  /// "x < 1 or x > 3", "x < 1, x > 3": any of them; "x > 1 and x < 3" means both, as any would be every number.
  private init?(conditions: [Formula]) {
    var regions: [GradingRegion] = []
    guard Set(conditions.flatMap(\.symbols)).count == 1 else { return nil }
    for condition in conditions {
      guard case .relation = condition, let region = GradingRegion(condition) else { return nil }
      regions.append(region)
    }
    let borders = regions.flatMap(\.borders)
    let any = GradingRegion(borders) { [regions] x in regions.contains { $0.contains(x) } }
    let isEverything = any.samples(with: any).allSatisfy(any.contains)
    self =
      isEverything ? GradingRegion(borders) { [regions] x in regions.allSatisfy { $0.contains(x) } } : any
  }

  private init?(relation first: Formula, _ comparisons: [Formula.Comparison]) {
    if comparisons.count == 1, comparisons[0].sign == .element {
      self.init(comparisons[0].right)
      return
    }
    let sides = [first] + comparisons.map(\.right)
    let symbols = Set(sides.flatMap(\.symbols))
    // Roots are looked for at hundreds of places.
    guard sides.reduce(0, { $0 + $1.size }) < 100, symbols.count == 1, let symbol = symbols.first,
      !comparisons.contains(where: { $0.sign == .element })
    else { return nil }
    let links = zip(sides, comparisons).map { (left: $0, sign: $1.sign, right: $1.right) }
    let borders = links.flatMap { Self.roots(of: .sum([$0.left, .negative($0.right)]), symbol) }
    self.init(borders) { x in
      let point = GradingPoint(0, fixed: [symbol: x])
      return links.allSatisfy { link in
        guard let left = link.left.value(at: point), let right = link.right.value(at: point) else {
          return false
        }
        return switch link.sign {
        case .equal, .approximately, .element: left.isSame(right)
        case .unequal: !left.isSame(right)
        case .less: left < right
        case .lessOrEqual: left < right || left.isSame(right)
        case .greater: right < left
        case .greaterOrEqual: right < left || left.isSame(right)
        }
      }
    }
  }

  /// Whether two regions have the same members, tried at all borders and between them.
  func isSame(as other: GradingRegion) -> Bool {
    samples(with: other).allSatisfy { contains($0) == other.contains($0) }
  }

  private func samples(with other: GradingRegion) -> [GradingNumber] {
    // Exact borders come first, so that a root found by bisection does not stand in for one of them.
    let all = (borders + other.borders).filter(\.double.isFinite)
    var distinct: [GradingNumber] = []
    for border in all.filter({ $0.residue != nil }) + all.filter({ $0.residue == nil })
    where distinct.count < 200 {
      if !distinct.contains(where: { $0.isSame(border) }) { distinct.append(border) }
    }
    let places = distinct.map(\.double).sorted()
    let between = zip(places, places.dropFirst()).map { ($0 + $1) / 2 }
    let outside = [(places.first ?? 0) - 1, (places.last ?? 0) + 1, -1e7, 1e7, 0.4375, -0.4375]
    return distinct + (between + outside).compactMap { GradingNumber($0, residue: nil) }
  }

  private static func constant(_ formula: Formula) -> GradingNumber? {
    formula.symbols.isEmpty ? formula.value(at: GradingPoint(0)) : nil
  }

  /// Where a function of one variable changes its sign or touches zero, on a grid that widens with the distance from 0.
  private static func roots(of formula: Formula, _ symbol: String) -> [GradingNumber] {
    func value(_ x: Double) -> Double? {
      GradingNumber(x, residue: nil).flatMap {
        formula.value(at: GradingPoint(0, fixed: [symbol: $0]))?.double
      }
    }
    var roots: [GradingNumber] = []
    let grid: [Double] = (-300...300).map { step in
      let x = Double(step)
      return 0.03 * x * (1 + x * x / 2000) - 0.0137
    }
    let places = [-1e7, -1e5] + grid + [1e5, 1e7]
    for (left, right) in zip(places, places.dropFirst()) {
      guard let a = value(left), let b = value(right), (a < 0) != (b < 0) else { continue }
      var (low, high) = (left, right)
      for _ in 0..<80 {
        let middle = (low + high) / 2
        guard let v = value(middle) else { break }
        if (v < 0) == (a < 0) { low = middle } else { high = middle }
      }
      let root = (low + high) / 2
      // A whole number nearby is the root itself.
      let whole = Int(exactly: root.rounded()).flatMap {
        abs(Double($0) - root) < 1e-9 ? GradingNumber($0) : nil
      }
      if let root = whole ?? GradingNumber(root, residue: nil) { roots.append(root) }
    }
    return roots
  }
}

extension GradingNumber {
  fileprivate func isSame(_ other: GradingNumber) -> Bool {
    isEqual(to: other, roundedDecimals: false) || residue == nil && abs(double - other.double) < 1e-10
      || other.residue == nil && abs(double - other.double) < 1e-10
  }

  fileprivate static func < (a: GradingNumber, b: GradingNumber) -> Bool {
    a.double < b.double && !a.isSame(b)
  }
}
