// The storage formats of weights and how each becomes Float: whole numbers of 16 or 32 bits, or blocks of integers.
//
// A row is a sequence of blocks. A block holds 32 (or, for the "K" formats, 256) quantised elements and their
// half-precision scales. Products and sums are rounded one by one, as in ggml: results are equal to the bit.
import CIntrinsics

/// A storage format of weights, with ggml's numbers.
public enum WeightFormat: UInt32, Sendable, CaseIterable {
  case f32 = 0
  case f16 = 1
  case q4_0 = 2
  case q4_1 = 3
  case q5_0 = 6
  case q5_1 = 7
  case q8_0 = 8
  case q4_K = 12
  case q5_K = 13
  case q6_K = 14
  case bf16 = 30

  /// The name that people use: `Q4_K`.
  public var name: String { "\(self)".uppercased() }

  /// Elements in a block.
  public var blockLength: Int {
    switch self {
    case .f32, .f16, .bf16: 1
    case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
    case .q4_K, .q5_K, .q6_K: 256
    }
  }

  /// Bytes in a block.
  public var blockSize: Int {
    switch self {
    case .f32: 4
    case .f16, .bf16: 2
    case .q4_0: 2 + 16
    case .q4_1: 2 + 2 + 16
    case .q5_0: 2 + 4 + 16
    case .q5_1: 2 + 2 + 4 + 16
    case .q8_0: 2 + 32
    case .q4_K: 2 + 2 + 12 + 128
    case .q5_K: 2 + 2 + 12 + 32 + 128
    case .q6_K: 128 + 64 + 16 + 2
    }
  }

  /// Bytes of a row of `columns` elements, a multiple of `blockLength`.
  public func rowBytes(_ columns: Int) -> Int { columns / blockLength * blockSize }

  /// Whether this is the shape of a matrix whose rows are whole blocks.
  public func holds(_ shape: [Int]) -> Bool { shape.count == 2 && shape[1] % blockLength == 0 }

  /// Converts `count` elements, whole blocks, at `source`, which need not be aligned.
  public func expand(_ source: UnsafeRawPointer, into output: UnsafeMutablePointer<Float>, count: Int) {
    let blocks = count / blockLength
    let bytes = source.assumingMemoryBound(to: UInt8.self)
    switch self {
    case .f32: UnsafeMutableRawPointer(output).copyMemory(from: source, byteCount: 4 * count)
    case .f16:
      for i in 0..<count { output[i] = Float(source.loadUnaligned(fromByteOffset: 2 * i, as: Float16.self)) }
    case .bf16: Self.bf16(source, output, count)
    case .q4_0: for b in 0..<blocks { Self.store(Self.q4_0(bytes + 18 * b), output + 32 * b) }
    case .q4_1: for b in 0..<blocks { Self.store(Self.q4_1(bytes + 20 * b), output + 32 * b) }
    case .q5_0: for b in 0..<blocks { Self.q5_0(bytes + 22 * b, output + 32 * b) }
    case .q5_1: for b in 0..<blocks { Self.q5_1(bytes + 24 * b, output + 32 * b) }
    case .q8_0: for b in 0..<blocks { Self.store(Self.q8_0(bytes + 34 * b), output + 32 * b) }
    case .q4_K: for b in 0..<blocks { Self.q4_K(bytes + 144 * b, output + 256 * b) }
    case .q5_K: for b in 0..<blocks { Self.q5_K(bytes + 176 * b, output + 256 * b) }
    case .q6_K: for b in 0..<blocks { Self.q6_K(bytes + 210 * b, output + 256 * b) }
    }
  }

  /// Whether `dot` knows the format.
  var hasDot: Bool { [.q4_0, .q4_1, .q8_0].contains(self) }

