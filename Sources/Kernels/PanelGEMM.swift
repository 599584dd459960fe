// Products of large matrices on processors with enough registers for a tile, of vectors or of matrices.
//
// Both operands are packed into panels: what a tile needs lies in a row. A panel of the right one meets a group of panels
// of the left one that the second-level cache holds, so that each thread reads the right one from memory or the last cache
// once for a group. The right one is packed by all threads together, so that pieces of the result can be small, and
// there are enough of them for many threads. Every result is the same sum in the same order however it is cut.
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
        multiply(
          left.from(0, firstInner), count, memory, into: c.columns(firstColumn..<firstColumn + columns),
          alpha: alpha, beta: firstInner == 0 ? beta : 1, pieces: pieces)
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

  /// The product of all rows with what is packed.
  private static func multiply(
    _ a: PanelOperand, _ inner: Int, _ memory: PanelScratch.Memory, into c: Matrix, alpha: Float, beta: Float,
    pieces: Int
  ) {
    let panels = (c.columns + Tile.columns - 1) / Tile.columns
    let rowPanels = (c.rows + Tile.rows - 1) / Tile.rows
    let group =
      min(Tile.group.upperBound, max(Tile.group.lowerBound, (rowPanels + pieces - 1) / pieces)) * Tile.rows
    let groups = (c.rows + group - 1) / group
    // Parts of the columns only where rows are few: each part packs its rows again.
    let across = max(1, min((pieces + groups - 1) / groups, panels / 4))
    ThreadPool.shared.forEach(count: groups * across, grain: 1) { piece, slot in
      let (down, part) = (piece.lowerBound / across, piece.lowerBound % across)
      let rows = down * group..<min(c.rows, (down + 1) * group)
      let tiles = (rows.count + Tile.rows - 1) / Tile.rows
      let packed = memory.left + slot * Tile.scratch.leftCount
      let sums = packed + Tile.scratch.leftCount - Tile.rows * Tile.columns
      Tile.computing {
        for first in stride(from: 0, to: inner, by: Tile.depth) {
          let count = min(Tile.depth, inner - first)
          let length = Tile.length(count)
          Tile.packLeft(a.from(rows.lowerBound, first), rows.count, count, into: packed)
          let panel = memory.right + panels * Tile.columns * (first / Tile.depth) * Tile.length(Tile.depth)
          let beta = first == 0 ? beta : 1
          // Cache lines of the next panel that a tile asks for, so that the group asks for all.
          let lines = (length * Tile.columns + tiles * 16 - 1) / (tiles * 16)
          for column in part * panels / across..<(part + 1) * panels / across {
            let (right, column) = (panel + column * Tile.columns * length, column * Tile.columns)
            for tile in 0..<tiles {
              let (row, left) = (rows.lowerBound + tile * Tile.rows, packed + tile * Tile.rows * length)
              let next = right + Tile.columns * length + tile * lines * 16
              let isWhole = row + Tile.rows <= c.rows && column + Tile.columns <= c.columns
              if isWhole, alpha == 1, beta == 0 || beta == 1 {
                let target = c.pointer + row * c.stride + column
                Tile.multiply(
                  left, right, count, next, lines, into: target, stride: c.stride, isAdded: beta == 1)
              } else {
                Tile.multiply(
                  left, right, count, next, lines, into: sums, stride: Tile.columns, isAdded: false)
                add(sums, to: c, row, column, alpha, beta)
              }
            }
          }
        }
      }
    }
  }

  /// `c = alpha · sums + beta · c` for the part of a tile that the result has.
  private static func add(
    _ sums: UnsafePointer<Float>, to c: Matrix, _ row: Int, _ column: Int, _ alpha: Float, _ beta: Float
  ) {
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
  /// Floats of a thread: panels of the left operand, with room for four more, and one tile.
  let leftCount: Int

  /// What one product has at a time.
  struct Memory {
    let right: UnsafeMutablePointer<Float>
    let left: UnsafeMutablePointer<Float>
  }

  // No `Mutex`: ThreadSanitizer does not see its lock.
  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var free: [Memory] = []

  init<Tile: PanelTile>(_: Tile.Type) {
    leftCount = Tile.group.upperBound * Tile.rows * Tile.length(Tile.depth) + 16 + Tile.rows * Tile.columns
    pthread_mutex_init(lock, nil)
  }

  func take() -> Memory {
    pthread_mutex_lock(lock)
    let kept = free.popLast()
    pthread_mutex_unlock(lock)
    if let kept { return kept }
    let count = Self.rightCount + ThreadPool.shared.threadCount * leftCount
    var memory: UnsafeMutableRawPointer?
    let status = posix_memalign(&memory, 1 << 21, 4 * count)
    precondition(status == 0, "no memory for the panels of a product")
    madvise(memory, 4 * count, MADV_HUGEPAGE)
    let floats = memory!.bindMemory(to: Float.self, capacity: count)
    return Memory(right: floats, left: floats + Self.rightCount)
  }

  func give(_ memory: Memory) {
    pthread_mutex_lock(lock)
    free.append(memory)
    pthread_mutex_unlock(lock)
  }
}
