// Products of block-quantised weights with inputs that are rounded to eight bits, a scale for each 32 of them, as
// llama.cpp has them: a quarter of the instructions of a product in floats, and an error of its own. So it is used where
// somebody asked for it only.
import CIntrinsics

/// `y = x · wᵀ` with inputs rounded to 8 bits.
public enum IntegerGEMM {
  /// Groups of sixteen weight rows that one thread takes at a time.
  private static let grain = 3

  /// Input rows, rounded: whole numbers, and for each block of 32 the scale and what all outputs add of the block.
  private struct Inputs {
    let numbers: UnsafeMutablePointer<Int8>
    let scales: UnsafeMutablePointer<Float>
    /// The sum of a block's numbers: times the offset that the weights have, where they have one (a whole number, in
    /// its bits), else times the scale, for the minimum.
    let sums: UnsafeMutablePointer<Float>
    let columns: Int

    var blocks: Int { columns / IntegerWeights.block }

    init(_ scratch: UnsafeMutablePointer<Float>, rows: Int, columns: Int) {
      let blocks = rows * columns / IntegerWeights.block
      (scales, sums, self.columns) = (scratch, scratch + blocks, columns)
      numbers = UnsafeMutableRawPointer(scratch + 2 * blocks).assumingMemoryBound(to: Int8.self)
    }

    func round(_ x: Matrix, _ m: Int, for coding: IntegerWeights.Coding) {
      let row = x.pointer + m * x.stride
      for b in 0..<blocks {
        let (low, high) = (row.vector(32 * b), row.vector(32 * b + 16))
        let scale = mt_largest_magnitude(low, high) * (1 / 127)
        // The inverse of the smallest numbers is infinite, as is that of 0.
        let inverse = (1 / scale).isFinite ? 1 / scale : 0
        let sum = mt_round_to_bytes(low, high, inverse, numbers + m * columns + 32 * b)
        let place = m * blocks + b
        // A block with an element that is not finite spoils the row's results, as it would in floats.
        let isFinite = (low * 0 + high * 0) == .zero
        scales[place] = isFinite ? scale : .nan
        sums[place] =
          coding.hasMinimum
          ? scales[place] * Float(sum) : Float(bitPattern: UInt32(bitPattern: 0 &- coding.offset &* sum))
      }
    }
  }

  /// Floats of scratch memory that `multiply` needs.
  public static func scratchCount(rows M: Int, columns K: Int) -> Int { M * (K / 4 + K / 16) }

  /// - Parameters:
  ///   - x: (M, K). `weight`: (N, K). `y`: (M, N).
  ///   - scratch: `scratchCount` floats.
  public static func multiply(
    _ x: Matrix, _ weight: IntegerWeights, into y: Matrix, scratch: UnsafeMutablePointer<Float>
  ) {
    let inputs = Inputs(scratch, rows: x.rows, columns: x.columns)
    ThreadPool.shared.forEach(count: x.rows, grain: max(1, 8192 / max(1, x.columns))) { range in
      for m in range { inputs.round(x, m, for: weight.coding) }
    }
    ThreadPool.shared.forEach(count: weight.groups, grain: grain) { range in
      for group in range {
        switch (weight.coding.bits, weight.coding.hasMinimum) {
        case (4, false): multiply(inputs, weight, group, y, bits: 4, hasMinimum: false)
        case (4, true): multiply(inputs, weight, group, y, bits: 4, hasMinimum: true)
        case (_, false): multiply(inputs, weight, group, y, bits: 8, hasMinimum: false)
        case (_, true): multiply(inputs, weight, group, y, bits: 8, hasMinimum: true)
        }
      }
    }
  }

  /// All input rows with sixteen weight rows.
  @inline(__always)
  private static func multiply(
    _ x: Inputs, _ weight: IntegerWeights, _ group: Int, _ y: Matrix, bits: Int, hasMinimum: Bool
  ) {
    let (w, ahead) = (UnsafeRawPointer(weight.base + group * weight.groupBytes), weight.groupBytes)
    let (n, count) = (group * IntegerWeights.group, min(IntegerWeights.group, weight.rows - group * 16))
    var m = 0
    while m + 4 <= y.rows {
      let sums = four(x, m, w, bits, hasMinimum, ahead: m == 0 ? ahead : 0)
      let target = y.pointer + m * y.stride + n
      target.store(sums.0, 0, count)
      target.store(sums.1, y.stride, count)
      target.store(sums.2, 2 * y.stride, count)
      target.store(sums.3, 3 * y.stride, count)
      m += 4
    }
    while m < y.rows {
      (y.pointer + m * y.stride + n).store(
        one(x, m, w, bits, hasMinimum, ahead: m == 0 ? ahead : 0), 0, count)
      m += 1
    }
  }

