// What scripts give to functions of tensors, and what these give back.
//
// Dimensions and places count from 1 in Lua and from 0 in Swift; from the end they are negative. Where a function wants
// places, a list will do as well as a tensor of integers.
import CLua
import Kernels
import Tensor

extension Call {
  /// Computes at once, on the Lua thread.
  func compute<R>(_ body: () throws -> R) throws -> R { try state.scheduler.briefly(body) }

  /// Ends the call with a tensor that `body` computes. Integers that became too large for their type are an error.
  func give(_ body: () throws -> Tensor) throws -> Results {
    try self.return(
      compute {
        let result = try body()
        try result.checkIntegers(function.shortName)
        return result
      })
  }

  /// Ends the call with values and the places where they were.
  func give(_ body: () throws -> (values: Tensor, places: Tensor)) throws -> Results {
    let (values, places) = try compute {
      let (values, places) = try body()
      return (values, try places.adding(Tensor.integer(1)))
    }
    return try self.return(values, places)
  }

  /// The integers from a position on, or those of a list there: `t:reshape(2, 3)` is `t:reshape { 2, 3 }`.
  func sizes(from position: Int) throws -> [Int] {
    if count <= position, self[position].isTable { return try self[position].integers().map(Int.init) }
    return try (position...max(position, count)).map { try self[$0].integer() }
  }
}

extension Tensor {
  /// An integer without dimensions.
  static func integer(_ value: Int) -> Tensor {
    (try? Tensor(Float(value)).converted(to: .i32)) ?? Tensor(Float(value))
  }
}

extension Argument {
  /// A tensor, or a number or boolean as one without dimensions. Whole numbers are written without a point. Integers beyond
  /// 2²⁴ are rounded to floats: what computes with them exactly asks for `integerOperand()` first.
  func operand() throws -> Tensor {
    if isInteger {
      let value = try integer()
      return value.magnitude <= UInt(DType.integerLimit) ? .integer(value) : Tensor(Float(value))
    }
    // NaN is a number here, too.
    if isNumber { return Tensor(Float(lua_tonumberx(lua, index, nil))) }
    if lua_type(lua, index) == LUA_TBOOLEAN { return try Tensor(boolean() ? 1 : 0).converted(to: .bool) }
    if let stored = try ifObject(StoredTensor.self) { return (try? stored.widened()) ?? stored.floats() }
    guard let tensor = try ifObject(Tensor.self) else { throw mismatch("Tensor or number") }
    return tensor
  }

  /// A dimension, as Swift counts it.
  func dimension(of tensor: Tensor, extra: Int = 0) throws -> Int {
    let dim = try integer()
    let rank = tensor.rank + extra
    guard dim != 0, dim.magnitude <= rank else {
      let expected = rank == 0 ? "no dimension of a scalar" : "dimension from 1 to \(rank)"
      throw mismatch("\(expected) (or from the end, -1)")
    }
    return dim > 0 ? dim - 1 : dim + rank
  }

  /// One dimension, a list of several, or nil for all.
  func dimensions(of tensor: Tensor) throws -> [Int]? {
    if isNil { return nil }
    return isTable ? try elements().map { try $0.dimension(of: tensor) } : [try dimension(of: tensor)]
  }

  /// Places of a dimension, counted from 0, with the shape that they came in.
  func places(size: Int) throws -> (places: [Int32], shape: [Int]) {
    if let large = try largeIntegers()?.values.first(where: { $0.magnitude > UInt(size) }) {
      throw error("expected places from 1 to \(size) (or from the end, -1), got \(large)")
    }
    let given = try isTable ? integerTensor() : object(Tensor.self)
    guard given.dtype == .i32 else {
      throw error(
        "expected places as integers (i32), got a tensor of \(given.dtype.rawValue); convert it with to(\"i32\")"
      )
    }
    let places = try given.values.map { value in
      let place = Int32(value)
      guard place != 0, abs(place) <= size else {
        throw error("expected places from 1 to \(size) (or from the end, -1), got \(place)")
      }
      return place > 0 ? place - 1 : place + Int32(size)
    }
    return (places, given.shape)
  }

