// Vector building blocks. Loops run over 16 floats at a time; what is left over goes through the same arithmetic in
// a padded register, so that a value does not depend on its place in an array.
import CIntrinsics
import Glibc

typealias Vector = SIMD16<Float>

extension UnsafePointer where Pointee == Float {
  /// Sixteen floats from index `i`.
  @inline(__always)
  func vector(_ i: Int) -> Vector { UnsafeRawPointer(self + i).loadUnaligned(as: Vector.self) }

  /// The `count` ≤ 16 floats from index `i`, filled up with 0.
  @inline(__always)
  func load(_ i: Int, _ count: Int) -> Vector { count == 16 ? vector(i) : partial(i, count) }

  /// The last `count` < 16 floats from index `i`, the rest filled up.
  @inline(__always)
  func partial(_ i: Int, _ count: Int, fill: Float = 0) -> Vector {
    mt_load_first(self + i, count, Vector(repeating: fill))
  }
}

extension UnsafeMutablePointer where Pointee == Float {
  @inline(__always)
  func load(_ i: Int, _ count: Int) -> Vector { UnsafePointer(self).load(i, count) }

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

  /// The first `count` ≤ 16 floats of a vector to index `i`.
  @inline(__always)
  func store(_ vector: Vector, _ i: Int, _ count: Int) {
    if count == 16 { return store(vector, i) }
    mt_store_first(self + i, count, vector)
  }
}

/// `a · b + c`, one instruction where the processor has it.
@inline(__always)
func multiplyAdd(_ a: Vector, _ b: Vector, _ c: Vector) -> Vector { c.addingProduct(a, b) }

/// e^x to about one unit in the last place; 0 below -87.3366, infinity above 88.7228, NaN stays NaN.
@inline(__always)
func exponential(_ x: Vector) -> Vector {
  boundedExponential(mt_smaller(Vector(repeating: 88.9), x))
}

/// The same, one instruction shorter, for x ≤ 88.9: what lies below a maximum or a logarithm of a sum.
///
/// x = n·ln 2 + r with 0 ≤ r < ln 2, so that the results of n from -126 to 127 are all normal numbers: n = -127 gives
/// the exponent bits of 0, n = 128 those of infinity, without a comparison. e^r by the polynomial of the least
/// relative error (2·10⁻⁹) among those with 1 at 0.
@inline(__always)
func boundedExponential(_ x: Vector) -> Vector {
  let clamped = mt_larger(Vector(repeating: -87.5), x)
  // 1.5 · 2^23 leaves whole numbers in the low bits, 127 more makes them exponents; -0.5 rounds down.
  let magic = Vector(repeating: 12_582_912 + 127)
  let shifted = multiplyAdd(clamped, Vector(repeating: 1.442_695_04), Vector(repeating: -0.5)) + magic
  let n = shifted - magic
  var r = multiplyAdd(n, Vector(repeating: -0.693_359_375), clamped)
  r = multiplyAdd(n, Vector(repeating: 2.121_944_4e-4), r)
  var p = Vector(repeating: 1.948_770_62e-3)
  p = multiplyAdd(p, r, Vector(repeating: 7.792_271_46e-3))
  p = multiplyAdd(p, r, Vector(repeating: 4.191_499_39e-2))
  p = multiplyAdd(p, r, Vector(repeating: 1.666_101_3e-1))
  p = multiplyAdd(p, r, Vector(repeating: 5.000_058_25e-1))
  p = multiplyAdd(p, r, Vector(repeating: 9.999_998e-1))
  p = multiplyAdd(p, r, Vector(repeating: 1))
  let power = unsafeBitCast(shifted, to: SIMD16<UInt32>.self) &<< SIMD16<UInt32>(repeating: 23)
  return p * unsafeBitCast(power, to: Vector.self)
}

/// 1 / (1 + e^-x).
@inline(__always)
func logistic(_ x: Vector) -> Vector { 1 / (1 + exponential(-x)) }

// MARK: Sums of the elements of vectors. `SIMD16.sum()` would add them one after another.

/// The sum of the elements, added up in the order that `horizontalSums` has.
@inline(__always)
func horizontalSum(_ a: Vector) -> Float { horizontalSums(a, a, a, a)[0] }

/// The sums of the elements of four vectors. Each is added up in the same order.
@inline(__always)
func horizontalSums(_ a: Vector, _ b: Vector, _ c: Vector, _ d: Vector) -> SIMD4<Float> {
  let quarters = quarterSums(a, b, c, d)
  let halves = mt_add_quarters(quarters, quarters)
  return mt_add_quarters(halves, halves).lowHalf.lowHalf
}

/// In each quarter what that quarter of each of the four vectors adds up to.
@inline(__always)
func quarterSums(_ a: Vector, _ b: Vector, _ c: Vector, _ d: Vector) -> Vector {
  mt_add_halves_of_quarters(mt_add_within_pair(a, b), mt_add_within_pair(c, d))
}

/// The largest element of a vector without NaN.
@inline(__always)
private func horizontalMaximum(_ a: Vector) -> Float {
  var result = a[0]
  for j in 1..<16 where a[j] > result { result = a[j] }
  return result
}

