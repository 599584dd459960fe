// Products with a weight matrix, tile by tile: made for the few rows of decoding, as fast for some hundred.
//
// OpenBLAS packs both operands first, which costs as much as the product itself when there are few rows. Here some
// weight rows at a time meet some input rows, their running sums in registers, each weight read once from where it lies.
// Packed weights are expanded a tile at a time into memory that stays in the first-level cache. Every result is the same
// sum in the same order whatever the number of rows and threads: a sample does not depend on its batch. The order is that
// of one vector of sixteen sums on all processors; how many of them make a tile depends on the registers.
import CIntrinsics

/// `y = x · wᵀ`.
public enum TiledGEMM {
  /// Most rows that this way is used for. With more it pays to pack both operands, which `PanelGEMM` does where registers
  /// hold its tiles, and OpenBLAS elsewhere, see LOG.md.
  public static let maximumRows = isWide ? 448 : 64

  /// Whether a tile is six weight rows by four input rows, 24 sums of a register each, or three by two, six sums of two.
  static let isWide = MT_VECTOR_REGISTERS >= 32
  /// Weight rows in one tile.
  static let tile = isWide ? 6 : 3
  /// Input rows in one tile.
  private static let inputs = isWide ? 4 : 2
  /// Weight rows that one thread takes at a time.
  private static let grain = 48

  /// Floats of scratch memory that `multiply` needs.
  public static func scratchCount(_ weight: WeightRows) -> Int {
    weight.format == .f32 ? 0 : ThreadPool.shared.threadCount * 2 * tile * weight.columns
  }

  /// - Parameters:
  ///   - x: (M, K). `weight`: (N, K). `y`: (M, N).
  ///   - scratch: `scratchCount` floats.
  public static func multiply(
    _ x: Matrix, _ weight: WeightRows, into y: Matrix, scratch: UnsafeMutablePointer<Float>
  ) {
    let K = weight.columns
    ThreadPool.shared.forEach(count: weight.rows, grain: grain) { range, slot in
      if x.rows == 1, weight.format.hasDot {
        for n in range { y.pointer[n] = weight.format.dot(weight.row(n), x.pointer, count: K) }
        return
      }
      let memory = scratch + slot * 2 * tile * K
      switch weight.format {
      case .f32:
        for n in stride(from: range.lowerBound, to: range.upperBound, by: tile) {
          let rows = UnsafeRawPointer(weight.row(n)).assumingMemoryBound(to: Float.self)
          let count = min(tile, range.upperBound - n)
          var prefetch = Prefetch(rows + tile * K, passes: passes(x), tileCount: tile * K)
          multiply(x, rows, K, count, K, y, n, &prefetch)
        }
      case .q4_0: expandAhead(Q4_0.self, x, weight, range, into: y, memory)
      case .q4_1: expandAhead(Q4_1.self, x, weight, range, into: y, memory)
      case .q8_0 where isWide: expandAhead(Q8_0.self, x, weight, range, into: y, memory)
      default:
        for n in stride(from: range.lowerBound, to: range.upperBound, by: tile) {
          let count = min(tile, range.upperBound - n)
          weight.expand(n..<n + count, into: memory)
          prefetchTile(weight, n + tile)
          var nothing = Nothing()
          multiply(x, memory, K, count, K, y, n, &nothing)
        }
      }
    }
  }

  /// Weight rows in blocks of 32: while a tile is multiplied the next one is expanded, by other units of the processor.
  private static func expandAhead<Block: BlockOf32>(
    _: Block.Type, _ x: Matrix, _ weight: WeightRows, _ range: Range<Int>, into y: Matrix,
    _ memory: UnsafeMutablePointer<Float>
  ) {
    let K = weight.columns
    var (here, there) = (memory, memory + tile * K)
    weight.expand(range.lowerBound..<min(range.upperBound, range.lowerBound + tile), into: here)
    for n in stride(from: range.lowerBound, to: range.upperBound, by: tile) {
      let next = n + tile
      let rows = max(0, min(tile, range.upperBound - next))
      var expansion = Expansion<Block>(
        weight.row(next), into: there, blocks: rows * K / 32, passes: passes(x))
      prefetchTile(weight, next + tile)
      multiply(x, here, K, min(tile, range.upperBound - n), K, y, n, &expansion)
      expansion.finish()
      swap(&here, &there)
    }
  }

  /// Asks for the bytes of a tile.
  private static func prefetchTile(_ weight: WeightRows, _ n: Int) {
    for line in stride(from: 0, to: tile * weight.format.rowBytes(weight.columns), by: 64) {
      mt_prefetch(weight.row(n) + line)
    }
  }

  /// How often all of a tile's weights are gone through.
  private static func passes(_ x: Matrix) -> Int { (x.rows + inputs - 1) / inputs }

  /// `y = x · wᵀ` on the calling thread, w (N, K) with any distance between its rows.
  static func multiply(_ x: Matrix, _ w: Matrix, into y: Matrix) {
    var nothing = Nothing()
    for n in stride(from: 0, to: w.rows, by: tile) {
      multiply(x, w.pointer + n * w.stride, w.stride, min(tile, w.rows - n), w.columns, y, n, &nothing)
    }
  }

