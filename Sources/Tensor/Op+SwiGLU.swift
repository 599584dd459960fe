// The gated activation of Llama's feed-forward layer (Shazeer, arXiv:2002.05202).
import Kernels

extension Tensor {
  /// `silu(self) · up`, self being the gate; both of one shape.
  public func swiglu(_ up: Tensor) throws(TensorError) -> Tensor {
    guard shape == up.shape else {
      throw TensorError(.swiglu, "expected a gate and an input of one shape, got \(shape) and \(up.shape)")
    }
    let (g, u) = (contiguousCopyIfNeeded(), up.contiguousCopyIfNeeded())
    let (result, count) = (Tensor(uninitialized: shape), self.count)
    RowKernels.swiglu(gate: g.pointer, up: u.pointer, into: result.pointer, count: count)
    return result.recorded(.swiglu, [self, up]) { [g, u] dy in
      self.accumulate { dgate, beta in
        RowKernels.swigluBackward(
          dy.pointer, gate: g.pointer, up: u.pointer, dgate: (dgate, beta), dup: nil, count: count)
      }
      up.accumulate { dup, beta in
        RowKernels.swigluBackward(
          dy.pointer, gate: g.pointer, up: u.pointer, dgate: nil, dup: (dup, beta), count: count)
      }
    }
  }

  /// What `swiglu` computes.
  package func composedSwiGLU(_ up: Tensor) throws(TensorError) -> Tensor {
    try multiplied(by: sigmoid()).multiplied(by: up)
  }
}