// MARK: Loops

// The optimiser inlines a closure only where it is called in one place and is nothing but a call of an inlined
// function; otherwise each sixteen elements cost a call, with all vectors split and joined again. So hot loops are
// written as `for (i, n) in steps(count)`, and what is left over (n < 16) takes the same way as the rest.

/// The way through `count` elements: each step has its place and its number of elements, sixteen but for the last.
struct VectorSteps: Sequence, IteratorProtocol {
  private var place = 0
  private let count: Int

  @inline(__always)
  init(_ count: Int) { self.count = count }

  @inline(__always)
  mutating func next() -> (i: Int, count: Int)? {
    if place >= count { return nil }
    let i = place
    place &+= 16
    return (i, Swift.min(16, count &- i))
  }
}

/// Steps of sixteen elements.
@inline(__always)
func steps(_ count: Int) -> VectorSteps { VectorSteps(count) }

/// Applies `f` to each of `count` floats.
@inline(__always)
func mapVector(
  _ a: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int, _ f: (Vector) -> Vector
) {
  for (i, n) in steps(count) { out.store(f(a.load(i, n)), i, n) }
}

/// Applies `f` to each pair of floats.
@inline(__always)
func mapVector(
  _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ out: UnsafeMutablePointer<Float>, _ count: Int,
  _ f: (Vector, Vector) -> Vector
) {
  for (i, n) in steps(count) { out.store(f(a.load(i, n), b.load(i, n)), i, n) }
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
  return horizontalSum((s0 + s1) + (s2 + s3))
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
    // Four at a time, since each has to wait for the one before.
    let lowest = Vector(repeating: -.infinity)
    var (m0, m1, m2, m3) = (lowest, lowest, lowest, lowest)
    var isNaN = SIMDMask<SIMD16<Int32>>(repeating: false)
    @inline(__always) func take(_ x: Vector, _ best: inout Vector) {
      best = mt_larger(x, best)
      isNaN = isNaN .| (x .!= x)
    }
    var i = 0
    while i + 64 <= count {
      take(a.vector(i), &m0)
      take(a.vector(i + 16), &m1)
      take(a.vector(i + 32), &m2)
      take(a.vector(i + 48), &m3)
      i += 64
    }
    while i + 16 <= count {
      take(a.vector(i), &m0)
      i += 16
    }
    if i < count { take(a.partial(i, count - i, fill: -.infinity), &m1) }
    return any(isNaN) ? .nan : horizontalMaximum(mt_larger(mt_larger(m0, m1), mt_larger(m2, m3)))
  }

  /// `y += alpha · x`.
  public static func add(
    _ x: UnsafePointer<Float>, times alpha: Float = 1, to y: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let factor = Vector(repeating: alpha)
    for (i, n) in steps(count) { y.store(multiplyAdd(x.load(i, n), factor, y.load(i, n)), i, n) }
  }

  /// `y *= alpha`.
  public static func scale(_ y: UnsafeMutablePointer<Float>, by alpha: Float, _ count: Int) {
    let factor = Vector(repeating: alpha)
    for (i, n) in steps(count) { y.store(y.load(i, n) * factor, i, n) }
  }

  /// `out = a + b`, on all threads.
  public static func add(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    ThreadPool.shared.forEach(count: count, grain: 1 << 15) { piece in
      let (a, b, out) = (a + piece.lowerBound, b + piece.lowerBound, out + piece.lowerBound)
      for (i, n) in steps(piece.count) { out.store(a.load(i, n) + b.load(i, n), i, n) }
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

  /// `row = e^(row - shift)`; returns the sum. `shift` is not much below the largest element.
  static func expSum(_ row: UnsafeMutablePointer<Float>, shift: Float, _ count: Int) -> Float {
    exponentials(of: UnsafePointer(row), times: 1, plus: -shift, into: row, count)
  }

  /// `out = e^(row · factor + offset)`, whose exponents are at most 88; returns the sum.
  static func exponentials(
    of row: UnsafePointer<Float>, times factor: Float, plus offset: Float,
    into out: UnsafeMutablePointer<Float>, _ count: Int
  ) -> Float {
    let (factor, offset) = (Vector(repeating: factor), Vector(repeating: offset))
    return sumVector(count) { i in
      let e = boundedExponential(multiplyAdd(row.vector(i), factor, offset))
      out.store(e, i)
      return e
    } _: { i, n in
      let e = boundedExponential(multiplyAdd(row.partial(i, n, fill: -.infinity), factor, offset))
      out.store(e, i, n)
      return e
    }
  }

  /// Σ e^(row · factor + offset), the exponents being at most 88.
  static func sumOfExponentials(
    _ row: UnsafePointer<Float>, times factor: Float, plus offset: Float, _ count: Int
  ) -> Float {
    let (factor, offset) = (Vector(repeating: factor), Vector(repeating: offset))
    return sumVector(
      count, { boundedExponential(multiplyAdd(row.vector($0), factor, offset)) },
      { boundedExponential(multiplyAdd(row.partial($0, $1, fill: -.infinity), factor, offset)) })
  }
}
