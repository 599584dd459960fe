// Grouped-query attention over a forest of segments: the forward pass.
//
// Queries come in blocks. All queries of a block see the same spans of keys, the prefix that they share, and each of
// its parts then sees keys of its own, causally. So the rollouts of a group meet their common prefix in one matrix
// product, and a decoding step, a prefill and a training pass are the same code. Keys come in tiles of a fixed size:
// a block keeps the largest score so far and the sums relative to it, and corrects them when a larger one comes. So
// memory does not grow with the context, and nothing of size [rows, rows] is kept: the backward pass makes the
// probabilities again from the saved logarithms of their sums.
import Glibc

/// Attention kernels.
public enum AttentionKernels {
  /// Floats of scratch memory for a forward pass on all threads of a pool.
  public static func forwardScratch(
    _ plan: AttentionPlan, _ shape: AttentionShape, pool: ThreadPool = .shared
  ) -> Int {
    pool.threadCount * ForwardScratch.count(plan, shape)
  }

  /// `out = softmax(q·kᵀ/√D)·v` where the plan lets a query see a key.
  ///
  /// - Parameters:
  ///   - q: (Nq, H, D); `k`, `v`: (Nk, KVH, D); `out`: (Nq, H, D).
  ///   - logSums: (Nq, H), the logarithm of each softmax's denominator, for the backward pass.
  ///   - scratch: `forwardScratch` floats.
  public static func forward(
    q: UnsafePointer<Float>, k: KeyValueRows, v: KeyValueRows, out: UnsafeMutablePointer<Float>,
    logSums: UnsafeMutablePointer<Float>?, scratch: UnsafeMutablePointer<Float>, plan: AttentionPlan,
    shape: AttentionShape, pool: ThreadPool = .shared
  ) {
    let perThread = ForwardScratch.count(plan, shape)
    // The costliest first, so that no thread begins a long one when the others are done.
    let order = plan.blocks.enumerated().map { (work: $1.work, index: $0) }
      .sorted { ($1.work, $0.index) < ($0.work, $1.index) }
    pool.forEach(count: order.count * shape.keyHeads, grain: 1) { range, slot in
      for task in range {
        let block = AttentionBlock(
          plan.blocks[order[task / shape.keyHeads].index], shape, keyHead: task % shape.keyHeads)
        let memory = ForwardScratch(scratch + slot * perThread, block.rowCount, shape)
        block.forward(q: q, k: k, v: v, out: out, logSums: logSums, memory)
      }
    }
  }
}

/// What one thread needs for a block in the forward pass.
private struct ForwardScratch {
  /// (rows, keys of a tile): scores, then their exponentials.
  let weights: UnsafeMutablePointer<Float>
  /// (rows, D): queries times scale.
  let queries: UnsafeMutablePointer<Float>
  /// (rows, D): sums of values times weights.
  let sums: UnsafeMutablePointer<Float>
  /// (keys of a tile, D): keys or values that are not stored as floats.
  let tile: UnsafeMutablePointer<Float>
  /// (rows): the largest score so far, and the sum of weights relative to it.
  let peaks: UnsafeMutablePointer<Float>
  let totals: UnsafeMutablePointer<Float>

  init(_ base: UnsafeMutablePointer<Float>, _ rows: Int, _ shape: AttentionShape) {
    weights = base
    queries = weights + rows * AttentionBlock.tileKeys
    sums = queries + rows * shape.headSize
    tile = sums + rows * shape.headSize
    peaks = tile + AttentionBlock.tileKeys * shape.headSize
    totals = peaks + rows
  }

  static func count(_ plan: AttentionPlan, _ shape: AttentionShape) -> Int {
    let rows = plan.largestBlock * shape.group
    let count =
      rows * (AttentionBlock.tileKeys + 2 * shape.headSize + 2) + AttentionBlock.tileKeys * shape.headSize
    return (count + 15) / 16 * 16
  }
}

extension AttentionBlock {
  fileprivate func forward(
    q: UnsafePointer<Float>, k: KeyValueRows, v: KeyValueRows, out: UnsafeMutablePointer<Float>,
    logSums: UnsafeMutablePointer<Float>?, _ memory: ForwardScratch
  ) {
    let size = shape.headSize
    load(q, times: shape.scale, into: memory.queries)
    memory.sums.update(repeating: 0, count: rowCount * size)
    memory.peaks.update(repeating: -.infinity, count: rowCount)
    memory.totals.update(repeating: 0, count: rowCount)
    forEachTile { tile in
      let weights = Matrix(memory.weights, rows: tile.rows.count, columns: tile.count)
      let (queries, sums) = (rows(memory.queries, of: tile), rows(memory.sums, of: tile))
      TiledGEMM.multiply(queries, keys(k, of: tile, buffer: memory.tile), into: weights)
      weigh(tile, memory)
      // The same buffer: keys are done.
      let values = self.keys(v, of: tile, buffer: memory.tile)
      if tile.rows.count <= FewRows.maximum {
        FewRows.weightedSums(weights, values, addingTo: sums)
      } else {
        BLAS.multiply(weights, values, into: sums, beta: 1)
      }
    }
    forEachQuery { row, head in
      for j in 0..<shape.group {
        let factor = 1 / memory.totals[row + j]
        mapVector(memory.sums + (row + j) * size, out + (head + j) * size, size) { $0 * factor }
        logSums?[head + j] = memory.peaks[row + j] + Glibc.log(memory.totals[row + j])
      }
    }
  }

  /// A tile's scores become exponentials relative to the largest score so far. Where that grows, what was summed up
  /// before is made smaller. Keys that a row may not see get weight 0.
  private func weigh(_ tile: Tile, _ memory: ForwardScratch) {
    var values = memory.weights
    forEachRow(of: tile) { row, visible in
      let (before, here) = (memory.peaks[row], VectorKernels.maximum(values, visible))
      if here > before || here.isNaN {
        memory.peaks[row] = here
        let factor = Glibc.exp(before - here)
        memory.totals[row] *= factor
        VectorKernels.scale(memory.sums + row * shape.headSize, by: factor, shape.headSize)
      }
      memory.totals[row] += VectorKernels.expSum(values, shift: memory.peaks[row], visible)
      (values + visible).update(repeating: 0, count: tile.count - visible)
      values += tile.count
    }
  }
}