  /// The sum of the products of `count` elements, whole blocks, with floats: expanded in registers, and added up in the
  /// order of a tile of `TiledGEMM`.
  func dot(_ source: UnsafeRawPointer, _ x: UnsafePointer<Float>, count: Int) -> Float {
    let blocks = count / blockLength
    let bytes = source.assumingMemoryBound(to: UInt8.self)
    var sum = Vector.zero
    @inline(__always) func add(_ pair: Pair, _ b: Int) {
      sum = multiplyAdd(pair.low, x.vector(32 &* b), sum)
      sum = multiplyAdd(pair.high, x.vector(32 &* b &+ 16), sum)
    }
    switch self {
    case .q4_0:
      for b in 0..<blocks { add(Self.q4_0(Self.ahead(bytes + 18 &* b)), b) }
    case .q4_1:
      for b in 0..<blocks { add(Self.q4_1(Self.ahead(bytes + 20 &* b)), b) }
    case .q8_0:
      for b in 0..<blocks { add(Self.q8_0(Self.ahead(bytes + 34 &* b)), b) }
    default: preconditionFailure("no dot product of \(name)")
    }
    return horizontalSum(sum)
  }

  /// The same block, what lies some rows behind it asked for.
  @inline(__always)
  private static func ahead(_ block: Input) -> Input {
    mt_prefetch(block + 2048)
    return block
  }

  @inline(__always)
  private static func store(_ pair: Pair, _ output: Output) {
    output.store(pair.low, 0)
    output.store(pair.high, 16)
  }

  private typealias Pair = (low: Vector, high: Vector)
  private typealias Input = UnsafePointer<UInt8>
  private typealias Output = UnsafeMutablePointer<Float>

  @inline(__always)
  private static func half(_ input: Input, _ offset: Int) -> Float {
    Float(UnsafeRawPointer(input).loadUnaligned(fromByteOffset: offset, as: Float16.self))
  }

  private static func bf16(_ source: UnsafeRawPointer, _ output: Output, _ count: Int) {
    var i = 0
    while i + 16 <= count {
      output.store(mt_float_from_bfloat16(source + 2 * i), i)
      i += 16
    }
    while i < count {
      let bits = source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
      output[i] = Float(bitPattern: UInt32(bits) << 16)
      i += 1
    }
  }

  // Elements j and j + 16 of a 32-block share byte j: low and high half.

  @inline(__always)
  static func q4_0(_ block: UnsafePointer<UInt8>) -> (low: Vector, high: Vector) {
    let (scale, offset) = (mt_load_half(block), Vector(repeating: -0.0))
    return (
      mt_weights_of_low_halves(block + 2, -8, scale, offset),
      mt_weights_of_high_halves(block + 2, -8, scale, offset)
    )
  }

  @inline(__always)
  static func q4_1(_ block: UnsafePointer<UInt8>) -> (low: Vector, high: Vector) {
    let (scale, offset) = (mt_load_first_half(block), mt_load_second_half(block))
    return (
      mt_weights_of_low_halves(block + 4, -0.0, scale, offset),
      mt_weights_of_high_halves(block + 4, -0.0, scale, offset)
    )
  }

  /// The fifth bits of a 32-block: bit j of a little-endian u32 belongs to element j.
  @inline(__always)
  static func fifthBits(_ block: UnsafePointer<UInt8>, _ offset: Int = 0) -> UInt32 {
    UInt32(littleEndian: UnsafeRawPointer(block).loadUnaligned(fromByteOffset: offset, as: UInt32.self))
  }

  @inline(__always)
  private static func q5_0(_ block: Input, _ output: Output) {
    let d = half(block, 0)
    let high = fifthBits(block, 2)
    let quants = block + 6
    for j in 0..<16 {
      let low = UInt32(quants[j])
      let shift = UInt32(truncatingIfNeeded: j)
      output[j] = Float(Int32(bitPattern: low & 15 | (high &>> shift & 1) << 4) &- 16) * d
      output[j + 16] = Float(Int32(bitPattern: low >> 4 | (high &>> (shift &+ 16) & 1) << 4) &- 16) * d
    }
  }

  @inline(__always)
  private static func q5_1(_ block: Input, _ output: Output) {
    let d = half(block, 0)
    let m = half(block, 2)
    let high = fifthBits(block, 4)
    let quants = block + 8
    for j in 0..<16 {
      let low = UInt32(quants[j])
      let shift = UInt32(truncatingIfNeeded: j)
      output[j] = Float(Int32(bitPattern: low & 15 | (high &>> shift & 1) << 4)) * d + m
      output[j + 16] = Float(Int32(bitPattern: low >> 4 | (high &>> (shift &+ 16) & 1) << 4)) * d + m
    }
  }

