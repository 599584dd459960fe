// Weights as they lie in memory, in any storage format, and the two products of a linear layer with them.
//
// Arithmetic is in 32 bits whatever the storage: a weight is expanded, exactly, where it is used. `TiledGEMM` computes
// results of few rows (on processors with few registers `ColumnGEMM`, if numbers have four bits), `BLAS.multiply` those of
// many and the gradients, packed weights a panel at a time.

/// A weight matrix (N, K) in memory that somebody else owns, one row per output.
public struct WeightRows {
  /// The first row.
  public let base: UnsafeRawPointer
  /// How elements are stored.
  public let format: WeightFormat
  /// Number of outputs N.
  public let rows: Int
  /// Number of inputs K, a multiple of the format's `blockLength`.
  public let columns: Int

  /// Rows that follow each other without a gap.
  public init(_ base: UnsafeRawPointer, format: WeightFormat, rows: Int, columns: Int) {
    (self.base, self.format, self.rows, self.columns) = (base, format, rows, columns)
  }

  func row(_ n: Int) -> UnsafeRawPointer { base + n * format.rowBytes(columns) }

  /// Some of the rows.
  public subscript(range: Range<Int>) -> WeightRows {
    WeightRows(row(range.lowerBound), format: format, rows: range.count, columns: columns)
  }

  /// Rows as floats.
  public func expand(_ range: Range<Int>, into output: UnsafeMutablePointer<Float>) {
    format.expand(row(range.lowerBound), into: output, count: range.count * columns)
  }

  /// The whole matrix as floats, on all threads.
  public func expandAll(into output: UnsafeMutablePointer<Float>) {
    ThreadPool.shared.forEach(count: rows, grain: 16) { expand($0, into: output + $0.lowerBound * columns) }
  }
}

/// The products of a linear layer y = x·Wᵀ.
public enum LinearKernels {
  /// Rows of a packed matrix that exist as floats at a time.
  private static let panelRows = 768

  /// Floats of scratch memory that a product of M rows needs.
  public static func scratchCount(rows M: Int, weight: WeightRows, backward: Bool = false) -> Int {
    if !backward, M <= TiledGEMM.maximumRows {
      return ColumnGEMM.takes(weight.format) ? ColumnGEMM.scratchCount : TiledGEMM.scratchCount(weight)
    }
    return weight.format == .f32 ? 0 : min(panelRows, weight.rows) * weight.columns
  }

  /// `y = x·Wᵀ`: x (M, K), y (M, N).
  public static func multiply(
    _ x: Matrix, _ weight: WeightRows, into y: Matrix, scratch: UnsafeMutablePointer<Float>
  ) {
    if x.rows <= TiledGEMM.maximumRows {
      return ColumnGEMM.takes(weight.format)
        ? ColumnGEMM.multiply(x, weight, into: y, scratch: scratch)
        : TiledGEMM.multiply(x, weight, into: y, scratch: scratch)
    }
    forEachPanel(weight, scratch) { panel, range in
      let columns = Matrix(y.pointer + range.lowerBound, rows: y.rows, columns: range.count, stride: y.stride)
      BLAS.multiply(x, panel.transposed, into: columns)
    }
  }

  /// `dx = dy·W + beta·dx`: dy (M, N), dx (M, K).
  public static func multiplyBack(
    _ dy: Matrix, _ weight: WeightRows, into dx: Matrix, beta: Float, scratch: UnsafeMutablePointer<Float>
  ) {
    forEachPanel(weight, scratch) { panel, range in
      let columns = Matrix(
        dy.pointer + range.lowerBound, rows: dy.rows, columns: range.count, stride: dy.stride)
      BLAS.multiply(columns, panel, into: dx, beta: range.lowerBound == 0 ? beta : 1)
    }
  }

  /// Calls `body` with the matrix as floats: in one piece where it is stored so, else panel by panel.
  private static func forEachPanel(
    _ weight: WeightRows, _ scratch: UnsafeMutablePointer<Float>, _ body: (Matrix, Range<Int>) -> Void
  ) {
    if weight.format == .f32 {
      let floats = UnsafeMutablePointer(mutating: weight.base.assumingMemoryBound(to: Float.self))
      return body(Matrix(floats, rows: weight.rows, columns: weight.columns), 0..<weight.rows)
    }
    for start in stride(from: 0, to: weight.rows, by: panelRows) {
      let range = start..<min(weight.rows, start + panelRows)
      weight[range].expandAll(into: scratch)
      body(Matrix(scratch, rows: range.count, columns: weight.columns), range)
    }
  }
}
