// Elementwise operations: arithmetic with broadcasting, functions of one variable, comparisons, selection.
import Kernels

// MARK: Two operands, broadcast

extension Tensor {
  /// `self + other`, broadcast.
  public func adding(_ other: Tensor) throws(TensorError) -> Tensor { try combined(.add, .add, other) }

  /// `self - other`, broadcast.
  public func subtracting(_ other: Tensor) throws(TensorError) -> Tensor {
    try combined(.subtract, .subtract, other)
  }

  /// `self · other`, element by element, broadcast.
  public func multiplied(by other: Tensor) throws(TensorError) -> Tensor {
    try combined(.multiply, .multiply, other)
  }

  /// `self / other`, broadcast.
  public func divided(by other: Tensor) throws(TensorError) -> Tensor {
    try combined(.divide, .divide, other)
  }

  /// `self` to the power of `exponent`, broadcast. A negative number to a fractional power is NaN.
  ///
  /// - Throws: if the shapes do not fit, or an integer is to have a negative power.
  public func power(_ exponent: Tensor) throws(TensorError) -> Tensor {
    if dtype != .f32, exponent.dtype == .i32, let negative = exponent.values.first(where: { $0 < 0 }) {
      throw TensorError(
        "pow: integers have no negative powers, got \(Int(negative)); to(\"f32\") has fractions")
    }
    return try combined(.power, .power, exponent)
  }

  /// The smaller of each pair, broadcast; NaN if one of them is. A tie splits the gradient evenly.
  public func minimum(_ other: Tensor) throws(TensorError) -> Tensor {
    try combined(.minimum, .minimum, other)
  }

  /// The larger of each pair, broadcast; NaN if one of them is. A tie splits the gradient evenly.
  public func maximum(_ other: Tensor) throws(TensorError) -> Tensor {
    try combined(.maximum, .maximum, other)
  }

  /// `self + other`.
  public func adding(_ other: Float) -> Tensor { combined(.add, .add, Tensor(other), shape) }

  /// `self - other`.
  public func subtracting(_ other: Float) -> Tensor { combined(.subtract, .subtract, Tensor(other), shape) }

  /// `self · other`.
  public func multiplied(by other: Float) -> Tensor { combined(.multiply, .multiply, Tensor(other), shape) }

  /// `self / other`.
  public func divided(by other: Float) -> Tensor { combined(.divide, .divide, Tensor(other), shape) }

  /// `self` to the power of `exponent`.
  public func power(_ exponent: Float) -> Tensor { combined(.power, .power, Tensor(exponent), shape) }

  /// The smaller of each element and `other`.
  public func minimum(_ other: Float) -> Tensor { combined(.minimum, .minimum, Tensor(other), shape) }

  /// The larger of each element and `other`.
  public func maximum(_ other: Float) -> Tensor { combined(.maximum, .maximum, Tensor(other), shape) }

  private func combined(
    _ op: Op, _ function: BinaryFunction, _ other: Tensor
  ) throws(TensorError) -> Tensor {
    guard let shape = broadcastShape(shape, other.shape) else {
      throw TensorError(op, "cannot broadcast \(shape) with \(other.shape)")
    }
    try checkSize(shape, of: op.rawValue)
    return combined(op, function, other, shape)
  }

  private func combined(_ op: Op, _ function: BinaryFunction, _ other: Tensor, _ shape: [Int]) -> Tensor {
    let result = Tensor(uninitialized: shape).typed(function.dtype(dtype, other.dtype))
    Walk.forEachRun(shape, self, other) { place, count, a, b, _ in
      ElementwiseKernels.map(function, a, b, into: result.pointer + place, count: count)
    }
    if function == .add {
      let (first, second) = (gradientRoute, other.gradientRoute)
      return result.recorded(op, [first, second]) { dy in
        second.accumulateBroadcast(dy)
        first.accumulateBroadcast(dy, mayKeep: true)
      }
    }
    let (a, b) = (detached(), other.detached())
    return result.recorded(op, [self, other]) { dy in
      self.accumulateElementwise(shape) { out, beta in
        Walk.forEachRun(shape, dy, a, b) { place, count, dy, a, b in
          ElementwiseKernels.gradientOfFirst(function, dy, a, b, into: out + place, beta: beta, count: count)
        }
      }
      other.accumulateElementwise(shape) { out, beta in
        Walk.forEachRun(shape, dy, a, b) { place, count, dy, a, b in
          ElementwiseKernels.gradientOfSecond(function, dy, a, b, into: out + place, beta: beta, count: count)
        }
      }
    }
  }

