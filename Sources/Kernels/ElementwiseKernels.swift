// Elementwise functions of one, two and three operands, and their derivatives.
//
// The choice of function is made once per call, outside the loop. Derivatives follow PyTorch's where a function has
// none: 0 for |x| at 0, the bounds of a clamp belong to its inside, a tie of minimum or maximum is split evenly.
import CIntrinsics
import Glibc

/// An operand of an elementwise loop: consecutive floats, or one float that meets all elements of the others.
public struct Operand {
  let pointer: UnsafePointer<Float>
  let isRepeated: Bool

  /// `step` is 1 for consecutive floats and 0 for a repeated one.
  public init(_ pointer: UnsafePointer<Float>, step: Int) {
    precondition(step == 0 || step == 1, "operand: floats must be consecutive or repeated")
    self.pointer = pointer
    isRepeated = step == 0
  }

  @inline(__always)
  func load(_ i: Int, _ count: Int) -> Vector {
    isRepeated ? Vector(repeating: pointer[0]) : pointer.load(i, count)
  }
}

/// A differentiable function of one variable.
public enum UnaryFunction: Sendable {
  case negate, exp, log, sqrt, square, abs, sigmoid, silu, tanh, relu, sin, cos, erf, expm1, log1p
  /// x · Φ(x) with the normal distribution's Φ, and with its approximation by tanh (arXiv:1606.08415).
  case gelu, geluTanh
  case clamp(Float, Float)

  /// Whether the derivative is computed from the result, not from the argument.
  public var savesResult: Bool {
    switch self {
    case .exp, .sqrt, .sigmoid, .tanh, .expm1: true
    case .negate, .log, .square, .abs, .silu, .relu, .sin, .cos, .erf, .log1p, .gelu, .geluTanh, .clamp: false
    }
  }
}

/// A function of one variable that is constant between jumps: its derivative is 0.
public enum StepFunction: String, Sendable {
  case floor, ceil, sign
  /// To the nearest whole number, ties to the even one.
  case round
}

/// A differentiable function of two variables.
public enum BinaryFunction: Sendable {
  case add, subtract, multiply, divide, power, minimum, maximum
}

/// A comparison of two numbers; any with NaN is false.
public enum Comparison: String, Sendable {
  case greater = "gt"
  case greaterOrEqual = "ge"
  case less = "lt"
  case lessOrEqual = "le"
  case equal = "eq"
}

/// Elementwise kernels.
public enum ElementwiseKernels {
  /// Elements that one thread takes at a time.
  public static let grain = 1 << 14

  // MARK: One operand

  /// `out = f(a)`, on all threads.
  public static func map(
    _ function: UnaryFunction, _ a: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, count: Int
  ) {
    ThreadPool.shared.forEach(count: count, grain: grain) { piece in
      let (a, out, n) = (a + piece.lowerBound, out + piece.lowerBound, piece.count)
      switch function {
      case .negate: mapVector(a, out, n) { negative($0) }
      case .exp: mapVector(a, out, n) { exponential($0) }
      case .log: mapVector(a, out, n) { x in lanes(x) { Glibc.logf($0) } }
      case .sqrt: mapVector(a, out, n) { squareRoot($0) }
      case .square: mapVector(a, out, n) { $0 * $0 }
      case .abs: mapVector(a, out, n) { x in absolute(x) }
      case .sigmoid: mapVector(a, out, n) { logistic($0) }
      case .silu: mapVector(a, out, n) { silu($0) }
      case .gelu: mapVector(a, out, n) { x in x * normal(x) }
      case .geluTanh: mapVector(a, out, n) { x in x * nearNormal(x).value }
      case .tanh: mapVector(a, out, n) { x in lanes(x) { Glibc.tanhf($0) } }
      case .relu: mapVector(a, out, n) { larger(.zero, $0) }
      case .sin: mapVector(a, out, n) { x in lanes(x) { Glibc.sinf($0) } }
      case .cos: mapVector(a, out, n) { x in lanes(x) { Glibc.cosf($0) } }
      case .erf: mapVector(a, out, n) { x in lanes(x) { Glibc.erff($0) } }
      case .expm1: mapVector(a, out, n) { x in lanes(x) { Glibc.expm1f($0) } }
      case .log1p: mapVector(a, out, n) { x in lanes(x) { Glibc.log1pf($0) } }
      case .clamp(let low, let high):
        let (low, high) = (Vector(repeating: low), Vector(repeating: high))
        mapVector(a, out, n) { smaller(larger($0, low), high) }
      }
    }
  }

