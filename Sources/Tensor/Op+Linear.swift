// y = x·Wᵀ + b, the layer that nearly all time goes into.
import Kernels

extension Tensor {
  /// `x · weightᵀ (+ bias)`: (N, K) with a weight (M, K) and a bias (M) gives (N, M). The weight lies as checkpoints
  /// have it, one row per output.
  ///
  /// - Parameter isValueNeeded: false where only the gradients are wanted; then the result holds no values.
  public func linear(
    _ weight: Weight, bias: Tensor? = nil, isValueNeeded: Bool = true
  ) throws(TensorError) -> Tensor {
    try checkLinear(weight.shape, bias)
    let (N, M, K) = (shape[0], weight.shape[0], shape[1])
    let x = contiguousCopyIfNeeded()
    let result = Tensor(uninitialized: [N, M])
    if isValueNeeded {
      let rows = weight.rows
      let scratch = Storage(count: LinearKernels.scratchCount(rows: N, weight: rows))
      LinearKernels.multiply(x.matrix, rows, into: result.matrix, scratch: scratch.pointer)
      if let bias { result.addToRows(bias) }
    }
    let inputs = [self] + [weight.tensor, bias].compactMap { $0 }
    return result.recorded(.linear, inputs) { [x] dy in
      self.accumulate { dx, beta in
        let rows = weight.rows
        let scratch = Storage(count: LinearKernels.scratchCount(rows: N, weight: rows, backward: true))
        LinearKernels.multiplyBack(
          dy.matrix, rows, into: Matrix(dx, rows: N, columns: K), beta: beta, scratch: scratch.pointer)
      }
      weight.tensor?.accumulate { dw, beta in
        BLAS.multiply(dy.matrix.transposed, x.matrix, into: Matrix(dw, rows: M, columns: K), beta: beta)
      }
      bias?.accumulate { db, beta in
        RowKernels.sumRows(dy.pointer, into: db, beta: beta, rows: N, columns: M)
      }
    }
  }

  /// `x · weightᵀ (+ bias)` with the input rounded to eight bits, in the same shapes, without gradient.
  public func linear(_ weight: IntegerWeight, bias: Tensor? = nil) throws(TensorError) -> Tensor {
    try checkLinear(weight.shape, bias)
    let (x, result) = (contiguousCopyIfNeeded(), Tensor(uninitialized: [shape[0], weight.shape[0]]))
    let scratch = Storage(count: IntegerGEMM.scratchCount(rows: shape[0], columns: shape[1]))
    IntegerGEMM.multiply(x.matrix, weight.layout, into: result.matrix, scratch: scratch.pointer)
    if let bias { result.addToRows(bias) }
    return result
  }

  private func checkLinear(_ weight: [Int], _ bias: Tensor?) throws(TensorError) {
    guard rank == 2, weight.count == 2, shape[1] == weight[1] else {
      throw TensorError(.linear, "expected (N, K) and a weight (M, K), got \(shape) and \(weight)")
    }
    guard bias == nil || bias?.shape == [weight[0]] else {
      throw TensorError(.linear, "expected a bias of shape [\(weight[0])], got \(bias?.shape ?? [])")
    }
  }

  /// Adds a vector to each row of this new matrix.
  private func addToRows(_ bias: Tensor) {
    let bias = bias.contiguousCopyIfNeeded()
    RowKernels.addBias(bias.pointer, to: pointer, rows: shape[0], columns: shape[1])
  }

  /// The same with a weight that is a tensor.
  public func linear(_ weight: Tensor, bias: Tensor? = nil) throws(TensorError) -> Tensor {
    try linear(Weight(weight), bias: bias)
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
