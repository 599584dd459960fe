// The tile of processors whose registers hold twelve rows by 32 columns of sums.
import CIntrinsics

enum VectorTile: PanelTile {
  /// Whether the processor has registers for it.
  static let isUsable = MT_VECTOR_REGISTERS >= 32

  static var rows: Int { 12 }
  static var columns: Int { 32 }
  static var depth: Int { 384 }
  static var group: ClosedRange<Int> { 6...16 }
  static let scratch = PanelScratch(VectorTile.self)

  static func length(_ count: Int) -> Int { count }

  static func computing(_ body: () -> Void) { body() }

  static func packLeft(
    _ a: PanelOperand, _ height: Int, _ count: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    if a.rowStride == 1 {
      // What lies together is read together, whatever panel it is for.
      for k in 0..<count {
        let input = a.pointer + k * a.columnStride
        for i in stride(from: 0, to: height, by: rows) {
          mt_store_first(packed + i * count + k * rows, rows, input.load(i, min(rows, height - i)))
        }
      }
    } else {
      for i in stride(from: 0, to: height, by: rows) {
        packAcross(
          a.pointer + i * a.rowStride, a.rowStride, min(rows, height - i), count, into: packed + i * count,
          width: rows)
      }
    }
  }

  static func packRight(
    _ b: PanelOperand, _ width: Int, _ count: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    if b.columnStride == 1 {
      let (low, high) = (min(16, width), max(0, width - 16))
      for k in 0..<count {
        let row = b.pointer + k * b.rowStride
        packed.store(row.load(0, low), k * columns)
        packed.store(high > 0 ? row.load(16, high) : .zero, k * columns + 16)
      }
    } else {
      packAcross(b.pointer, b.columnStride, width, count, into: packed, width: columns)
    }
  }

  /// `height` rows, `step` floats apart, as columns of a panel: zeros where there are fewer of them than it is wide.
  private static func packAcross(
    _ input: UnsafePointer<Float>, _ step: Int, _ height: Int, _ count: Int,
    into output: UnsafeMutablePointer<Float>, width: Int
  ) {
    for i in stride(from: 0, to: width, by: 4) {
      let row = input + i * step
      let whole = i + 4 <= height ? count / 16 * 16 : 0
      for k in stride(from: 0, to: whole, by: 16) {
        mt_store_columns(
          row.vector(k), row.vector(step + k), row.vector(2 * step + k), row.vector(3 * step + k),
          output + k * width + i, width)
      }
      for k in whole..<count {
        for j in 0..<4 { output[k * width + i + j] = i + j < height ? row[j * step + k] : 0 }
      }
    }
  }

  /// Sums of one row of a tile.
  private struct Row {
    var low = Vector.zero
    var high = Vector.zero

    @inline(__always)
    mutating func add(_ a: Float, _ b: (Vector, Vector)) {
      let a = Vector(repeating: a)
      low = multiplyAdd(a, b.0, low)
      high = multiplyAdd(a, b.1, high)
    }

    @inline(__always)
    func store(to sums: UnsafeMutablePointer<Float>, isAdded: Bool) {
      sums.store(isAdded ? sums.vector(0) + low : low, 0)
      sums.store(isAdded ? sums.vector(16) + high : high, 16)
    }
  }

  static func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int, _ next: UnsafePointer<Float>,
    _ lines: Int, into sums: UnsafeMutablePointer<Float>, stride: Int, isAdded: Bool
  ) {
    var (r0, r1, r2, r3, r4, r5) = (Row(), Row(), Row(), Row(), Row(), Row())
    var (r6, r7, r8, r9, r10, r11) = (Row(), Row(), Row(), Row(), Row(), Row())
    var (a, b) = (a, b)
    // Between twelfths of the work rows of the result are asked for: they will be there once the sums are.
    let (twelfth, lines) = ((count + rows - 1) / rows, (lines + rows - 1) / rows)
    var (left, target, next) = (count, sums, next)
    while left > 0 {
      mt_prefetch(target)
      mt_prefetch(target + 16)
      for _ in 0..<lines {
        mt_prefetch(next)
        next += 16
      }
      for _ in 0..<min(left, twelfth) {
        let inputs = (b.vector(0), b.vector(16))
        r0.add(a[0], inputs)
        r1.add(a[1], inputs)
        r2.add(a[2], inputs)
        r3.add(a[3], inputs)
        r4.add(a[4], inputs)
        r5.add(a[5], inputs)
        r6.add(a[6], inputs)
        r7.add(a[7], inputs)
        r8.add(a[8], inputs)
        r9.add(a[9], inputs)
        r10.add(a[10], inputs)
        r11.add(a[11], inputs)
        a += rows
        b += columns
      }
      left -= twelfth
      target += stride
    }
    r0.store(to: sums, isAdded: isAdded)
    r1.store(to: sums + stride, isAdded: isAdded)
    r2.store(to: sums + 2 * stride, isAdded: isAdded)
    r3.store(to: sums + 3 * stride, isAdded: isAdded)
    r4.store(to: sums + 4 * stride, isAdded: isAdded)
    r5.store(to: sums + 5 * stride, isAdded: isAdded)
    r6.store(to: sums + 6 * stride, isAdded: isAdded)
    r7.store(to: sums + 7 * stride, isAdded: isAdded)
    r8.store(to: sums + 8 * stride, isAdded: isAdded)
    r9.store(to: sums + 9 * stride, isAdded: isAdded)
    r10.store(to: sums + 10 * stride, isAdded: isAdded)
    r11.store(to: sums + 11 * stride, isAdded: isAdded)
  }

}
