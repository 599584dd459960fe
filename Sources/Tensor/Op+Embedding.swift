// Rows of a table by index: token embeddings, and the choice of rows that a head needs.
import Kernels

extension Tensor {
  /// Rows `indices` (N) of a table (V, C), as (N, C). Repeated indices add up in the gradient.
  public func embedding(_ indices: [Int32]) throws(TensorError) -> Tensor {
    guard rank == 2 else { throw TensorError(.embedding, "expected a table (V, C), got \(shape)") }
    let (N, V, C) = (indices.count, shape[0], shape[1])
    if let wrong = indices.first(where: { $0 < 0 || Int($0) >= V }) {
      throw TensorError(.embedding, "index \(wrong) is not a row of a table of shape \(shape)")
    }
    let result = Tensor(uninitialized: [N, C])
    let table = contiguousCopyIfNeeded()
    RowKernels.gather(table.pointer, rows: indices, into: result.pointer, count: N, columns: C)
    let input = gradientRoute
    return result.recorded(.embedding, [input]) { dy in
      input.accumulateRows(dy, at: indices)
    }
  }

  /// Adds rows (N, C) to those of this table's gradient.
  fileprivate func accumulateRows(_ rows: Tensor, at indices: [Int32]) {
    accumulate { dtable, beta in
      if beta == 0 { dtable.update(repeating: 0, count: count) }
      RowKernels.scatterAdd(
        rows.pointer, to: dtable, at: indices, count: indices.count, columns: shape[1])
    }
  }

  /// What `embedding` computes: a one-hot matrix times the table.
  package func composedEmbedding(_ indices: [Int32]) throws(TensorError) -> Tensor {
    let oneHot = Tensor(repeating: 0, shape: [indices.count, shape[0]])
    for (n, index) in indices.enumerated() { oneHot.pointer[n * shape[0] + Int(index)] = 1 }
    return try oneHot.matmul(self)
  }
}

extension Weight {
  /// Rows `indices` (N) of this table (V, C) as floats, (N, C). Repeated indices add up in the gradient.
  public func embedding(_ indices: [Int32]) throws(TensorError) -> Tensor {
    // Rows of floats are gathered from where they lie; a master copy is packed, so its rows come from there too.
    if format == .f32, let tensor { return try tensor.embedding(indices) }
    let (N, V, C) = (indices.count, shape[0], shape[1])
    if let wrong = indices.first(where: { $0 < 0 || Int($0) >= V }) {
      throw TensorError(.embedding, "index \(wrong) is not a row of a table of shape \(shape)")
    }
    let (result, table) = (Tensor(uninitialized: [N, C]), rows)
    ThreadPool.shared.forEach(count: N, grain: 16) { range in
      for n in range { table.expand(Int(indices[n])..<Int(indices[n]) + 1, into: result.pointer + n * C) }
    }
    guard let tensor else { return result }
    return result.recorded(.embedding, [tensor]) { dy in
      tensor.accumulateRows(dy, at: indices)
    }
  }
}
