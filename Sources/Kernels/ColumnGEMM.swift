// Products of few rows with numbers of four bits, for processors with sixteen registers of eight floats.
//
// Dot products of such rows need more registers than there are: sums of outer products do not. Sixteen weight rows are
// expanded side by side, some columns at a time, into memory that stays in the first-level cache; a column of them is two
// registers, which meet one element of each of up to six input rows, twelve multiply-adds to eight loads, and the sums end
// in place. Every result is one sum over the columns in their order, whatever the number of rows and threads. Weights of
// other formats would have to be transposed as floats, which costs few rows more than it gives: they are `TiledGEMM`'s.
import CIntrinsics

enum ColumnGEMM {
  /// Weight rows side by side.
  private static let group = 16
  /// Columns that are expanded at a time, whole blocks.
  private static let depth = 256
  /// Weight rows that one thread takes at a time: those that `mt_sums_of_four_bits` has.
  private static let grain = 32

  /// Whether this way is the one for few rows.
  static func takes(_ format: WeightFormat) -> Bool {
    !TiledGEMM.isWide && (format == .q4_0 || format == .q4_1)
  }

  /// Floats of scratch memory that `multiply` needs.
  static var scratchCount: Int { ThreadPool.shared.threadCount * group * depth }

  /// - Parameters:
  ///   - x: (M, K). `weight`: (N, K) in a format that this way takes. `y`: (M, N).
  ///   - scratch: `scratchCount` floats.
  static func multiply(
    _ x: Matrix, _ weight: WeightRows, into y: Matrix, scratch: UnsafeMutablePointer<Float>
  ) {
    let (K, stride) = (weight.columns, weight.format.rowBytes(weight.columns))
    let header = weight.format.blockSize - 16
    // Threads that are as fast as each other take turns.
    let others = (ThreadPool.shared.threadCount - 1) * grain
    ThreadPool.shared.forEach(count: weight.rows, grain: grain) { range, slot in
      if x.rows == 1, range.count == grain {
        let n = range.lowerBound
        let next = weight.row(n + grain + others).assumingMemoryBound(to: CChar.self)
        return mt_sums_of_four_bits(weight.row(n), stride, header, K / 32, x.pointer, y.pointer + n, next)
      }
      let columns = scratch + slot * group * depth
      var n = range.lowerBound
      while n + group <= range.upperBound {
        for k in Swift.stride(from: 0, to: K, by: depth) {
          let count = min(depth, K - k)
          let rows = weight.row(n) + weight.format.rowBytes(k)
          expand(rows, stride, header, count, into: columns)
          let next = n + group < range.upperBound ? n + group : n + group + others
          var ahead = Lines(weight, next, k, count, passes: (x.rows + 5) / 6)
          add(x, k, columns, count, to: y, n, &ahead)
        }
        n += group
      }
      while n < range.upperBound {
        single(x, weight, n, into: y, columns)
        n += 1
      }
    }
  }

  /// Columns of sixteen rows, one after the other.
  private static func expand(
    _ rows: UnsafeRawPointer, _ stride: Int, _ header: Int, _ count: Int,
    into columns: UnsafeMutablePointer<Float>
  ) {
    for b in 0..<count / 32 {
      let (block, target) = (rows + b &* (header &+ 16), columns + 32 &* group &* b)
      mt_columns_of_four_bits(block, stride, header, target)
      mt_columns_of_four_bits(block + 8 &* stride, stride, header, target + 8)
    }
  }

  /// One weight row, added up in the same order: what is left over of all.
  private static func single(
    _ x: Matrix, _ weight: WeightRows, _ n: Int, into y: Matrix, _ memory: UnsafeMutablePointer<Float>
  ) {
    for m in 0..<x.rows { y.pointer[m * y.stride + n] = 0 }
    for k in stride(from: 0, to: weight.columns, by: depth) {
      let count = min(depth, weight.columns - k)
      weight.format.expand(weight.row(n) + weight.format.rowBytes(k), into: memory, count: count)
      for m in 0..<x.rows {
        let input = x.pointer + m * x.stride + k
        var sum = y.pointer[m * y.stride + n]
        for i in 0..<count { sum.addProduct(memory[i], input[i]) }
        y.pointer[m * y.stride + n] = sum
      }
    }
  }

  /// The same columns of the rows that come next, asked for evenly over the passes through these.
  private struct Lines {
    private var row: UnsafeRawPointer
    private let stride: Int
    private let bytes: Int
    private var offset = 0
    private var rows: Int
    private let perStep: Int

    /// - Parameter passes: How often all columns are gone through, four to a step.
    init(_ weight: WeightRows, _ n: Int, _ k: Int, _ count: Int, passes: Int) {
      stride = weight.format.rowBytes(weight.columns)
      bytes = weight.format.rowBytes(count)
      row = weight.row(n) + weight.format.rowBytes(k)
      rows = n + group <= weight.rows ? group : 0
      let steps = max(1, passes * (count / 4))
      perStep = (group * ((bytes + 63) / 64) + steps - 1) / steps
    }

    @inline(__always)
    mutating func step() {
      var left = perStep
      while left > 0, rows > 0 {
        mt_prefetch(row + offset)
        offset &+= 64
        if offset >= bytes {
          offset = 0
          row += stride
          rows &-= 1
        }
        left &-= 1
      }
    }
  }

  // MARK: Columns times input rows

  /// An element of each of sixteen weight rows.
  private struct Column {
    let low: SIMD8<Float>
    let high: SIMD8<Float>

    @inline(__always)
    init(_ p: UnsafePointer<Float>) {
      low = UnsafeRawPointer(p).loadUnaligned(as: SIMD8<Float>.self)
      high = UnsafeRawPointer(p + 8).loadUnaligned(as: SIMD8<Float>.self)
    }
  }

