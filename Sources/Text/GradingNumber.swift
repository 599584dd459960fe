// The numbers that answers are compared by: a Double for the size and, for rational numbers, a residue that makes the
// comparison exact without big integers.

import Foundation

/// A real number. Two rational numbers of about the same size are equal if their residues modulo a prime of 61 bits are;
/// nothing in this arithmetic overflows, however large the numbers in an answer are.
struct GradingNumber: Sendable {
  /// The value, possibly rounded, possibly infinite, never NaN.
  let double: Double
  /// The value modulo `prime`; nil where the number is irrational or was reached by rounding.
  let residue: UInt64?

  static let prime: UInt64 = (1 << 61) - 1
  static let zero = GradingNumber(0)
  static let one = GradingNumber(1)

  /// nil for NaN.
  init?(_ double: Double, residue: UInt64?) {
    guard !double.isNaN else { return nil }
    self.double = double
    self.residue = residue
  }

  init(_ integer: Int) {
    double = Double(integer)
    let magnitude = UInt64(integer.magnitude) % Self.prime
    residue = integer < 0 && magnitude > 0 ? Self.prime - magnitude : magnitude
  }

  /// A decimal literal: digits, of which so many stand after the point, times ten to a power.
  init?(digits: String, decimals: Int, exponent: Int) {
    var residue: UInt64 = 0
    for digit in digits.utf8 { residue = Self.multiply(residue, 10) &+ UInt64(digit &- 48) }
    residue %= Self.prime
    let shift = exponent.subtractingReportingOverflow(decimals)
    guard !shift.overflow, let double = Double("\(digits)e\(shift.partialValue)") else { return nil }
    let scale = Self.power(10, UInt64(shift.partialValue.magnitude))
    self.init(
      double, residue: Self.multiply(residue, shift.partialValue < 0 ? Self.inverse(scale) : scale))
  }

  var isInteger: Bool { residue != nil && double.rounded() == double }

  /// The value as an exact integer of at most 53 bits.
  var integer: Int? {
    guard let residue, abs(double) < 9e15, let integer = Int(exactly: double) else { return nil }
    return GradingNumber(integer).residue == residue ? integer : nil
  }

  // MARK: Arithmetic

  static prefix func - (number: GradingNumber) -> GradingNumber {
    GradingNumber(unchecked: -number.double, number.residue.map { $0 == 0 ? 0 : prime - $0 })
  }

  static func + (left: GradingNumber, right: GradingNumber) -> GradingNumber? {
    result(left.double + right.double, residue: both(left, right) { ($0 &+ $1) % prime }, left, right)
  }

  static func * (left: GradingNumber, right: GradingNumber) -> GradingNumber? {
    result(left.double * right.double, residue: both(left, right, multiply), left, right)
  }

  /// nil where the divisor is zero.
  static func / (left: GradingNumber, right: GradingNumber) -> GradingNumber? {
    guard right.double != 0, right.residue != 0 else { return nil }
    return result(
      left.double / right.double, residue: both(left, right) { multiply($0, inverse($1)) }, left, right)
  }

  /// nil where the power is not a real number.
  func power(_ exponent: GradingNumber) -> GradingNumber? {
    if let integer = exponent.integer {
      if integer < 0 && double == 0 || integer == 0 && double == 0 { return nil }
      let power = residue.map { Self.power($0, UInt64(integer.magnitude)) }
      guard integer >= 0 || power != 0 else { return nil }
      return GradingNumber(
        pow(double, Double(integer)), residue: integer < 0 ? power.map(Self.inverse) : power)
    }
    if exponent.double == 0.5 { return root(2) }
    // The cube root of a negative number is real, as it is in school.
    if double < 0, let inverse = (Self.one / exponent)?.double.rounded(), abs(inverse) < 100,
      abs(inverse * exponent.double - 1) < 1e-12, inverse.truncatingRemainder(dividingBy: 2) != 0
    {
      return Self.result(-pow(-double, exponent.double), residue: nil, self, exponent)
    }
    guard exponent.double.isFinite else { return nil }
    return Self.result(pow(double, exponent.double), residue: nil, self, exponent)
  }

  /// The root of a degree; exact where it is an integer.
  func root(_ degree: Int) -> GradingNumber? {
    guard degree > 0, degree < 1000, double >= 0 || degree % 2 == 1 else { return nil }
    let magnitude = degree == 2 ? abs(double).squareRoot() : pow(abs(double), 1 / Double(degree))
    let candidate = (double < 0 ? -magnitude : magnitude).rounded()
    if let residue, let integer = Int(exactly: candidate), abs(candidate) < 9e15,
      let back = GradingNumber(integer).residue.map({ Self.power($0, UInt64(degree)) }), back == residue
    {
      return GradingNumber(integer)
    }
    return GradingNumber(double < 0 ? -magnitude : magnitude, residue: nil)
  }

  // MARK: Size

  /// Whether it is ∞ itself and not a number too large for a Double.
  var isInfinity: Bool { double.isInfinite && residue == nil }

  /// A result that is too large for a Double and not known exactly is no number, lest it be taken for ∞.
  private static func result(
    _ double: Double, residue: UInt64?, _ left: GradingNumber, _ right: GradingNumber
  ) -> GradingNumber? {
    let isOverflow = double.isInfinite && residue == nil && !left.isInfinity && !right.isInfinity
    return isOverflow ? nil : GradingNumber(double, residue: residue)
  }

  // MARK: Residues

  private init(unchecked double: Double, _ residue: UInt64?) {
    self.double = double
    self.residue = residue
  }

  private static func both(
    _ left: GradingNumber, _ right: GradingNumber, _ combine: (UInt64, UInt64) -> UInt64
  ) -> UInt64? {
    guard let a = left.residue, let b = right.residue else { return nil }
    return combine(a, b)
  }

  private static func multiply(_ a: UInt64, _ b: UInt64) -> UInt64 {
    let (high, low) = a.multipliedFullWidth(by: b)
    return ((high << 3 | low >> 61) &+ (low & prime)) % prime
  }

  private static func power(_ base: UInt64, _ exponent: UInt64) -> UInt64 {
    var (result, square, left) = (UInt64(1), base, exponent)
    while left > 0 {
      if left & 1 == 1 { result = multiply(result, square) }
      square = multiply(square, square)
      left >>= 1
    }
    return result
  }

  private static func inverse(_ a: UInt64) -> UInt64 { power(a, prime - 2) }
}
