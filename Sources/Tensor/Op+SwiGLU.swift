// The gated activation of Llama's feed-forward layer (Shazeer, arXiv:2002.05202).
import Kernels

extension Tensor {
  /// `silu(self) · up`, self being the gate; both of one shape.
  public func swiglu(_ up: Tensor) throws(TensorError) -> Tensor {
    guard shape == up.shape else {
      throw TensorError(.swiglu, "expected a gate and an input of one shape, got \(shape) and \(up.shape)")
    }
    let up = try up.distinct(from: self)
    let (g, u) = (contiguousCopyIfNeeded(), up.contiguousCopyIfNeeded())
    let (result, count) = (Tensor(uninitialized: shape), self.count)
    RowKernels.swiglu(gate: g.pointer, up: u.pointer, into: result.pointer, count: count)
    return result.recorded(.swiglu, [self, up]) { [g, u] dy in
      // The exponentials are the larger part of the work and serve both gradients.
      self.withGradient { dgate, betaGate in
        up.withGradient { dup, betaUp in
          RowKernels.swigluBackward(
            dy.pointer, gate: g.pointer, up: u.pointer, dgate: dgate.map { ($0, betaGate) },
            dup: dup.map { ($0, betaUp) }, count: count)
        }
      }
    }
  }

  /// What `swiglu` computes.
  package func composedSwiGLU(_ up: Tensor) throws(TensorError) -> Tensor {
    try multiplied(by: sigmoid()).multiplied(by: up)
  }
}
