// The gradients of attention.
//
// Many blocks add to the gradients of the same keys. So the blocks are cut into slices of about the same work, as the
// plan alone decides, and a slice sums up the gradients of the keys that it touches in memory of its own. Afterwards
// the slices' sums are added in their order. So the result does not depend on the number of threads, and there is
// work for many.

extension AttentionKernels {
  /// Floats of scratch memory for a backward pass on all threads of a pool.
  public static func backwardScratch(
    _ plan: AttentionPlan, _ shape: AttentionShape, pool: ThreadPool = .shared
  ) -> Int {
    let sums = KeySlice.cut(plan, shape).reduce(0) { $0 + $1.sumCount(shape) }
    return sums * shape.keyHeads + pool.threadCount * BackwardScratch.count(plan, shape)
  }

  /// The gradients of `forward`. `dk` and `dv` are added to; `dq` is overwritten if `beta` is 0, else added to.
  ///
  /// - Parameter scratch: `backwardScratch` floats.
  public static func backward(
    dout: UnsafePointer<Float>, q: UnsafePointer<Float>, k: UnsafeMutablePointer<Float>,
    v: UnsafeMutablePointer<Float>, out: UnsafePointer<Float>, logSums: UnsafePointer<Float>,
    dq: UnsafeMutablePointer<Float>, beta: Float, dk: UnsafeMutablePointer<Float>,
    dv: UnsafeMutablePointer<Float>, scratch: UnsafeMutablePointer<Float>, plan: AttentionPlan,
    shape: AttentionShape, pool: ThreadPool = .shared
  ) {
    let slices = KeySlice.cut(plan, shape)
    var starts: [UnsafeMutablePointer<Float>] = []
    var free = scratch
    for slice in slices {
      starts.append(free)
      free += slice.sumCount(shape) * shape.keyHeads
    }
    let perThread = BackwardScratch.count(plan, shape)
    pool.forEach(count: slices.count * shape.keyHeads, grain: 1) { range, slot in
      for task in range {
        let (slice, keyHead) = (slices[task / shape.keyHeads], task % shape.keyHeads)
        let sums = starts[task / shape.keyHeads] + keyHead * slice.sumCount(shape)
        sums.update(repeating: 0, count: slice.sumCount(shape))
        for number in slice.blocks {
          let block = AttentionBlock(plan.blocks[number], shape, keyHead: keyHead)
          let memory = BackwardScratch(free + slot * perThread, block.rowCount, shape)
          block.load(q, times: shape.scale, into: memory.queries)
          block.load(dout, times: 1, into: memory.dout)
          block.loadSums(out: out, logSums: logSums, memory)
          block.backward(k: k, v: v, slice, sums: sums, memory)
          block.store(memory.dqueries, to: dq, beta: beta)
        }
      }
    }
    pool.forEach(count: slices.map(\.end).max() ?? 0, grain: 64) { rows in
      for (slice, start) in zip(slices, starts) { slice.add(start, rows, shape, dk: dk, dv: dv) }
    }
  }
}

/// Blocks whose gradients of keys and values are summed up together.
private struct KeySlice {
  /// Slices times key heads that a large plan is cut into: enough for 16 threads, few enough for the memory of the
  /// sums, which in a long text is almost that of all keys and values for each slice.
  private static let tasks = 30
  /// Pairs of a query and a key below which a slice is not worth its sums.
  private static let leastWork = 1 << 14

  let blocks: Range<Int>
  /// The key rows that the blocks see, in ascending order and without overlap, and for each range its first place
  /// among them.
  private let touched: [(rows: AttentionPlan.Span, place: Int)]
  private let count: Int

  /// Past the last key row.
  var end: Int { touched.last?.rows.end ?? 0 }

  /// Floats for the sums of one key head: (touched, D) for the keys, then as many for the values.
  func sumCount(_ shape: AttentionShape) -> Int { 2 * count * shape.headSize }