  /// `out = beta · out + dy · f′`, on all threads. `saved` is the result of f or its argument, as
  /// `UnaryFunction.savesResult` says.
  public static func gradient(
    _ function: UnaryFunction, _ dy: UnsafePointer<Float>, saved: UnsafePointer<Float>,
    into out: UnsafeMutablePointer<Float>, beta: Float, count: Int
  ) {
    ThreadPool.shared.forEach(count: count, grain: grain) { piece in
      let (start, n) = (piece.lowerBound, piece.count)
      let (d, s, out) = (Operand(dy + start, step: 1), Operand(saved + start, step: 1), out + start)
      switch function {
      case .negate: loop(d, s, out, beta, n) { d, _ in -d }
      case .exp: loop(d, s, out, beta, n) { d, y in d * y }
      case .log: loop(d, s, out, beta, n) { d, x in d / x }
      case .sqrt: loop(d, s, out, beta, n) { d, y in d / (2 * y) }
      case .square: loop(d, s, out, beta, n) { d, x in d * (2 * x) }
      case .abs: loop(d, s, out, beta, n) { d, x in d * sign(x) }
      case .sigmoid: loop(d, s, out, beta, n) { d, y in d * y * (1 - y) }
      case .tanh: loop(d, s, out, beta, n) { d, y in d * (1 - y * y) }
      case .silu:
        loop(d, s, out, beta, n) { siluGradient($0, $1) }
      // Φ(x) + x · Φ′(x)
      case .gelu:
        loop(d, s, out, beta, n) { d, x in d * (normal(x) + x * 0.398_942_28 * exponential(-0.5 * x * x)) }
      case .geluTanh:
        loop(d, s, out, beta, n) { d, x in
          let (value, derivative) = nearNormal(x)
          return d * (value + x * derivative)
        }
      case .relu: loop(d, s, out, beta, n) { d, x in Vector.zero.replacing(with: d, where: x .> 0) }
      case .sin: loop(d, s, out, beta, n) { d, x in d * lanes(x) { Glibc.cosf($0) } }
      case .cos: loop(d, s, out, beta, n) { d, x in -d * lanes(x) { Glibc.sinf($0) } }
      // 2/√π · e^(−x²)
      case .erf: loop(d, s, out, beta, n) { d, x in d * 1.128_379_2 * exponential(-x * x) }
      case .expm1: loop(d, s, out, beta, n) { d, y in d * (y + 1) }
      case .log1p: loop(d, s, out, beta, n) { d, x in d / (1 + x) }
      case .clamp(let low, let high):
        let (low, high) = (Vector(repeating: low), Vector(repeating: high))
        loop(d, s, out, beta, n) { d, x in Vector.zero.replacing(with: d, where: (x .>= low) .& (x .<= high))
        }
      }
    }
  }

  /// `out = f(a)`, on all threads.
  public static func map(
    _ function: StepFunction, _ a: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, count: Int
  ) {
    ThreadPool.shared.forEach(count: count, grain: grain) { piece in
      let (a, out, n) = (a + piece.lowerBound, out + piece.lowerBound, piece.count)
      switch function {
      case .floor: mapVector(a, out, n) { x in lanes(x) { Glibc.floorf($0) } }
      case .ceil: mapVector(a, out, n) { x in lanes(x) { Glibc.ceilf($0) } }
      case .round: mapVector(a, out, n) { x in lanes(x) { Glibc.rintf($0) } }
      case .sign: mapVector(a, out, n) { x in sign(x) }
      }
    }
  }

  // MARK: Two operands

  /// `out = f(a, b)`, on this thread.
  public static func map(
    _ function: BinaryFunction, _ a: Operand, _ b: Operand, into out: UnsafeMutablePointer<Float>, count: Int
  ) {
    switch function {
    case .add: loop(a, b, out, 0, count) { plus($0, $1) }
    case .subtract: loop(a, b, out, 0, count) { minus($0, $1) }
    case .multiply: loop(a, b, out, 0, count) { $0 * $1 }
    case .divide: loop(a, b, out, 0, count) { $0 / $1 }
    case .power: loop(a, b, out, 0, count) { a, b in lanes(a, b) { Glibc.powf($0, $1) } }
    case .minimum: loop(a, b, out, 0, count) { smaller($0, $1) }
    case .maximum: loop(a, b, out, 0, count) { larger($0, $1) }
    }
  }

