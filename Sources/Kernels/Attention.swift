// Grouped-query attention over a forest of segments, forward and backward.
//
// Queries come in blocks. All queries of a block see the same spans of keys, the prefix that they share, and each of
// its parts then sees keys of its own, causally. So the rollouts of a group meet their common prefix in one matrix
// product, and a decoding step, a prefill and a training pass are the same code. Scores exist for one block at a
// time; nothing of size [rows, rows] is kept: the backward pass makes the probabilities again from the saved
// logarithms of their sums.
import Glibc

/// Which keys each query row sees.
public struct AttentionPlan: Sendable {
  /// Rows of keys, seen whole.
  public struct Span: Sendable, Hashable {
    /// The first row.
    public var start: Int
    /// Number of rows.
    public var count: Int

    /// Rows `start ..< start + count`.
    public init(start: Int, count: Int) {
      self.start = start
      self.count = count
    }
  }

  /// Consecutive query rows of one segment: row i sees keys `keyStart ..< keyStart + keyOffset + i + 1`.
  public struct Part: Sendable {
    /// The first query row.
    public var queryStart: Int
    /// Number of query rows.
    public var queryCount: Int
    /// The first of the segment's own key rows.
    public var keyStart: Int
    /// Own keys that lie before the part's first query.
    public var keyOffset: Int

    /// Query rows and where their own keys begin.
    public init(queryStart: Int, queryCount: Int, keyStart: Int, keyOffset: Int) {
      self.queryStart = queryStart
      self.queryCount = queryCount
      self.keyStart = keyStart
      self.keyOffset = keyOffset
    }

    var keyCount: Int { keyOffset + queryCount }
  }

  /// Parts that see the same spans.
  public struct Block: Sendable {
    /// Rows that all queries of the block see.
    public var spans: [Span]
    /// The queries, and the keys of their own.
    public var parts: [Part]

    /// A block of parts that see the same spans.
    public init(spans: [Span], parts: [Part]) {
      self.spans = spans
      self.parts = parts
    }

    var queryCount: Int { parts.reduce(0) { $0 + $1.queryCount } }
    var sharedKeyCount: Int { spans.reduce(0) { $0 + $1.count } }
    var columnCount: Int { sharedKeyCount + (parts.map(\.keyCount).max() ?? 0) }
  }

  /// Query rows in one block: enough for an efficient product, few enough for the scores to stay in cache.
  public static let blockRows = 64

  /// Units of work, independent of each other in the forward pass.
  public var blocks: [Block] = []

  /// A plan without queries.
  public init() {}

  /// Adds the query rows of segments that all hang off the same spans, cut into blocks.
  public mutating func add(spans: [Span], parts: [Part]) {
    var pending: [Part] = []
    var room = Self.blockRows
    func close(_ blocks: inout [Block]) {
      if !pending.isEmpty { blocks.append(Block(spans: spans, parts: pending)) }
      pending = []
      room = Self.blockRows
    }
    for part in parts {
      var done = 0
      while done < part.queryCount {
        let count = min(room, part.queryCount - done)
        pending.append(
          Part(
            queryStart: part.queryStart + done, queryCount: count, keyStart: part.keyStart,
            keyOffset: part.keyOffset + done))
        done += count
        room -= count
        if room == 0 { close(&blocks) }
      }
    }
    close(&blocks)
  }

  /// Floats of scratch memory that one thread needs.
  func scratchCount(_ shape: AttentionShape, backward: Bool) -> Int {
    blocks.reduce(0) { largest, block in
      let rows = block.queryCount * shape.group
      let floats = rows * (block.columnCount + 2 * shape.headSize)
      return max(largest, backward ? rows * (2 * block.columnCount + 3 * shape.headSize) : floats)
    }
  }
}

/// Sizes of an attention layer.
public struct AttentionShape: Sendable {
  /// Query heads H.
  public var heads: Int
  /// Key and value heads KVH.
  public var keyHeads: Int
  /// Size D of a head.
  public var headSize: Int