  /// Cuts a plan into slices of about the same work.
  static func cut(_ plan: AttentionPlan, _ shape: AttentionShape) -> [KeySlice] {
    let work = plan.blocks.map(\.work)
    let total = work.reduce(0, +)
    let slices = max(1, min((tasks + shape.keyHeads - 1) / shape.keyHeads, total / leastWork))
    var result: [KeySlice] = []
    var (first, done) = (0, 0)
    for (number, amount) in work.enumerated() {
      done += amount
      let isLast = number == work.count - 1
      guard isLast || done * slices >= total * (result.count + 1) else { continue }
      result.append(KeySlice(plan, first..<number + 1))
      first = number + 1
    }
    return result
  }

  private init(_ plan: AttentionPlan, _ blocks: Range<Int>) {
    self.blocks = blocks
    let seen = plan.blocks[blocks].flatMap { $0.spans + $0.parts.map(\.keys) }.sorted { $0.start < $1.start }
    var merged: [AttentionPlan.Span] = []
    for span in seen {
      if let last = merged.last, span.start <= last.end {
        merged[merged.count - 1].count = max(last.end, span.end) - last.start
      } else {
        merged.append(span)
      }
    }
    var (touched, count) = ([(rows: AttentionPlan.Span, place: Int)](), 0)
    for rows in merged {
      touched.append((rows, count))
      count += rows.count
    }
    (self.touched, self.count) = (touched, count)
  }

  /// The sums (keys of the tile, D) for keys and values.
  func sums(
    _ base: UnsafeMutablePointer<Float>, of tile: AttentionBlock.Tile, _ shape: AttentionShape
  ) -> (dk: Matrix, dv: Matrix) {
    let (rows, place) = touched.last { $0.rows.start <= tile.key }!
    let dk = base + (place + tile.key - rows.start) * shape.headSize
    return (
      Matrix(dk, rows: tile.count, columns: shape.headSize),
      Matrix(dk + count * shape.headSize, rows: tile.count, columns: shape.headSize)
    )
  }

  /// Adds the sums of all key heads to the gradients of some key rows.
  func add(
    _ base: UnsafePointer<Float>, _ keys: Range<Int>, _ shape: AttentionShape,
    dk: UnsafeMutablePointer<Float>, dv: UnsafeMutablePointer<Float>
  ) {
    let (size, stride) = (shape.headSize, shape.keyHeads * shape.headSize)
    for (rows, place) in touched {
      let (start, end) = (max(rows.start, keys.lowerBound), min(rows.end, keys.upperBound))
      if start >= end { continue }
      for keyHead in 0..<shape.keyHeads {
        let source = base + keyHead * sumCount(shape) + (place + start - rows.start) * size
        let target = start * stride + keyHead * size
        for i in 0..<end - start {
          VectorKernels.add(source + i * size, to: dk + target + i * stride, size)
          VectorKernels.add(source + (count + i) * size, to: dv + target + i * stride, size)
        }
      }
    }
  }
}

/// What one thread needs for a block in the backward pass.
private struct BackwardScratch {
  /// (rows, keys of a tile): probabilities.
  let weights: UnsafeMutablePointer<Float>
  /// (rows, keys of a tile): gradients of weights, then of scores.
  let dweights: UnsafeMutablePointer<Float>
  /// (rows, D): queries times scale, their gradients, and the gradients of outputs.
  let queries: UnsafeMutablePointer<Float>
  let dqueries: UnsafeMutablePointer<Float>
  let dout: UnsafeMutablePointer<Float>
  /// (rows): logarithms of the softmax's denominators, and Σ dO·O.
  let logSums: UnsafeMutablePointer<Float>
  let inner: UnsafeMutablePointer<Float>

