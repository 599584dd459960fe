// Tensors in Lua. Long work on large ones stays inside native operations; these run at once on the Lua thread, also
// while a long operation runs elsewhere.
//
// Conventions, in docs/tensors.md for users: dimensions and places count from 1, and from -1 at the end; a range has
// both its ends; values are 32-bit floats, whole numbers that these hold (i32), or bools.
import CLua
import Kernels
import Tensor

extension Tensor: LuaObject {
  package var nativeBytes: Int { count * MemoryLayout<Float>.stride }
}

extension Registry {
  /// What makes tensors, and the type `Tensor`.
  package func addTensors() {
    addCreation()
    addRandomTensors()
    addJoining()
    addTensorFiles()
    addGradientFunctions()
    addRotary()
    addScopes()

    type(Tensor.self, "Tensor") { type in
      type.adopt = { lua, index in
        try LuaState.of(lua).type(of: StoredTensor.self).object(lua, index)?.widened()
      }
      type.describe = { $0.summary }
      addProperties(to: type)
      addOperators(to: type)
      addElementwise(to: type)
      addComparisons(to: type)
      addProducts(to: type)
      addNetworks(to: type)
      addReductions(to: type)
      addOrder(to: type)
      addViews(to: type)
      addIndexing(to: type)
      addSampling(to: type)
      addGradients(to: type)
      addWriting(to: type)
      addTensorFiles(to: type)
    }
    addStored()
    addPacked()
  }

  // MARK: Making tensors

  private func addCreation() {
    let shape = Parameter("shape", "integer|integer[]", "sizes; a number for a vector")
    let dtype = Parameter(
      "dtype", "string", "f32, i32, bool, bf16 or i64", default: .string("f32"))

    function(
      "tensor",
      "A tensor from a number, a list, or lists of lists of equal lengths: of 32-bit floats, or of bools from booleans.",
      [
        Parameter("values", "number|boolean|table"),
        Parameter("dtype", "string", "f32, i32, bool, bf16 or i64; else what the values are", optional: true),
      ], returns: "Tensor", example: "t = mid.tensor { { 1, 2 }, { 3, 4 } }"
    ) { call in
      guard let type = try call[2].optional?.elementKind() else {
        return try call.return(call[1].newTensor())
      }
      return try call.give(as: type, call[1].newTensor()) { try call[1].newIntegers($0) }
    }
    func filled(_ name: String, _ doc: String, _ value: Float) {
      function(name, doc, [shape, dtype], returns: "Tensor", example: "z = mid.\(name)({ 2, 3 })") { call in
        try call.give(Tensor.filled(value, call[1].shape(), for: name), as: call[2].elementKind())
      }
    }
    filled("zeros", "A tensor of zeros.", 0)
    filled("ones", "A tensor of ones.", 1)
    function(
      "full", "A tensor of one value; whole numbers make integers only with the dtype i32 or i64.",
      [shape, Parameter("value", "number"), dtype], returns: "Tensor", example: "z = mid.full({ 2, 3 }, 0.5)"
    ) { call in
      let (shape, value) = (try call[1].shape(), try call[2].operand().item())
      return try call.give(as: call[3].elementKind(), Tensor.filled(value, shape, for: "full")) { width in
        guard call[2].isInteger else { return nil }
        let values = Array(repeating: Int64(try call[2].integer()), count: shape.reduce(1, *))
        return Integers(values, shape: shape, width: width)
      }
    }
    function(
      "arange",
      """
      Numbers from `first` to `last` in steps, as `for` counts, both ends included: integers if all three are, else \
      floats. One argument counts from 1.
      """,
      [
        Parameter("first", "number"), Parameter("last", "number", optional: true),
        Parameter("step", "number", default: .integer(1)),
      ], returns: "Tensor", example: "mid.arange(5); mid.arange(0, 1, 0.25)"
    ) { call in
      if (1...max(1, call.count)).allSatisfy({ call[$0].isInteger }) { return try call.integerRange() }
      let (first, last) = try call[2].isNil ? (1, call[1].number()) : (call[1].number(), call[2].number())
      let step = try call[3].number()
      guard step != 0, (last - first).isFinite, step.isFinite else {
        throw ScriptError("expected finite numbers and a step other than 0, got \(first), \(last), \(step)")
      }
      let count = max(0, ((last - first) / step * (1 + 1e-12)).rounded(.down) + 1)
      let result = try Tensor.filled(0, [Int(min(count, 1e15))], for: "arange")
      for i in 0..<result.count { result.pointer[i] = Float(first + Double(i) * step) }
      return try call.return(result)
    }
    function(
      "linspace", "`count` numbers at equal distances, the first and the last included.",
      [Parameter("first", "number"), Parameter("last", "number"), Parameter("count", "integer")],
      returns: "Tensor", example: "x = mid.linspace(-1, 1, 5)"
    ) { call in
      let (first, last, count) = try (call[1].number(), call[2].number(), call[3].integer(min: 0))
      let result = try Tensor.filled(Float(first), [count], for: "linspace")
      for i in stride(from: 1, to: count, by: 1) {
        result.pointer[i] = Float(first + (last - first) * Double(i) / Double(count - 1))
      }
      return try call.return(result)
    }
    function(
      "eye", "The unit matrix with so many rows, and columns if that is another number.",
      [Parameter("rows", "integer"), Parameter("columns", "integer", optional: true)], returns: "Tensor",
      example: "I = mid.eye(3)"
    ) { call in
      let rows = try call[1].integer(min: 0)
      let columns = try call[2].optional?.integer(min: 0) ?? rows
      let result = try Tensor.filled(0, [rows, columns], for: "eye")
      for i in 0..<min(rows, columns) { result.pointer[i * columns + i] = 1 }
      return try call.return(result)
    }
  }

