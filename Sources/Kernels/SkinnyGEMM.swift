// Products of few rows with a large weight matrix, as decoding has them.
//
// OpenBLAS packs both operands first, which costs as much as the product itself when there are few rows. Here six
// weight rows at a time meet four input rows, 24 running sums in registers, each weight read once from where it lies.
// Packed weights are expanded six rows at a time into memory that stays in the first-level cache. Every result is the
// same sum in the same order whatever the number of rows and threads: a sample does not depend on its batch.
import CIntrinsics

/// `y = x · wᵀ` for few rows of x.
public enum SkinnyGEMM {
  /// Most rows that this way is used for. From here on OpenBLAS was as fast on the shapes measured, see LOG.md.
  public static let maximumRows = 64

  /// Weight rows in one tile.
  private static let tile = 6
  /// Weight rows that one thread takes at a time.
  private static let grain = 8 * tile

  /// Floats of scratch memory that `multiply` needs.
  public static func scratchCount(_ weight: WeightRows) -> Int {
    weight.format == .f32 ? 0 : ThreadPool.shared.threadCount * tile * weight.columns
  }

  /// - Parameters:
  ///   - x: (M, K). `weight`: (N, K). `y`: (M, N).
  ///   - scratch: `scratchCount` floats.
  public static func multiply(
    _ x: Matrix, _ weight: WeightRows, into y: Matrix, scratch: UnsafeMutablePointer<Float>
  ) {
    if x.rows == 0 { return }
    let K = weight.columns
    ThreadPool.shared.forEach(count: weight.rows, grain: grain) { range, slot in
      let expanded = scratch + slot * tile * K
      var n = range.lowerBound
      while n < range.upperBound {
        let count = min(tile, range.upperBound - n)
        if weight.format == .f32 {
          let rows = UnsafeRawPointer(weight.row(n)).assumingMemoryBound(to: Float.self)
          multiply(x, rows, count, K, y, n, fromMemory: true)
        } else {
          weight.expand(n..<n + count, into: expanded)
          multiply(x, expanded, count, K, y, n, fromMemory: false)
        }
        n += count
      }
    }
  }

  /// All input rows with `count` ≤ 6 weight rows, the results going to columns from `n` on.
  private static func multiply(
    _ x: Matrix, _ w: UnsafePointer<Float>, _ count: Int, _ K: Int, _ y: Matrix, _ n: Int, fromMemory: Bool
  ) {
    let input = UnsafePointer(x.pointer)
    guard count == tile else {
      for j in 0..<count {
        for m in 0..<x.rows {
          y.pointer[m * y.stride + n + j] = one(input + m * x.stride, w + j * K, K)
        }
      }
      return
    }
    var m = 0
    // Only the first pass over the weights waits for memory; it also asks for those of the tiles that come next.
    if x.rows >= 4 {
      sixByFour(
        input, x.stride, w, K, y.pointer + n, y.stride, prefetch: fromMemory)
      m = 4
    }
    while m + 4 <= x.rows {
      sixByFour(
        input + m * x.stride, x.stride, w, K, y.pointer + m * y.stride + n, y.stride, prefetch: false)
      m += 4
    }
    while m < x.rows {
      sixByOne(input + m * x.stride, w, K, y.pointer + m * y.stride + n, prefetch: fromMemory && m < 4)
      m += 1
    }
  }

  /// Sums of one weight row with four input rows, sixteen partial sums each.
  private struct Four {
    var a = Vector.zero
    var b = Vector.zero
    var c = Vector.zero
    var d = Vector.zero

    @inline(__always)
    mutating func add(_ w: Vector, _ x: (Vector, Vector, Vector, Vector)) {
      a = multiplyAdd(w, x.0, a)
      b = multiplyAdd(w, x.1, b)
      c = multiplyAdd(w, x.2, c)
      d = multiplyAdd(w, x.3, d)
    }

