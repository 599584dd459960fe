// Products of large matrices on processors with enough registers for a tile, of vectors or of matrices.
//
// Both operands are packed into panels: what a tile needs lies in a row. A panel of the right one meets a group of panels
// of the left one that the second-level cache holds, so that each thread reads the right one from memory or the last cache
// once for a group. The right one, and the left one where it is short, is packed by all threads together, so that pieces of
// the result can be small, and there are enough of them for many threads. Every result is the same sum in the same order
// however it is cut.
import Glibc

package enum PanelGEMM {
  /// What tiles are made of.
  package enum Registers: Sendable {
    /// Vectors of sixteen floats, see `VectorTile`.
    case vectors
    /// Matrices of sixteen by sixteen, see `MatrixTile`.
    case matrices
  }

  /// The registers that this processor has, the fastest last.
  package static let registers: [Registers] =
    (VectorTile.isUsable ? [.vectors] : []) + (MatrixTile.isUsable ? [.matrices] : [])

  /// `c = alpha · a · b + beta · c`, with memory of c's that is not read where beta is 0.
  ///
  /// - Parameter pieces: how many there should be for the threads to take.
  package static func multiply(
    _ a: Matrix, _ b: Matrix, into c: Matrix, alpha: Float, beta: Float, with registers: Registers,
    pieces: Int = 8 * ThreadPool.shared.threadCount
  ) {
    switch registers {
    case .vectors: Panels<VectorTile>.multiply(a, b, into: c, alpha: alpha, beta: beta, pieces: pieces)
    case .matrices: Panels<MatrixTile>.multiply(a, b, into: c, alpha: alpha, beta: beta, pieces: pieces)
    }
  }
}

/// Products in tiles of one kind.
enum Panels<Tile: PanelTile> {
  /// As `PanelGEMM.multiply`.
  static func multiply(
    _ a: Matrix, _ b: Matrix, into c: Matrix, alpha: Float, beta: Float, pieces: Int
  ) {
    let inner = a.isTransposed ? a.rows : a.columns
    let (left, right) = (PanelOperand(a), PanelOperand(b))
    let memory = Tile.scratch.take()
    defer { Tile.scratch.give(memory) }
    let most = PanelScratch.rightCount / Tile.length(Tile.depth) / Tile.columns * Tile.columns
    for firstColumn in stride(from: 0, to: c.columns, by: most) {
      let columns = min(most, c.columns - firstColumn)
      let panels = (columns + Tile.columns - 1) / Tile.columns
      let longest = PanelScratch.rightCount / (panels * Tile.columns * Tile.length(Tile.depth)) * Tile.depth
      for firstInner in stride(from: 0, to: inner, by: longest) {
        let count = min(longest, inner - firstInner)
        packRight(right.from(firstInner, firstColumn), columns, count, into: memory.right)
        PanelProduct<Tile>(
          a: left.from(0, firstInner), inner: count, memory: memory,
          c: c.columns(firstColumn..<firstColumn + columns), alpha: alpha, beta: firstInner == 0 ? beta : 1
        ).compute(pieces: pieces)
      }
    }
  }

  /// Panels of the right operand: for each part of the inner size one after the other.
  private static func packRight(
    _ b: PanelOperand, _ columns: Int, _ inner: Int, into packed: UnsafeMutablePointer<Float>
  ) {
    let panels = (columns + Tile.columns - 1) / Tile.columns
    let parts = (inner + Tile.depth - 1) / Tile.depth
    ThreadPool.shared.forEach(count: parts * panels, grain: 1) { piece in
      let (part, panel) = (piece.lowerBound / panels, piece.lowerBound % panels)
      let (first, column) = (part * Tile.depth, panel * Tile.columns)
      let count = min(Tile.depth, inner - first)
      Tile.packRight(
        b.from(first, column), min(Tile.columns, columns - column), count,
        into: packed + panels * Tile.columns * part * Tile.length(Tile.depth) + column * Tile.length(count))
    }
  }
}

/// The product of all rows of the left operand with columns of the right one that are packed.
private struct PanelProduct<Tile: PanelTile> {
  let a: PanelOperand
  let inner: Int
  let memory: PanelScratch.Memory
  let c: Matrix
  let (alpha, beta): (Float, Float)

  private var panels: Int { (c.columns + Tile.columns - 1) / Tile.columns }
  private var rowPanels: Int { (c.rows + Tile.rows - 1) / Tile.rows }

  init(a: PanelOperand, inner: Int, memory: PanelScratch.Memory, c: Matrix, alpha: Float, beta: Float) {
    (self.a, self.inner, self.memory, self.c) = (a, inner, memory, c)
    (self.alpha, self.beta) = (alpha, beta)
  }

  func compute(pieces: Int) {
    if rowPanels * Tile.rows * Tile.length(Tile.depth) <= Tile.scratch.leftCount {
      computeTogether(pieces)
    } else {
      computeApart(pieces)
    }
  }

  /// All threads pack the rows; pieces are parts of the columns, too.
  private func computeTogether(_ pieces: Int) {
    let most = max(1, panels / 4)
    let rows = rowsOfGroup((pieces + most - 1) / most)
    let down = (c.rows + rows - 1) / rows
    let across = min(most, (pieces + down - 1) / down)
    for first in stride(from: 0, to: inner, by: Tile.depth) {
      let length = Tile.length(min(Tile.depth, inner - first))
      // Several panels at a time: cache lines have a part of each.
      ThreadPool.shared.forEach(count: rowPanels, grain: 64 / Tile.rows) { piece in
        let rows = piece.lowerBound * Tile.rows..<min(c.rows, piece.upperBound * Tile.rows)
        packLeft(rows, first, into: memory.left + rows.lowerBound * length)
      }
      ThreadPool.shared.forEach(count: down * across, grain: 1) { piece, slot in
        let (group, part) = (piece.lowerBound / across, piece.lowerBound % across)
        Tile.computing {
          multiply(
            group * rows..<min(c.rows, (group + 1) * rows), memory.left + group * rows * length,
            part * panels / across..<(part + 1) * panels / across, first, slot)
        }
      }
    }
  }