  /// A block of sixteen weight rows in registers.
  private struct Block {
    let a, b, c, d, e, f, g, h: mt_byte64
    let scales: Vector
    let minima: Vector

    @inline(__always)
    init(_ w: UnsafeRawPointer, _ bits: Int, _ hasMinimum: Bool) {
      if bits == 4 {
        let (p, q, r, s) = (
          mt_load_bytes(w), mt_load_bytes(w + 64), mt_load_bytes(w + 128), mt_load_bytes(w + 192)
        )
        (a, b, c, d) = (mt_low_halves(p), mt_low_halves(q), mt_low_halves(r), mt_low_halves(s))
        (e, f, g, h) = (mt_high_halves(p), mt_high_halves(q), mt_high_halves(r), mt_high_halves(s))
      } else {
        (a, b, c, d) = (
          mt_load_bytes(w), mt_load_bytes(w + 64), mt_load_bytes(w + 128), mt_load_bytes(w + 192)
        )
        (e, f, g, h) = (
          mt_load_bytes(w + 256), mt_load_bytes(w + 320), mt_load_bytes(w + 384), mt_load_bytes(w + 448)
        )
      }
      scales = mt_float_from_halves(w + 64 * bits)
      minima = hasMinimum ? mt_float_from_halves(w + 64 * bits + 32) : .zero
    }

    /// Adds what the block gives with 32 numbers of an input row.
    @inline(__always)
    func add(
      _ x: UnsafePointer<Int8>, _ scale: Float, _ sum: Float, _ bits: Int, _ hasMinimum: Bool,
      to total: inout Vector
    ) {
      let start = hasMinimum ? 0 : Int32(bitPattern: sum.bitPattern)
      let products = mt_block_products(start, a, b, c, d, e, f, g, h, x, bits)
      total = multiplyAdd(mt_float_from_integers(products), scales * scale, total)
      if hasMinimum { total = multiplyAdd(minima, Vector(repeating: sum), total) }
    }
  }

  @inline(__always)
  private static func four(
    _ x: Inputs, _ m: Int, _ w: UnsafeRawPointer, _ bits: Int, _ hasMinimum: Bool, ahead: Int
  ) -> (Vector, Vector, Vector, Vector) {
    var (s0, s1, s2, s3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    let (K, blocks) = (x.columns, x.blocks)
    let numbers = UnsafePointer(x.numbers + m * K)
    let (scales, sums) = (x.scales + m * blocks, x.sums + m * blocks)
    let bytes = 16 * (4 * bits + (hasMinimum ? 4 : 2))
    var (at, p) = (w, numbers)
    for b in 0..<blocks {
      let block = Block(at, bits, hasMinimum)
      if ahead != 0 { prefetch(at + ahead, bytes) }
      block.add(p, scales[b], sums[b], bits, hasMinimum, to: &s0)
      block.add(p + K, scales[b &+ blocks], sums[b &+ blocks], bits, hasMinimum, to: &s1)
      block.add(p + 2 &* K, scales[b &+ 2 &* blocks], sums[b &+ 2 &* blocks], bits, hasMinimum, to: &s2)
      block.add(p + 3 &* K, scales[b &+ 3 &* blocks], sums[b &+ 3 &* blocks], bits, hasMinimum, to: &s3)
      at += bytes
      p += 32
    }
    return (s0, s1, s2, s3)
  }

  @inline(__always)
  private static func one(
    _ x: Inputs, _ m: Int, _ w: UnsafeRawPointer, _ bits: Int, _ hasMinimum: Bool, ahead: Int
  ) -> Vector {
    var sum = Vector.zero
    let (numbers, scales, sums) = (
      UnsafePointer(x.numbers + m * x.columns), x.scales + m * x.blocks, x.sums + m * x.blocks
    )
    let bytes = 16 * (4 * bits + (hasMinimum ? 4 : 2))
    var at = w
    for b in 0..<x.blocks {
      let block = Block(at, bits, hasMinimum)
      if ahead != 0 { prefetch(at + ahead, bytes) }
      block.add(numbers + 32 &* b, scales[b], sums[b], bits, hasMinimum, to: &sum)
      at += bytes
    }
    return sum
  }

  /// The same block of the next sixteen rows.
  @inline(__always)
  private static func prefetch(_ p: UnsafeRawPointer, _ bytes: Int) {
    var line = 0
    while line < bytes {
      mt_prefetch(p + line)
      line &+= 64
    }
  }
}
