// Grouped-query attention over a forest of segments, see `AttentionKernels`.
import Kernels

extension Tensor {
  /// Softmax attention of queries (Nq, H·D) to keys and values (Nk, KVH·D), where `plan` lets them see each other.
  /// Gives (Nq, H·D).
  public static func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, plan: AttentionPlan, shape: AttentionShape
  ) throws(TensorError) -> Tensor {
    let (width, keyWidth) = (shape.heads * shape.headSize, shape.keyHeads * shape.headSize)
    guard q.rank == 2, q.shape[1] == width, k.rank == 2, k.shape[1] == keyWidth, v.shape == k.shape else {
      throw TensorError(
        .attention,
        "expected queries (N, \(width)) and keys and values (M, \(keyWidth)), got \(q.shape), \(k.shape), \(v.shape)"
      )
    }
    let k = try k.distinct(from: q)
    let v = try v.distinct(from: q, k)
    let (qs, ks, vs) = (q.contiguousCopyIfNeeded(), k.contiguousCopyIfNeeded(), v.contiguousCopyIfNeeded())
    let (result, logSums) = (Tensor(uninitialized: q.shape), Storage(count: q.shape[0] * shape.heads))
    let scratch = Storage(count: AttentionKernels.forwardScratch(plan, shape))
    AttentionKernels.forward(
      q: qs.pointer, k: .float(ks.pointer), v: .float(vs.pointer), out: result.pointer,
      logSums: logSums.pointer, scratch: scratch.pointer, plan: plan, shape: shape)
    let out = result.detached()
    return result.recorded(.attention, [q, k, v], savesResult: true) { [qs, ks, vs] dy in
      // The three gradients are made together. One that nobody wants goes to memory that is dropped.
      let unused = Storage(count: Swift.max(q.count, k.count))
      let scratch = Storage(count: AttentionKernels.backwardScratch(plan, shape))
      q.withGradient { dq, beta in
        k.withGradient { dk, betaK in
          v.withGradient { dv, betaV in
            let (dk, dv) = (dk ?? unused.pointer, dv ?? unused.pointer)
            if betaK == 0 { dk.update(repeating: 0, count: ks.count) }
            if betaV == 0 { dv.update(repeating: 0, count: vs.count) }
            AttentionKernels.backward(
              dout: dy.pointer, q: qs.pointer, k: ks.pointer, v: vs.pointer, out: out.pointer,
              logSums: logSums.pointer, dq: dq ?? unused.pointer, beta: beta, dk: dk, dv: dv,
              scratch: scratch.pointer, plan: plan, shape: shape)
          }
        }
      }
    }
  }

  /// Attention of queries (Nq, H·D) to a cache of keys and values (M, KVH·D), for sampling: it is not recorded.
  /// Gives (Nq, H·D).
  ///
  /// - Parameters:
  ///   - k: the cache's memory; it must hold the rows that `plan` names, and live until this returns. `v` likewise.
  public static func attention(
    _ q: Tensor, keys k: KeyValueRows, values v: KeyValueRows, plan: AttentionPlan, shape: AttentionShape
  ) throws(TensorError) -> Tensor {
    let width = shape.heads * shape.headSize
    guard q.rank == 2, q.shape[1] == width else {
      throw TensorError(.attention, "expected queries (N, \(width)), got \(q.shape)")
    }
    let (qs, result) = (q.contiguousCopyIfNeeded(), Tensor(uninitialized: q.shape))
    let scratch = Storage(count: AttentionKernels.forwardScratch(plan, shape))
    AttentionKernels.forward(
      q: qs.pointer, k: k, v: v, out: result.pointer, logSums: nil, scratch: scratch.pointer, plan: plan,
      shape: shape)
    return result
  }

  /// What `attention` computes: softmax(q·kᵀ/√D + mask)·v, head by head.
  package static func composedAttention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, plan: AttentionPlan, shape: AttentionShape
  ) throws(TensorError) -> Tensor {
    let (rows, keys, size) = (q.shape[0], k.shape[0], shape.headSize)
    let mask = Tensor(repeating: -1e30, shape: [rows, keys])
    for block in plan.blocks {
      for part in block.parts {
        for i in 0..<part.queryCount {
          let row = mask.pointer + (part.queryStart + i) * keys
          for span in block.spans { (row + span.start).update(repeating: 0, count: span.count) }
          (row + part.keyStart).update(repeating: 0, count: part.keyOffset + i + 1)
        }
      }
    }
    var heads: [Tensor] = []
    for h in 0..<shape.heads {
      let keyHead = h / shape.group * size
      let query = try q.sliced(dim: 1, h * size..<(h + 1) * size).multiplied(by: shape.scale)
      let scores = try query.matmul(k.sliced(dim: 1, keyHead..<keyHead + size).transposed()).adding(mask)
      heads.append(try scores.softmax(dim: 1).matmul(v.sliced(dim: 1, keyHead..<keyHead + size)))
    }
    return try concatenated(heads, dim: 1)
  }
}