  init(_ base: UnsafeMutablePointer<Float>, _ rows: Int, _ shape: AttentionShape) {
    weights = base
    dweights = weights + rows * AttentionBlock.tileKeys
    queries = dweights + rows * AttentionBlock.tileKeys
    dqueries = queries + rows * shape.headSize
    dout = dqueries + rows * shape.headSize
    logSums = dout + rows * shape.headSize
    inner = logSums + rows
  }

  static func count(_ plan: AttentionPlan, _ shape: AttentionShape) -> Int {
    let count = plan.largestBlock * shape.group * (2 * AttentionBlock.tileKeys + 3 * shape.headSize + 2)
    return (count + 15) / 16 * 16
  }
}

extension AttentionBlock {
  fileprivate func loadSums(
    out: UnsafePointer<Float>, logSums: UnsafePointer<Float>, _ memory: BackwardScratch
  ) {
    let size = shape.headSize
    forEachQuery { row, head in
      for j in 0..<shape.group {
        memory.logSums[row + j] = logSums[head + j]
        memory.inner[row + j] = VectorKernels.dot(
          memory.dout + (row + j) * size, out + (head + j) * size, size)
      }
    }
  }

  /// From probabilities P: dV += Pᵀ·dO, dS = P·(dO·Vᵀ − Σ dO·O), dK += dSᵀ·Q/√D, and dQ = dS·K/√D.
  fileprivate func backward(
    k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>, _ slice: KeySlice,
    sums: UnsafeMutablePointer<Float>, _ memory: BackwardScratch
  ) {
    memory.dqueries.update(repeating: 0, count: rowCount * shape.headSize)
    forEachTile { tile in
      let weights = Matrix(memory.weights, rows: tile.rows.count, columns: tile.count)
      let dweights = Matrix(memory.dweights, rows: tile.rows.count, columns: tile.count)
      let (queries, dout) = (rows(memory.queries, of: tile), rows(memory.dout, of: tile))
      let (keys, values, sums) = (keys(k, of: tile), keys(v, of: tile), slice.sums(sums, of: tile, shape))
      BLAS.multiply(queries, keys.transposed, into: weights)
      recompute(tile, memory)
      BLAS.multiply(weights.transposed, dout, into: sums.dv, beta: 1)
      BLAS.multiply(dout, values.transposed, into: dweights)
      differentiate(tile, memory)
      BLAS.multiply(dweights, keys, into: rows(memory.dqueries, of: tile), alpha: shape.scale, beta: 1)
      BLAS.multiply(dweights.transposed, queries, into: sums.dk, beta: 1)
    }
  }

  /// Scores become probabilities; those of keys that a row may not see become 0.
  private func recompute(_ tile: Tile, _ memory: BackwardScratch) {
    var p = memory.weights
    forEachRow(of: tile) { row, visible in
      let logSum = Vector(repeating: memory.logSums[row])
      mapVector(p, p, visible) { exponential($0 - logSum) }
      (p + visible).update(repeating: 0, count: tile.count - visible)
      p += tile.count
    }
  }

  /// Gradients of probabilities become those of scores.
  private func differentiate(_ tile: Tile, _ memory: BackwardScratch) {
    var (p, d) = (memory.weights, memory.dweights)
    forEachRow(of: tile) { row, visible in
      let inner = Vector(repeating: memory.inner[row])
      mapVector(p, d, d, visible) { $0 * ($1 - inner) }
      (d + visible).update(repeating: 0, count: tile.count - visible)
      p += tile.count
      d += tile.count
    }
  }

  /// Writes (rows, D) back to its place in (N, H, D).
  fileprivate func store(
    _ rows: UnsafeMutablePointer<Float>, to out: UnsafeMutablePointer<Float>, beta: Float
  ) {
    let count = shape.group * shape.headSize
    forEachQuery { row, head in
      if beta == 0 {
        (out + head * shape.headSize).update(from: rows + row * shape.headSize, count: count)
      } else {
        VectorKernels.add(rows + row * shape.headSize, to: out + head * shape.headSize, count)
      }
    }
  }
}
