// Products of rows, and running sums.
import Kernels

extension Tensor {
  /// Sums of all elements along `dim` up to each place.
  public func cumulativeSum(dim: Int) throws(TensorError) -> Tensor {
    try alongLast(dim, .cumsum) { x in
      let n = x.shape[x.rank - 1]
      let source = x.contiguousCopyIfNeeded()
      let result = Tensor(uninitialized: x.shape).typed(dtype.ofArithmetic)
      for start in stride(from: 0, to: x.count, by: Swift.max(1, n)) {
        var sum = 0.0
        for i in start..<start + n {
          sum += Double(source.pointer[i])
          result.pointer[i] = Float(sum)
        }
      }
      let input = x.gradientRoute
      return result.recorded(.cumsum, [input]) { dy in
        input.accumulate { dx, beta in
          for start in stride(from: 0, to: input.count, by: Swift.max(1, n)) {
            var sum = 0.0
            for i in (start..<start + n).reversed() {
              sum += Double(dy.pointer[i])
              dx[i] = (beta == 0 ? 0 : dx[i]) + Float(sum)
            }
          }
        }
      }
    }
  }

  /// Products along the last dimension, which is left out of the result; 1 if it is empty.
  func productOfRows() -> Tensor {
    let n = shape[rank - 1]
    let x = contiguousCopyIfNeeded().detached()
    let result = Tensor(uninitialized: shape.dropLast()).typed(dtype.ofArithmetic)
    for row in 0..<result.count {
      result.pointer[row] = (0..<n).reduce(1) { $0 * x.pointer[row * n + $1] }
    }
    return result.recorded(.prod, [self]) { dy in
      self.accumulate { dx, beta in
        if beta == 0 { dx.update(repeating: 0, count: x.count) }
        // The product of the others, also where one of them is 0: of those before times those after.
        for row in 0..<dy.count {
          let (x, dx) = (x.pointer + row * n, dx + row * n)
          var after = [Float](repeating: dy.pointer[row], count: n)
          for i in stride(from: n - 2, through: 0, by: -1) { after[i] = after[i + 1] * x[i + 1] }
          var before: Float = 1
          for i in 0..<n {
            dx[i] += before * after[i]
            before *= x[i]
          }
        }
      }
    }
  }
}