  /// `out = beta · out + dy · ∂f/∂a`, on this thread.
  public static func gradientOfFirst(
    _ function: BinaryFunction, _ dy: Operand, _ a: Operand, _ b: Operand,
    into out: UnsafeMutablePointer<Float>, beta: Float, count: Int
  ) {
    switch function {
    case .add, .subtract: loop(dy, a, b, out, beta, count) { d, _, _ in d }
    case .multiply: loop(dy, a, b, out, beta, count) { d, _, b in d * b }
    case .divide: loop(dy, a, b, out, beta, count) { d, _, b in d / b }
    case .power:
      loop(dy, a, b, out, beta, count) { d, a, b in
        let slope = b * lanes(a, b) { Glibc.powf($0, $1 - 1) }
        return (d * slope).replacing(with: 0, where: b .== 0)
      }
    case .minimum: loop(dy, a, b, out, beta, count) { d, a, b in share(d, a, b, loses: a .> b) }
    case .maximum: loop(dy, a, b, out, beta, count) { d, a, b in share(d, a, b, loses: a .< b) }
    }
  }

  /// `out = beta · out + dy · ∂f/∂b`, on this thread.
  public static func gradientOfSecond(
    _ function: BinaryFunction, _ dy: Operand, _ a: Operand, _ b: Operand,
    into out: UnsafeMutablePointer<Float>, beta: Float, count: Int
  ) {
    switch function {
    case .add: loop(dy, a, b, out, beta, count) { d, _, _ in d }
    case .subtract: loop(dy, a, b, out, beta, count) { d, _, _ in -d }
    case .multiply: loop(dy, a, b, out, beta, count) { d, a, _ in d * a }
    case .divide: loop(dy, a, b, out, beta, count) { d, a, b in -d * ((a / b) / b) }
    case .power:
      loop(dy, a, b, out, beta, count) { d, a, b in
        let slope = lanes(a, b) { Glibc.powf($0, $1) * Glibc.logf($0) }
        return (d * slope).replacing(with: 0, where: (a .== 0) .& (b .>= 0))
      }
    case .minimum: loop(dy, a, b, out, beta, count) { d, a, b in share(d, a, b, loses: a .< b) }
    case .maximum: loop(dy, a, b, out, beta, count) { d, a, b in share(d, a, b, loses: a .> b) }
    }
  }

  /// `out = 1` where the comparison holds and 0 elsewhere, on this thread.
  public static func compare(
    _ comparison: Comparison, _ a: Operand, _ b: Operand, into out: UnsafeMutablePointer<Float>, count: Int
  ) {
    let one = Vector(repeating: 1)
    switch comparison {
    case .greater: loop(a, b, out, 0, count) { Vector.zero.replacing(with: one, where: $0 .> $1) }
    case .greaterOrEqual: loop(a, b, out, 0, count) { Vector.zero.replacing(with: one, where: $0 .>= $1) }
    case .less: loop(a, b, out, 0, count) { Vector.zero.replacing(with: one, where: $0 .< $1) }
    case .lessOrEqual: loop(a, b, out, 0, count) { Vector.zero.replacing(with: one, where: $0 .<= $1) }
    case .equal: loop(a, b, out, 0, count) { Vector.zero.replacing(with: one, where: $0 .== $1) }
    }
  }

  // MARK: Three operands

  /// `out = beta · out + a` where the mask is not 0, and `beta · out + b` elsewhere, on this thread.
  public static func select(
    _ mask: Operand, _ a: Operand, _ b: Operand, into out: UnsafeMutablePointer<Float>, beta: Float = 0,
    count: Int
  ) {
    loop(mask, a, b, out, beta, count) { mask, a, b in b.replacing(with: a, where: mask .!= 0) }
  }

  // MARK: Loops and parts of functions

