// Shapes made of `reshaped`, `permuted`, `sliced` and `concatenated`.
import Kernels

extension Tensor {
  /// With a new dimension of size 1 before `dim`, or as the last one where `dim` is the rank.
  public func unsqueezed(_ dim: Int) throws(TensorError) -> Tensor {
    guard dim >= 0, dim <= rank else { throw TensorError("unsqueeze: no place \(dim) in shape \(shape)") }
    var shape = shape
    shape.insert(1, at: dim)
    return try reshaped(shape)
  }

  /// Tensors of one shape laid side by side along a new dimension.
  public static func stacked(_ parts: [Tensor], dim: Int) throws(TensorError) -> Tensor {
    guard let first = parts.first else { throw TensorError("stack: expected at least one tensor") }
    if let other = parts.first(where: { $0.shape != first.shape }) {
      throw TensorError("stack: expected tensors of one shape, got \(first.shape) and \(other.shape)")
    }
    var raised: [Tensor] = []
    for part in parts { raised.append(try part.unsqueezed(dim)) }
    return try concatenated(raised, dim: dim)
  }

  /// The elements where two dimensions of one size have the same place, as a last dimension; both go away.
  public func diagonal(_ first: Int, _ second: Int) throws(TensorError) -> Tensor {
    let (a, b) = (try dimension(first, for: "diagonal"), try dimension(second, for: "diagonal"))
    guard a.index != b.index, a.size == b.size else {
      throw TensorError("diagonal: expected two dimensions of one size, got \(shape)")
    }
    let kept = shape.indices.filter { $0 != a.index && $0 != b.index }
    let n = a.size
    let flat = try permuted(kept + [a.index, b.index]).reshaped(kept.map { shape[$0] } + [n * n])
    return try flat.taken(dim: flat.rank - 1, (0..<Int32(n)).map { $0 * Int32(n + 1) })
  }

  /// The elements of the last two dimensions whose column less row is at most `diagonal` (or, `upper`, at least), others 0.
  public func triangle(upper: Bool, diagonal: Int = 0) throws(TensorError) -> Tensor {
    guard rank >= 2 else {
      throw TensorError("\(upper ? "triu" : "tril"): expected at least two dimensions, got shape \(shape)")
    }
    let (rows, columns) = (shape[rank - 2], shape[rank - 1])
    let mask = Tensor(uninitialized: [rows, columns])
    for i in 0..<rows {
      for j in 0..<columns {
        mask.pointer[i * columns + j] = (upper ? j - i >= diagonal : j - i <= diagonal) ? 1 : 0
      }
    }
    return try selected(where: mask, else: Tensor(0).typed(dtype))
  }

  /// A matrix product in which a vector is a row on the left and a column on the right, and its dimension goes away.
  public func product(_ other: Tensor) throws(TensorError) -> Tensor {
    guard rank >= 1, other.rank >= 1 else {
      throw TensorError(.matmul, "expected vectors or matrices, got \(shape) and \(other.shape)")
    }
    let (a, b) = (rank == 1 ? try unsqueezed(0) : self, other.rank == 1 ? try other.unsqueezed(1) : other)
    guard a.shape[a.rank - 1] == b.shape[b.rank - 2] else {
      throw TensorError(.matmul, "expected (…, N, K) and (…, K, M), got \(shape) and \(other.shape)")
    }
    let result = try a.matmul(b)
    var shape = result.shape
    if other.rank == 1 { shape.removeLast() }
    if rank == 1 { shape.remove(at: shape.count - (other.rank == 1 ? 1 : 2)) }
    return try result.reshaped(shape)
  }

  // MARK: Activations

  /// log(1 + e^x), without overflow.
  public func softplus() throws(TensorError) -> Tensor {
    try maximum(0).adding(absolute().negated().exp().log1p())
  }
}
