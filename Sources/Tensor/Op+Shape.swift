// Views and rearrangements: reshape, permute, slice and expand share storage where strides allow; concatenation and
// gathering copy.
import Kernels

extension Tensor {
  // MARK: Views

  /// The same elements in row-major order under another shape; one size may be -1, to be inferred.
  public func reshaped(_ shape: [Int]) throws(TensorError) -> Tensor {
    let shape = try inferred(shape)
    let result: Tensor
    if let strides = viewStrides(for: shape) {
      result = Tensor(storage: storage, shape: shape, strides: strides, offset: offset).typed(dtype)
    } else {
      result = Tensor(storage: contiguousCopyIfNeeded().storage, shape: shape).typed(dtype)
    }
    let input = gradientRoute
    return result.recorded(.reshape, [input]) { dy in input.accumulate(dy, mayKeep: true) }
  }

  /// The dimensions in another order: dimension i of the result is dimension `order[i]` of this tensor.
  public func permuted(_ order: [Int]) throws(TensorError) -> Tensor {
    guard order.sorted() == Array(shape.indices) else {
      throw TensorError(
        .permute, "expected an order of the dimensions 0 ..< \(rank) of \(shape), got \(order)")
    }
    let result = Tensor(
      storage: storage, shape: order.map { shape[$0] }, strides: order.map { strides[$0] }, offset: offset
    ).typed(dtype)
    var inverse = order
    for (place, dim) in order.enumerated() { inverse[dim] = place }
    return result.recorded(.permute, [self]) { [inverse] dy in
      self.accumulate(
        Tensor(
          storage: dy.storage, shape: self.shape, strides: inverse.map { dy.strides[$0] }, offset: dy.offset))
    }
  }

  /// The last two dimensions exchanged.
  public func transposed() throws(TensorError) -> Tensor {
    guard rank >= 2 else {
      throw TensorError("transpose: expected at least two dimensions, got shape \(shape)")
    }
    return try permuted(Array(0..<rank - 2) + [rank - 1, rank - 2])
  }

  /// The part of `dim` from `range`, counted from 0: all of it, or every `step`-th.
  public func sliced(dim: Int, _ range: Range<Int>, by step: Int = 1) throws(TensorError) -> Tensor {
    let dim = try dimension(dim, for: Op.slice.rawValue)
    guard range.lowerBound >= 0, range.upperBound <= dim.size, step >= 1 else {
      throw TensorError(
        .slice, "\(range) lies outside of 0 ..< \(dim.size), dimension \(dim.index) of shape \(shape)")
    }
    let n = (range.count + step - 1) / step
    var (shape, strides) = (shape, strides)
    shape[dim.index] = n
    let start = offset + range.lowerBound * strides[dim.index]
    strides[dim.index] *= step
    let result = Tensor(storage: storage, shape: shape, strides: strides, offset: start).typed(dtype)
    // Steps in between are as if each stood in a block of its own.
    let (runs, block) = step == 1 ? (1, n * dim.inner) : (n, dim.inner)
    return result.recorded(.slice, [self]) { dy in
      self.accumulate { dx, beta in
        if beta == 0 { dx.update(repeating: 0, count: self.count) }
        for i in 0..<dim.outer {
          for j in 0..<runs {
            VectorKernels.add(
              dy.pointer + (i * runs + j) * block,
              to: dx + (i * dim.size + range.lowerBound + j * step) * dim.inner, block)
          }
        }
      }
    }
  }

  /// A view of a larger shape in which missing dimensions and those of size 1 repeat.
  public func expanded(to shape: [Int]) throws(TensorError) -> Tensor {
    _ = try Self.checkedCount(shape, for: .expand)
    guard canBroadcast(to: shape) else {
      throw TensorError(.expand, "cannot repeat \(self.shape) to get \(shape)")
    }
    try checkSize(shape, of: Op.expand.rawValue)
    return broadcast(to: shape).typed(dtype).recorded(.expand, [self]) { dy in
      self.accumulateBroadcast(dy, mayKeep: true)
    }
  }

  // MARK: Copies

