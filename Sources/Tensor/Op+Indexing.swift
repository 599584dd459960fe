// Parts of a tensor by place: rows by number, elements added where numbers say, masks, and writing in place.
import Kernels

/// What is taken of one dimension.
public enum TensorIndex {
  /// Everything.
  case all
  /// One place, counted from 0; the dimension goes away.
  case place(Int)
  /// Every `step`-th of a range.
  case range(Range<Int>, step: Int)
  /// Places in any order, repeated or not.
  case places([Int32])

  var places: [Int32]? { if case .places(let places) = self { places } else { nil } }
}

extension Tensor {
  // MARK: Numbers along a dimension

  /// The parts at `indices` of `dim`, in their order. Repeated ones add up in the gradient.
  public func taken(dim: Int, _ indices: [Int32]) throws(TensorError) -> Tensor {
    let dim = try dimension(dim, for: Op.indexSelect.rawValue)
    try checkPlaces(indices, dim, .indexSelect)
    var shape = shape
    shape[dim.index] = indices.count
    try checkSize(shape, of: Op.indexSelect.rawValue)
    let x = contiguousCopyIfNeeded()
    let result = Tensor(uninitialized: shape).typed(dtype)
    func source(_ o: Int, _ i: Int) -> Int { (o * dim.size + Int(indices[i])) * dim.inner }
    for o in 0..<dim.outer {
      for i in indices.indices {
        VectorKernels.copy(
          x.pointer + source(o, i), to: result.pointer + (o * indices.count + i) * dim.inner, dim.inner)
      }
    }
    let input = gradientRoute
    return result.recorded(.indexSelect, [input]) { dy in
      input.accumulate { dx, beta in
        if beta == 0 { dx.update(repeating: 0, count: input.count) }
        for o in 0..<dim.outer {
          for i in indices.indices {
            VectorKernels.add(
              dy.pointer + (o * indices.count + i) * dim.inner, to: dx + source(o, i), dim.inner)
          }
        }
      }
    }
  }

  /// This tensor with the elements of `source` added to where `gathered(dim:_:)` with the same indices takes elements
  /// from. Those that fall on one place add up.
  ///
  /// - Parameter source: of this tensor's shape except along `dim`, with as many elements as there are indices.
  public func scatterAdded(dim: Int, _ indices: [Int32], _ source: Tensor) throws(TensorError) -> Tensor {
    let dim = try dimension(dim, for: Op.scatterAdd.rawValue)
    try checkPlaces(indices, dim, .scatterAdd)
    let fits =
      source.rank == rank && source.count == indices.count
      && shape.indices.allSatisfy { $0 == dim.index || shape[$0] == source.shape[$0] }
    guard fits else {
      throw TensorError(
        .scatterAdd,
        "expected a source like \(shape) in all but one dimension and an index for each of its elements, "
          + "got \(source.shape) and \(indices.count) indices")
    }
    let n = source.shape[dim.index]
    func place(_ i: Int) -> Int {
      (i / (n * dim.inner) * dim.size + Int(indices[i])) * dim.inner + i % dim.inner
    }
    let dtype = DType.promoted(dtype, source.dtype).ofArithmetic
    if dtype == .i32 {
      let bound =
        Tensor.integerBound([self], length: 1) + Tensor.integerBound([source], length: source.count)
      if bound > DType.integerLimit { throw TensorError.beyondIntegers(Op.scatterAdd.rawValue, bound) }
    }
    let result = copied().typed(dtype)
    let values = source.contiguousCopyIfNeeded()
    for i in indices.indices { result.pointer[place(i)] += values.pointer[i] }
    let (own, added) = (gradientRoute, source.gradientRoute)
    return result.recorded(.scatterAdd, [own, added]) { dy in
      own.accumulate(dy)
      added.accumulate { d, beta in
        for i in indices.indices { d[i] = (beta == 0 ? 0 : d[i]) + dy.pointer[place(i)] }
      }
    }
  }

  func checkPlaces(_ indices: [Int32], _ dim: Dimension, _ op: Op) throws(TensorError) {
    if let bad = indices.first(where: { $0 < 0 || $0 >= dim.size }) {
      throw TensorError(
        op, "index \(bad) lies outside of 0 ..< \(dim.size), dimension \(dim.index) of shape \(shape)")
    }
  }

  // MARK: Parts

  /// What `indices` say of each dimension; those that they do not reach are taken whole.
  public func indexed(_ indices: [TensorIndex]) throws(TensorError) -> Tensor {
    guard indices.count <= rank else {
      throw TensorError("index: \(indices.count) places for the \(rank) dimensions of shape \(shape)")
    }
    var (result, dim) = (self, 0)
    for index in indices {
      switch index {
      case .all: dim += 1
      case .place(let place):
        result = try result.sliced(dim: dim, place..<place + 1)
        var shape = result.shape
        shape.remove(at: dim)
        result = try result.reshaped(shape)
      case .range(let range, let step):
        result = try result.sliced(dim: dim, range, by: step)
        dim += 1
      case .places(let places):
        result = try result.taken(dim: dim, places)
        dim += 1
      }
    }
    return result
  }

