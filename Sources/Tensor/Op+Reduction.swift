// Sums, means and extremes, of all elements or along one dimension.
//
// Inside this module's extensions of Tensor, Swift's own functions are written `Swift.max` and `Swift.min`.
import Kernels

/// A shape seen from one of its dimensions: `size` elements that are `inner` apart, `outer` times.
struct Dimension {
  let index: Int
  let outer: Int
  let size: Int
  let inner: Int

  /// The shape with this dimension left out, or of size 1.
  func removed(from shape: [Int], keep: Bool) -> [Int] {
    var shape = shape
    if keep { shape[index] = 1 } else { shape.remove(at: index) }
    return shape
  }
}

extension Tensor {
  /// The dimension `dim`, counted from 0, or from the end where it is negative.
  func dimension(_ dim: Int, for operation: String) throws(TensorError) -> Dimension {
    let index = dim < 0 ? dim + rank : dim
    guard shape.indices.contains(index) else {
      let allowed = rank == 0 ? "a scalar has none" : "expected \(-rank) ... \(rank - 1)"
      throw TensorError("\(operation): there is no dimension \(dim) in shape \(shape); \(allowed)")
    }
    return Dimension(
      index: index, outer: shape[..<index].reduce(1, *), size: shape[index],
      inner: shape[(index + 1)...].reduce(1, *))
  }

  // MARK: Sum and mean

  /// The sum of all elements, a scalar; 0 if there are none.
  public func sum() -> Tensor { total(.sum, scale: 1) }

  /// The mean of all elements, a scalar; NaN if there are none.
  public func mean() -> Tensor { total(.mean, scale: 1 / Float(count)) }

  /// Sums along `dim`, which is left out of the result, or kept with size 1.
  public func sum(dim: Int, keepDim: Bool = false) throws(TensorError) -> Tensor {
    summed(.sum, try dimension(dim, for: "sum"), keepDim) { _ in 1 }
  }

  /// Means along `dim`, which is left out of the result, or kept with size 1.
  public func mean(dim: Int, keepDim: Bool = false) throws(TensorError) -> Tensor {
    summed(.mean, try dimension(dim, for: "mean"), keepDim) { 1 / Float($0) }
  }

  private func total(_ op: Op, scale: Float) -> Tensor {
    let x = contiguousCopyIfNeeded()
    let result = Tensor(ReductionKernels.sum(x.pointer, count: x.count) * scale)
      .typed(op == .sum ? dtype.ofArithmetic : .f32)
    return result.recorded(op, [self]) { dy in
      self.accumulate { dx, beta in
        ReductionKernels.spread(
          dy.pointer, into: dx, beta: beta, scale: scale, outer: 1, n: self.count, inner: 1)
      }
    }
  }

  private func summed(
    _ op: Op, _ dim: Dimension, _ keepDim: Bool, scale: (_ size: Int) -> Float
  ) -> Tensor {
    let x = contiguousCopyIfNeeded()
    let scale = scale(dim.size)
    let result = Tensor(uninitialized: dim.removed(from: shape, keep: keepDim))
      .typed(op == .sum ? dtype.ofArithmetic : .f32)
    ReductionKernels.sum(
      x.pointer, into: result.pointer, scale: scale, outer: dim.outer, n: dim.size, inner: dim.inner)
    return result.recorded(op, [self]) { dy in
      self.accumulate { dx, beta in
        ReductionKernels.spread(
          dy.pointer, into: dx, beta: beta, scale: scale, outer: dim.outer, n: dim.size, inner: dim.inner)
      }
    }
  }

  // MARK: Extremes

  /// The largest element, a scalar; NaN if there is one. Equal ones share the gradient evenly.
  public func max() throws(TensorError) -> Tensor { try extreme(.max, largest: true) }

  /// The smallest element, a scalar; NaN if there is one. Equal ones share the gradient evenly.
  public func min() throws(TensorError) -> Tensor { try extreme(.min, largest: false) }

  /// The largest elements along `dim`. Of equal ones the first gets the gradient.
  public func max(dim: Int, keepDim: Bool = false) throws(TensorError) -> Tensor {
    try extreme(.max, dim, keepDim, largest: true).values
  }

  /// The smallest elements along `dim`. Of equal ones the first gets the gradient.
  public func min(dim: Int, keepDim: Bool = false) throws(TensorError) -> Tensor {
    try extreme(.min, dim, keepDim, largest: false).values
  }

  private func extreme(_ op: Op, largest: Bool) throws(TensorError) -> Tensor {
    guard count > 0 else { throw TensorError(op, "expected at least one element, got shape \(shape)") }
    let x = contiguousCopyIfNeeded().detached()
    let result = Tensor(uninitialized: []).typed(dtype)
    var index: Int32 = 0
    ReductionKernels.extreme(
      x.pointer, into: result.pointer, indices: &index, largest: largest, outer: 1, n: x.count, inner: 1)
    let value = result.pointer.pointee
    return result.recorded(op, [self]) { dy in
      self.accumulate { dx, beta in
        let isExtreme: (Int) -> Bool = { x.pointer[$0] == value || (value.isNaN && x.pointer[$0].isNaN) }
        let ties = (0..<x.count).count(where: isExtreme)
        let share = dy.pointer.pointee / Float(ties)
        if beta == 0 { dx.update(repeating: 0, count: x.count) }
        for i in 0..<x.count where isExtreme(i) { dx[i] += share }
      }
    }
  }

  /// The largest or smallest elements along `dim`, and where they are, counted from 0. NaN is the largest and the
  /// smallest.
  public func extremes(
    dim: Int, keepDim: Bool = false, largest: Bool
  ) throws(TensorError) -> (values: Tensor, places: Tensor) {
    let (values, places) = try extreme(largest ? .max : .min, dim, keepDim, largest: largest)
    return (values, try Tensor(places.map(Float.init), shape: values.shape).typed(.i32))
  }

  private func extreme(
    _ op: Op, _ dim: Int, _ keepDim: Bool, largest: Bool
  ) throws(TensorError) -> (values: Tensor, places: [Int32]) {
    let dim = try dimension(dim, for: op.rawValue)
    guard dim.size > 0 else {
      throw TensorError(op, "expected at least one element along the dimension, got shape \(shape)")
    }
    let x = contiguousCopyIfNeeded()
    let result = Tensor(uninitialized: dim.removed(from: shape, keep: keepDim)).typed(dtype)
    var indices = [Int32](repeating: 0, count: result.count)
    ReductionKernels.extreme(
      x.pointer, into: result.pointer, indices: &indices, largest: largest, outer: dim.outer, n: dim.size,
      inner: dim.inner)
    let values = result.recorded(op, [self]) { [indices] dy in
      self.accumulate { dx, beta in
        if beta == 0 { dx.update(repeating: 0, count: self.count) }
        for (i, chosen) in indices.enumerated() {
          dx[(i / dim.inner * dim.size + Int(chosen)) * dim.inner + i % dim.inner] += dy.pointer[i]
        }
      }
    }
    return (values, indices)
  }
}