  private func integerTensor() throws -> Tensor { try newTensor().converted(to: .i32) }

  /// A list of tensors.
  func tensors() throws -> [Tensor] { try elements().map { try $0.object(Tensor.self) } }

  /// Sizes of dimensions: a list, or a number for a vector.
  func shape() throws -> [Int] {
    let shape = try isTable ? integers().map(Int.init) : [integer()]
    guard shape.allSatisfy({ $0 >= 0 }) else { throw error("expected sizes ≥ 0, got \(shape)") }
    return shape
  }

  /// Numbers, booleans, or lists of lists of them, of equal lengths. Booleans alone make a tensor of bools.
  func newTensor() throws -> Tensor {
    if isNumber || lua_type(lua, index) == LUA_TBOOLEAN {
      return isInteger ? Tensor(Float(try integer())) : try operand()
    }
    guard isTable else { throw mismatch("number, list, or lists of lists") }
    var values: [Float] = []
    var isBoolean = false
    let shape = try readList(into: &values) { row in
      guard row.firstType() == LUA_TBOOLEAN else { return try row.floats() }
      isBoolean = true
      return try row.elements().map { try $0.boolean() ? 1 : 0 }
    }
    let result = try Tensor(values, shape: shape)
    return isBoolean ? try result.converted(to: .bool) : result
  }

  /// Appends the values of a nested list in row-major order and returns its shape.
  func readList<Value>(into values: inout [Value], row: (Argument) throws -> [Value]) throws -> [Int] {
    let base = lua_gettop(lua)
    defer { lua_settop(lua, base) }
    guard firstType() == LUA_TTABLE else {
      let row = try row(self)
      if row.isEmpty, let (name, _) = try pairs().first {
        throw error("expected a list, got a table with named fields (\(describeValue(lua, name.index)))")
      }
      values += row
      return [row.count]
    }
    var shape: [Int]?
    let lists = try elements()
    for list in lists {
      guard list.isTable else { throw list.mismatch("list as the ones before it") }
      let inner = try list.readList(into: &values, row: row)
      if let shape, shape != inner { throw list.error("expected shape \(shape) as before it, got \(inner)") }
      shape = inner
    }
    return [lists.count] + (shape ?? [])
  }

  /// Lua's type of the first element of a list.
  private func firstType() -> Int32 {
    lua_rawgeti(lua, index, 1)
    defer { lua_settop(lua, -2) }
    return lua_type(lua, -1)
  }

  // MARK: Indices

  /// What stands between the brackets of `t[…]`.
  enum Index {
    case mask(Tensor)
    case parts([TensorIndex])
  }

  /// A place, a mask, a tensor of places, or a list with one of these, `{}` or `{ first, last, step }` a dimension.
  func index(of tensor: Tensor) throws -> Index {
    if try largeIntegers() == nil, let given = try ifObject(Tensor.self), given.dtype == .bool {
      return .mask(given)
    }
    guard isTable else { return .parts([try part(of: tensor, 0)]) }
    let elements = try elements()
    guard elements.count <= tensor.rank else {
      throw ScriptError("\(elements.count) places for the \(tensor.rank) dimensions of \(tensor.shape)")
    }
    return .parts(try elements.enumerated().map { try $1.part(of: tensor, $0) })
  }