  @inline(__always)
  private static func loop(
    _ a: Operand, _ b: Operand, _ out: UnsafeMutablePointer<Float>, _ beta: Float, _ count: Int,
    _ f: (Vector, Vector) -> Vector
  ) {
    for (i, n) in steps(count) {
      let value = f(a.load(i, n), b.load(i, n))
      out.store(beta == 0 ? value : out.load(i, n) + value, i, n)
    }
  }

  @inline(__always)
  private static func loop(
    _ a: Operand, _ b: Operand, _ c: Operand, _ out: UnsafeMutablePointer<Float>, _ beta: Float, _ count: Int,
    _ f: (Vector, Vector, Vector) -> Vector
  ) {
    for (i, n) in steps(count) {
      let value = f(a.load(i, n), b.load(i, n), c.load(i, n))
      out.store(beta == 0 ? value : out.load(i, n) + value, i, n)
    }
  }

  // A closure is inlined where it only calls a function that is, see `steps`.

  @inline(__always)
  private static func plus(_ a: Vector, _ b: Vector) -> Vector { a + b }

  @inline(__always)
  private static func minus(_ a: Vector, _ b: Vector) -> Vector { a - b }

  @inline(__always)
  private static func negative(_ x: Vector) -> Vector { -x }

  @inline(__always)
  private static func squareRoot(_ x: Vector) -> Vector { x.squareRoot() }

  @inline(__always)
  private static func silu(_ x: Vector) -> Vector { x * logistic(x) }

  @inline(__always)
  private static func siluGradient(_ d: Vector, _ x: Vector) -> Vector {
    let sigma = logistic(x)
    return d * sigma * (1 + x * (1 - sigma))
  }

  /// Φ, the distribution function of the standard normal distribution.
  @inline(__always)
  private static func normal(_ x: Vector) -> Vector {
    let inner = x * 0.707_106_78
    return 0.5 * (1 + lanes(inner) { Glibc.erff($0) })
  }

  /// (1 + tanh z) / 2 with z = √(2/π) · (x + 0.044715 x³), which is sigmoid(2z), and its derivative.
  @inline(__always)
  private static func nearNormal(_ x: Vector) -> (value: Vector, derivative: Vector) {
    let square = x * x
    let sigma = logistic(x * (1.595_769_1 * (1 + 0.044_715 * square)))
    return (sigma, sigma * (1 - sigma) * (1.595_769_1 * (1 + 0.134_145 * square)))
  }

  /// A function of the C library, lane by lane.
  @inline(__always)
  private static func lanes(_ x: Vector, _ f: (Float) -> Float) -> Vector {
    var result = Vector.zero
    for j in 0..<16 { result[j] = f(x[j]) }
    return result
  }

  @inline(__always)
  private static func lanes(_ a: Vector, _ b: Vector, _ f: (Float, Float) -> Float) -> Vector {
    var result = Vector.zero
    for j in 0..<16 { result[j] = f(a[j], b[j]) }
    return result
  }

  @inline(__always)
  private static func absolute(_ x: Vector) -> Vector {
    unsafeBitCast(unsafeBitCast(x, to: SIMD16<UInt32>.self) & 0x7fff_ffff, to: Vector.self)
  }

  /// -1, 0 or 1; NaN stays NaN.
  @inline(__always)
  private static func sign(_ x: Vector) -> Vector {
    let positive = Vector.zero.replacing(with: 1, where: x .> 0)
    return positive.replacing(with: -1, where: x .< 0).replacing(with: x, where: x .!= x)
  }

  /// The smaller of two; NaN if one is.
  @inline(__always)
  private static func smaller(_ a: Vector, _ b: Vector) -> Vector {
    mt_smaller(b, a).replacing(with: b, where: b .!= b)
  }

  /// The larger of two; NaN if one is.
  @inline(__always)
  private static func larger(_ a: Vector, _ b: Vector) -> Vector {
    mt_larger(b, a).replacing(with: b, where: b .!= b)
  }

  /// What one side of a minimum or maximum gets of the gradient: nothing where it loses, half in a tie.
  @inline(__always)
  private static func share(_ d: Vector, _ a: Vector, _ b: Vector, loses: SIMDMask<SIMD16<Int32>>) -> Vector {
    d.replacing(with: d * 0.5, where: a .== b).replacing(with: 0, where: loses)
  }
}
