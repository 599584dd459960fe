// Rotary position embedding (Su et al., arXiv:2104.09864), in the half-split form of Hugging Face checkpoints.
import Glibc
import Kernels

/// Cosines and sines of the rotation angles of some rows.
public struct RotaryTable: Sendable {
  /// (N, D/2), row-major.
  let cosines: Storage
  let sines: Storage
  /// Number of rows N.
  public let rows: Int
  /// Half the size D of a head.
  public let half: Int

  /// Angles `positions[n] · frequencies[i]`; `frequencies` has D/2 elements.
  public init(positions: [Int], frequencies: [Float]) {
    (rows, half) = (positions.count, frequencies.count)
    (cosines, sines) = (Storage(count: rows * half), Storage(count: rows * half))
    for (n, position) in positions.enumerated() {
      for (i, frequency) in frequencies.enumerated() {
        let angle = Float(position) * frequency
        cosines.pointer[n * half + i] = cos(angle)
        sines.pointer[n * half + i] = sin(angle)
      }
    }
  }
}

extension Tensor {
  /// Rotates each head of (N, H·D) by the angle of its row: pairs (i, i + D/2) of a head turn together.
  public func rope(_ table: RotaryTable) throws(TensorError) -> Tensor {
    let D = 2 * table.half
    guard rank == 2, shape[0] == table.rows, D > 0, shape[1] % D == 0 else {
      throw TensorError(.rope, "expected (\(table.rows), heads × \(D)), got \(shape)")
    }
    let (N, H) = (shape[0], shape[1] / D)
    let (x, result) = (contiguousCopyIfNeeded(), Tensor(uninitialized: shape))
    RowKernels.rotate(
      x.pointer, into: result.pointer, cosines: table.cosines.pointer,
      sines: table.sines.pointer, inverse: false, rows: N, heads: H, size: D)
    let input = gradientRoute
    return result.recorded(.rope, [input]) { dy in
      input.accumulate { dx, beta in
        RowKernels.rotate(
          dy.pointer, into: dx, cosines: table.cosines.pointer, sines: table.sines.pointer, inverse: true,
          rows: N,
          heads: H, size: D, beta: beta)
      }
    }
  }

  /// What `rope` computes: x·cos + rotate_half(x)·sin.
  package func composedRope(_ table: RotaryTable) throws(TensorError) -> Tensor {
    let (half, N) = (table.half, table.rows)
    let heads = try reshaped([N, shape[1] / (2 * half), 2 * half])
    let (low, high) = (try heads.sliced(dim: 2, 0..<half), try heads.sliced(dim: 2, half..<2 * half))
    let cosines = Tensor(storage: table.cosines, shape: [N, 1, half])
    let sines = Tensor(storage: table.sines, shape: [N, 1, half])
    let newLow = try low.multiplied(by: cosines).subtracting(high.multiplied(by: sines))
    let newHigh = try high.multiplied(by: cosines).adding(low.multiplied(by: sines))
    return try Tensor.concatenated([newLow, newHigh], dim: 2).reshaped(shape)
  }
}
