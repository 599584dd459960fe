// Root-mean-square normalisation (Zhang and Sennrich, arXiv:1910.07467).
import Kernels

extension Tensor {
  /// `weight · x / √(mean(x²) + ε)` over the last dimension: (…, C) with a weight (C).
  public func rmsNorm(_ weight: Tensor, epsilon: Float) throws(TensorError) -> Tensor {
    guard let C = shape.last, weight.shape == [C] else {
      throw TensorError(.rmsNorm, "expected (…, C) and a weight (C), got \(shape) and \(weight.shape)")
    }
    let N = C == 0 ? 0 : count / C
    let (x, w) = (contiguousCopyIfNeeded(), weight.contiguousCopyIfNeeded())
    let (result, scale) = (Tensor(uninitialized: shape), Storage(count: N))
    RowKernels.rmsNorm(
      x.pointer, weight: w.pointer, epsilon: epsilon, into: result.pointer, scale: scale.pointer, rows: N,
      columns: C)
    return result.recorded(.rmsNorm, [self, weight]) { [x, w] dy in
      self.accumulate { dx, beta in
        RowKernels.rmsNormBackward(
          dy.pointer, x: x.pointer, weight: w.pointer, scale: scale.pointer, dx: (dx, beta), dweight: nil,
          rows: N,
          columns: C)
      }
      weight.accumulate { dw, beta in
        RowKernels.rmsNormBackward(
          dy.pointer, x: x.pointer, weight: w.pointer, scale: scale.pointer, dx: nil, dweight: (dw, beta),
          rows: N,
          columns: C)
      }
    }
  }

  /// `weight · (x − mean(x)) / √(variance(x) + ε) + bias` over the last dimension (Ba et al., arXiv:1607.06450): the RMS
  /// norm of what differs from the mean.
  public func layerNorm(_ weight: Tensor, bias: Tensor, epsilon: Float) throws(TensorError) -> Tensor {
    let centred = try subtracting(mean(dim: rank - 1, keepDim: true))
    return try centred.rmsNorm(weight, epsilon: epsilon).adding(bias)
  }

  /// What `rmsNorm` computes.
  package func composedRMSNorm(_ weight: Tensor, epsilon: Float) throws(TensorError) -> Tensor {
    let meanSquare = try squared().mean(dim: rank - 1, keepDim: true)
    return try divided(by: meanSquare.adding(epsilon).sqrt()).multiplied(by: weight)
  }
}
