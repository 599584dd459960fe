// Tensors in Lua: small ones, of [rows, tokens] at most. What is larger stays inside native operations.
//
// Operations run at once on the Lua thread, also while a long operation runs elsewhere, so they leave the thread pool
// to that one. Dimensions and places count from 1 here and from 0 in Swift; from the end they are negative.
import CLua
import Kernels
import Tensor

extension Tensor: LuaObject {
  package var nativeBytes: Int { count * MemoryLayout<Float>.stride }
}

extension Registry {
  /// `mid.tensor`, `mid.no_grad` and the type `Tensor`.
  package func addTensors() {
    function(
      "tensor", "A tensor of 32-bit floats from a number, a list, or lists of lists of equal lengths.",
      [Parameter("values", "number|table")], returns: "Tensor",
      example: "t = mid.tensor { { 1, 2 }, { 3, 4 } }"
    ) { call in
      try call.return(call[1].newTensor())
    }

    scopedFunction(
      "no_grad", "Calls a function without recording operations for `backward`, and returns what it returns.",
      [
        Parameter("f", "fun(...): ...", "what to run"),
        Parameter("...", "any", "its arguments", optional: true),
      ],
      returns: "any", example: "reference = mid.no_grad(function() return model:logprobs(batch) end)",
      Scope {
        defer { Tape.isRecording = false }
        return Tape.isRecording ? 1 : 0
      } leave: { before in
        Tape.isRecording = before != 0
      })

    type(Tensor.self, "Tensor") { type in
      type.describe = { $0.summary }
      addProperties(to: type)
      addOperators(to: type)
      addElementwise(to: type)
      addReductions(to: type)
      addViews(to: type)
      addGradients(to: type)
    }
  }

  private func addProperties(to type: LuaType<Tensor>) {
    type.property("shape", "integer[]", "Sizes of the dimensions; empty for a scalar.") { tensor, stack in
      try stack.return(tensor.shape)
    }
    type.method(
      "item", "The value of a tensor with one element.", returns: "number", example: "print(loss:item())"
    ) { tensor, call in
      try call.return(tensor.item())
    }
    type.method(
      "tolist", "The values as a number, a list, or lists of lists.", returns: "number|table",
      example: "print(#t:tolist())"
    ) { tensor, call in
      try call.return(NestedList(values: tensor.values[...], shape: tensor.shape[...]))
    }
  }

  // MARK: Arithmetic

  private func addOperators(to type: LuaType<Tensor>) {
    func operation(_ metamethod: Metamethod, _ body: @escaping (Tensor, Tensor) throws -> Tensor) {
      type.metamethod(metamethod) { call in
        let (a, b) = (try call[1].operand(), try call[2].operand())
        return try call.return(ThreadPool.serially { try body(a, b) })
      }
    }
    operation(.add) { try $0.adding($1) }
    operation(.sub) { try $0.subtracting($1) }
    operation(.mul) { try $0.multiplied(by: $1) }
    operation(.div) { try $0.divided(by: $1) }
    operation(.pow) { try $0.power($1) }
    type.metamethod(.unm) { call in
      let tensor = try call[1].object(Tensor.self)
      return try call.return(ThreadPool.serially { tensor.negated() })
    }
  }