  /// The sizes of a layer; `heads` is a multiple of `keyHeads`.
  public init(heads: Int, keyHeads: Int, headSize: Int) {
    self.heads = heads
    self.keyHeads = keyHeads
    self.headSize = headSize
  }

  /// Query heads that share one key head.
  public var group: Int { heads / keyHeads }
  /// What scores are multiplied by, 1 / √D.
  public var scale: Float { 1 / Float(headSize).squareRoot() }
}

/// Attention kernels.
public enum AttentionKernels {
  /// Floats of scratch memory for a forward pass on all threads.
  public static func forwardScratch(_ plan: AttentionPlan, _ shape: AttentionShape) -> Int {
    ThreadPool.shared.threadCount * plan.scratchCount(shape, backward: false)
  }

  /// Floats of scratch memory for a backward pass on all threads.
  public static func backwardScratch(_ plan: AttentionPlan, _ shape: AttentionShape) -> Int {
    ThreadPool.shared.threadCount * plan.scratchCount(shape, backward: true)
  }

  /// `out = softmax(q·kᵀ/√D)·v` where the plan lets a query see a key.
  ///
  /// - Parameters:
  ///   - q: (Nq, H, D); `k`, `v`: (Nk, KVH, D); `out`: (Nq, H, D).
  ///   - logSums: (Nq, H), the logarithm of each softmax's denominator, for the backward pass.
  ///   - scratch: `forwardScratch` floats.
  public static func forward(
    q: UnsafePointer<Float>, k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>,
    out: UnsafeMutablePointer<Float>, logSums: UnsafeMutablePointer<Float>?,
    scratch: UnsafeMutablePointer<Float>,
    plan: AttentionPlan, shape: AttentionShape
  ) {
    let perThread = plan.scratchCount(shape, backward: false)
    let tasks = plan.blocks.count * shape.keyHeads
    ThreadPool.shared.forEach(count: tasks, grain: 1) { range, slot in
      for task in range {
        let block = plan.blocks[task / shape.keyHeads]
        let work = BlockWork(
          block, shape, keyHead: task % shape.keyHeads, scratch: scratch + slot * perThread)
        work.loadQueries(q)
        work.scores(k)
        work.softmax(logSums: logSums)
        work.applyToValues(v)
        work.store(work.rowsD, to: out, beta: 0)
      }
    }
  }

  /// The gradients of `forward`. `dk` and `dv` are added to; `dq` is overwritten if `beta` is 0, else added to.
  public static func backward(
    dout: UnsafePointer<Float>, q: UnsafePointer<Float>, k: UnsafeMutablePointer<Float>,
    v: UnsafeMutablePointer<Float>, out: UnsafePointer<Float>, logSums: UnsafePointer<Float>,
    dq: UnsafeMutablePointer<Float>, beta: Float, dk: UnsafeMutablePointer<Float>,
    dv: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, plan: AttentionPlan,
    shape: AttentionShape
  ) {
    let perThread = plan.scratchCount(shape, backward: true)
    // Blocks add to the same keys, so a thread takes a key head with all its blocks, in their order.
    ThreadPool.shared.forEach(count: shape.keyHeads, grain: 1) { range, slot in
      for keyHead in range {
        for block in plan.blocks {
          let work = BlockWork(block, shape, keyHead: keyHead, scratch: scratch + slot * perThread)
          work.loadQueries(q)
          work.scores(k)
          work.probabilities(logSums: logSums)
          work.backward(dout: dout, out: out, k: k, v: v, dk: dk, dv: dv)
          work.store(work.rowsD, to: dq, beta: beta)
        }
      }
    }
  }
}

