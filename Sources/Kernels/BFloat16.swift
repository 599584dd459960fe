// bfloat16: the upper half of a 32-bit float, for storage; arithmetic is in 32 bits.

/// Conversions between 32-bit floats and bfloat16.
public enum BFloat16Kernels {
  /// Rounds to the nearest bfloat16, ties to even. NaN stays NaN, and is quiet.
  public static func encode(
    _ source: UnsafePointer<Float>, into target: UnsafeMutablePointer<UInt16>, _ count: Int
  ) {
    let raw = UnsafeMutableRawPointer(target)
    var i = 0
    while i + 16 <= count {
      raw.storeBytes(of: encoded(source.vector(i)), toByteOffset: 2 * i, as: SIMD16<UInt16>.self)
      i += 16
    }
    if i < count {
      let last = encoded(source.partial(i, count - i))
      for j in 0..<count - i { target[i + j] = last[j] }
    }
  }

  /// Widens to 32-bit floats, exactly.
  public static func expand(
    _ source: UnsafePointer<UInt16>, into target: UnsafeMutablePointer<Float>, _ count: Int
  ) {
    let raw = UnsafeRawPointer(source)
    var i = 0
    while i + 16 <= count {
      target.store(expanded(raw.loadUnaligned(fromByteOffset: 2 * i, as: SIMD16<UInt16>.self)), i)
      i += 16
    }
    while i < count {
      target[i] = Float(bitPattern: UInt32(source[i]) << 16)
      i += 1
    }
  }

  @inline(__always)
  private static func encoded(_ x: Vector) -> SIMD16<UInt16> {
    let bits = unsafeBitCast(x, to: SIMD16<UInt32>.self)
    // Half of what is cut off, less one where the last bit that stays is even: a carry rounds up, also to infinity.
    let even = (bits &>> 16) & SIMD16<UInt32>(repeating: 1)
    let rounded = bits &+ SIMD16<UInt32>(repeating: 0x7fff) &+ even
    // A NaN could be rounded to infinity or beyond, so its upper half is taken as it is and made quiet.
    let quiet = bits | SIMD16<UInt32>(repeating: 0x0040_0000)
    let isNaN = (bits & SIMD16<UInt32>(repeating: 0x7fff_ffff)) .> SIMD16<UInt32>(repeating: 0x7f80_0000)
    return SIMD16<UInt16>(truncatingIfNeeded: rounded.replacing(with: quiet, where: isNaN) &>> 16)
  }

  @inline(__always)
  private static func expanded(_ x: SIMD16<UInt16>) -> Vector {
    unsafeBitCast(SIMD16<UInt32>(truncatingIfNeeded: x) &<< 16, to: Vector.self)
  }
}