  // MARK: What a tensor is

  private func addProperties(to type: LuaType<Tensor>) {
    type.property("shape", "integer[]", "Sizes of the dimensions; empty for a scalar.") { tensor, stack in
      try stack.return(tensor.shape)
    }
    type.property("dtype", "string", "What the elements are: f32, i32, or bool.") {
      tensor, stack in
      try stack.return(tensor.dtype.rawValue)
    }
    type.property("rank", "integer", "The number of dimensions.") { tensor, stack in
      try stack.return(tensor.rank)
    }
    type.property("count", "integer", "The number of elements.") { tensor, stack in
      try stack.return(tensor.count)
    }
    type.metamethod(.len) { call in
      let shape = try call[1].ifObject(StoredTensor.self)?.shape ?? call[1].object(Tensor.self).shape
      guard let size = shape.first else {
        throw ScriptError("a tensor without dimensions has no length")
      }
      return try call.return(size)
    }
    type.method(
      "item", "The value of a tensor with one element.", returns: "number|boolean",
      example: "print(loss:item())"
    ) { tensor, call in
      let value = try tensor.item()
      return switch tensor.dtype {
      case .f32: try call.return(Double(value))
      case .i32: try call.return(Int(value))
      case .bool: try call.return(value != 0)
      }
    }
    type.method(
      "tolist", "The values as a number or boolean, a list, or lists of lists.",
      returns: "number|boolean|table",
      example: "print(#t:tolist())"
    ) { tensor, call in
      try call.return(NestedList(tensor))
    }
    type.method(
      "to",
      """
      The same values as another type: i32 and i64 want whole numbers (see floor and round), bool says what is not 0. \
      Only f32 has gradients. bf16 (half the memory, rounded) is for keeping: operations read it as f32. Nothing changes \
      bf16, i64 and integers beyond 2^24 in place.
      """,
      [Parameter("dtype", "string", "f32, i32, bool, bf16 or i64")], returns: "Tensor",
      example: "n = t:round():to \"i32\""
    ) { tensor, call in
      try call.give(as: call[1].elementKind(), tensor) { _ in nil }
    }
    type.method(
      "allclose",
      "Whether shapes are equal and values differ by at most `atol + rtol · |other|`. NaN equals NaN.",
      [
        Parameter("other", "Tensor|number"), Parameter("rtol", "number", default: .number(1e-5)),
        Parameter("atol", "number", default: .number(1e-8)),
      ], returns: "boolean", example: "assert(t:allclose(t + 1e-9))"
    ) { tensor, call in
      let other = try call[1].operand()
      let (rtol, atol) = (Float(try call[2].number(min: 0)), Float(try call[3].number(min: 0)))
      guard other.rank == 0 || other.shape == tensor.shape else { return try call.return(false) }
      let (a, b) = (tensor.values, other.values)
      return try call.return(
        a.indices.allSatisfy { i in
          let (x, y) = (a[i], b[b.count == a.count ? i : 0])
          return x == y || (x.isNaN && y.isNaN) || abs(x - y) <= atol + rtol * abs(y)
        })
    }
  }

