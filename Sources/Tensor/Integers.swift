// Arithmetic of integers that 32-bit floats, which tensors compute with, do not hold: those stop being whole at 2²⁴; counts of
// tokens, places in a corpus and hashes are larger.

/// Whole numbers in an n-dimensional array. What is computed with them is exact: a result that does not fit is an error.
public struct Integers: Sendable {
  /// How many bits an element may need. Results are as wide as the widest operand.
  public enum Width: String, Sendable {
    case i32, i64

    /// The smaller one is i32.
    static func widest(_ a: Width, _ b: Width) -> Width { a == .i64 || b == .i64 ? .i64 : .i32 }
  }

  /// Sizes of the dimensions; empty for a scalar.
  public let shape: [Int]
  /// Elements in row-major order.
  public let values: [Int64]
  /// The range of the elements. Arithmetic itself has 64 bits; see `checked()`.
  public let width: Width

  /// - Precondition: There are as many values as the shape has places.
  public init(_ values: [Int64], shape: [Int], width: Width = .i64) {
    precondition(shape.reduce(1, *) == values.count)
    (self.values, self.shape, self.width) = (values, shape, width)
  }

  /// The elements of a tensor of integers or bools.
  public init(_ tensor: Tensor) {
    self.init(tensor.values.map { Int64($0) }, shape: tensor.shape, width: .i32)
  }

  /// The elements of a tensor of any type.
  ///
  /// - Throws: if one of them is not whole or needs more than 64 bits.
  public init(whole tensor: Tensor, width: Width) throws(TensorError) {
    let values = try tensor.values.map { value throws(TensorError) in
      guard let number = Int64(exactly: value) else {
        throw TensorError("\(value) is no whole number of 64 bits; use floor() or round() first")
      }
      return number
    }
    self.init(values, shape: tensor.shape, width: width)
  }

  /// These integers.
  ///
  /// - Throws: if one of them needs more bits than there are.
  public func checked() throws(TensorError) -> Integers {
    if width == .i32, let large = values.first(where: { Int32(exactly: $0) == nil }) {
      throw TensorError("\(large) is more than the 32 bits of i32 hold; to(\"i64\") first")
    }
    return self
  }

  // MARK: Elementwise