  /// Accumulates a gradient that `body` writes for the broadcast `shape`: straight into place where nothing was
  /// repeated, else summed afterwards.
  private func accumulateElementwise(
    _ shape: [Int], _ body: (_ out: UnsafeMutablePointer<Float>, _ beta: Float) -> Void
  ) {
    if shape == self.shape { return accumulate(body) }
    guard needsGradient else { return }
    let gradient = Tensor(uninitialized: shape)
    body(gradient.pointer, 0)
    accumulateBroadcast(gradient, mayKeep: true)
  }
}

// MARK: One operand

extension Tensor {
  /// `-self`.
  public func negated() -> Tensor { mapped(.negate, .negate) }

  /// e to the power of each element.
  public func exp() -> Tensor { mapped(.exp, .exp) }

  /// The natural logarithm.
  public func log() -> Tensor { mapped(.log, .log) }

  /// The square root.
  public func sqrt() -> Tensor { mapped(.sqrt, .sqrt) }

  /// Each element times itself.
  public func squared() -> Tensor { mapped(.square, .square) }

  /// The absolute value; its derivative at 0 is 0.
  public func absolute() -> Tensor { mapped(.abs, .abs) }

  /// Each element moved to the nearest number in `low ... high`. The gradient passes where it was inside, the bounds
  /// included. Where `low > high`, everything becomes `high`.
  public func clamped(_ low: Float, _ high: Float) -> Tensor { mapped(.clamp, .clamp(low, high)) }

  /// 1 / (1 + e^-x).
  public func sigmoid() -> Tensor { mapped(.sigmoid, .sigmoid) }

  /// x · sigmoid(x).
  public func silu() -> Tensor { mapped(.silu, .silu) }

  /// x · Φ(x), with the normal distribution's Φ, or its approximation by tanh (Hendrycks and Gimpel, arXiv:1606.08415).
  public func gelu(approximate: Bool = false) -> Tensor { mapped(.gelu, approximate ? .geluTanh : .gelu) }

  /// The hyperbolic tangent.
  public func tanh() -> Tensor { mapped(.tanh, .tanh) }

  /// The larger of x and 0; its derivative at 0 is 0.
  public func relu() -> Tensor { mapped(.relu, .relu) }

  /// The sine of an angle in radians.
  public func sin() -> Tensor { mapped(.sin, .sin) }

  /// The cosine of an angle in radians.
  public func cos() -> Tensor { mapped(.cos, .cos) }

  /// The error function 2/√π ∫₀ˣ e^(−t²) dt.
  public func erf() -> Tensor { mapped(.erf, .erf) }

  /// e^x − 1, exact for small x.
  public func expm1() -> Tensor { mapped(.expm1, .expm1) }

  /// log(1 + x), exact for small x.
  public func log1p() -> Tensor { mapped(.log1p, .log1p) }

  /// A function that is constant between jumps; without gradient.
  public func stepped(_ function: StepFunction) -> Tensor {
    let x = contiguousCopyIfNeeded()
    let result = Tensor(uninitialized: shape).typed(dtype.ofArithmetic)
    ElementwiseKernels.map(function, x.pointer, into: result.pointer, count: x.count)
    return result
  }

  private func mapped(_ op: Op, _ function: UnaryFunction) -> Tensor {
    let x = contiguousCopyIfNeeded()
    let result = Tensor(uninitialized: shape).typed(function.keepsIntegers ? dtype.ofArithmetic : .f32)
    ElementwiseKernels.map(function, x.pointer, into: result.pointer, count: x.count)
    let saved = (function.savesResult ? result : x).detached()
    return result.recorded(op, [self], savesResult: function.savesResult) { dy in
      self.accumulate { dx, beta in
        ElementwiseKernels.gradient(
          function, dy.pointer, saved: saved.pointer, into: dx, beta: beta, count: saved.count)
      }
    }
  }
}

// MARK: Masks

extension Tensor {
  /// 1 where `self > other`, else 0; broadcast, without gradient.
  public func greater(than other: Tensor) throws(TensorError) -> Tensor { try compared(.greater, other) }

  /// 1 where `self >= other`, else 0; broadcast, without gradient.
  public func greaterOrEqual(to other: Tensor) throws(TensorError) -> Tensor {
    try compared(.greaterOrEqual, other)
  }

  /// 1 where `self < other`, else 0; broadcast, without gradient.
  public func less(than other: Tensor) throws(TensorError) -> Tensor { try compared(.less, other) }

  /// 1 where `self <= other`, else 0; broadcast, without gradient.
  public func lessOrEqual(to other: Tensor) throws(TensorError) -> Tensor {
    try compared(.lessOrEqual, other)
  }

