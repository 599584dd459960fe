// Tensors of other types than those of 32-bit floats: bfloat16 for its size, integers beyond 2²⁴ for their exactness.
import Kernels

/// An n-dimensional array of a type that `Tensor` does not have. Its elements never change; `Integers` computes with
/// integers, and everything else is computed with `widened()` or `floats()`.
public final class StoredTensor: Sendable {
  /// Elements in row-major order.
  public enum Elements: Sendable {
    /// Upper halves of 32-bit floats.
    case bf16([UInt16])
    case integers([Int64], Integers.Width)
  }

  /// Sizes of the dimensions; empty for a scalar.
  public let shape: [Int]
  /// What is kept.
  public let elements: Elements

  /// - Precondition: `shape` has as many elements as there are.
  public init(_ elements: Elements, shape: [Int]) {
    self.elements = elements
    self.shape = shape
    precondition(shape.reduce(1, *) == count)
  }

  /// Numbers rounded to the nearest bfloat16, ties to even.
  public convenience init(bf16 tensor: Tensor) {
    let source = tensor.contiguousCopyIfNeeded()
    let halves = [UInt16](unsafeUninitializedCapacity: source.count) { buffer, count in
      if let base = buffer.baseAddress { BFloat16Kernels.encode(source.pointer, into: base, source.count) }
      count = source.count
    }
    self.init(.bf16(halves), shape: tensor.shape)
  }

  /// Keeps integers.
  public convenience init(_ integers: Integers) {
    self.init(.integers(integers.values, integers.width), shape: integers.shape)
  }

  /// The elements, if they are integers.
  public var integers: Integers? {
    if case .integers(let whole, let width) = elements {
      Integers(whole, shape: shape, width: width)
    } else {
      nil
    }
  }

  /// Number of elements.
  public var count: Int {
    switch elements {
    case .bf16(let halves): halves.count
    case .integers(let whole, _): whole.count
    }
  }

  /// Memory that the elements take.
  public var byteCount: Int {
    switch elements {
    case .bf16: 2 * count
    case .integers: 8 * count
    }
  }

  /// `bf16`, `i32` or `i64`.
  public var typeName: String {
    switch elements {
    case .bf16: "bf16"
    case .integers(_, let width): width.rawValue
    }
  }

  /// The elements as 32-bit floats: exact from bfloat16, rounded from large integers.
  public func floats() -> Tensor {
    let result = Tensor(uninitialized: shape)
    switch elements {
    case .bf16(let halves): BFloat16Kernels.expand(halves, into: result.pointer, count)
    case .integers(let whole, _): for (i, value) in whole.enumerated() { result.pointer[i] = Float(value) }
    }
    return result
  }

  /// The elements as `Tensor` has them, exactly: f32 from bfloat16, i32 from integers.
  ///
  /// - Throws: if an integer is too large for that.
  public func widened() throws(TensorError) -> Tensor {
    guard case .integers(let whole, _) = elements else { return floats() }
    let limit = Int64(DType.integerLimit)
    if let large = whole.first(where: { $0 > limit || $0 < -limit }) {
      throw TensorError("\(large) is beyond 2^24, too large for this operation; to(\"f32\") rounds it")
    }
    return floats().typed(.i32)
  }
}