  /// What makes one integer of two.
  public enum Operation: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    /// Rounded down, as Lua's `//`.
    case divide = "//"
    /// With the sign of the divisor, as Lua's `%`.
    case remainder = "%"
    case power = "pow"
    case minimum, maximum
  }

  /// What holds for two integers or does not.
  public enum Comparison: Sendable { case less, lessOrEqual, equal, notEqual, greaterOrEqual, greater }

  /// Element by element; shapes are broadcast.
  ///
  /// - Throws: if the shapes do not fit, a result needs more than 64 bits, a divisor is 0, or an exponent is negative.
  public func combined(_ operation: Operation, _ other: Integers) throws(TensorError) -> Integers {
    try paired(operation.rawValue, other) { x, y throws(TensorError) in
      let (result, overflow) =
        switch operation {
        case .add: x.addingReportingOverflow(y)
        case .subtract: x.subtractingReportingOverflow(y)
        case .multiply: x.multipliedReportingOverflow(by: y)
        case .divide: Self.floored(x, y)
        case .remainder: (Self.remainder(x, y), false)
        case .power: Self.power(x, y)
        case .minimum: (Swift.min(x, y), false)
        case .maximum: (Swift.max(x, y), false)
        }
      if y == 0, operation == .divide || operation == .remainder {
        throw TensorError("\(operation.rawValue): an integer is divided by 0")
      }
      if y < 0, operation == .power {
        throw TensorError("pow: integers have no negative powers, got \(x) ^ \(y); to(\"f32\") has fractions")
      }
      if overflow { throw TensorError("\(operation.rawValue): \(x) and \(y) give more than 64 bits hold") }
      return result
    }
  }

  /// −1, 0 or 1 for each element.
  public func signs() -> Integers { Integers(values.map { $0.signum() }, shape: shape, width: width) }

  /// Absolute values.
  ///
  /// - Throws: if one needs more than 64 bits.
  public func magnitudes() throws(TensorError) -> Integers {
    let magnitudes = try values.map { value throws(TensorError) in
      guard value != .min else { throw TensorError("abs: \(value) has no absolute value of 64 bits") }
      return Swift.abs(value)
    }
    return Integers(magnitudes, shape: shape, width: width)
  }

  /// The elements with their signs turned.
  ///
  /// - Throws: if one needs more than 64 bits.
  public func negated() throws(TensorError) -> Integers {
    let negatives = try values.map { value throws(TensorError) in
      guard value != .min else { throw TensorError("-: \(value) has no negative of 64 bits") }
      return -value
    }
    return Integers(negatives, shape: shape, width: width)
  }

  /// Bools that say where the comparison holds; shapes are broadcast.
  public func compared(_ comparison: Comparison, _ other: Integers) throws(TensorError) -> Tensor {
    let holds = try paired("comparison", other) { x, y throws(TensorError) in
      let isTrue =
        switch comparison {
        case .less: x < y
        case .lessOrEqual: x <= y
        case .equal: x == y
        case .notEqual: x != y
        case .greaterOrEqual: x >= y
        case .greater: x > y
        }
      return isTrue ? 1 : 0
    }
    return try Tensor(holds.values.map(Float.init), shape: holds.shape).typed(.bool)
  }

  /// The same for numbers with fractions, without rounding the integers. NaN differs from all.
  public func compared(_ comparison: Comparison, floats: Tensor) throws(TensorError) -> Tensor {
    let numbers = floats.values
    let places = Integers(numbers.indices.map { Int64($0) }, shape: floats.shape)
    let holds = try paired("comparison", places) { x, place throws(TensorError) in
      Self.holds(comparison, x, Double(numbers[Int(place)])) ? 1 : 0
    }
    return try Tensor(holds.values.map(Float.init), shape: holds.shape).typed(.bool)
  }

  /// The same for one number.
  public func compared(_ comparison: Comparison, number: Double) throws(TensorError) -> Tensor {
    try Tensor(values.map { Self.holds(comparison, $0, number) ? 1 : 0 }, shape: shape).typed(.bool)
  }

  private static func holds(_ comparison: Comparison, _ x: Int64, _ y: Double) -> Bool {
    if y.isNaN { return comparison == .notEqual }
    let order = order(x, y)
    return switch comparison {
    case .less: order < 0
    case .lessOrEqual: order <= 0
    case .equal: order == 0
    case .notEqual: order != 0
    case .greaterOrEqual: order >= 0
    case .greater: order > 0
    }
  }

  /// Whether all elements are within `atol + rtol · |other|` of the other's, which are as many or one.
  public func isClose(to other: Integers, rtol: Double, atol: Double) -> Bool {
    values.indices.allSatisfy { i in
      let (x, y) = (values[i], other.values[other.values.count == values.count ? i : 0])
      return x == y || Double((Int128(x) - Int128(y)).magnitude) <= atol + rtol * Double(y.magnitude)
    }
  }

  /// The sign of `x - y`.
  private static func order(_ x: Int64, _ y: Double) -> Int {
    guard let floor = Int64(exactly: y.rounded(.down)) else { return y > 0 ? -1 : 1 }
    if x != floor { return x < floor ? -1 : 1 }
    return y > y.rounded(.down) ? -1 : 0
  }

  private static func floored(_ x: Int64, _ y: Int64) -> (Int64, Bool) {
    let (quotient, overflow) = x.dividedReportingOverflow(by: y)
    if overflow { return (0, true) }
    return (x % y != 0 && (x < 0) != (y < 0) ? quotient - 1 : quotient, false)
  }

  private static func power(_ x: Int64, _ y: Int64) -> (Int64, Bool) {
    var (result, square, rest) = (Int64(1), x, y)
    while rest > 0 {
      if rest & 1 == 1 {
        let (product, overflow) = result.multipliedReportingOverflow(by: square)
        if overflow { return (0, true) }
        result = product
      }
      rest >>= 1
      if rest > 0 {
        let (next, overflow) = square.multipliedReportingOverflow(by: square)
        if overflow { return (0, true) }
        square = next
      }
    }
    return (result, false)
  }

  private static func remainder(_ x: Int64, _ y: Int64) -> Int64 {
    if y == 0 || y == -1 { return 0 }
    let rest = x % y
    return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest
  }

  private func paired(
    _ name: String, _ other: Integers, _ body: (Int64, Int64) throws(TensorError) -> Int64
  ) throws(TensorError) -> Integers {
    guard let common = broadcastShape(shape, other.shape) else {
      throw TensorError("\(name): shapes \(shape) and \(other.shape) cannot be broadcast to one")
    }
    let (a, b) = (try expanded(to: common), try other.expanded(to: common))
    var result: [Int64] = []
    result.reserveCapacity(a.count)
    for i in a.indices { result.append(try body(a[i], b[i])) }
    return Integers(result, shape: common, width: .widest(width, other.width))
  }

  func expanded(to shape: [Int]) throws(TensorError) -> [Int64] {
    if shape == self.shape { return values }
    if values.count == 1 { return Array(repeating: values[0], count: shape.reduce(1, *)) }
    return try rearranged { parts throws(TensorError) in try parts.expanded(to: shape) }.values
  }

  // MARK: Moving elements

  /// The elements where an operation that only moves elements takes them. It is applied to their places.
  func rearranged(_ body: (Tensor) throws(TensorError) -> Tensor) throws(TensorError) -> Integers {
    try body(places()).taking(from: self)
  }

  /// The same for an operation that makes one tensor of the elements of several.
  ///
  /// - Throws: what `body` throws, or if there are more elements than a tensor can count.
  public static func arranged(_ parts: [Integers], _ body: ([Tensor]) throws -> Tensor) throws -> Integers {
    var places: [Tensor] = []
    var start = 0
    for part in parts {
      places.append(try part.places(from: start))
      start += part.values.count
    }
    let all = parts.flatMap(\.values)
    let width = parts.reduce(.i32) { Width.widest($0, $1.width) }
    return try body(places).taking(from: Integers(all, shape: [all.count], width: width))
  }

  /// Integers that count this array's elements, to be moved in their place.
  ///
  /// - Throws: if there are more than a tensor can count.
  public func places(from start: Int = 0) throws(TensorError) -> Tensor {
    guard start + values.count <= Int(DType.integerLimit) else {
      throw TensorError("integers can be moved up to 2^24 - 1 at a time, got \(start + values.count)")
    }
    return try Tensor((start..<start + values.count).map(Float.init), shape: shape).typed(.i32)
  }

  // MARK: Along dimensions

  /// Sums over dimensions, or over all of them.
  ///
  /// - Throws: if a sum needs more than 64 bits.
  public func sum(dims: [Int]?, keepDim: Bool) throws(TensorError) -> Integers {
    try folded(dims, keepDim) { row throws(TensorError) in
      try Self.narrowed(row.reduce(Int128(0)) { $0 + Int128($1) }, in: "sum")
    }
  }

  /// Products over dimensions, or over all of them.
  ///
  /// - Throws: if a product needs more than 64 bits.
  public func product(dims: [Int]?, keepDim: Bool) throws(TensorError) -> Integers {
    try folded(dims, keepDim) { row throws(TensorError) in
      if row.contains(0) { return 0 }
      var product: Int64 = 1
      for value in row {
        let (next, overflow) = product.multipliedReportingOverflow(by: value)
        if overflow { throw TensorError("prod: \(product) times \(value) is more than 64 bits hold") }
        product = next
      }
      return product
    }
  }

  /// The largest or smallest elements over dimensions.
  ///
  /// - Throws: if there are none.
  public func extremes(dims: [Int], keepDim: Bool, largest: Bool) throws(TensorError) -> Integers {
    try folded(dims, keepDim) { row throws(TensorError) in
      guard let extreme = largest ? row.max() : row.min() else {
        throw TensorError("\(largest ? "max" : "min"): there are no elements along dimensions of size 0")
      }
      return extreme
    }
  }

  private func folded(
    _ dims: [Int]?, _ keepDim: Bool, _ body: (ArraySlice<Int64>) throws(TensorError) -> Int64
  ) throws(TensorError) -> Integers {
    let dims = dims ?? Array(shape.indices)
    guard Set(dims).count == dims.count else { throw TensorError("a dimension of \(shape) is named twice") }
    let order = shape.indices.filter { !dims.contains($0) } + dims
    let rows =
      try order == Array(shape.indices) ? self : rearranged { x throws(TensorError) in try x.permuted(order) }
    let length = dims.reduce(1) { $0 * shape[$1] }
    let kept = shape.indices.filter { !dims.contains($0) }.map { shape[$0] }
    var results: [Int64] = []
    for row in 0..<kept.reduce(1, *) {
      results.append(try body(rows.values[row * length..<(row + 1) * length]))
    }
    return Integers(
      results, shape: keepDim ? shape.indices.map { dims.contains($0) ? 1 : shape[$0] } : kept, width: width)
  }

  /// Sums of all elements along a dimension up to each place.
  ///
  /// - Throws: if a sum needs more than 64 bits.
  public func cumulativeSum(dim: Int) throws(TensorError) -> Integers {
    try withRows(along: dim) { row throws(TensorError) in
      var sum: Int64 = 0
      return try row.map { value throws(TensorError) in
        sum = try Integers.added(sum, value, "cumsum")
        return sum
      }
    }
  }

  /// The first `count` elements along a dimension in order, or all, and where they were, counted from 0. Equal ones keep
  /// their order.
  ///
  /// - Throws: if there are fewer.
  public func sorted(
    dim: Int, descending: Bool, count: Int? = nil
  ) throws -> (values: Integers, places: Tensor) {
    let length = shape[dim]
    let count = count ?? length
    guard count >= 0, count <= length else {
      throw TensorError("expected at least \(count) along a dimension of size \(length), shape \(shape)")
    }
    // Places in the whole are sorted, so that values and places along the dimension both follow from them.
    let places = Integers(values.indices.map { Int64($0) }, shape: shape)
    let chosen = try places.withRows(along: dim, count: count) { row in
      try Tensor.first(count, of: length) { descending ? ~values[Int(row[$0])] : values[Int(row[$0])] }
        .map { row[Int($0)] }
    }
    let step = Int64(shape[(dim + 1)...].reduce(1, *))
    let along = chosen.values.map { Float($0 / step % Int64(length)) }
    return (
      Integers(chosen.values.map { values[Int($0)] }, shape: chosen.shape, width: width),
      try Tensor(along, shape: chosen.shape).typed(.i32)
    )
  }

  private static func added(_ a: Int64, _ b: Int64, _ name: String) throws(TensorError) -> Int64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    if overflow { throw TensorError("\(name): \(a) and \(b) give more than 64 bits hold") }
    return sum
  }

  /// Every row along a dimension replaced by what `body` makes of it: `count` elements, by default as many as before.
  private func withRows<Failure: Error>(
    along dim: Int, count: Int? = nil, _ body: ([Int64]) throws(Failure) -> [Int64]
  ) throws(Failure) -> Integers {
    let (length, step) = (shape[dim], shape[(dim + 1)...].reduce(1, *))
    let count = count ?? length
    var resulting = shape
    resulting[dim] = count
    var result = [Int64](repeating: 0, count: resulting.reduce(1, *))
    guard !result.isEmpty else { return Integers(result, shape: resulting, width: width) }
    for outer in 0..<shape[..<dim].reduce(1, *) {
      for inner in 0..<step {
        let row = try body((0..<length).map { values[(outer * length + $0) * step + inner] })
        for (i, value) in row.enumerated() { result[(outer * count + i) * step + inner] = value }
      }
    }
    return Integers(result, shape: resulting, width: width)
  }
}

extension Tensor {
  /// The elements that lie at these places, counted from 0 in row-major order.
  public func taking(from integers: Integers) -> Integers {
    Integers(values.map { integers.values[Int($0)] }, shape: shape, width: integers.width)
  }
}
