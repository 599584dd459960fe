// What the elements of a tensor stand for. All of them lie in memory as 32-bit floats and all arithmetic is that of
// 32-bit floats; the type says what values there can be, so that places, counts and masks are told from numbers.

/// The type of a tensor's elements.
public enum DType: String, CaseIterable, Sendable {
  /// Numbers. Only these have gradients.
  case f32
  /// Whole numbers below 2²⁴, whatever their sign, which 32-bit floats hold exactly; `Integers` has larger ones.
  case i32
  /// False and true, as 0 and 1.
  case bool

  /// The last whole number that is certain to be meant: 2²⁴ could be 2²⁴ + 1, rounded.
  public static let integerLimit: Float = 16_777_215

  /// The type that holds values of both.
  public static func promoted(_ a: DType, _ b: DType) -> DType {
    a == .f32 || b == .f32 ? .f32 : a == .bool && b == .bool ? .bool : .i32
  }

  /// The type of arithmetic results: that of the operands, where bools count as 0 and 1.
  var ofArithmetic: DType { self == .bool ? .i32 : self }
}

extension Tensor {
  /// This tensor, which an operation has just made, with a type for its elements.
  func typed(_ dtype: DType) -> Tensor {
    self.dtype = dtype
    return self
  }

  /// The same values as another type, in memory of their own and without gradient unless it is the same type: whole
  /// numbers from numbers that are whole, bools that say what is not 0.
  ///
  /// - Throws: if a number is not whole or too large for an integer.
  public func converted(to dtype: DType) throws(TensorError) -> Tensor {
    if dtype == self.dtype { return self }
    if dtype == .bool { return notEqual(to: 0) }
    let result = copied().typed(dtype)
    try result.checkIntegers("to")
    return result
  }

  /// Throws if this tensor is to hold integers and there is something else in it.
  public func checkIntegers(_ operation: String) throws(TensorError) {
    guard dtype == .i32 else { return }
    let x = contiguousCopyIfNeeded()
    for i in 0..<x.count {
      let value = x.pointer[i]
      guard Swift.abs(value) <= DType.integerLimit, value == value.rounded() else {
        if value == value.rounded() || value.isNaN { throw TensorError.beyondIntegers(operation, value) }
        throw TensorError("\(operation): \(value) is no whole number; use floor() or round() first, or f32")
      }
    }
  }
}
