// Matrix products of any two tensors, and softmax along a dimension.
import Kernels

extension Tensor {
  /// The matrix product of the last two dimensions: (…, N, K) · (…, K, M) gives (…, N, M). Leading dimensions are
  /// broadcast. That of integers is one of integers.
  ///
  /// - Throws: if the shapes do not fit, or sums of integers could leave 32-bit floats on the way.
  public func matmul(_ other: Tensor) throws(TensorError) -> Tensor {
    guard rank >= 2, other.rank >= 2, shape[rank - 1] == other.shape[other.rank - 2],
      let lead = broadcastShape(Array(shape.dropLast(2)), Array(other.shape.dropLast(2)))
    else {
      throw TensorError(.matmul, "expected (…, N, K) and (…, K, M), got \(shape) and \(other.shape)")
    }
    let (N, M) = (shape[rank - 2], other.shape[other.rank - 1])
    try checkSize(lead + [N, M], of: Op.matmul.rawValue)
    let dtype = DType.promoted(dtype, other.dtype).ofArithmetic
    if dtype == .i32 { try Tensor.checkIntegerProduct([self, other], length: shape[rank - 1], "matmul") }
    let (a, b) = (MatrixStack(self, lead), MatrixStack(other, lead))
    let result = Tensor(uninitialized: lead + [N, M]).typed(dtype)
    let c = MatrixStack(result, lead)
    for i in 0..<c.count { BLAS.multiply(a[i], b[i], into: c[i]) }
    return result.recorded(.matmul, [self, other]) { dy in
      let dy = MatrixStack(dy, lead)
      // A matrix that was repeated gets a sum, so all products add to what is there.
      func accumulate(_ input: Tensor, _ body: (_ index: Int, _ target: Matrix) -> Void) {
        input.accumulate { gradient, beta in
          if beta == 0 { gradient.update(repeating: 0, count: input.count) }
          let targets = MatrixStack(shape: input.shape, lead)
          for i in 0..<targets.count { body(i, targets.matrix(i, at: gradient)) }
        }
      }
      accumulate(self) { i, target in BLAS.multiply(dy[i], b[i].transposed, into: target, beta: 1) }
      accumulate(other) { i, target in BLAS.multiply(a[i].transposed, dy[i], into: target, beta: 1) }
    }
  }

  /// Throws if sums of so many products of these integers could be rounded on the way.
  static func checkIntegerProduct(
    _ factors: [Tensor], length: Int, _ operation: String
  ) throws(TensorError) {
    let bound = integerBound(factors, length: length)
    if bound > DType.integerLimit { throw TensorError.beyondIntegers(operation, bound) }
  }

  /// What no sum of `length` products of elements of these tensors exceeds. Up to `DType.integerLimit` sums of integers are
  /// exact in any order.
  public static func integerBound(_ factors: [Tensor], length: Int) -> Float {
    factors.reduce(Float(length)) { bound, factor in
      let x = factor.contiguousCopyIfNeeded()
      var largest: Float = 0
      for i in 0..<x.count { largest = Swift.max(largest, Swift.abs(x.pointer[i])) }
      return bound * largest
    }
  }

  /// e^x / Σ e^x along `dim`.
  public func softmax(dim: Int) throws(TensorError) -> Tensor {
    try alongLast(dim, .softmax) { x in
      let source = x.contiguousCopyIfNeeded()
      let (V, N) = (x.shape[x.rank - 1], x.shape.dropLast().reduce(1, *))
      let result = Tensor(uninitialized: x.shape)
      LogitKernels.softmax(source.pointer, into: result.pointer, rows: N, columns: V)
      let y = result.detached()
      return result.recorded(.softmax, [x], savesResult: true) { dy in
        x.accumulate { dx, beta in
          ReductionKernels.softmaxBackward(
            dy.pointer, result: y.pointer, into: dx, beta: beta, rows: N, columns: V)
        }
      }
    }
  }