  /// All input rows with at most a tile's weight rows, `ws` floats apart, the results going to columns from `n` on.
  ///
  /// - Parameter ahead: what is done meanwhile for tiles that come next.
  private static func multiply<Work: Ahead>(
    _ x: Matrix, _ w: UnsafePointer<Float>, _ ws: Int, _ count: Int, _ K: Int, _ y: Matrix, _ n: Int,
    _ ahead: inout Work
  ) {
    let input = UnsafePointer(x.pointer)
    guard count == tile else {
      for j in 0..<count {
        for m in 0..<x.rows {
          y.pointer[m * y.stride + n + j] = one(input + m * x.stride, w + j * ws, K)
        }
      }
      return
    }
    var m = 0
    while m + inputs <= x.rows {
      let (rows, results) = (input + m * x.stride, y.pointer + m * y.stride + n)
      if isWide {
        sixByFour(rows, x.stride, w, ws, K, results, y.stride, &ahead)
      } else {
        threeByTwo(rows, x.stride, w, ws, K, results, y.stride, &ahead)
      }
      m += inputs
    }
    while m < x.rows {
      let (row, results) = (input + m * x.stride, y.pointer + m * y.stride + n)
      if isWide {
        sixByOne(row, w, ws, K, results, &ahead)
      } else {
        threeByOne(row, w, ws, K, results, &ahead)
      }
      m += 1
    }
  }

