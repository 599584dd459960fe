// Sums of products of integers, means, and sums by place.

extension Integers {
  /// The matrix product of the last two dimensions: (…, N, K) · (…, K, M) gives (…, N, M). Leading dimensions are
  /// broadcast.
  ///
  /// - Throws: if the shapes do not fit, or an element of the product needs more than 64 bits.
  public func matmul(_ other: Integers) throws(TensorError) -> Integers {
    guard shape.count >= 2, other.shape.count >= 2, shape.last == other.shape[other.shape.count - 2],
      let lead = broadcastShape(Array(shape.dropLast(2)), Array(other.shape.dropLast(2)))
    else {
      throw TensorError("matmul: expected (…, N, K) and (…, K, M), got \(shape) and \(other.shape)")
    }
    let (N, K, M) = (shape[shape.count - 2], shape[shape.count - 1], other.shape[other.shape.count - 1])
    let (a, b) = (try expanded(to: lead + [N, K]), try other.expanded(to: lead + [K, M]))
    var result: [Int64] = []
    result.reserveCapacity((lead + [N, M]).reduce(1, *))
    for matrix in 0..<lead.reduce(1, *) {
      for row in 0..<N {
        for column in 0..<M {
          var sum = Int128(0)
          for k in 0..<K {
            sum += Int128(a[(matrix * N + row) * K + k]) * Int128(b[(matrix * K + k) * M + column])
          }
          result.append(try Self.narrowed(sum, in: "matmul"))
        }
      }
    }
    return Integers(result, shape: lead + [N, M], width: .widest(width, other.width))
  }

  /// The same where a vector is a row on the left and a column on the right.
  public func product(_ other: Integers) throws(TensorError) -> Integers {
    guard let length = shape.last, !other.shape.isEmpty else {
      throw TensorError("matmul: expected vectors or matrices, got \(shape) and \(other.shape)")
    }
    let (isRow, isColumn) = (shape.count == 1, other.shape.count == 1)
    let a = isRow ? Integers(values, shape: [1, length], width: width) : self
    let b = isColumn ? Integers(other.values, shape: other.shape + [1], width: other.width) : other
    let result = try a.matmul(b)
    var shape = result.shape
    if isColumn { shape.removeLast() }
    if isRow { shape.remove(at: shape.count - (isColumn ? 1 : 2)) }
    return Integers(result.values, shape: shape, width: result.width)
  }

  /// Means over dimensions, or over all of them: the nearest 32-bit floats; NaN of nothing.
  public func mean(dims: [Int]?, keepDim: Bool) throws(TensorError) -> Tensor {
    // Sums that need more than 64 bits have means that do not: halves of the bits are summed apart.
    let count = (dims ?? Array(shape.indices)).reduce(1) { $0 * shape[$1] }
    let high = try Integers(values.map { $0 >> 32 }, shape: shape).sum(dims: dims, keepDim: keepDim)
    let low = try Integers(values.map { $0 & 0xffff_ffff }, shape: shape).sum(dims: dims, keepDim: keepDim)
    let means = zip(high.values, low.values).map { high, low in
      Float(Double(Int128(high) << 32 + Int128(low)) / Double(count))
    }
    return try Tensor(means, shape: high.shape)
  }

  /// These integers plus others, each added at a place.
  ///
  /// - Parameters:
  ///   - source: What is added.
  ///   - places: For each element of `source` where it goes, counted from 0 in row-major order.
  /// - Throws: if a sum needs more than 64 bits.
  public func adding(_ source: Integers, at places: Tensor) throws(TensorError) -> Integers {
    var sums = values.map { Int128($0) }
    for (place, value) in zip(places.values, source.values) { sums[Int(place)] += Int128(value) }
    let result = try sums.map { sum throws(TensorError) in try Self.narrowed(sum, in: "scatter_add") }
    return Integers(result, shape: shape, width: .widest(width, source.width))
  }

  /// A sum as an element.
  ///
  /// - Throws: if it needs more than 64 bits, naming the operation.
  static func narrowed(_ sum: Int128, in operation: String) throws(TensorError) -> Int64 {
    guard let element = Int64(exactly: sum) else {
      throw TensorError("\(operation): \(sum) is more than 64 bits hold")
    }
    return element
  }
}