  /// x - log Σ e^x along `dim`.
  public func logSoftmax(dim: Int) throws(TensorError) -> Tensor {
    try alongLast(dim, .logSoftmax) { x in
      let source = x.contiguousCopyIfNeeded()
      let (V, N) = (x.shape[x.rank - 1], x.shape.dropLast().reduce(1, *))
      let result = Tensor(uninitialized: x.shape)
      ReductionKernels.logSoftmax(source.pointer, into: result.pointer, rows: N, columns: V)
      let y = result.detached()
      return result.recorded(.logSoftmax, [x], savesResult: true) { dy in
        x.accumulate { dx, beta in
          ReductionKernels.logSoftmaxBackward(
            dy.pointer, result: y.pointer, into: dx, beta: beta, rows: N, columns: V)
        }
      }
    }
  }

  /// Applies a function of rows along `dim`: that dimension is brought to the end and back.
  func alongLast(
    _ dim: Int, _ op: Op, _ body: (Tensor) -> Tensor
  ) throws(TensorError) -> Tensor {
    let dim = try dimension(dim, for: op.rawValue)
    if dim.index == rank - 1 { return body(self) }
    var order = Array(shape.indices)
    order.swapAt(dim.index, rank - 1)
    return try body(try permuted(order)).permuted(order)
  }
}

/// The matrices in the last two dimensions of a tensor whose leading dimensions are broadcast to a shape.
private struct MatrixStack {
  /// Number of matrices in the broadcast shape.
  let count: Int
  private let lead: [Int]
  private let leadStrides: [Int]
  private let rows: Int
  private let columns: Int
  private let stride: Int
  private let isTransposed: Bool
  private let tensor: Tensor?

  /// The matrices of `tensor`, read in place where rows or columns lie side by side.
  init(_ tensor: Tensor, _ lead: [Int]) {
    let rank = tensor.rank
    func fits(_ inner: Int, _ outer: Int) -> Bool {
      (tensor.strides[inner] == 1 || tensor.shape[inner] == 1)
        && (tensor.strides[outer] >= tensor.shape[inner] || tensor.shape[outer] == 1)
    }
    let (isPlain, isTransposed) = (fits(rank - 1, rank - 2), fits(rank - 2, rank - 1))
    let tensor = (isPlain || isTransposed ? tensor : tensor.contiguousCopyIfNeeded()).detached()
    self.init(
      tensor: tensor, shape: tensor.shape, strides: tensor.strides, lead,
      isTransposed: !isPlain && isTransposed)
  }

  /// The layout of contiguous matrices that lie elsewhere.
  init(shape: [Int], _ lead: [Int]) {
    self.init(
      tensor: nil, shape: shape, strides: Tensor.contiguousStrides(shape), lead, isTransposed: false)
  }

  private init(tensor: Tensor?, shape: [Int], strides: [Int], _ lead: [Int], isTransposed: Bool) {
    let rank = shape.count
    let own = rank - 2
    let missing = lead.count - own
    self.tensor = tensor
    self.lead = lead
    self.isTransposed = isTransposed
    count = lead.reduce(1, *)
    leadStrides = lead.indices.map { d in
      d < missing || (shape[d - missing] == 1 && lead[d] != 1) ? 0 : strides[d - missing]
    }
    (rows, columns) =
      isTransposed ? (shape[rank - 1], shape[rank - 2]) : (shape[rank - 2], shape[rank - 1])
    stride = Swift.max(columns, isTransposed ? strides[rank - 1] : strides[rank - 2])
  }

  subscript(index: Int) -> Matrix { matrix(index, at: tensor!.pointer) }

  func matrix(_ index: Int, at base: UnsafeMutablePointer<Float>) -> Matrix {
    var (rest, place) = (index, 0)
    for d in lead.indices.reversed() {
      place += rest % lead[d] * leadStrides[d]
      rest /= lead[d]
    }
    let matrix = Matrix(base + place, rows: rows, columns: columns, stride: stride)
    return isTransposed ? matrix.transposed : matrix
  }
}