/// One block of queries against one key head. Rows of its matrices are (query, head of the group), row-major.
private struct BlockWork {
  let block: AttentionPlan.Block
  let shape: AttentionShape
  let keyHead: Int
  let rowCount: Int
  let sharedCount: Int
  let columnCount: Int
  /// (rows, columns): scores, then probabilities. Shared keys first, then the part's own.
  let weights: UnsafeMutablePointer<Float>
  /// (rows, D): queries times scale.
  let queries: UnsafeMutablePointer<Float>
  /// (rows, D): outputs, or the gradients of queries.
  let rowsD: UnsafeMutablePointer<Float>
  /// (rows, D) and (rows, columns): gradients of outputs and weights; beyond the scratch of a forward pass.
  let doutRows: UnsafeMutablePointer<Float>
  let dweights: UnsafeMutablePointer<Float>

  init(
    _ block: AttentionPlan.Block, _ shape: AttentionShape, keyHead: Int, scratch: UnsafeMutablePointer<Float>
  ) {
    self.block = block
    self.shape = shape
    self.keyHead = keyHead
    rowCount = block.queryCount * shape.group
    sharedCount = block.sharedKeyCount
    columnCount = block.columnCount
    weights = scratch
    queries = weights + rowCount * columnCount
    rowsD = queries + rowCount * shape.headSize
    doutRows = rowsD + rowCount * shape.headSize
    dweights = doutRows + rowCount * shape.headSize
  }

  /// Calls `body` for each query row with its place here and the place of the group's first head in (N, H, D).
  @inline(__always)
  private func forEachQuery(_ body: (_ row: Int, _ source: Int) -> Void) {
    var row = 0
    for part in block.parts {
      for i in 0..<part.queryCount {
        body(row, ((part.queryStart + i) * shape.heads + keyHead * shape.group) * shape.headSize)
        row += shape.group
      }
    }
  }

  /// Calls `body` for each row with the number of its columns that are in force and its index into (N, H).
  @inline(__always)
  private func forEachRow(_ body: (_ row: Int, _ columns: Int, _ index: Int) -> Void) {
    var row = 0
    for part in block.parts {
      for i in 0..<part.queryCount {
        for j in 0..<shape.group {
          let index = (part.queryStart + i) * shape.heads + keyHead * shape.group + j
          body(row, sharedCount + part.keyOffset + i + 1, index)
          row += 1
        }
      }
    }
  }

  /// Calls `body` for each rectangle of weights that has keys: rows, columns, and the first key row.
  @inline(__always)
  private func forEachRectangle(_ body: (_ rows: Range<Int>, _ columns: Range<Int>, _ key: Int) -> Void) {
    var column = 0
    for span in block.spans {
      body(0..<rowCount, column..<column + span.count, span.start)
      column += span.count
    }
    var row = 0
    for part in block.parts {
      let rows = part.queryCount * shape.group
      body(row..<row + rows, sharedCount..<sharedCount + part.keyCount, part.keyStart)
      row += rows
    }
  }

  private func keyMatrix(_ base: UnsafeMutablePointer<Float>, _ start: Int, _ count: Int) -> Matrix {
    let stride = shape.keyHeads * shape.headSize
    return Matrix(
      base + start * stride + keyHead * shape.headSize, rows: count, columns: shape.headSize, stride: stride)
  }

  private func weightMatrix(
    _ base: UnsafeMutablePointer<Float>, _ rows: Range<Int>, _ columns: Range<Int>
  ) -> Matrix {
    Matrix(
      base + rows.lowerBound * columnCount + columns.lowerBound, rows: rows.count, columns: columns.count,
      stride: columnCount)
  }

  private func rowMatrix(_ base: UnsafeMutablePointer<Float>, _ rows: Range<Int>) -> Matrix {
    Matrix(base + rows.lowerBound * shape.headSize, rows: rows.count, columns: shape.headSize)
  }

  func loadQueries(_ q: UnsafePointer<Float>) {
    let (count, scale) = (shape.group * shape.headSize, shape.scale)
    forEachQuery { row, source in
      mapVector(q + source, queries + row * shape.headSize, count) { $0 * scale }
    }
  }