  private func addElementwise(to type: LuaType<Tensor>) {
    func function(_ name: String, _ doc: String, _ body: @escaping (Tensor) -> Tensor) {
      type.method(name, doc, returns: "Tensor", example: "u = t:\(name)()") { tensor, call in
        try call.return(ThreadPool.serially { body(tensor) })
      }
    }
    function("exp", "e to the power of each element.") { $0.exp() }
    function("log", "The natural logarithm of each element.") { $0.log() }
    function("sqrt", "The square root of each element.") { $0.sqrt() }
    function("abs", "The absolute value of each element; its derivative at 0 is 0.") { $0.absolute() }
    function("sigmoid", "1 / (1 + e^-x) for each element.") { $0.sigmoid() }
    function("tanh", "The hyperbolic tangent of each element.") { $0.tanh() }

    type.method(
      "clamp",
      "Each element moved to the nearest number from `low` to `high`. The gradient passes inside and at the bounds.",
      [Parameter("low", "number"), Parameter("high", "number")], returns: "Tensor",
      example: "ratio = (logp - old):exp():clamp(0.8, 1.2)"
    ) { tensor, call in
      let (low, high) = (Float(try call[1].number()), Float(try call[2].number()))
      return try call.return(ThreadPool.serially { tensor.clamped(low, high) })
    }

    func pair(_ name: String, _ doc: String, _ body: @escaping (Tensor, Tensor) throws -> Tensor) {
      type.method(
        name, doc + " Shapes are broadcast.", [Parameter("other", "Tensor|number")], returns: "Tensor",
        example: "u = t:\(name)(0)"
      ) { tensor, call in
        let other = try call[1].operand()
        return try call.return(ThreadPool.serially { try body(tensor, other) })
      }
    }
    pair("minimum", "The smaller of each pair; a tie splits the gradient.") { try $0.minimum($1) }
    pair("maximum", "The larger of each pair; a tie splits the gradient.") { try $0.maximum($1) }
    pair("gt", "1 where it is greater, else 0; without gradient.") { try $0.greater(than: $1) }
    pair("ge", "1 where it is greater or equal, else 0; without gradient.") { try $0.greaterOrEqual(to: $1) }
    pair("lt", "1 where it is less, else 0; without gradient.") { try $0.less(than: $1) }
    pair("le", "1 where it is less or equal, else 0; without gradient.") { try $0.lessOrEqual(to: $1) }
    pair("eq", "1 where it is equal, else 0; without gradient.") { try $0.equal(to: $1) }

    type.method(
      "where",
      "Its own elements where `condition` is not 0, elsewhere those of `other`. Shapes are broadcast.",
      [Parameter("condition", "Tensor"), Parameter("other", "Tensor|number")], returns: "Tensor",
      example: "positive = t:where(t:gt(0), 0)"
    ) { tensor, call in
      let (condition, other) = (try call[1].object(Tensor.self), try call[2].operand())
      return try call.return(ThreadPool.serially { try tensor.selected(where: condition, else: other) })
    }
  }

  // MARK: Reductions

  private func addReductions(to type: LuaType<Tensor>) {
    func reduction(
      _ name: String, _ doc: String, all: @escaping (Tensor) throws -> Tensor,
      along: @escaping (Tensor, Int) throws -> Tensor
    ) {
      let dim = Parameter(
        "dim", "integer", "which dimension goes away; all of them without it", optional: true)
      type.method(name, doc, [dim], returns: "Tensor", example: "print(t:\(name)():item())") { tensor, call in
        let dim = try call[1].optional?.dimension(of: tensor)
        return try call.return(ThreadPool.serially { try dim.map { try along(tensor, $0) } ?? all(tensor) })
      }
    }
    reduction("sum", "The sum of all elements, or sums along a dimension.") {
      $0.sum()
    } along: {
      try $0.sum(dim: $1)
    }
    reduction("mean", "The mean of all elements, or means along a dimension.") {
      $0.mean()
    } along: {
      try $0.mean(dim: $1)
    }
    reduction(
      "max",
      "The largest element, or those along a dimension. Equal ones share the gradient; the first has it there."
    ) {
      try $0.max()
    } along: {
      try $0.max(dim: $1)
    }
    reduction(
      "min",
      "The smallest element, or those along a dimension. Equal ones share the gradient; the first has it there."
    ) {
      try $0.min()
    } along: {
      try $0.min(dim: $1)
    }

    func rows(_ name: String, _ doc: String, _ body: @escaping (Tensor, Int) throws -> Tensor) {
      let dim = Parameter("dim", "integer", default: .integer(-1))
      type.method(name, doc, [dim], returns: "Tensor", example: "p = t:\(name)()") { tensor, call in
        let dim = try call[1].dimension(of: tensor)
        return try call.return(ThreadPool.serially { try body(tensor, dim) })
      }
    }
    rows("softmax", "e^x / Σ e^x along a dimension, by default the last.") { try $0.softmax(dim: $1) }
    rows("log_softmax", "x - log Σ e^x along a dimension, by default the last.") {
      try $0.logSoftmax(dim: $1)
    }
  }

  // MARK: Views