  /// The row-major numbers of the elements that are not 0.
  public func placesOfNonzero() -> [Int32] {
    let x = contiguousCopyIfNeeded()
    return (0..<x.count).filter { x.pointer[$0] != 0 }.map(Int32.init)
  }

  /// Where `mask` is not 0: elements of a mask of this shape, in row-major order, or parts where it has only the first
  /// dimensions.
  public func masked(_ mask: Tensor) throws(TensorError) -> Tensor {
    try flattened(for: mask).taken(dim: 0, mask.placesOfNonzero())
  }

  private func flattened(for mask: Tensor) throws(TensorError) -> Tensor {
    guard mask.rank <= rank, Array(shape.prefix(mask.rank)) == mask.shape else {
      throw TensorError("index: a mask of shape \(mask.shape) does not fit the first dimensions of \(shape)")
    }
    return try reshaped([mask.count] + shape.dropFirst(mask.rank))
  }

  // MARK: Writing in place

  /// A tensor of its own with these values, unrecorded.
  func copied() -> Tensor {
    let source = contiguousCopyIfNeeded()
    let result = Tensor(uninitialized: shape).typed(dtype)
    VectorKernels.copy(source.pointer, to: result.pointer, count)
    return result
  }

  /// A tensor of its own with these values, to which the gradient flows back.
  public func cloned() -> Tensor {
    let input = gradientRoute
    return copied().recorded(.reshape, [input]) { dy in input.accumulate(dy, mayKeep: true) }
  }

  /// Writes `value`, broadcast, over the elements of this tensor, which is seen by all views of its storage. What was
  /// computed from it before has no gradient any more.
  ///
  /// - Throws: if a gradient is recorded for this tensor, the shapes do not fit, or it cannot hold such values.
  public func write(_ value: Tensor) throws(TensorError) {
    try checkWritable()
    guard value.canBroadcast(to: shape) else {
      throw TensorError("write: cannot broadcast \(value.shape) to \(shape)")
    }
    guard DType.promoted(value.dtype, dtype) == dtype else {
      throw TensorError(
        "write: \(value.dtype.rawValue) values into a tensor of \(dtype.rawValue); convert them with to(\"\(dtype.rawValue)\")"
      )
    }
    let spread = value.detached().broadcast(to: shape)
    let source = value.storage === storage ? spread.copied() : spread.contiguousCopyIfNeeded()
    forEachRun { place, from, count, stride in
      let (target, values) = (storage.pointer + place, source.pointer + from)
      for i in 0..<count { target[i * stride] = values[i] }
    }
    markWritten()
  }

  /// Writes `value`, broadcast, over the parts that `indexed` gives.
  public func write(_ value: Tensor, at indices: [TensorIndex]) throws(TensorError) {
    try checkWritable()
    try Tape.withoutRecording { () throws(TensorError) in
      guard
        let (number, places) = indices.enumerated().lazy.compactMap({ i, index in
          index.places.map { (i, $0) }
        }).first
      else { return try indexed(indices).write(value) }
      // Place by place: what the dimension is in the value, and the one before that place goes away in it.
      var before = 0
      for index in indices[..<number] { if case .place = index { continue } else { before += 1 } }
      let shape = try indexed(indices).shape
      guard value.canBroadcast(to: shape) else {
        throw TensorError("write: cannot broadcast \(value.shape) to \(shape)")
      }
      let values = value.detached().broadcast(to: shape).copied()
      for (i, place) in places.enumerated() {
        var single = indices
        single[number] = .range(Int(place)..<Int(place) + 1, step: 1)
        try write(values.sliced(dim: before, i..<i + 1).typed(value.dtype), at: single)
      }
    }
  }

  /// Writes `value`, broadcast, over what `masked` gives.
  public func write(_ value: Tensor, where mask: Tensor) throws(TensorError) {
    try checkWritable()
    let changed = copied()
    try changed.flattened(for: mask).write(value, at: [.places(mask.placesOfNonzero())])
    try write(changed)
  }

  private func checkWritable() throws(TensorError) {
    guard node == nil else {
      throw TensorError(
        "write: an operation made this tensor and its gradient is recorded, so it cannot be changed in place; "
          + "use where(), or change a clone() of its detach()")
    }
    guard !requiresGradient || !Tape.isRecording else {
      throw TensorError(
        "write: this tensor requires a gradient, so it can be changed in place only inside mid.no_grad")
    }
    guard zip(shape, strides).allSatisfy({ $0 <= 1 || $1 != 0 }) else {
      throw TensorError(
        "write: elements of this view of shape \(shape) share memory; change a clone() of it")
    }
  }
}