  // MARK: Operators

  private func addOperators(to type: LuaType<Tensor>) {
    func operation(
      _ metamethod: Metamethod, exact: ((Integers, Integers) throws -> Integers)? = nil,
      _ body: @escaping (Tensor, Tensor) throws -> Tensor
    ) {
      type.metamethod(metamethod) { call in
        func exactly() throws -> Results? {
          guard let exact, let (a, b) = try call.integerOperands() else { return nil }
          return try call.give { try exact(a, b) }
        }
        if try call.hasLargeIntegers, let results = try exactly() { return results }
        let (a, b) = (try call[1].operand(), try call[2].operand())
        do { return try call.give { try body(a, b) } } catch let error as TensorError
          where error.isBeyondIntegers
        {
          guard let results = try exactly() else { throw error }
          return results
        }
      }
    }
    func arithmetic(
      _ metamethod: Metamethod, _ exact: Integers.Operation,
      _ body: @escaping (Tensor, Tensor) throws -> Tensor
    ) {
      operation(metamethod, exact: { try $0.combined(exact, $1) }, body)
    }
    arithmetic(.add, .add) { try $0.adding($1) }
    arithmetic(.sub, .subtract) { try $0.subtracting($1) }
    arithmetic(.mul, .multiply) { try $0.multiplied(by: $1) }
    arithmetic(.idiv, .divide) { try $0.flooredQuotient($1) }
    arithmetic(.mod, .remainder) { try $0.flooredRemainder($1) }
    operation(.unm, exact: { a, _ in try a.negated() }) { a, _ in
      a.negated()
    }
    operation(.div) { try $0.divided(by: $1) }
    arithmetic(.pow, .power) { try $0.power($1) }
    operation(.band) { try $0.truth("&").multiplied(by: $1.truth("&")).converted(to: .bool) }
    operation(.bor) { try $0.truth("|").maximum($1.truth("|")) }
    operation(.bxor) { try $0.truth("~").notEqual(to: $1.truth("~")) }
    operation(.bnot) { a, _ in try a.truth("~").equal(to: 0) }
  }
}

extension Tensor {
  /// A new tensor of one value, unless it would be too large.
  static func filled(_ value: Float, _ shape: [Int], for operation: String) throws -> Tensor {
    try checkSize(shape, of: operation)
    return Tensor(repeating: value, shape: shape)
  }

  /// ⌊a / b⌋, without gradient.
  fileprivate func flooredQuotient(_ other: Tensor) throws -> Tensor {
    let result = try divided(by: other).stepped(.floor)
    return dtype == .f32 || other.dtype == .f32 ? result : try result.converted(to: .i32)
  }

  /// a − ⌊a / b⌋ · b without the rounding of that: what is left has the sign of b, as in Lua.
  fileprivate func flooredRemainder(_ other: Tensor) throws -> Tensor {
    let composed = try subtracting(flooredQuotient(other).multiplied(by: other))
    if composed.dtype == .i32 {
      // The product is no larger than both together.
      let bound = Tensor.integerBound([self], length: 1) + Tensor.integerBound([other], length: 1)
      if bound > DType.integerLimit { throw TensorError.beyondIntegers("%", bound) }
      return composed
    }
    let (a, b) = (try expanded(to: composed.shape).values, try other.expanded(to: composed.shape).values)
    let values = zip(a, b).map { x, y in
      let rest = x.truncatingRemainder(dividingBy: y)
      return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest
    }
    let exact = try Tensor(values, shape: composed.shape)
    // The gradient is that of the formula.
    return composed.isLeaf ? exact : try composed.adding(exact.subtracting(composed.detached()))
  }

  /// This tensor if it is one of bools.
  func truth(_ operation: String) throws -> Tensor {
    guard dtype == .bool else {
      throw ScriptError(
        "'\(operation)' wants tensors of bools, got \(dtype.rawValue); compare first, as in t:gt(0)")
    }
    return self
  }
}
