// y = x·Wᵀ + b, the layer that nearly all time goes into.
import Kernels

extension Tensor {
  /// `x · weightᵀ (+ bias)`: (N, K) with a weight (M, K) and a bias (M) gives (N, M). The weight lies as checkpoints
  /// have it, one row per output.
  public func linear(_ weight: Tensor, bias: Tensor? = nil) throws(TensorError) -> Tensor {
    guard rank == 2, weight.rank == 2, shape[1] == weight.shape[1] else {
      throw TensorError(.linear, "expected (N, K) and a weight (M, K), got \(shape) and \(weight.shape)")
    }
    let (N, M, K) = (shape[0], weight.shape[0], shape[1])
    guard bias == nil || bias?.shape == [M] else {
      throw TensorError(.linear, "expected a bias of shape [\(M)], got \(bias?.shape ?? [])")
    }
    let (x, w) = (contiguousCopyIfNeeded(), weight.contiguousCopyIfNeeded())
    let result = Tensor(uninitialized: [N, M])
    if N <= SkinnyGEMM.maximumRows {
      let scratch = Storage(count: SkinnyGEMM.scratchCount(rows: N, inner: K))
      SkinnyGEMM.multiply(x.matrix, weight: w.pointer, into: result.matrix, scratch: scratch.pointer)
    } else {
      BLAS.multiply(x.matrix, w.matrix.transposed, into: result.matrix)
    }
    if let bias = bias?.contiguousCopyIfNeeded() {
      RowKernels.addBias(bias.pointer, to: result.pointer, rows: N, columns: M)
    }
    return result.recorded(.linear, [self, weight] + (bias.map { [$0] } ?? [])) { [x, w] dy in
      self.accumulate { dx, beta in
        BLAS.multiply(dy.matrix, w.matrix, into: Matrix(dx, rows: N, columns: K), beta: beta)
      }
      weight.accumulate { dw, beta in
        BLAS.multiply(dy.matrix.transposed, x.matrix, into: Matrix(dw, rows: M, columns: K), beta: beta)
      }
      bias?.accumulate { db, beta in
        RowKernels.sumRows(dy.pointer, into: db, beta: beta, rows: N, columns: M)
      }
    }
  }

  /// `linear` from elementary operations: the definition that tests hold it to.
  package func composedLinear(_ weight: Tensor, bias: Tensor? = nil) throws(TensorError) -> Tensor {
    let product = try matmul(weight.transposed())
    guard let bias else { return product }
    return try product.adding(bias)
  }

  /// A contiguous (N, C) tensor as an operand of products.
  var matrix: Matrix { Matrix(pointer, rows: shape[0], columns: shape[1]) }
}
