// Products of large matrices on processors whose registers hold a tile of twelve rows by 32 columns.
//
// Both operands are packed into panels: what a tile needs lies in a row. A panel of the right one meets a group of panels
// of the left one that the second-level cache holds, so that each thread reads the right one from memory or the last cache
// once for a group. The right one is packed by all threads together, so that pieces of the result can be small, and
// there are enough of them for many threads. Every result is the same sum in the same order however it is cut.
import CIntrinsics
import Glibc

package enum PanelGEMM {
  /// Whether the processor has registers for it.
  package static let isUsable = MT_VECTOR_REGISTERS >= 32

  /// Rows of a tile, a panel of the left operand.
  private static let tileRows = 12
  /// Columns of a tile, a panel of the right operand.
  private static let tileColumns = 32
  /// Most of the inner size that a panel has.
  private static let depth = 384
  /// Most panels of the left operand that one thread packs at a time.
  private static let longestGroup = 16
  /// Fewest of them, but for the last.
  private static let shortestGroup = 6
  /// Floats of the right operand that are packed at a time, which the last-level cache can hold.
  private static let packedCount = 1 << 21
  /// Floats of a thread: panels of the left operand, with room for four more, and one tile.
  private static let leftCount = longestGroup * tileRows * depth + 16 + tileRows * tileColumns
  /// Most columns that are computed at a time.
  private static let maximumColumns = packedCount / 512

  /// A matrix as it is read: element (i, j) at `pointer[i * rowStride + j * columnStride]`.
  private struct Operand {
    let pointer: UnsafePointer<Float>
    let rowStride: Int
    let columnStride: Int

    init(_ matrix: Matrix) {
      pointer = UnsafePointer(matrix.pointer)
      (rowStride, columnStride) = matrix.isTransposed ? (1, matrix.stride) : (matrix.stride, 1)
    }
  }

  /// `c = alpha · a · b + beta · c`, with memory of c's that is not read where beta is 0.
  ///
  /// - Parameter pieces: how many there should be for the threads to take.
  package static func multiply(
    _ a: Matrix, _ b: Matrix, into c: Matrix, alpha: Float, beta: Float,
    pieces: Int = 8 * ThreadPool.shared.threadCount
  ) {
    let inner = a.isTransposed ? a.rows : a.columns
    let (left, right) = (Operand(a), Operand(b))
    let scratch = ScratchPool.shared.take()
    defer { ScratchPool.shared.give(scratch) }
    for firstColumn in stride(from: 0, to: c.columns, by: maximumColumns) {
      let columns = min(maximumColumns, c.columns - firstColumn)
      let panels = (columns + tileColumns - 1) / tileColumns
      let longest = max(1, packedCount / (panels * tileColumns * depth)) * depth
      for firstInner in stride(from: 0, to: inner, by: longest) {
        let range = firstInner..<min(inner, firstInner + longest)
        packRight(right, range, firstColumn, columns, into: scratch.right)
        multiply(
          left, range, scratch, into: c.columns(firstColumn..<firstColumn + columns), alpha: alpha,
          beta: firstInner == 0 ? beta : 1, pieces: pieces)
      }
    }
  }

  /// Panels of the right operand: for each part of the inner size one for every 32 columns, which begins at a multiple of
  /// its length.
  private static func packRight(
    _ b: Operand, _ inner: Range<Int>, _ firstColumn: Int, _ columns: Int,
    into packed: UnsafeMutablePointer<Float>
  ) {
    let panels = (columns + tileColumns - 1) / tileColumns
    let parts = (inner.count + depth - 1) / depth
    ThreadPool.shared.forEach(count: parts * panels, grain: 1) { piece in
      let (part, panel) = (piece.lowerBound / panels, piece.lowerBound % panels)
      let first = inner.lowerBound + part * depth
      let count = min(depth, inner.upperBound - first)
      let width = min(tileColumns, columns - panel * tileColumns)
      let output = packed + part * depth * panels * tileColumns + panel * count * tileColumns
      let input = b.pointer + first * b.rowStride + (firstColumn + panel * tileColumns) * b.columnStride
      if b.columnStride == 1 {
        let (low, high) = (min(16, width), max(0, width - 16))
        for k in 0..<count {
          let row = input + k * b.rowStride
          output.store(row.load(0, low), k * tileColumns)
          output.store(high > 0 ? row.load(16, high) : .zero, k * tileColumns + 16)
        }
      } else {
        packAcross(input, b.columnStride, width, count, into: output, width: tileColumns)
      }
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

  /// The product of all rows with what is packed.
  private static func multiply(
    _ a: Operand, _ inner: Range<Int>, _ scratch: Scratch, into c: Matrix, alpha: Float, beta: Float,
    pieces: Int
  ) {
    let panels = (c.columns + tileColumns - 1) / tileColumns
    // Parts of the columns only where rows are few: each part packs its rows again.
    let rowPanels = (c.rows + tileRows - 1) / tileRows
    let group = min(longestGroup, max(shortestGroup, (rowPanels + pieces - 1) / pieces)) * tileRows
    let groups = (c.rows + group - 1) / group
    let across = max(1, min((pieces + groups - 1) / groups, panels / 4))
    ThreadPool.shared.forEach(count: groups * across, grain: 1) { piece, slot in
      let (down, part) = (piece.lowerBound / across, piece.lowerBound % across)
      let rows = down * group..<min(c.rows, (down + 1) * group)
      let packed = scratch.left + slot * leftCount
      let sums = packed + leftCount - tileRows * tileColumns
      for first in stride(from: inner.lowerBound, to: inner.upperBound, by: depth) {
        let count = min(depth, inner.upperBound - first)
        packLeft(a, rows, first, count, into: packed)
        let right = scratch.right + (first - inner.lowerBound) * panels * tileColumns
        // Cache lines of the next panel that a tile asks for with each of its twelve rows, so that the group asks for all.
        let lines = (count * tileColumns + rows.count * 16 - 1) / (rows.count * 16)
        for panel in part * panels / across..<(part + 1) * panels / across {
          for row in stride(from: rows.lowerBound, to: rows.upperBound, by: tileRows) {
            let (column, beta) = (panel * tileColumns, first == inner.lowerBound ? beta : 1)
            let (left, right) = (packed + (row - rows.lowerBound) * count, right + column * count)
            let next = right + count * tileColumns + (row - rows.lowerBound) * lines * 16
            let isWhole = row + tileRows <= c.rows && column + tileColumns <= c.columns
            if isWhole, alpha == 1, beta == 0 || beta == 1 {
              let target = c.pointer + row * c.stride + column
              tile(left, right, count, next, lines, into: target, stride: c.stride, isAdded: beta == 1)
            } else {
              tile(left, right, count, next, lines, into: sums, stride: tileColumns, isAdded: false)
              add(sums, to: c, row, column, alpha, beta)
            }
          }
        }
      }
    }
  }

  /// Panels of the left operand: one for every twelve rows.
  private static func packLeft(
    _ a: Operand, _ rows: Range<Int>, _ first: Int, _ count: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    if a.rowStride == 1 {
      // What lies together is read together, whatever panel it is for.
      for k in 0..<count {
        let input = a.pointer + rows.lowerBound + (first + k) * a.columnStride
        for i in stride(from: 0, to: rows.count, by: tileRows) {
          let isWhole = i + tileRows <= rows.count
          let column = isWhole ? input.load(i, tileRows) : input.load(i, rows.count - i)
          mt_store_first(packed + i * count + k * tileRows, tileRows, column)
        }
      }
    } else {
      for start in stride(from: rows.lowerBound, to: rows.upperBound, by: tileRows) {
        let height = min(tileRows, rows.upperBound - start)
        let input = a.pointer + start * a.rowStride + first * a.columnStride
        packAcross(
          input, a.rowStride, height, count, into: packed + (start - rows.lowerBound) * count, width: tileRows
        )
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

  /// One tile of a product: (12, 32), rows `stride` apart, which may be added to what is there. Meanwhile
  /// twelve times `lines` cache lines from `next` on, which will be needed soon, come into the second-level cache.
  private static func tile(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int, _ next: UnsafePointer<Float>,
    _ lines: Int, into sums: UnsafeMutablePointer<Float>, stride: Int, isAdded: Bool
  ) {
    var (r0, r1, r2, r3, r4, r5) = (Row(), Row(), Row(), Row(), Row(), Row())
    var (r6, r7, r8, r9, r10, r11) = (Row(), Row(), Row(), Row(), Row(), Row())
    var (a, b) = (a, b)
    // Between twelfths of the work rows of the result are asked for: they will be there once the sums are.
    let twelfth = (count + tileRows - 1) / tileRows
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
        a += tileRows
        b += tileColumns
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

  /// `c = alpha · sums + beta · c` for the part of a tile that the result has.
  private static func add(
    _ sums: UnsafePointer<Float>, to c: Matrix, _ row: Int, _ column: Int, _ alpha: Float, _ beta: Float
  ) {
    let width = min(tileColumns, c.columns - column)
    for i in 0..<min(tileRows, c.rows - row) {
      let target = c.pointer + (row + i) * c.stride + column
      for j in stride(from: 0, to: width, by: 16) {
        let count = min(16, width - j)
        let sum = alpha * sums.vector(i * tileColumns + j)
        target.store(
          beta == 0 ? sum : multiplyAdd(Vector(repeating: beta), target.load(j, count), sum), j, count)
      }
    }
  }

  /// Memory for the panels of a product.
  private struct Scratch {
    let right: UnsafeMutablePointer<Float>
    let left: UnsafeMutablePointer<Float>
  }

  /// Memory of products that are done, for the next ones.
  private final class ScratchPool: @unchecked Sendable {
    static let shared = ScratchPool()

    // No `Mutex`: ThreadSanitizer does not see its lock.
    private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var free: [Scratch] = []

    private init() { pthread_mutex_init(lock, nil) }

    func take() -> Scratch {
      pthread_mutex_lock(lock)
      let kept = free.popLast()
      pthread_mutex_unlock(lock)
      if let kept { return kept }
      let count = packedCount + ThreadPool.shared.threadCount * leftCount
      var memory: UnsafeMutableRawPointer?
      let status = posix_memalign(&memory, 1 << 21, 4 * count)
      precondition(status == 0, "no memory for the panels of a product")
      madvise(memory, 4 * count, MADV_HUGEPAGE)
      let floats = memory!.bindMemory(to: Float.self, capacity: count)
      return Scratch(right: floats, left: floats + packedCount)
    }

    func give(_ scratch: Scratch) {
      pthread_mutex_lock(lock)
      free.append(scratch)
      pthread_mutex_unlock(lock)
    }
  }
}
