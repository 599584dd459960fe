// Vector building blocks. Loops run over 16 floats at a time; what is left over goes through the same arithmetic in
// a padded register, so that a value does not depend on its place in an array.
import Glibc

typealias Vector = SIMD16<Float>

extension UnsafePointer where Pointee == Float {
  /// Sixteen floats from index `i`.
  @inline(__always)
  func vector(_ i: Int) -> Vector { UnsafeRawPointer(self + i).loadUnaligned(as: Vector.self) }

  /// The last `count` < 16 floats from index `i`, the rest filled up.
  @inline(__always)
  func partial(_ i: Int, _ count: Int, fill: Float = 0) -> Vector {
    var vector = Vector(repeating: fill)
    for j in 0..<count { vector[j] = self[i + j] }
    return vector
  }
}

extension UnsafeMutablePointer where Pointee == Float {
  @inline(__always)
  func vector(_ i: Int) -> Vector { UnsafePointer(self).vector(i) }

  @inline(__always)
  func partial(_ i: Int, _ count: Int, fill: Float = 0) -> Vector {
    UnsafePointer(self).partial(i, count, fill: fill)
  }

  @inline(__always)
  func store(_ vector: Vector, _ i: Int) {
    UnsafeMutableRawPointer(self + i).storeBytes(of: vector, as: Vector.self)
  }

  @inline(__always)
  func store(_ vector: Vector, _ i: Int, _ count: Int) {
    for j in 0..<count { self[i + j] = vector[j] }
  }
}

/// `a · b + c`, one instruction where the processor has it.
@inline(__always)
func multiplyAdd(_ a: Vector, _ b: Vector, _ c: Vector) -> Vector { c.addingProduct(a, b) }

/// e^x to about one unit in the last place; 0 below -87.33, infinity above 88.72, NaN stays NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r by Cephes' polynomial; 2^n through the exponent bits.
@inline(__always)
func exponential(_ x: Vector) -> Vector {
  let magic = Vector(repeating: 12_582_912)
  var clamped = x.replacing(with: -87.336_54, where: x .< -87.336_54)
  clamped = clamped.replacing(with: 88.722_83, where: x .> 88.722_83)
  let shifted = multiplyAdd(clamped, Vector(repeating: 1.442_695_04), magic)
  let n = shifted - magic
  var r = multiplyAdd(n, Vector(repeating: -0.693_359_375), clamped)
  r = multiplyAdd(n, Vector(repeating: 2.121_944_4e-4), r)
  var p = Vector(repeating: 1.987_569_15e-4)
  p = multiplyAdd(p, r, Vector(repeating: 1.398_199_95e-3))
  p = multiplyAdd(p, r, Vector(repeating: 8.333_451_9e-3))
  p = multiplyAdd(p, r, Vector(repeating: 4.166_579_6e-2))
  p = multiplyAdd(p, r, Vector(repeating: 1.666_666_55e-1))
  p = multiplyAdd(p, r, Vector(repeating: 0.5))
  p = multiplyAdd(p * r, r, r + 1)
  let exponent = unsafeBitCast(shifted, to: SIMD16<UInt32>.self) &<< SIMD16<UInt32>(repeating: 23)
  let scaled = unsafeBitCast(unsafeBitCast(p, to: SIMD16<UInt32>.self) &+ exponent, to: Vector.self)
  var result = scaled.replacing(with: 0, where: x .< -87.336_54)
  result = result.replacing(with: .infinity, where: x .> 88.722_83)
  return result.replacing(with: x, where: x .!= x)
}

/// 1 / (1 + e^-x).
@inline(__always)
func logistic(_ x: Vector) -> Vector { 1 / (1 + exponential(-x)) }

/// Applies `f` to each of `count` floats.
@inline(__always)
func mapVector(
  _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int, _ f: (Vector) -> Vector
) {
  var i = 0
  while i + 16 <= count {
    out.store(f(a.vector(i)), i)
    i += 16
  }
  if i < count { out.store(f(a.partial(i, count - i)), i, count - i) }
}

/// Applies `f` to each pair of floats.
@inline(__always)
func mapVector(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int,
  _ f: (Vector, Vector) -> Vector
) {
  var i = 0
  while i + 16 <= count {
    out.store(f(a.vector(i), b.vector(i)), i)
    i += 16
  }
  if i < count { out.store(f(a.partial(i, count - i), b.partial(i, count - i)), i, count - i) }
}

