// Reductions and the rows of a softmax. Partial results are split by the size of the problem alone and added in a
// fixed order, so that no result depends on the number of threads.
import Glibc

/// Kernels that reduce arrays, or one dimension of them.
///
/// An array reduced along one dimension is seen as (outer, n, inner): n elements, `inner` apart, become one.
public enum ReductionKernels {
  /// Elements that are summed in 32 bits before their sum goes into a 64-bit one.
  private static let piece = 1 << 12

  /// Σ a.
  public static func sum(_ a: UnsafePointer<Float>, count: Int) -> Float {
    let pieces = (count + piece - 1) / piece
    return withUnsafeTemporaryAllocation(of: Float.self, capacity: pieces) { partials in
      let partials = partials.baseAddress!
      ThreadPool.shared.forEach(count: count, grain: piece) { range in
        partials[range.lowerBound / piece] = VectorKernels.sum(a + range.lowerBound, range.count)
      }
      var sum = 0.0
      for i in 0..<pieces { sum += Double(partials[i]) }
      return Float(sum)
    }
  }

  /// `out (outer, inner) = scale · Σ_n a`.
  public static func sum(
    _ a: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, scale: Float = 1, outer: Int, n: Int,
    inner: Int
  ) {
    if inner == 1 {
      ThreadPool.shared.forEach(count: outer, grain: max(1, piece / max(1, n))) { rows in
        for row in rows { out[row] = scale * VectorKernels.sum(a + row * n, n) }
      }
      return
    }
    ThreadPool.shared.forEach(count: outer, grain: max(1, piece / max(1, n * inner))) { rows in
      for row in rows {
        let out = out + row * inner
        out.update(repeating: 0, count: inner)
        for i in 0..<n { VectorKernels.add(a + (row * n + i) * inner, to: out, inner) }
        if scale != 1 { VectorKernels.scale(out, by: scale, inner) }
      }
    }
  }

  /// `out (outer, n, inner) = beta · out + scale · dy (outer, inner)`: the gradient of the sum.
  public static func spread(
    _ dy: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, beta: Float, scale: Float = 1,
    outer: Int,
    n: Int, inner: Int
  ) {
    ThreadPool.shared.forEach(count: outer, grain: max(1, piece / max(1, n * inner))) { rows in
      for row in rows {
        if beta == 0 { (out + row * n * inner).update(repeating: 0, count: n * inner) }
        if inner == 1 {
          let value = Vector(repeating: scale * dy[row])
          let out = out + row * n
          for (i, count) in steps(n) { out.store(out.load(i, count) + value, i, count) }
        } else {
          for i in 0..<n {
            VectorKernels.add(dy + row * inner, times: scale, to: out + (row * n + i) * inner, inner)
          }
        }
      }
    }
  }

  /// The first largest (or smallest) of the n elements, for each of (outer, inner), and its index. NaN is larger and
  /// smaller than all numbers. `n` is at least 1.
  public static func extreme(
    _ a: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, indices: UnsafeMutablePointer<Int32>,
    largest: Bool, outer: Int, n: Int, inner: Int
  ) {
    ThreadPool.shared.forEach(count: outer, grain: max(1, piece / max(1, n * inner))) { rows in
      for row in rows {
        for j in 0..<inner {
          let a = a + row * n * inner + j
          var (best, index) = (a[0], 0)
          for i in 1..<max(1, n) where !best.isNaN {
            let x = a[i * inner]
            if (largest ? x > best : x < best) || x.isNaN { (best, index) = (x, i) }
          }
          out[row * inner + j] = best
          indices[row * inner + j] = Int32(index)
        }
      }
    }
  }

  // MARK: Softmax of rows

  /// `y = log_softmax(x)` for each row of (N, V).
  public static func logSoftmax(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, rows N: Int, columns V: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: max(1, piece / max(1, V))) { rows in
      for n in rows {
        let (x, y) = (x + n * V, y + n * V)
        let peak = VectorKernels.maximum(x, V)
        let sum = VectorKernels.sumOfExponentials(x, times: 1, plus: -peak, V)
        let (shift, logSum) = (Vector(repeating: peak), Vector(repeating: Glibc.logf(sum)))
        for (i, n) in steps(V) { y.store((x.load(i, n) - shift) - logSum, i, n) }
      }
    }
  }

  /// `dx = beta · dx + y · (dy − Σ dy·y)` for each row, from the result y of a softmax.
  public static func softmaxBackward(
    _ dy: UnsafePointer<Float>, result y: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>,
    beta: Float, rows N: Int, columns V: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: max(1, piece / max(1, V))) { rows in
      for n in rows {
        let (dy, y, dx) = (dy + n * V, y + n * V, dx + n * V)
        let inner = Vector(repeating: VectorKernels.dot(dy, y, V))
        for (i, n) in steps(V) {
          let d = y.load(i, n) * (dy.load(i, n) - inner)
          dx.store(beta == 0 ? d : dx.load(i, n) + d, i, n)
        }
      }
    }
  }

  /// `dx = beta · dx + dy − e^y · Σ dy` for each row, from the result y of a log-softmax.
  public static func logSoftmaxBackward(
    _ dy: UnsafePointer<Float>, result y: UnsafePointer<Float>, into dx: UnsafeMutablePointer<Float>,
    beta: Float, rows N: Int, columns V: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: max(1, piece / max(1, V))) { rows in
      for n in rows {
        let (dy, y, dx) = (dy + n * V, y + n * V, dx + n * V)
        let sum = Vector(repeating: VectorKernels.sum(dy, V))
        for (i, n) in steps(V) {
          let d = dy.load(i, n) - boundedExponential(y.load(i, n)) * sum
          dx.store(beta == 0 ? d : dx.load(i, n) + d, i, n)
        }
      }
    }
  }
}
