// What a product of panels is made of: the tile that its inner loop computes, and the form in which that wants its operands.

/// A matrix as it is read: element (i, j) at `pointer[i * rowStride + j * columnStride]`.
struct PanelOperand {
  let pointer: UnsafePointer<Float>
  let rowStride: Int
  let columnStride: Int

  init(_ pointer: UnsafePointer<Float>, rowStride: Int, columnStride: Int) {
    (self.pointer, self.rowStride, self.columnStride) = (pointer, rowStride, columnStride)
  }

  init(_ matrix: Matrix) {
    pointer = UnsafePointer(matrix.pointer)
    (rowStride, columnStride) = matrix.isTransposed ? (1, matrix.stride) : (matrix.stride, 1)
  }

  /// The part that begins at an element.
  func from(_ row: Int, _ column: Int) -> PanelOperand {
    PanelOperand(
      pointer + row * rowStride + column * columnStride, rowStride: rowStride, columnStride: columnStride)
  }
}

/// A part of a product that is computed at a time: `rows` of the left operand, packed to a panel, by `columns` of the right
/// one, packed to another.
protocol PanelTile {
  static var rows: Int { get }
  static var columns: Int { get }
  /// Most of the inner size that a panel has.
  static var depth: Int { get }
  /// How many panels of the left operand meet one of the right one.
  static var group: ClosedRange<Int> { get }
  /// Memory for the panels of products that are done.
  static var scratch: PanelScratch { get }

  /// Floats of memory that a panel has for each row or column, `count` of the inner size.
  static func length(_ count: Int) -> Int

  /// Packs `height` rows, panel after panel; what the last one lacks is 0.
  static func packLeft(
    _ a: PanelOperand, _ height: Int, _ count: Int, into packed: UnsafeMutablePointer<Float>)

  /// Packs `width` columns as one panel; what it lacks is 0.
  static func packRight(
    _ b: PanelOperand, _ width: Int, _ count: Int, into packed: UnsafeMutablePointer<Float>)

  /// Runs tiles on the calling thread.
  static func computing(_ body: () -> Void)

  /// The product of two panels: (rows, columns), rows `stride` floats apart, which may be added to what is there. Meanwhile
  /// so many cache lines from `next` on, which will be needed soon, come into the second-level cache.
  static func multiply(
    _ a: UnsafePointer<Float>, _ b: UnsafePointer<Float>, _ count: Int, _ next: UnsafePointer<Float>,
    _ lines: Int, into sums: UnsafeMutablePointer<Float>, stride: Int, isAdded: Bool)
}