  /// Each piece packs its rows, which its thread's cache still has when it multiplies them.
  private func computeApart(_ pieces: Int) {
    let rows = rowsOfGroup(pieces)
    ThreadPool.shared.forEach(count: (c.rows + rows - 1) / rows, grain: 1) { piece, slot in
      let rows = piece.lowerBound * rows..<min(c.rows, (piece.lowerBound + 1) * rows)
      let left = memory.left + slot * (Tile.scratch.leftCount / ThreadPool.shared.threadCount)
      for first in stride(from: 0, to: inner, by: Tile.depth) {
        packLeft(rows, first, into: left)
        Tile.computing { multiply(rows, left, 0..<panels, first, slot) }
      }
    }
  }

  /// Rows of a group, where there should be so many of them.
  private func rowsOfGroup(_ groups: Int) -> Int {
    let group = (rowPanels + groups - 1) / groups
    return min(max(group, Tile.group.lowerBound), Tile.group.upperBound) * Tile.rows
  }

  private func packLeft(_ rows: Range<Int>, _ first: Int, into packed: UnsafeMutablePointer<Float>) {
    Tile.packLeft(a.from(rows.lowerBound, first), rows.count, min(Tile.depth, inner - first), into: packed)
  }

  /// Panels of `rows`, packed at `left`, times panels of the right operand, from one place in the inner size to the next.
  private func multiply(
    _ rows: Range<Int>, _ left: UnsafePointer<Float>, _ panels: Range<Int>, _ first: Int, _ slot: Int
  ) {
    let count = min(Tile.depth, inner - first)
    let length = Tile.length(count)
    let packed = memory.right + self.panels * Tile.columns * (first / Tile.depth) * Tile.length(Tile.depth)
    let beta = first == 0 ? beta : 1
    let tiles = (rows.count + Tile.rows - 1) / Tile.rows
    // Cache lines of the next panel that a tile asks for, so that the group asks for all.
    let lines = (length * Tile.columns + tiles * 16 - 1) / (tiles * 16)
    for panel in panels {
      let column = panel * Tile.columns
      let right = packed + column * length
      for tile in 0..<tiles {
        let (row, left) = (rows.lowerBound + tile * Tile.rows, left + tile * Tile.rows * length)
        let next = right + Tile.columns * length + tile * lines * 16
        let isWhole = row + Tile.rows <= c.rows && column + Tile.columns <= c.columns
        if isWhole, alpha == 1, beta == 0 || beta == 1 {
          Tile.multiply(
            left, right, count, next, lines, into: c.pointer + row * c.stride + column, stride: c.stride,
            isAdded: beta == 1)
        } else {
          let sums = memory.sums + slot * (Tile.rows * Tile.columns)
          Tile.multiply(
            left, right, count, next, lines, into: sums, stride: Tile.columns, isAdded: false)
          add(sums, row, column, beta)
        }
      }
    }
  }

  /// `c = alpha · sums + beta · c` for the part of a tile that the result has.
  private func add(_ sums: UnsafePointer<Float>, _ row: Int, _ column: Int, _ beta: Float) {
    let width = min(Tile.columns, c.columns - column)
    for i in 0..<min(Tile.rows, c.rows - row) {
      let target = c.pointer + (row + i) * c.stride + column
      for j in stride(from: 0, to: width, by: 16) {
        let count = min(16, width - j)
        let sum = alpha * sums.vector(i * Tile.columns + j)
        target.store(
          beta == 0 ? sum : multiplyAdd(Vector(repeating: beta), target.load(j, count), sum), j, count)
      }
    }
  }
}

/// Memory for the panels of products, kept when they are done for the next ones.
final class PanelScratch: @unchecked Sendable {
  /// Floats of the right operand that are packed at a time, which the last-level cache can hold.
  static let rightCount = 1 << 21
  /// Floats of the left operand that are packed at a time, those of all threads.
  let leftCount: Int
  private let count: Int

  /// What one product has at a time.
  struct Memory {
    let right: UnsafeMutablePointer<Float>
    let left: UnsafeMutablePointer<Float>
    /// A tile for each thread.
    let sums: UnsafeMutablePointer<Float>
  }

  // No `Mutex`: ThreadSanitizer does not see its lock.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var free: [Memory] = []

  init<Tile: PanelTile>(_: Tile.Type) {
    let threads = ThreadPool.shared.threadCount
    leftCount = threads * 2 * Tile.group.upperBound * Tile.rows * Tile.length(Tile.depth)
    count = Self.rightCount + leftCount + threads * Tile.rows * Tile.columns
    pthread_mutex_init(lock, nil)
  }

  func take() -> Memory {
    pthread_mutex_lock(lock)
    let kept = free.popLast()
    pthread_mutex_unlock(lock)
    if let kept { return kept }
    var memory: UnsafeMutableRawPointer?
    let status = posix_memalign(&memory, 1 << 21, 4 * count)
    precondition(status == 0, "no memory for the panels of a product")
    madvise(memory, 4 * count, MADV_HUGEPAGE)
    let floats = memory!.bindMemory(to: Float.self, capacity: count)
    let left = floats + Self.rightCount
    return Memory(right: floats, left: left, sums: left + leftCount)
  }

  func give(_ memory: Memory) {
    pthread_mutex_lock(lock)
    free.append(memory)
    pthread_mutex_unlock(lock)
  }
}