  /// Tensors laid one after another along `dim`; their other sizes must agree.
  public static func concatenated(_ parts: [Tensor], dim: Int) throws(TensorError) -> Tensor {
    guard let first = parts.first else { throw TensorError(.concatenate, "expected at least one tensor") }
    let place = try first.dimension(dim, for: Op.concatenate.rawValue)
    var shape = first.shape
    shape[place.index] = 0
    for part in parts {
      let fits =
        part.rank == first.rank
        && part.shape.indices.allSatisfy { $0 == place.index || part.shape[$0] == shape[$0] }
      guard fits else {
        throw TensorError(
          .concatenate,
          "\(first.shape) and \(part.shape) differ in more than the dimension that they are joined along")
      }
      shape[place.index] += part.shape[place.index]
    }
    try checkSize(shape, of: Op.concatenate.rawValue)
    let result = Tensor(uninitialized: shape).typed(
      parts.dropFirst().reduce(first.dtype) { .promoted($0, $1.dtype) })
    let row = shape[place.index] * place.inner
    var start = 0
    var starts: [Int] = []
    for part in parts {
      let source = part.contiguousCopyIfNeeded()
      let block = part.shape[place.index] * place.inner
      for i in 0..<place.outer {
        (result.pointer + i * row + start).update(from: source.pointer + i * block, count: block)
      }
      starts.append(start)
      start += block
    }
    return result.recorded(.concatenate, parts) { [starts] dy in
      for (part, start) in zip(parts, starts) {
        let block = part.shape[place.index] * place.inner
        part.accumulate { dx, beta in
          if beta == 0 { dx.update(repeating: 0, count: part.count) }
          for i in 0..<place.outer {
            VectorKernels.add(dy.pointer + i * row + start, to: dx + i * block, block)
          }
        }
      }
    }
  }

  /// Picks elements along `dim`, as many at each place as `indices` has for it: with this tensor seen as (outer, size,
  /// inner) and the indices as (outer, n, inner), row-major, result (o, i, j) is element (o, indices[o, i, j], j). So
  /// `gathered(dim: 1, targets)` of an (N, V) tensor and N targets is (N, 1).
  public func gathered(dim: Int, _ indices: [Int32]) throws(TensorError) -> Tensor {
    let dim = try dimension(dim, for: Op.gather.rawValue)
    let lines = dim.outer * dim.inner
    guard lines == 0 ? indices.isEmpty : indices.count.isMultiple(of: lines) else {
      throw TensorError(
        .gather,
        "\(indices.count) indices do not fill the other dimensions of \(shape); expected a multiple of \(lines)"
      )
    }
    if let bad = indices.first(where: { $0 < 0 || $0 >= dim.size }) {
      throw TensorError(
        .gather, "index \(bad) lies outside of 0 ..< \(dim.size), dimension \(dim.index) of shape \(shape)")
    }
    var shape = shape
    let n = lines == 0 ? 0 : indices.count / lines
    shape[dim.index] = n
    let x = contiguousCopyIfNeeded()
    let result = Tensor(uninitialized: shape).typed(dtype)
    func source(_ i: Int) -> Int {
      (i / (n * dim.inner) * dim.size + Int(indices[i])) * dim.inner + i % dim.inner
    }
    for i in indices.indices { result.pointer[i] = x.pointer[source(i)] }
    return result.recorded(.gather, [self]) { dy in
      self.accumulate { dx, beta in
        if beta == 0 { dx.update(repeating: 0, count: self.count) }
        for i in indices.indices { dx[source(i)] += dy.pointer[i] }
      }
    }
  }

  // MARK: Shapes

  /// The number of elements of a shape that a user gave.
  static func checkedCount(_ shape: [Int], for op: Op) throws(TensorError) -> Int {
    var count = 1
    for size in shape {
      let (product, isTooLarge) = count.multipliedReportingOverflow(by: size)
      guard size >= 0, !isTooLarge else { throw TensorError(op, "\(shape) is not a shape") }
      count = product
    }
    return count
  }

  /// `shape` with its -1, if it has one, replaced by what makes the number of elements right.
  private func inferred(_ wanted: [Int]) throws(TensorError) -> [Int] {
    var shape = wanted
    let unknown = wanted.indices.filter { wanted[$0] == -1 }
    if unknown.count == 1 {
      shape[unknown[0]] = 1
      let known = try Self.checkedCount(shape, for: .reshape)
      if known > 0, count.isMultiple(of: known) { shape[unknown[0]] = count / known }
    }
    guard try Self.checkedCount(shape, for: .reshape) == count else {
      throw TensorError(.reshape, "the \(count) elements of \(self.shape) do not fill \(wanted)")
    }
    return shape
  }

  /// Strides under which this storage has another shape, if there are any: each group of old dimensions that is
  /// contiguous in itself can be cut anew.
  private func viewStrides(for newShape: [Int]) -> [Int]? {
    if isContiguous || count == 0 { return Self.contiguousStrides(newShape) }
    var result = [Int](repeating: 0, count: newShape.count)
    var new = newShape.count - 1
    var old = rank - 1
    while old >= 0 {
      // The longest group that ends here and that one stride runs through.
      let stride = strides[old]
      var size = shape[old]
      while old > 0, shape[old - 1] == 1 || strides[old - 1] == stride * size {
        old -= 1
        size *= shape[old]
      }
      old -= 1
      var taken = 1
      while new >= 0, taken < size || newShape[new] == 1 {
        result[new] = stride * taken
        taken *= newShape[new]
        new -= 1
      }
      if taken != size { return nil }
    }
    return result
  }
}
