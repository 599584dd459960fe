// The tile of processors that multiply matrices: AMX, whose registers hold 16 × 16 sums, 16 × 32 bfloat16 numbers of the
// left operand or 32 × 16 of the right one.
//
// A float of 24 bits is exactly the sum of three bfloat16 numbers of 8 bits: x = x₁ + x₂ + x₃, each at most 2⁻⁸ of the
// one before. Of the nine products of two such sums the six with indices that add up to 4 or less are computed, each
// exactly, and added up in f32; the other three are below 2⁻²⁴ of the whole, as an f32 product's rounding error is. So the
// result is as exact as that of multiply-adds in f32 (a test compares both with double precision). An instruction does
// sixteen times the work of a vector's, so six of them for one leave more than twice the peak. Henry, Tang and Heinecke,
// "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations" (arXiv:1904.06376).
//
// Two differences from multiply-adds: an infinite element makes NaN of the results that it is part of, and what is below
// 2⁻¹²⁶ counts as 0.
import CIntrinsics
import Glibc

enum MatrixTile: PanelTile {
  /// Whether the processor multiplies matrices and the kernel lets this process use that. `MIDTRAIN_AMX=0` says no.
  static let isUsable =
    MT_MATRIX_TILES == 1 && Processor.flags.isSuperset(of: ["amx_tile", "amx_bf16"])
    && getenv("MIDTRAIN_AMX").map { String(cString: $0) } != "0" && mt_request_tiles() == 0

  static var rows: Int { 32 }
  static var columns: Int { 32 }
  static var depth: Int { 768 }
  static var group: ClosedRange<Int> { 4...8 }
  static let scratch = PanelScratch(MatrixTile.self)

  /// Elements of the inner size that one instruction takes.
  private static let step = 32
  /// Rows or columns of a register.
  private static let lanes = 16
  /// Floats of memory that a register has.
  private static let registerCount = 256
  /// Floats of a step of a panel: three registers for each half of its rows or columns.
  private static let stepCount = 6 * registerCount

  static func length(_ count: Int) -> Int { (count + step - 1) / step * (stepCount / rows) }

  static func computing(_ body: () -> Void) {
    mt_begin_tiles()
    body()
    mt_end_tiles()
  }

  static func packLeft(
    _ a: PanelOperand, _ height: Int, _ count: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    for i in stride(from: 0, to: height, by: rows) {
      pack(
        a.pointer + i * a.rowStride, laneStride: a.rowStride, innerStride: a.columnStride,
        min(rows, height - i), count, isLeft: true, into: packed + i * length(count))
    }
  }

  static func packRight(
    _ b: PanelOperand, _ width: Int, _ count: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    pack(
      b.pointer, laneStride: b.columnStride, innerStride: b.rowStride, width, count, isLeft: false,
      into: packed)
  }

  /// A panel of rows of the left operand or columns of the right one (lanes).
  private static func pack(
    _ input: UnsafePointer<Float>, laneStride: Int, innerStride: Int, _ width: Int, _ count: Int,
    isLeft: Bool, into packed: UnsafeMutablePointer<Float>
  ) {
    withUnsafeTemporaryAllocation(byteCount: 4 * step * lanes, alignment: 64) { memory in
      let block = memory.bindMemory(to: Float.self).baseAddress!
      var output = packed
      for k in stride(from: 0, to: count, by: step) {
        // Lines that do not follow each other, which the processor does not ask for by itself, of the step after the next.
        if innerStride > 1 {
          for next in k + 2 * step..<k + 3 * step {
            mt_prefetch(input + next * innerStride)
            mt_prefetch(input + next * innerStride + lanes)
          }
        }
        for lane in stride(from: 0, to: rows, by: lanes) {
          pack(
            input + lane * laneStride + k * innerStride, laneStride, innerStride,
            max(0, min(lanes, width - lane)), min(step, count - k), isLeft: isLeft, block, into: output)
          output += stepCount / 2
        }
      }
    }
  }

  /// Three registers for `width` lanes and `count` elements of each. A register's rows are lanes of the left operand or
  /// places in the inner size of the right one, two of which, sixteen apart, share a word.
  private static func pack(
    _ input: UnsafePointer<Float>, _ laneStride: Int, _ innerStride: Int, _ width: Int, _ count: Int,
    isLeft: Bool, _ block: UnsafeMutablePointer<Float>, into output: UnsafeMutablePointer<Float>
  ) {
    // Rows as memory has them or, where it does not have all of them or across them, a copy in a block.
    let (height, length) = isLeft ? (lanes, step) : (step, lanes)
    let isAlong = (isLeft ? innerStride : laneStride) == 1
    var (rows, stride) = (input, isLeft ? laneStride : innerStride)
    if !isAlong || width < lanes || count < step {
      let (inputs, inputLength) = isAlong == isLeft ? (width, count) : (count, width)
      let inputStride = isAlong == isLeft ? laneStride : innerStride
      if isAlong {
        for i in 0..<height {
          for j in Swift.stride(from: 0, to: length, by: 16) {
            let present = i < inputs ? max(0, min(16, inputLength - j)) : 0
            block.store((input + i * inputStride).load(j, present), i * length + j)
          }
        }
      } else {
        for i in Swift.stride(from: 0, to: length, by: 4) {
          for j in Swift.stride(from: 0, to: height, by: 16) {
            let present = max(0, min(16, inputLength - j))
            @inline(__always) func row(_ i: Int) -> Vector {
              (input + i * inputStride).load(j, i < inputs ? present : 0)
            }
            mt_store_columns(row(i), row(i + 1), row(i + 2), row(i + 3), block + j * length + i, length)
          }
        }
      }
      (rows, stride) = (UnsafePointer(block), length)
    }
    let second = isLeft ? 16 : 16 * stride
    for i in 0..<lanes {
      let row = rows + i * stride
      mt_split(row.vector(0), row.vector(second), output + i * 16, registerCount)
    }
  }

  static func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int, _ next: UnsafePointer<Float>,
    _ lines: Int, into sums: UnsafeMutablePointer<Float>, stride: Int, isAdded: Bool
  ) {
    let steps = (count + step - 1) / step
    let perStep = (lines + steps - 1) / steps
    var (a, b, next) = (a, b, next)
    mt_clear_tiles()
    mt_load_tiles(a, b)
    for i in 1...steps {
      mt_multiply_tiles(a, b, i < steps ? stepCount : 0)
      for _ in 0..<perStep {
        mt_prefetch(next)
        next += 16
      }
      a += stepCount
      b += stepCount
    }
    guard isAdded else { return mt_store_tiles(sums, stride) }
    // Not added up onto what is there, which may be much larger: each addition would be rounded to its last bit.
    withUnsafeTemporaryAllocation(byteCount: 4 * rows * columns, alignment: 64) { memory in
      let fresh = memory.bindMemory(to: Float.self).baseAddress!
      mt_store_tiles(fresh, columns)
      for i in 0..<rows {
        let target = sums + i * stride
        target.store(target.vector(0) + fresh.vector(i * columns), 0)
        target.store(target.vector(16) + fresh.vector(i * columns + 16), 16)
      }
    }
  }
}
