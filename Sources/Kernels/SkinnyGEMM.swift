// Products of few rows with a large weight matrix, as decoding has them.
//
// OpenBLAS packs both operands first, which costs as much as the product itself when there are few rows. Here the
// few rows are transposed once, sixteen to a vector, and every weight is read once, straight from where it lies, and
// multiplied with all rows. Each result is a sum over k in order, whatever the number of rows and threads: a sample
// does not depend on what else is in its batch.

/// `y = x · wᵀ` for few rows of x.
public enum SkinnyGEMM {
  /// Most rows that this way is used for. From here on OpenBLAS was faster on every shape measured, see LOG.md.
  public static let maximumRows = 32

  /// Weight rows that one thread takes at a time.
  private static let grain = 96

  /// Floats of scratch memory that `multiply` needs.
  public static func scratchCount(rows: Int, inner: Int) -> Int { (rows + 15) / 16 * 16 * inner }

  /// - Parameters:
  ///   - x: (M, K) with M at most `maximumRows`. `weight`: (N, K), contiguous. `y`: (M, N).
  ///   - scratch: `scratchCount` floats, aligned as tensors are.
  public static func multiply(
    _ x: Matrix, weight: UnsafePointer<Float>, into y: Matrix, scratch: UnsafeMutablePointer<Float>
  ) {
    let (M, K, N) = (x.rows, x.columns, y.columns)
    if M == 0 { return }
    let lanes = (M + 15) / 16 * 16
    for k in 0..<K {
      let column = scratch + k * lanes
      for m in 0..<M { column[m] = x.pointer[m * x.stride + k] }
      for m in M..<lanes { column[m] = 0 }
    }
    ThreadPool.shared.forEach(count: N, grain: grain) { range in
      if lanes == 16 {
        oneVector(scratch, weight, y, K, range)
      } else {
        twoVectors(scratch, weight, y, K, range)
      }
    }
  }

  /// Up to 16 rows: eight weight rows at a time.
  private static func oneVector(
    _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>, _ y: Matrix, _ K: Int, _ range: Range<Int>
  ) {
    var n = range.lowerBound
    while n + 8 <= range.upperBound {
      let (w0, w1, w2, w3) = (
        weight + n * K, weight + (n + 1) * K, weight + (n + 2) * K, weight + (n + 3) * K
      )
      let (w4, w5, w6, w7) = (w0 + 4 * K, w1 + 4 * K, w2 + 4 * K, w3 + 4 * K)
      var (a0, a1, a2, a3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      var (a4, a5, a6, a7) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
      for k in 0..<K {
        let v = x.vector(k * 16)
        a0 = multiplyAdd(Vector(repeating: w0[k]), v, a0)
        a1 = multiplyAdd(Vector(repeating: w1[k]), v, a1)
        a2 = multiplyAdd(Vector(repeating: w2[k]), v, a2)
        a3 = multiplyAdd(Vector(repeating: w3[k]), v, a3)
        a4 = multiplyAdd(Vector(repeating: w4[k]), v, a4)
        a5 = multiplyAdd(Vector(repeating: w5[k]), v, a5)
        a6 = multiplyAdd(Vector(repeating: w6[k]), v, a6)
        a7 = multiplyAdd(Vector(repeating: w7[k]), v, a7)
      }
      for m in 0..<y.rows {
        let out = y.pointer + m * y.stride + n
        (out[0], out[1], out[2], out[3]) = (a0[m], a1[m], a2[m], a3[m])
        (out[4], out[5], out[6], out[7]) = (a4[m], a5[m], a6[m], a7[m])
      }
      n += 8
    }
    while n < range.upperBound {
      var sum = Vector.zero
      for k in 0..<K { sum = multiplyAdd(Vector(repeating: weight[n * K + k]), x.vector(k * 16), sum) }
      for m in 0..<y.rows { y.pointer[m * y.stride + n] = sum[m] }
      n += 1
    }
  }

  /// 17 to 32 rows: six weight rows at a time.
  private static func twoVectors(
    _ x: UnsafePointer<Float>, _ weight: UnsafePointer<Float>, _ y: Matrix, _ K: Int, _ range: Range<Int>
  ) {
    func store(_ low: Vector, _ high: Vector, _ n: Int) {
      for m in 0..<16 { y.pointer[m * y.stride + n] = low[m] }
      for m in 16..<y.rows { y.pointer[m * y.stride + n] = high[m - 16] }
    }
    var n = range.lowerBound
    while n + 6 <= range.upperBound {
      let (w0, w1, w2) = (weight + n * K, weight + (n + 1) * K, weight + (n + 2) * K)
      let (w3, w4, w5) = (w0 + 3 * K, w1 + 3 * K, w2 + 3 * K)
      var (a0, a1, a2, a3, a4, a5) = (
        Vector.zero, Vector.zero, Vector.zero, Vector.zero, Vector.zero, Vector.zero
      )
      var (b0, b1, b2, b3, b4, b5) = (
        Vector.zero, Vector.zero, Vector.zero, Vector.zero, Vector.zero, Vector.zero
      )
      for k in 0..<K {
        let (low, high) = (x.vector(k * 32), x.vector(k * 32 + 16))
        @inline(__always) func step(_ w: UnsafePointer<Float>, _ a: inout Vector, _ b: inout Vector) {
          let value = Vector(repeating: w[k])
          a = multiplyAdd(value, low, a)
          b = multiplyAdd(value, high, b)
        }
        step(w0, &a0, &b0)
        step(w1, &a1, &b1)
        step(w2, &a2, &b2)
        step(w3, &a3, &b3)
        step(w4, &a4, &b4)
        step(w5, &a5, &b5)
      }
      store(a0, b0, n)
      store(a1, b1, n + 1)
      store(a2, b2, n + 2)
      store(a3, b3, n + 3)
      store(a4, b4, n + 4)
      store(a5, b5, n + 5)
      n += 6
    }
    while n < range.upperBound {
      var (low, high) = (Vector.zero, Vector.zero)
      for k in 0..<K {
        let value = Vector(repeating: weight[n * K + k])
        low = multiplyAdd(value, x.vector(k * 32), low)
        high = multiplyAdd(value, x.vector(k * 32 + 16), high)
      }
      store(low, high, n)
      n += 1
    }
  }
}
