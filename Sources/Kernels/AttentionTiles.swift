// One block of queries against one key head, a tile of keys at a time: what forward and backward passes share.

/// Keys or values (N, KVH, D) where they lie.
public enum KeyValueRows {
  /// 32-bit floats.
  case float(UnsafeMutablePointer<Float>)
  /// The upper halves of 32-bit floats.
  case bfloat16(UnsafePointer<UInt16>)
}

/// One block of queries against one key head. Rows of its matrices are (query, head of the group), row-major.
struct AttentionBlock {
  /// Keys in a tile, so that a block's scores for it stay in cache: 192 rows × 256 × 4 bytes are 196 kB.
  static let tileKeys = 256

  let block: AttentionPlan.Block
  let shape: AttentionShape
  let keyHead: Int
  let rowCount: Int

  init(_ block: AttentionPlan.Block, _ shape: AttentionShape, keyHead: Int) {
    self.block = block
    self.shape = shape
    self.keyHead = keyHead
    rowCount = block.queryCount * shape.group
  }

  /// Keys next to each other, and rows that see at least one of them.
  struct Tile {
    /// Rows of the block.
    let rows: Range<Int>
    /// The first key row.
    let key: Int
    /// Number of key rows.
    let count: Int
    /// Keys that the first query sees; the next one sees one more, until all are seen.
    let visible: Int
  }

  /// Calls `body` for each tile: of the shared keys, for all rows together, then of each part's own.
  @inline(__always)
  func forEachTile(_ body: (Tile) -> Void) {
    for span in block.spans {
      forEachPiece(span.count) { start, count in
        body(Tile(rows: 0..<rowCount, key: span.start + start, count: count, visible: count))
      }
    }
    var row = 0
    for part in block.parts {
      let end = row + part.queryCount * shape.group
      forEachPiece(part.keys.count) { start, count in
        // Queries before this one see nothing that lies so far back in the segment.
        let first = max(0, start - part.keyOffset)
        body(
          Tile(
            rows: row + first * shape.group..<end, key: part.keyStart + start, count: count,
            visible: min(count, part.keyOffset + first + 1 - start)))
      }
      row = end
    }
  }

  @inline(__always)
  private func forEachPiece(_ count: Int, _ body: (_ start: Int, _ count: Int) -> Void) {
    var start = 0
    while start < count {
      body(start, min(Self.tileKeys, count - start))
      start += Self.tileKeys
    }
  }

  /// Calls `body` for each row of a tile with the number of keys that it sees there.
  @inline(__always)
  func forEachRow(of tile: Tile, _ body: (_ row: Int, _ visible: Int) -> Void) {
    var visible = tile.visible
    var row = tile.rows.lowerBound
    while row < tile.rows.upperBound {
      for _ in 0..<shape.group {
        body(row, visible)
        row += 1
      }
      visible = min(tile.count, visible + 1)
    }
  }

  /// Calls `body` for each query with its first row here and the place of its first head among all (N, H).
  @inline(__always)
  func forEachQuery(_ body: (_ row: Int, _ head: Int) -> Void) {
    var row = 0
    for part in block.parts {
      for query in part.queryStart..<part.queryStart + part.queryCount {
        body(row, query * shape.heads + keyHead * shape.group)
        row += shape.group
      }
    }
  }

  /// Copies the block's rows of a matrix (N, H, D), times a factor.
  func load(_ source: UnsafePointer<Float>, times factor: Float, into rows: UnsafeMutablePointer<Float>) {
    let count = shape.group * shape.headSize
    forEachQuery { row, head in
      mapVector(source + head * shape.headSize, rows + row * shape.headSize, count) { $0 * factor }
    }
  }

  /// The rows of a tile in a matrix (rows, D).
  func rows(_ base: UnsafeMutablePointer<Float>, of tile: Tile) -> Matrix {
    Matrix(
      base + tile.rows.lowerBound * shape.headSize, rows: tile.rows.count, columns: shape.headSize)
  }

  /// A tile's keys or values in place.
  func keys(_ base: UnsafeMutablePointer<Float>, of tile: Tile) -> Matrix {
    let stride = shape.keyHeads * shape.headSize
    return Matrix(
      base + tile.key * stride + keyHead * shape.headSize, rows: tile.count, columns: shape.headSize,
      stride: stride)
  }

  /// A tile's keys or values as floats: in place if they are, else in `buffer` (tileKeys, D).
  func keys(_ rows: KeyValueRows, of tile: Tile, buffer: UnsafeMutablePointer<Float>) -> Matrix {
    switch rows {
    case .float(let base): return keys(base, of: tile)
    case .bfloat16(let base):
      let (size, stride) = (shape.headSize, shape.keyHeads * shape.headSize)
      let source = base + tile.key * stride + keyHead * size
      for i in 0..<tile.count { BFloat16Kernels.expand(source + i * stride, into: buffer + i * size, size) }
      return Matrix(buffer, rows: tile.count, columns: size)
    }
  }
}