  /// 1 where `self == other`, else 0; broadcast, without gradient.
  public func equal(to other: Tensor) throws(TensorError) -> Tensor { try compared(.equal, other) }

  /// 1 where `self != other`, else 0; broadcast, without gradient. NaN differs from all.
  public func notEqual(to other: Tensor) throws(TensorError) -> Tensor { try equal(to: other).negation }

  /// 1 where `self != other`, else 0. NaN differs from all.
  public func notEqual(to other: Float) -> Tensor { equal(to: other).negation }

  /// 1 where this is 0, else 0: not, for masks.
  var negation: Tensor { equal(to: 0) }

  /// 1 where `self > other`, else 0.
  public func greater(than other: Float) -> Tensor { compared(.greater, Tensor(other), shape) }

  /// 1 where `self >= other`, else 0.
  public func greaterOrEqual(to other: Float) -> Tensor { compared(.greaterOrEqual, Tensor(other), shape) }

  /// 1 where `self < other`, else 0.
  public func less(than other: Float) -> Tensor { compared(.less, Tensor(other), shape) }

  /// 1 where `self <= other`, else 0.
  public func lessOrEqual(to other: Float) -> Tensor { compared(.lessOrEqual, Tensor(other), shape) }

  /// 1 where `self == other`, else 0.
  public func equal(to other: Float) -> Tensor { compared(.equal, Tensor(other), shape) }

  private func compared(_ comparison: Comparison, _ other: Tensor) throws(TensorError) -> Tensor {
    guard let shape = broadcastShape(shape, other.shape) else {
      throw TensorError("\(comparison.rawValue): cannot broadcast \(self.shape) with \(other.shape)")
    }
    try checkSize(shape, of: comparison.rawValue)
    return compared(comparison, other, shape)
  }

  private func compared(_ comparison: Comparison, _ other: Tensor, _ shape: [Int]) -> Tensor {
    let result = Tensor(uninitialized: shape).typed(.bool)
    Walk.forEachRun(shape, self, other) { place, count, a, b, _ in
      ElementwiseKernels.compare(comparison, a, b, into: result.pointer + place, count: count)
    }
    return result
  }

  /// `self` where `mask` is not 0, else `other`; all three broadcast. The gradient goes to whichever was taken, and
  /// none to the mask.
  public func selected(where mask: Tensor, else other: Tensor) throws(TensorError) -> Tensor {
    guard let both = broadcastShape(shape, other.shape), let shape = broadcastShape(mask.shape, both) else {
      throw TensorError(.select, "cannot broadcast the mask \(mask.shape) with \(shape) and \(other.shape)")
    }
    try checkSize(shape, of: Op.select.rawValue)
    let mask = mask.detached()
    let result = Tensor(uninitialized: shape).typed(.promoted(dtype, other.dtype))
    Walk.forEachRun(shape, mask, self, other) { place, count, mask, a, b in
      ElementwiseKernels.select(mask, a, b, into: result.pointer + place, count: count)
    }
    return result.recorded(.select, [self, other]) { dy in
      let zero = Tensor(0)
      self.accumulateElementwise(shape) { out, beta in
        Walk.forEachRun(shape, mask, dy, zero) { place, count, mask, dy, zero in
          ElementwiseKernels.select(mask, dy, zero, into: out + place, beta: beta, count: count)
        }
      }
      other.accumulateElementwise(shape) { out, beta in
        Walk.forEachRun(shape, mask, dy, zero) { place, count, mask, dy, zero in
          ElementwiseKernels.select(mask, zero, dy, into: out + place, beta: beta, count: count)
        }
      }
    }
  }

  /// `self` where `mask` is not 0, else `other`.
  public func selected(where mask: Tensor, else other: Float) throws(TensorError) -> Tensor {
    try selected(where: mask, else: Tensor(other))
  }
}

// MARK: Types of results

extension BinaryFunction {
  /// The type of results for operands of two types.
  fileprivate func dtype(_ a: DType, _ b: DType) -> DType {
    let both = DType.promoted(a, b)
    return switch self {
    case .divide: .f32
    case .minimum, .maximum: both
    case .add, .subtract, .multiply, .power: both.ofArithmetic
    }
  }
}

extension UnaryFunction {
  /// Whether whole numbers give whole numbers.
  fileprivate var keepsIntegers: Bool {
    switch self {
    case .negate, .square, .abs, .relu: true
    case .clamp(let low, let high): [low, high].allSatisfy { $0.isInfinite || $0 == $0.rounded() }
    default: false
    }
  }
}