/// Adds `f` of each pair of floats to `out`.
@inline(__always)
func accumulateVector(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int,
  _ f: (Vector, Vector) -> Vector
) {
  var i = 0
  while i + 16 <= count {
    out.store(out.vector(i) + f(a.vector(i), b.vector(i)), i)
    i += 16
  }
  if i < count {
    let n = count - i
    out.store(out.partial(i, n) + f(a.partial(i, n), b.partial(i, n)), i, n)
  }
}

/// Adds `f` of sixteen floats at a time, in four independent sums.
@inline(__always)
func sumVector(_ count: Int, _ f: (Int) -> Vector, _ rest: (Int, Int) -> Vector) -> Float {
  var s0 = Vector.zero
  var s1 = Vector.zero
  var s2 = Vector.zero
  var s3 = Vector.zero
  var i = 0
  while i + 64 <= count {
    s0 += f(i)
    s1 += f(i + 16)
    s2 += f(i + 32)
    s3 += f(i + 48)
    i += 64
  }
  while i + 16 <= count {
    s0 += f(i)
    i += 16
  }
  if i < count { s1 += rest(i, count - i) }
  return ((s0 + s1) + (s2 + s3)).sum()
}

/// Kernels over plain arrays of floats.
public enum VectorKernels {
  /// Σ a·b.
  public static func dot(_ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int) -> Float {
    sumVector(count, { a.vector($0) * b.vector($0) }, { a.partial($0, $1) * b.partial($0, $1) })
  }

  /// Σ a.
  public static func sum(_ a: UnsafePointer<Float>, _ count: Int) -> Float {
    sumVector(count, { a.vector($0) }, { a.partial($0, $1) })
  }

  /// The largest element; -infinity for an empty array, NaN where any element is NaN.
  public static func maximum(_ a: UnsafePointer<Float>, _ count: Int) -> Float {
    var best = Vector(repeating: -.infinity)
    var i = 0
    @inline(__always) func take(_ x: Vector) {
      best = best.replacing(with: x, where: (x .> best) .| (x .!= x))
    }
    while i + 16 <= count {
      take(a.vector(i))
      i += 16
    }
    if i < count { take(a.partial(i, count - i, fill: -.infinity)) }
    var result = best[0]
    for j in 1..<16 where best[j] > result || best[j].isNaN { result = best[j] }
    return result
  }

  /// `y += alpha · x`.
  public static func add(
    _ x: UnsafePointer<Float>, times alpha: Float = 1, to y: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let factor = Vector(repeating: alpha)
    mapVector(x, UnsafePointer(y), y, count) { multiplyAdd($0, factor, $1) }
  }

  /// `y *= alpha`.
  public static func scale(_ y: UnsafeMutablePointer<Float>, by alpha: Float, _ count: Int) {
    mapVector(UnsafePointer(y), y, count) { $0 * alpha }
  }

  /// `out = a + b`, on all threads.
  public static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    ThreadPool.shared.forEach(count: count, grain: 1 << 15) { piece in
      let start = piece.lowerBound
      mapVector(a + start, b + start, out + start, piece.count) { $0 + $1 }
    }
  }

  /// Copies in parallel.
  public static func copy(_ a: UnsafePointer<Float>, to out: UnsafeMutablePointer<Float>, _ count: Int) {
    ThreadPool.shared.forEach(count: count, grain: 1 << 16) { piece in
      (out + piece.lowerBound).update(from: a + piece.lowerBound, count: piece.count)
    }
  }

  /// `out = e^a`.
  public static func exp(_ a: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, _ count: Int) {
    mapVector(a, out, count) { exponential($0) }
  }

  /// `row = e^(row - shift)`; returns the sum.
  static func expSum(_ row: UnsafeMutablePointer<Float>, shift: Float, _ count: Int) -> Float {
    var sum = Vector.zero
    var i = 0
    let s = Vector(repeating: shift)
    while i + 16 <= count {
      let e = exponential(row.vector(i) - s)
      row.store(e, i)
      sum += e
      i += 16
    }
    var total = sum.sum()
    if i < count {
      let e = exponential(row.partial(i, count - i, fill: -.infinity) - s)
      row.store(e, i, count - i)
      for j in 0..<count - i { total += e[j] }
    }
    return total
  }
}