  func scores(_ k: UnsafeMutablePointer<Float>) {
    forEachRectangle { rows, columns, key in
      BLAS.multiply(
        rowMatrix(queries, rows), keyMatrix(k, key, columns.count).transposed,
        into: weightMatrix(weights, rows, columns))
    }
  }

  /// Scores become probabilities; columns that a row may not see become 0.
  func softmax(logSums: UnsafeMutablePointer<Float>?) {
    forEachRow { row, columns, index in
      let values = weights + row * columnCount
      let peak = VectorKernels.maximum(values, columns)
      let sum = VectorKernels.expSum(values, shift: peak, columns)
      VectorKernels.scale(values, by: 1 / sum, columns)
      (values + columns).update(repeating: 0, count: columnCount - columns)
      logSums?[index] = peak + Glibc.log(sum)
    }
  }

  /// The same from known sums.
  func probabilities(logSums: UnsafePointer<Float>) {
    forEachRow { row, columns, index in
      let values = weights + row * columnCount
      _ = VectorKernels.expSum(values, shift: logSums[index], columns)
      (values + columns).update(repeating: 0, count: columnCount - columns)
    }
  }

  func applyToValues(_ v: UnsafeMutablePointer<Float>) {
    rowsD.update(repeating: 0, count: rowCount * shape.headSize)
    forEachRectangle { rows, columns, key in
      BLAS.multiply(
        weightMatrix(weights, rows, columns), keyMatrix(v, key, columns.count), into: rowMatrix(rowsD, rows),
        beta: 1)
    }
  }

  /// Writes (rows, D) back to its place in (N, H, D).
  func store(_ rows: UnsafeMutablePointer<Float>, to out: UnsafeMutablePointer<Float>, beta: Float) {
    let count = shape.group * shape.headSize
    forEachQuery { row, source in
      if beta == 0 {
        (out + source).update(from: rows + row * shape.headSize, count: count)
      } else {
        VectorKernels.add(rows + row * shape.headSize, to: out + source, count)
      }
    }
  }

  /// From probabilities P: dV += Pᵀ·dO, dS = P·(dO·Vᵀ − Σ dO·O), dK += dSᵀ·Q/√D, and dQ = dS·K/√D into `rowsD`.
  func backward(
    dout: UnsafePointer<Float>, out: UnsafePointer<Float>, k: UnsafeMutablePointer<Float>,
    v: UnsafeMutablePointer<Float>, dk: UnsafeMutablePointer<Float>, dv: UnsafeMutablePointer<Float>
  ) {
    let size = shape.headSize
    forEachQuery { row, source in
      (doutRows + row * size).update(from: dout + source, count: shape.group * size)
    }
    forEachRectangle { rows, columns, key in
      let (gradient, weights) = (rowMatrix(doutRows, rows), weightMatrix(weights, rows, columns))
      BLAS.multiply(weights.transposed, gradient, into: keyMatrix(dv, key, columns.count), beta: 1)
      BLAS.multiply(
        gradient, keyMatrix(v, key, columns.count).transposed, into: weightMatrix(dweights, rows, columns))
    }
    forEachRow { row, columns, index in
      let inner = Vector(repeating: VectorKernels.dot(doutRows + row * size, out + index * size, size))
      let (p, d) = (weights + row * columnCount, dweights + row * columnCount)
      mapVector(p, d, d, columns) { $0 * ($1 - inner) }
      (d + columns).update(repeating: 0, count: columnCount - columns)
    }
    rowsD.update(repeating: 0, count: rowCount * size)
    forEachRectangle { rows, columns, key in
      let gradient = weightMatrix(dweights, rows, columns)
      BLAS.multiply(
        gradient, keyMatrix(k, key, columns.count), into: rowMatrix(rowsD, rows), alpha: shape.scale, beta: 1)
      BLAS.multiply(
        gradient.transposed, rowMatrix(queries, rows), into: keyMatrix(dk, key, columns.count), beta: 1)
    }
  }
}