  private func addViews(to type: LuaType<Tensor>) {
    type.method(
      "slice", "Elements `first` to `last` of a dimension, as `string.sub` counts them.",
      [
        Parameter("dim", "integer"), Parameter("first", "integer"),
        Parameter("last", "integer", default: .integer(-1)),
      ], returns: "Tensor", example: "tail = t:slice(1, -2)"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor)
      let size = tensor.shape[dim]
      func place(_ argument: Argument) throws -> Int {
        let place = try argument.integer()
        return place < 0 ? place + size + 1 : place
      }
      let (first, last) = (try place(call[2]), try place(call[3]))
      guard first >= 1, last <= size, first <= last + 1 else {
        throw ScriptError(
          "\(first) to \(last) lies outside of 1 to \(size), dimension \(dim + 1) of \(tensor.shape)")
      }
      return try call.return(tensor.sliced(dim: dim, first - 1..<last))
    }
    type.method(
      "reshape", "The same elements in another shape; one size may be -1, to be inferred.",
      [Parameter("shape", "integer[]")], returns: "Tensor", example: "column = t:reshape { -1, 1 }"
    ) { tensor, call in
      try call.return(tensor.reshaped(call[1].integers().map(Int.init)))
    }
    type.method(
      "transpose", "The last two dimensions exchanged.", returns: "Tensor", example: "u = t:transpose()"
    ) { tensor, call in
      try call.return(tensor.transposed())
    }
  }

  // MARK: Gradients

  private func addGradients(to type: LuaType<Tensor>) {
    type.method(
      "detach", "The same values, through which no gradient flows.", returns: "Tensor",
      example: "baseline = rewards:mean():detach()"
    ) { tensor, call in
      try call.return(tensor.detached())
    }
    type.longMethod(
      "backward",
      """
      Adds the gradient of this scalar to the `grad` of all that it was computed from. What was recorded for it is \
      used up.
      """, example: "loss:backward()"
    ) { tensor, _ in
      {
        try tensor.backward()
        return { _ in .none }
      }
    }
    type.property("grad", "Tensor?", "The gradient that `backward` added up; nil if there is none.") {
      try $1.return($0.gradient)
    }
    type.property(
      "requires_grad", "boolean",
      "Whether `backward` leaves a gradient here. Only for what no operation made."
    ) {
      try $1.return($0.requiresGradient)
    } set: { tensor, value in
      guard tensor.isLeaf else {
        throw value.error(
          "an operation made this tensor; only its inputs can require a gradient (or use detach())")
      }
      tensor.requiresGradient = try value.boolean()
    }
  }
}

// MARK: Arguments

extension Argument {
  /// A tensor, or a number as one without dimensions.
  fileprivate func operand() throws -> Tensor {
    if isNumber { return Tensor(Float(try number())) }
    guard let tensor = try ifObject(Tensor.self) else { throw mismatch("Tensor or number") }
    return tensor
  }

  /// A dimension counted from 1, or from the end where it is negative, as Swift counts it.
  fileprivate func dimension(of tensor: Tensor) throws -> Int {
    let dim = try integer()
    guard dim != 0, dim >= -tensor.rank, dim <= tensor.rank else {
      let expected = tensor.rank == 0 ? "no dimension of a scalar" : "dimension from 1 to \(tensor.rank)"
      throw mismatch("\(expected) (or from the end, -1)")
    }
    return dim > 0 ? dim - 1 : dim + tensor.rank
  }

  /// A number, a list, or lists of lists of equal lengths.
  fileprivate func newTensor() throws -> Tensor {
    guard isTable else {
      guard isNumber else { throw mismatch("number, list, or lists of lists") }
      return Tensor(Float(try number()))
    }
    var values: [Float] = []
    let shape = try readList(into: &values)
    return try Tensor(values, shape: shape)
  }

  /// Appends the values of a nested list in row-major order and returns its shape.
  private func readList(into values: inout [Float], depth: Int = 1) throws -> [Int] {
    guard depth <= 16 else { throw error("lists are nested more than 16 deep; is there a cycle?") }
    lua_rawgeti(lua, index, 1)
    let isNested = lua_type(lua, -1) == LUA_TTABLE
    lua_settop(lua, -2)
    guard isNested else {
      let row = try floats()
      values += row
      return [row.count]
    }
    let base = lua_gettop(lua)
    defer { lua_settop(lua, base) }
    var shape: [Int]?
    let lists = try elements()
    for list in lists {
      guard list.isTable else { throw list.mismatch("list as the ones before it") }
      let inner = try list.readList(into: &values, depth: depth + 1)
      if let shape, shape != inner { throw list.error("expected shape \(shape) as before it, got \(inner)") }
      shape = inner
    }
    return [lists.count] + (shape ?? [])
  }
}

/// Row-major values as lists of lists.
private struct NestedList: LuaPushable {
  let values: ArraySlice<Float>
  let shape: ArraySlice<Int>

  func push(on stack: Stack) throws {
    guard let size = shape.first else { return try stack.push(values[values.startIndex]) }
    if shape.count == 1 { return try stack.push(Array(values)) }
    let inner = shape.dropFirst()
    let count = inner.reduce(1, *)
    try stack.push(
      list: (0..<size).map { i in
        let start = values.startIndex + i * count
        return NestedList(values: values[start..<start + count], shape: inner)
      })
  }
}
