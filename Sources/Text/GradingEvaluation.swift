// The value of a formula where its variables have given values.

import Foundation

/// A point at which formulas are evaluated. Two formulas in variables are taken for equal if they agree at several.
struct GradingPoint: Sendable {
  private let index: UInt64
  /// Values that are set by hand, before all others.
  private let fixed: [String: GradingNumber]
  /// What ± is at this point.
  let upperSign: Bool

  init(_ index: UInt64, fixed: [String: GradingNumber] = [:], upperSign: Bool = true) {
    self.index = index
    self.fixed = fixed
    self.upperSign = upperSign
  }

  func withSign(_ upper: Bool) -> GradingPoint {
    GradingPoint(index, fixed: fixed, upperSign: upper)
  }

  /// The indices of points with whole coordinates, for factorials.
  static let wholePoints = UInt64(100)..<108

  /// The first points are positive, as lengths and counts are; the later ones have both signs. The value depends on
  /// nothing but the name and the index, so grading is reproducible.
  func value(of name: String) -> GradingNumber? {
    if let value = fixed[name] { return value }
    if let constant = Formula.constants[name] { return GradingNumber(constant, residue: nil) }
    var state = index &* 0x9E37_79B9_7F4A_7C15
    for byte in name.utf8 { state = (state ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    state = (state ^ state >> 30) &* 0xBF58_476D_1CE4_E5B9
    state = (state ^ state >> 27) &* 0x94D0_49BB_1331_11EB
    state ^= state >> 31
    if index >= GradingPoint.wholePoints.lowerBound { return GradingNumber(Int(state % 12) + 2) }
    let numerator = Int(state % 2700) + 300
    let isNegative = index >= 5 && state >> 40 & 1 == 1
    return GradingNumber(isNegative ? -numerator : numerator) / GradingNumber(1009)
  }
}

extension Formula {
  /// nil where the formula is not a real number: collections, words, divisions by zero, roots of negative numbers.
  func value(at point: GradingPoint) -> GradingNumber? {
    switch self {
    case .number(let number, _): return number
    case .symbol(let name): return point.value(of: name)
    case .sum(let terms): return terms.fold(.zero, at: point) { $0 + $1 }
    case .product(let factors): return factors.fold(.one, at: point) { $0 * $1 }
    case .negative(let term): return term.value(at: point).map { -$0 }
    case .plusMinus(let term, let isMinusPlus):
      return term.value(at: point).map { point.upperSign == isMinusPlus ? -$0 : $0 }
    case .quotient(let above, let below):
      guard let a = above.value(at: point), let b = below.value(at: point) else { return nil }
      return a / b
    case .power(let base, let exponent):
      guard let a = base.value(at: point), let b = exponent.value(at: point) else { return nil }
      if case .symbol("e") = base { return Formula.exponential(b) }
      return a.power(b)
    case .function(let name, let arguments):
      var values: [GradingNumber] = []
      for argument in arguments {
        guard let value = argument.value(at: point) else { return nil }
        values.append(value)
      }
      return Formula.apply(name, values)
    case .quantity(let value, let unit):
      guard let number = value.value(at: point) else { return nil }
      switch unit {
      case "%": return number / GradingNumber(100)
      case "°": return GradingNumber(number.double * .pi / 180, residue: nil)
      default: return number
      }
    case .text, .tuple, .set, .list, .ratio, .matrix, .relation, .setOperation: return nil
    }
  }

  /// Whether it has a function that is only evaluated at whole numbers.
  private var needsWholeNumbers: Bool {
    contains { if case .function(let name, _) = $0 { ["factorial", "binom"].contains(name) } else { false } }
  }

  private static func apply(_ name: String, _ arguments: [GradingNumber]) -> GradingNumber? {
    guard let first = arguments.first else { return nil }
    let x = first.double
    if arguments.count == 1 {
      switch name {
      case "root": return first.root(2)
      case "abs": return x < 0 ? -first : first
      case "floor", "ceil":
        if first.isInteger { return first }
        return Int(exactly: name == "floor" ? Foundation.floor(x) : Foundation.ceil(x)).map {
          GradingNumber($0)
        }
      case "factorial": return factorial(first)
      case "exp": return exponential(first)
      default:
        return realFunctions[name].flatMap { function in
          let value = function(x)
          return value.isFinite ? GradingNumber(value, residue: nil) : nil
        }
      }
    }
    let second = arguments[1]
    switch name {
    case "root" where arguments.count == 2: return second.integer.flatMap { first.root($0) }
    case "log" where arguments.count == 2: return logarithm(first, base: second)
    case "binom" where arguments.count == 2: return binomial(first, second)
    case "max": return arguments.max { $0.double < $1.double }
    case "min": return arguments.min { $0.double < $1.double }
    case "gcd", "lcm":
      guard let a = first.integer, let b = second.integer, arguments.count == 2 else { return nil }
      let divisor = gcd(a, b)
      if name == "gcd" { return GradingNumber(divisor) }
      return divisor == 0
        ? .zero : (GradingNumber(a / divisor) * GradingNumber(b)).map { $0.double < 0 ? -$0 : $0 }
    default: return nil
    }
  }

  private static let realFunctions: [String: @Sendable (Double) -> Double] = [
    "sin": { Foundation.sin($0) }, "cos": { Foundation.cos($0) }, "tan": { Foundation.tan($0) },
    "cot": { 1 / Foundation.tan($0) }, "sec": { 1 / Foundation.cos($0) }, "csc": { 1 / Foundation.sin($0) },
    "arcsin": { asin($0) }, "arccos": { acos($0) }, "arctan": { atan($0) }, "sinh": { Foundation.sinh($0) },
    "cosh": { Foundation.cosh($0) }, "tanh": { Foundation.tanh($0) },
    "ln": { Foundation.log($0) }, "log": { Foundation.log($0) }, "lg": { log10($0) },
  ]

  /// Whole results are exact: the base-2 logarithm of 8 is 3.
  private static func logarithm(_ number: GradingNumber, base: GradingNumber) -> GradingNumber? {
    guard number.double > 0, base.double > 0, base.double != 1 else { return nil }
    let value = Foundation.log(number.double) / Foundation.log(base.double)
    if let whole = Int(exactly: value.rounded()), Swift.abs(whole) < 1000, let residue = number.residue,
      base.power(GradingNumber(whole))?.residue == residue
    {
      return GradingNumber(whole)
    }
    return GradingNumber(value, residue: nil)
  }

  private static func factorial(_ number: GradingNumber) -> GradingNumber? {
    guard let n = number.integer, (0...1000).contains(n) else { return nil }
    var product = GradingNumber.one
    for factor in stride(from: 2, through: n, by: 1) {
      guard let next = product * GradingNumber(factor) else { return nil }
      product = next
    }
    return product
  }

  private static func binomial(_ upper: GradingNumber, _ lower: GradingNumber) -> GradingNumber? {
    guard let k = lower.integer, (0...1000).contains(k) else { return nil }
    var product = GradingNumber.one
    for index in 0..<k {
      guard let factor = upper + GradingNumber(-index), let above = product * factor,
        let next = above / GradingNumber(index + 1)
      else { return nil }
      product = next
    }
    return product
  }

  private static func exponential(_ exponent: GradingNumber) -> GradingNumber? {
    let value = Foundation.exp(exponent.double)
    return value.isFinite ? GradingNumber(value, residue: nil) : nil
  }

  private static func gcd(_ a: Int, _ b: Int) -> Int {
    var (a, b) = (abs(a), abs(b))
    while b != 0 { (a, b) = (b, a % b) }
    return a
  }
}

extension [Formula] {
  fileprivate func fold(
    _ start: GradingNumber, at point: GradingPoint,
    _ combine: (GradingNumber, GradingNumber) -> GradingNumber?
  ) -> GradingNumber? {
    var result = start
    for part in self {
      guard let value = part.value(at: point), let next = combine(result, value) else { return nil }
      result = next
    }
    return result
  }
}

extension Formula {
  /// Whether two formulas have the same value wherever both have one.
  ///
  /// Rational values are compared exactly: 0.33 is not 1/3, and 10^12 is not 10^12 + 1. Where exactly one side was
  /// written in decimals and neither is a whole number, the decimals may be rounded: a relative difference of 1e-6 is
  /// allowed, so 0.3333333 is 1/3. Else 1e-10 covers the rounding of our own arithmetic.
  static func areEqual(_ a: Formula, _ b: Formula) -> Bool {
    let roundedDecimals = a.hasDecimals != b.hasDecimals
    let symbols = a.symbols.union(b.symbols)
    var agreements = 0
    let indices = a.needsWholeNumbers || b.needsWholeNumbers ? GradingPoint.wholePoints : 0..<8
    for index in symbols.isEmpty ? 0..<1 : indices {
      for upperSign in [true, false] {
        let point = GradingPoint(index, upperSign: upperSign)
        guard let left = a.value(at: point), let right = b.value(at: point) else { continue }
        guard left.isEqual(to: right, roundedDecimals: roundedDecimals) else { return false }
        agreements += 1
      }
    }
    return agreements >= (symbols.isEmpty ? 1 : 6)
  }
}

extension GradingNumber {
  func isEqual(to other: GradingNumber, roundedDecimals: Bool) -> Bool {
    if let a = residue, let b = other.residue {
      if a == b && (double == other.double || isNear(other, 1e-10)) { return true }
      if isInteger || other.isInteger {
        // Only the noise of binary arithmetic, as in 0.30000000000000004 * 10.
        return isInteger != other.isInteger && isNear(other, 1e-15)
      }
      return isNear(other, roundedDecimals ? 1e-6 : 1e-15)
    }
    guard double.isFinite, other.double.isFinite else {
      return double == other.double && isInfinity == other.isInfinity
    }
    return isNear(other, roundedDecimals ? 1e-6 : 1e-10) || abs(double - other.double) < 1e-13
  }

  private func isNear(_ other: GradingNumber, _ tolerance: Double) -> Bool {
    double.isFinite && other.double.isFinite
      && abs(double - other.double) <= tolerance * Swift.max(abs(double), abs(other.double))
  }
}