  // MARK: Tiles of processors with many registers

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
  }

  private static func sixByFour<Work: Ahead>(
    _ x: UnsafePointer<Float>, _ xs: Int, _ w: UnsafePointer<Float>, _ ws: Int, _ K: Int,
    _ y: UnsafeMutablePointer<Float>, _ ys: Int, _ work: inout Work
  ) {
    var (r0, r1, r2, r3, r4, r5) = (Four(), Four(), Four(), Four(), Four(), Four())
    let (x0, x1, x2, x3) = (x, x + xs, x + 2 * xs, x + 3 * xs)
    let (w0, w1, w2, w3, w4, w5) = (w, w + ws, w + 2 * ws, w + 3 * ws, w + 4 * ws, w + 5 * ws)
    @inline(__always) func step(_ load: (UnsafePointer<Float>) -> Vector) {
      let inputs = (load(x0), load(x1), load(x2), load(x3))
      r0.add(load(w0), inputs)
      r1.add(load(w1), inputs)
      r2.add(load(w2), inputs)
      r3.add(load(w3), inputs)
      r4.add(load(w4), inputs)
      r5.add(load(w5), inputs)
    }
    var ahead = work
    var k = 0
    while k &+ 16 <= K {
      ahead.step()
      step { $0.vector(k) }
      k &+= 16
    }
    work = ahead
    if k < K { step { $0.partial(k, K - k) } }
    // Quarters of what follows are inputs, elements weights.
    let four = mt_add_quarters(
      mt_add_quarters(quarterSums(r0.a, r1.a, r2.a, r3.a), quarterSums(r0.b, r1.b, r2.b, r3.b)),
      mt_add_quarters(quarterSums(r0.c, r1.c, r2.c, r3.c), quarterSums(r0.d, r1.d, r2.d, r3.d)))
    let two = mt_add_quarters(
      mt_add_quarters(quarterSums(r4.a, r5.a, r4.b, r5.b), quarterSums(r4.c, r5.c, r4.d, r5.d)), .zero)
    store(four.lowHalf.lowHalf, two.lowHalf.lowHalf.lowHalf, y)
    store(four.lowHalf.highHalf, two.lowHalf.lowHalf.highHalf, y + ys)
    store(four.highHalf.lowHalf, two.lowHalf.highHalf.lowHalf, y + 2 * ys)
    store(four.highHalf.highHalf, two.lowHalf.highHalf.highHalf, y + 3 * ys)
  }

  /// The six results of one input row.
  @inline(__always)
  private static func store(_ four: SIMD4<Float>, _ two: SIMD2<Float>, _ y: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(y).storeBytes(of: four, as: SIMD4<Float>.self)
    UnsafeMutableRawPointer(y + 4).storeBytes(of: two, as: SIMD2<Float>.self)
  }

  private static func sixByOne<Work: Ahead>(
    _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ ws: Int, _ K: Int,
    _ y: UnsafeMutablePointer<Float>, _ work: inout Work
  ) {
    var (a, b, c, d) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    var (e, f) = (Vector.zero, Vector.zero)
    let (w0, w1, w2, w3, w4, w5) = (w, w + ws, w + 2 * ws, w + 3 * ws, w + 4 * ws, w + 5 * ws)
    @inline(__always) func step(_ load: (UnsafePointer<Float>) -> Vector) {
      let input = load(x)
      a = multiplyAdd(load(w0), input, a)
      b = multiplyAdd(load(w1), input, b)
      c = multiplyAdd(load(w2), input, c)
      d = multiplyAdd(load(w3), input, d)
      e = multiplyAdd(load(w4), input, e)
      f = multiplyAdd(load(w5), input, f)
    }
    var ahead = work
    var k = 0
    while k &+ 16 <= K {
      ahead.step()
      step { $0.vector(k) }
      k &+= 16
    }
    work = ahead
    if k < K { step { $0.partial(k, K - k) } }
    store(horizontalSums(a, b, c, d), horizontalSums(e, f, e, f).lowHalf, y)
  }

  // MARK: Tiles of processors with sixteen registers of eight floats

  /// Sums of one weight row with two input rows, eight partial sums each: the first or last half of the sixteen.
  private struct TwoHalves {
    var a = SIMD8<Float>.zero
    var b = SIMD8<Float>.zero

    @inline(__always)
    mutating func add(_ w: SIMD8<Float>, _ x: (SIMD8<Float>, SIMD8<Float>)) {
      a = a.addingProduct(w, x.0)
      b = b.addingProduct(w, x.1)
    }
  }

  private static func threeByTwo<Work: Ahead>(
    _ x: UnsafePointer<Float>, _ xs: Int, _ w: UnsafePointer<Float>, _ ws: Int, _ K: Int,
    _ y: UnsafeMutablePointer<Float>, _ ys: Int, _ work: inout Work
  ) {
    var (low0, low1, low2) = (TwoHalves(), TwoHalves(), TwoHalves())
    var (high0, high1, high2) = (TwoHalves(), TwoHalves(), TwoHalves())
    let (x0, x1) = (x, x + xs)
    let (w0, w1, w2) = (w, w + ws, w + 2 * ws)
    @inline(__always) func half(_ p: UnsafePointer<Float>, _ k: Int) -> SIMD8<Float> {
      UnsafeRawPointer(p + k).loadUnaligned(as: SIMD8<Float>.self)
    }
    var ahead = work
    var k = 0
    while k &+ 16 <= K {
      ahead.step()
      var inputs = (half(x0, k), half(x1, k))
      low0.add(half(w0, k), inputs)
      low1.add(half(w1, k), inputs)
      low2.add(half(w2, k), inputs)
      inputs = (half(x0, k &+ 8), half(x1, k &+ 8))
      high0.add(half(w0, k &+ 8), inputs)
      high1.add(half(w1, k &+ 8), inputs)
      high2.add(half(w2, k &+ 8), inputs)
      k &+= 16
    }
    work = ahead
    if k < K {
      let (i0, i1) = (x0.partial(k, K - k), x1.partial(k, K - k))
      let (v0, v1, v2) = (w0.partial(k, K - k), w1.partial(k, K - k), w2.partial(k, K - k))
      low0.add(v0.lowHalf, (i0.lowHalf, i1.lowHalf))
      low1.add(v1.lowHalf, (i0.lowHalf, i1.lowHalf))
      low2.add(v2.lowHalf, (i0.lowHalf, i1.lowHalf))
      high0.add(v0.highHalf, (i0.highHalf, i1.highHalf))
      high1.add(v1.highHalf, (i0.highHalf, i1.highHalf))
      high2.add(v2.highHalf, (i0.highHalf, i1.highHalf))
    }
    @inline(__always) func joined(_ low: SIMD8<Float>, _ high: SIMD8<Float>) -> Vector {
      Vector(lowHalf: low, highHalf: high)
    }
    let last = joined(low2.a, high2.a)
    store(horizontalSums(joined(low0.a, high0.a), joined(low1.a, high1.a), last, last), y)
    let other = joined(low2.b, high2.b)
    store(horizontalSums(joined(low0.b, high0.b), joined(low1.b, high1.b), other, other), y + ys)
  }

  private static func threeByOne<Work: Ahead>(
    _ x: UnsafePointer<Float>, _ w: UnsafePointer<Float>, _ ws: Int, _ K: Int,
    _ y: UnsafeMutablePointer<Float>, _ work: inout Work
  ) {
    var (a, b, c) = (Vector.zero, Vector.zero, Vector.zero)
    let (w0, w1, w2) = (w, w + ws, w + 2 * ws)
    @inline(__always) func step(_ load: (UnsafePointer<Float>) -> Vector) {
      let input = load(x)
      a = multiplyAdd(load(w0), input, a)
      b = multiplyAdd(load(w1), input, b)
      c = multiplyAdd(load(w2), input, c)
    }
    var ahead = work
    var k = 0
    while k &+ 16 <= K {
      ahead.step()
      step { $0.vector(k) }
      k &+= 16
    }
    work = ahead
    if k < K { step { $0.partial(k, K - k) } }
    store(horizontalSums(a, b, c, c), y)
  }

  /// The three results of one input row.
  @inline(__always)
  private static func store(_ sums: SIMD4<Float>, _ y: UnsafeMutablePointer<Float>) {
    (y[0], y[1], y[2]) = (sums[0], sums[1], sums[2])
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
}