    @inline(__always)
    func store(_ y: UnsafeMutablePointer<Float>, _ stride: Int) {
      let sums = horizontalSums(a, b, c, d)
      y[0] = sums[0]
      y[stride] = sums[1]
      y[2 * stride] = sums[2]
      y[3 * stride] = sums[3]
    }
  }

  private static func sixByFour(
    _ x: UnsafePointer<Float>, _ xs: Int, _ w: UnsafePointer<Float>, _ K: Int,
    _ y: UnsafeMutablePointer<Float>, _ ys: Int, prefetch: Bool
  ) {
    var (r0, r1, r2, r3, r4, r5) = (Four(), Four(), Four(), Four(), Four(), Four())
    let (x0, x1, x2, x3) = (x, x + xs, x + 2 * xs, x + 3 * xs)
    let (w0, w1, w2, w3, w4, w5) = (w, w + K, w + 2 * K, w + 3 * K, w + 4 * K, w + 5 * K)
    @inline(__always) func step(_ load: (UnsafePointer<Float>) -> Vector) {
      let inputs = (load(x0), load(x1), load(x2), load(x3))
      r0.add(load(w0), inputs)
      r1.add(load(w1), inputs)
      r2.add(load(w2), inputs)
      r3.add(load(w3), inputs)
      r4.add(load(w4), inputs)
      r5.add(load(w5), inputs)
    }
    var k = 0
    while k + 16 <= K {
      if prefetch { prefetchAhead(w + k, K) }
      step { $0.vector(k) }
      k += 16
    }
    if k < K { step { $0.partial(k, K - k) } }
    r0.store(y, ys)
    r1.store(y + 1, ys)
    r2.store(y + 2, ys)
    r3.store(y + 3, ys)
    r4.store(y + 4, ys)
    r5.store(y + 5, ys)
  }

  private static func sixByOne(
    _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ K: Int, _ y: UnsafeMutablePointer<Float>,
    prefetch: Bool
  ) {
    var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var (e, f) = (Vector.zero, Vector.zero)
    let (w0, w1, w2, w3, w4, w5) = (w, w + K, w + 2 * K, w + 3 * K, w + 4 * K, w + 5 * K)
    @inline(__always) func step(_ load: (UnsafePointer<Float>) -> Vector) {
      let input = load(x)
      a = multiplyAdd(load(w0), input, a)
      b = multiplyAdd(load(w1), input, b)
      c = multiplyAdd(load(w2), input, c)
      d = multiplyAdd(load(w3), input, d)
      e = multiplyAdd(load(w4), input, e)
      f = multiplyAdd(load(w5), input, f)
    }
    var k = 0
    while k + 16 <= K {
      if prefetch { prefetchAhead(w + k, K) }
      step { $0.vector(k) }
      k += 16
    }
    if k < K { step { $0.partial(k, K - k) } }
    let (first, rest) = (horizontalSums(a, b, c, d), horizontalSums(e, f, .zero, .zero))
    (y[0], y[1], y[2], y[3], y[4], y[5]) = (first[0], first[1], first[2], first[3], rest[0], rest[1])
  }

  private static func one(_ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ K: Int) -> Float {
    var sum = Vector.zero
    var k = 0
    while k + 16 <= K {
      sum = multiplyAdd(w.vector(k), x.vector(k), sum)
      k += 16
    }
    if k < K { sum = multiplyAdd(w.partial(k, K - k), x.partial(k, K - k), sum) }
    return horizontalSum(sum)
  }

  /// Asks for six weight rows one and two tiles ahead: rows are too short for the processor to see a pattern, and a
  /// request may be dropped when many are under way, so each line is asked for twice.
  @inline(__always)
  private static func prefetchAhead(_ w: UnsafePointer<Float>, _ K: Int) {
    for j in tile..<2 * tile {
      mt_prefetch(w + j * K)
      mt_prefetch(w + (tile + j) * K)
    }
  }
}