  /// Sums of sixteen weight rows with an input row.
  private struct Sums {
    private var low: SIMD8<Float>
    private var high: SIMD8<Float>

    /// Those of the columns before these, if any.
    @inline(__always)
    init(_ y: UnsafePointer<Float>, isFirst: Bool) {
      let sums = isFirst ? Vector.zero : y.vector(0)
      (low, high) = (sums.lowHalf, sums.highHalf)
    }

    @inline(__always)
    mutating func add(_ w: Column, _ x: Float) {
      let x = SIMD8<Float>(repeating: x)
      low = low.addingProduct(w.low, x)
      high = high.addingProduct(w.high, x)
    }

    @inline(__always)
    func store(_ y: UnsafeMutablePointer<Float>) { y.store(Vector(lowHalf: low, highHalf: high), 0) }
  }

  /// Adds all input rows' products with `count` columns from `k` on of sixteen weight rows to their sums.
  private static func add(
    _ x: Matrix, _ k: Int, _ w: UnsafePointer<Float>, _ count: Int, to y: Matrix, _ n: Int,
    _ ahead: inout Lines
  ) {
    var m = 0
    let isFirst = k == 0
    while m < x.rows {
      let left = x.rows - m
      let input = UnsafePointer(x.pointer + m * x.stride + k)
      let target = y.pointer + m * y.stride + n
      if left == 6 || left > 8 {
        six(input, x.stride, w, count, target, y.stride, isFirst, &ahead)
        m += 6
      } else if left >= 4 {
        four(input, x.stride, w, count, target, y.stride, isFirst, &ahead)
        m += 4
      } else if left >= 2 {
        two(input, x.stride, w, count, target, y.stride, isFirst, &ahead)
        m += 2
      } else {
        one(input, x.stride, w, count, target, y.stride, isFirst, &ahead)
        m += 1
      }
    }
  }

  /// Calls `body` with each column, four to a step of `lines`.
  @inline(__always)
  private static func eachColumn(
    _ w: UnsafePointer<Float>, _ count: Int, _ lines: inout Lines, _ body: (Int, Column) -> Void
  ) {
    // A copy that stays in registers.
    var ahead = lines
    for k in stride(from: 0, to: count, by: 4) {
      ahead.step()
      for i in k..<k &+ 4 {
        mt_keep_order()
        body(i, Column(w + group &* i))
      }
    }
    lines = ahead
  }

  @inline(never)
  private static func six(
    _ x: UnsafePointer<Float>, _ xs: Int, _ w: UnsafePointer<Float>, _ count: Int,
    _ y: UnsafeMutablePointer<Float>, _ ys: Int, _ isFirst: Bool, _ lines: inout Lines
  ) {
    var a = Sums(y, isFirst: isFirst)
    var b = Sums(y + ys, isFirst: isFirst)
    var c = Sums(y + 2 * ys, isFirst: isFirst)
    var d = Sums(y + 3 * ys, isFirst: isFirst)
    var e = Sums(y + 4 * ys, isFirst: isFirst)
    var f = Sums(y + 5 * ys, isFirst: isFirst)
    let (x1, x2, x3, x4, x5) = (x + xs, x + 2 * xs, x + 3 * xs, x + 4 * xs, x + 5 * xs)
    eachColumn(w, count, &lines) { k, column in
      a.add(column, x[k])
      b.add(column, x1[k])
      c.add(column, x2[k])
      d.add(column, x3[k])
      e.add(column, x4[k])
      f.add(column, x5[k])
    }
    a.store(y)
    b.store(y + ys)
    c.store(y + 2 * ys)
    d.store(y + 3 * ys)
    e.store(y + 4 * ys)
    f.store(y + 5 * ys)
  }

  @inline(never)
  private static func four(
    _ x: UnsafePointer<Float>, _ xs: Int, _ w: UnsafePointer<Float>, _ count: Int,
    _ y: UnsafeMutablePointer<Float>, _ ys: Int, _ isFirst: Bool, _ lines: inout Lines
  ) {
    var a = Sums(y, isFirst: isFirst)
    var b = Sums(y + ys, isFirst: isFirst)
    var c = Sums(y + 2 * ys, isFirst: isFirst)
    var d = Sums(y + 3 * ys, isFirst: isFirst)
    let (x1, x2, x3) = (x + xs, x + 2 * xs, x + 3 * xs)
    eachColumn(w, count, &lines) { k, column in
      a.add(column, x[k])
      b.add(column, x1[k])
      c.add(column, x2[k])
      d.add(column, x3[k])
    }
    a.store(y)
    b.store(y + ys)
    c.store(y + 2 * ys)
    d.store(y + 3 * ys)
  }

  @inline(never)
  private static func two(
    _ x: UnsafePointer<Float>, _ xs: Int, _ w: UnsafePointer<Float>, _ count: Int,
    _ y: UnsafeMutablePointer<Float>, _ ys: Int, _ isFirst: Bool, _ lines: inout Lines
  ) {
    var a = Sums(y, isFirst: isFirst)
    var b = Sums(y + ys, isFirst: isFirst)
    let x1 = x + xs
    eachColumn(w, count, &lines) { k, column in
      a.add(column, x[k])
      b.add(column, x1[k])
    }
    a.store(y)
    b.store(y + ys)
  }

  @inline(never)
  private static func one(
    _ x: UnsafePointer<Float>, _ xs: Int, _ w: UnsafePointer<Float>, _ count: Int,
    _ y: UnsafeMutablePointer<Float>, _ ys: Int, _ isFirst: Bool, _ lines: inout Lines
  ) {
    var a = Sums(y, isFirst: isFirst)
    eachColumn(w, count, &lines) { k, column in
      a.add(column, x[k])
    }
    a.store(y)
  }
}