  @inline(__always)
  static func q8_0(_ block: UnsafePointer<UInt8>) -> (low: Vector, high: Vector) {
    let d = mt_load_half(block)
    return (mt_float_from_bytes(block + 2) * d, mt_float_from_bytes(block + 18) * d)
  }

  /// The 6-bit scale and minimum of sub-block `j` of eight, packed into the 12 bytes at `scales`.
  @inline(__always)
  private static func scaleAndMinimum(_ scales: Input, _ j: Int) -> (Float, Float) {
    if j < 4 { return (Float(scales[j] & 63), Float(scales[j + 4] & 63)) }
    return (
      Float((scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4),
      Float((scales[j + 4] >> 4) | (scales[j] >> 6) << 4)
    )
  }

  // Sub-blocks 2i and 2i + 1 of a K block share 32 bytes: low and high half.

  @inline(__always)
  private static func q4_K(_ block: Input, _ output: Output) {
    let d = half(block, 0)
    let dmin = half(block, 2)
    for pair in 0..<4 {
      let quants = block + 16 + 32 * pair
      let target = output + 64 * pair
      let (scale0, minimum0) = scaleAndMinimum(block + 4, 2 * pair)
      let (scale1, minimum1) = scaleAndMinimum(block + 4, 2 * pair + 1)
      let (low, high) = (Vector(repeating: d * scale0), Vector(repeating: d * scale1))
      let (lowOffset, highOffset) = (
        Vector(repeating: -(dmin * minimum0)), Vector(repeating: -(dmin * minimum1))
      )
      for part in stride(from: 0, to: 32, by: 16) {
        target.store(mt_weights_of_low_halves(quants + part, -0.0, low, lowOffset), part)
        target.store(mt_weights_of_high_halves(quants + part, -0.0, high, highOffset), part + 32)
      }
    }
  }

  @inline(__always)
  private static func q5_K(_ block: Input, _ output: Output) {
    let d = half(block, 0)
    let dmin = half(block, 2)
    let high = block + 16
    for pair in 0..<4 {
      let quants = block + 48 + 32 * pair
      let target = output + 64 * pair
      let (scale0, minimum0) = scaleAndMinimum(block + 4, 2 * pair)
      let (scale1, minimum1) = scaleAndMinimum(block + 4, 2 * pair + 1)
      let (d0, m0, d1, m1) = (d * scale0, dmin * minimum0, d * scale1, dmin * minimum1)
      let shift = Int32(truncatingIfNeeded: 2 * pair)
      for j in 0..<32 {
        let bits = Int32(high[j]) &>> shift
        target[j] = d0 * Float(Int32(quants[j] & 15) | (bits & 1) << 4) - m0
        target[j + 32] = d1 * Float(Int32(quants[j] >> 4) | (bits & 2) << 3) - m1
      }
    }
  }

  /// 16 sub-blocks of 16 elements; each half of a block spreads over 64 low and 32 high bytes.
  @inline(__always)
  private static func q6_K(_ block: Input, _ output: Output) {
    let d = half(block, 208)
    let scales = UnsafeRawPointer(block + 192).assumingMemoryBound(to: Int8.self)
    for part in 0..<8 {  // 32 elements each
      let (upper, quarter) = (part / 4, part % 4)
      let low = block + 64 * upper + 32 * (quarter % 2)
      let high = block + 128 + 32 * upper
      let (lowShift, highShift) = (
        Int32(truncatingIfNeeded: quarter / 2 * 4), Int32(truncatingIfNeeded: 2 * quarter)
      )
      for sub in 0..<2 {
        let scale = d * Float(Int32(scales[2 * part + sub]))
        let target = output + 32 * part + 16 * sub
        for j in 0..<16 {
          let bits =
            (Int32(low[16 * sub + j]) &>> lowShift & 15) | (Int32(high[16 * sub + j]) &>> highShift & 3) << 4
          target[j] = scale * Float(bits &- 32)
        }
      }
    }
  }
}
