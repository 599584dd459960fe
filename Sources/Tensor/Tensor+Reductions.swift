// Reductions over any dimensions, composed of those along one.
import Kernels

extension Tensor {
  /// Brings the elements along `dims` (all of them for nil) together as one last dimension, which `body` reduces; the
  /// dimensions are left out of the result, or kept with size 1.
  private func reduced(
    _ operation: String, _ dims: [Int]?, _ keepDim: Bool, _ body: (Tensor) throws(TensorError) -> Tensor
  ) throws(TensorError) -> Tensor {
    let gone = try resolved(dims, for: operation)
    let kept = shape.indices.filter { !gone.contains($0) }
    let sizes = kept.map { shape[$0] }
    let flat = try permuted(kept + gone).reshaped(sizes + [gone.reduce(1) { $0 * shape[$1] }])
    let result = try body(flat)
    return try keepDim ? result.reshaped(keptShape(gone)) : result
  }

  private func keptShape(_ gone: [Int]) -> [Int] { shape.indices.map { gone.contains($0) ? 1 : shape[$0] } }

  /// Different dimensions counted from 0; all of them for nil.
  private func resolved(_ dims: [Int]?, for operation: String) throws(TensorError) -> [Int] {
    guard let dims else { return Array(shape.indices) }
    var indices: [Int] = []
    for dim in dims { indices.append(try dimension(dim, for: operation).index) }
    guard Set(indices).count == indices.count else {
      throw TensorError("\(operation): a dimension of \(shape) is named twice")
    }
    return indices
  }

  /// Sums over `dims`, over all dimensions for nil.
  public func sum(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    if let dims, dims.count == 1 { return try sum(dim: dims[0], keepDim: keepDim) }
    if dims == nil, !keepDim { return sum() }
    return try reduced("sum", dims, keepDim) { x throws(TensorError) in try x.sum(dim: -1) }
  }

  /// Means over `dims`, over all dimensions for nil.
  public func mean(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    if let dims, dims.count == 1 { return try mean(dim: dims[0], keepDim: keepDim) }
    if dims == nil, !keepDim { return mean() }
    return try reduced("mean", dims, keepDim) { x throws(TensorError) in try x.mean(dim: -1) }
  }

  /// The largest elements over `dims`, the largest of all for nil. Equal ones share the gradient if all are meant, else
  /// the first has it.
  public func max(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    if dims == nil, !keepDim { return try max() }
    return try reduced("max", dims, keepDim) { x throws(TensorError) in try x.max(dim: -1) }
  }

  /// The smallest elements over `dims`, the smallest of all for nil.
  public func min(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    if dims == nil, !keepDim { return try min() }
    return try reduced("min", dims, keepDim) { x throws(TensorError) in try x.min(dim: -1) }
  }

  /// Products over `dims`, over all dimensions for nil.
  public func product(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    try reduced("prod", dims, keepDim) { x throws(TensorError) in x.productOfRows() }
  }

  /// Variances over `dims`: Σ (x − mean)² / (n − correction); NaN where n ≤ correction.
  public func variance(
    dims: [Int]?, keepDim: Bool = false, correction: Float = 1
  ) throws(TensorError) -> Tensor {
    let n = try resolved(dims, for: "var").reduce(1) { $0 * shape[$1] }
    let centred = try subtracting(mean(dims: dims, keepDim: true))
    return try centred.squared().sum(dims: dims, keepDim: keepDim).divided(
      by: Swift.max(0, Float(n) - correction))
  }

  /// Square roots of the variances; their derivative at 0 is taken to be 0.
  public func standardDeviation(
    dims: [Int]?, keepDim: Bool = false, correction: Float = 1
  ) throws(TensorError) -> Tensor {
    try variance(dims: dims, keepDim: keepDim, correction: correction).rootOrZero()
  }

  /// (Σ |x|^p)^(1/p) over `dims`; the largest absolute value for infinity. The derivative at 0 is taken to be 0.
  public func norm(_ p: Float = 2, dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    if p == 2 { return try squared().sum(dims: dims, keepDim: keepDim).rootOrZero() }
    if p == .infinity { return try absolute().max(dims: dims, keepDim: keepDim) }
    if p == 1 { return try absolute().sum(dims: dims, keepDim: keepDim) }
    return try absolute().power(p).sum(dims: dims, keepDim: keepDim).power(1 / p)
  }

  /// log Σ e^x over `dims`, without overflow.
  public func logSumExp(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    // What is not finite cannot be subtracted from itself.
    let peak = try detached().max(dims: dims, keepDim: true)
    let shift = try peak.selected(where: peak.isFinite, else: 0)
    let sum = try subtracting(shift).exp().sum(dims: dims, keepDim: keepDim)
    return try sum.log().adding(shift.reshaped(sum.shape))
  }

  /// 1 where at least one element over `dims` is not 0, else 0.
  public func any(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    try notEqual(to: 0).sum(dims: dims, keepDim: keepDim).greater(than: 0)
  }

  /// 1 where no element over `dims` is 0, else 0.
  public func all(dims: [Int]?, keepDim: Bool = false) throws(TensorError) -> Tensor {
    try equal(to: 0).sum(dims: dims, keepDim: keepDim).equal(to: 0)
  }

  /// The square root of what is not negative, with the derivative 0 at 0, where a root has none.
  private func rootOrZero() throws(TensorError) -> Tensor {
    let isZero = equal(to: 0)
    return try Tensor(0).selected(where: isZero, else: Tensor(1).selected(where: isZero, else: self).sqrt())
  }

  /// 1 where an element is neither infinite nor NaN.
  public var isFinite: Tensor { absolute().detached().less(than: .infinity) }

  /// 1 where an element is NaN.
  public var isNaN: Tensor { (try? notEqual(to: self)) ?? self }
}