  /// What is to be taken of one dimension.
  private func part(of tensor: Tensor, _ dim: Int) throws -> TensorIndex {
    guard dim < tensor.rank else { throw ScriptError("a tensor without dimensions has no places") }
    let size = tensor.shape[dim]
    let place = isInteger ? try integer() : 0
    if place != 0, place.magnitude <= size { return .place(place > 0 ? place - 1 : place + size) }
    if try largeIntegers() != nil { return .places(try places(size: size).places) }
    if let given = try ifObject(Tensor.self) {
      if given.dtype == .bool {
        guard given.shape == [size] else {
          throw error(
            "expected a mask of shape [\(size)] for dimension \(dim + 1) of \(tensor.shape), got \(given.shape)"
          )
        }
        return .places(given.placesOfNonzero())
      }
      return .places(try places(size: size).places)
    }
    guard isTable, try length() <= 3 else {
      throw ScriptError(
        """
        expected a place from 1 to \(size) (or from the end, -1), {} for all, { first, last, step }, or a tensor of \
        places or bools in dimension \(dim + 1) of \(tensor.shape), got \(described)
        """)
    }
    let bounds = try integers().map(Int.init)
    if bounds.isEmpty { return .all }
    guard bounds.count >= 2 else {
      throw ScriptError("expected { first, last } or { first, last, step }, got a list of one number")
    }
    let range = try Self.range(bounds[0], bounds[1], of: tensor, dim)
    let step = bounds.count == 3 ? bounds[2] : 1
    guard step > 0 else { throw ScriptError("steps go forward, got \(step); flip() turns a dimension round") }
    return .range(range, step: step)
  }

  /// Places `first` to `last` as `string.sub` counts them.
  static func range(_ first: Int, _ last: Int, of tensor: Tensor, _ dim: Int) throws -> Range<Int> {
    let size = tensor.shape[dim]
    let (from, to) = (first < 0 ? first + size + 1 : first, last < 0 ? last + size + 1 : last)
    guard from >= 1, to <= size, from <= to + 1 else {
      throw ScriptError(
        "\(from) to \(to) lies outside of 1 to \(size), dimension \(dim + 1) of \(tensor.shape)")
    }
    return from - 1..<to
  }
}

/// Row-major values as lists of lists: numbers, whole numbers, or booleans.
struct NestedList: LuaPushable {
  private enum Values {
    case numbers(ArraySlice<Float>)
    case integers(ArraySlice<Int64>)
    case bools(ArraySlice<Bool>)
  }

  private let values: Values
  private let shape: ArraySlice<Int>

  init(_ tensor: Tensor) {
    let values = tensor.values
    shape = tensor.shape[...]
    self.values =
      switch tensor.dtype {
      case .f32: .numbers(values[...])
      case .i32: .integers(values.map { Int64($0) }[...])
      case .bool: .bools(values.map { $0 != 0 }[...])
      }
  }

  init(_ stored: StoredTensor) {
    shape = stored.shape[...]
    values =
      switch stored.elements {
      case .bf16: .numbers(stored.floats().values[...])
      case .integers(let whole, _): .integers(whole[...])
      }
  }

  private init(_ values: Values, _ shape: ArraySlice<Int>) { (self.values, self.shape) = (values, shape) }

  /// The only value; nil if there are none or several.
  var item: (any LuaPushable)? {
    guard shape.allSatisfy({ $0 == 1 }) else { return nil }
    switch values {
    case .numbers(let row): return row.first
    case .integers(let row): return row.first.map { Int($0) }
    case .bools(let row): return row.first
    }
  }

  func push(on stack: Stack) throws {
    guard let size = shape.first else { return try item?.push(on: stack) ?? () }
    if shape.count == 1 {
      switch values {
      case .numbers(let row): return try stack.push(Array(row))
      case .integers(let row):
        let small = row.compactMap { Int32(exactly: $0) }
        return small.count == row.count ? try stack.push(small) : try stack.push(list: row.map { Int($0) })
      case .bools(let row): return try stack.push(list: Array(row))
      }
    }
    let inner = shape.dropFirst()
    let count = inner.reduce(1, *)
    try stack.push(list: (0..<size).map { NestedList(part($0 * count, count), inner) })
  }

  private func part(_ first: Int, _ count: Int) -> Values {
    func slice<Value>(_ row: ArraySlice<Value>) -> ArraySlice<Value> {
      row[row.startIndex + first..<row.startIndex + first + count]
    }
    return switch values {
    case .numbers(let row): .numbers(slice(row))
    case .integers(let row): .integers(slice(row))
    case .bools(let row): .bools(slice(row))
    }
  }
}
