// What is computed with integers beyond 2²⁴: exactly, where both sides are integers; with floats as f32. A result that fits is
// an ordinary tensor of i32 again.
import CLua
import Tensor

extension Integers: LuaPushable {
  package func push(on stack: Stack) throws {
    let stored = StoredTensor(try checked())
    if width == .i32, let small = try? stored.widened() {
      try small.push(on: stack)
    } else {
      try stored.push(on: stack)
    }
  }
}

extension Argument {
  /// The elements of a tensor of integers that `Tensor` does not have.
  func largeIntegers() throws -> Integers? { try ifObject(StoredTensor.self)?.integers }

  /// Whether this is an integer or a tensor of them that `Tensor` does not hold.
  var isLargeInteger: Bool { get throws { try Script.hasLargeIntegers(.of(lua), at: index) } }

  /// The elements of a tensor of integers or bools, or a whole number; nil for anything else.
  func integerOperand() throws -> Integers? {
    if isInteger { return Integers([Int64(try integer())], shape: [], width: .i32) }
    if lua_type(lua, index) == LUA_TBOOLEAN {
      return Integers([try boolean() ? 1 : 0], shape: [], width: .i32)
    }
    if let stored = try ifObject(StoredTensor.self) { return stored.integers }
    guard let tensor = try ifObject(Tensor.self), tensor.dtype != .f32 else { return nil }
    return Integers(tensor)
  }
}

extension Call {
  /// Whether one of the arguments, or what the method belongs to, is an integer or a tensor of them that `Tensor` does not
  /// hold.
  var hasLargeIntegers: Bool {
    get throws {
      try (1...max(1, lua_gettop(lua))).contains { try Script.hasLargeIntegers(state, at: $0) }
    }
  }

  /// Both operands of arithmetic, if both are whole.
  func integerOperands() throws -> (Integers, Integers)? {
    guard let a = try self[1].integerOperand(), let b = try self[2].integerOperand() else { return nil }
    return (a, b)
  }

  /// Ends the call with the integers from argument 1 to argument 2 in steps of argument 3; from 1 on if there is only one.
  func integerRange() throws -> Results {
    let (first, last) = try self[2].isNil ? (1, self[1].integer()) : (self[1].integer(), self[2].integer())
    let step = try self[3].integer()
    guard step != 0 else { throw self[3].mismatch("a step other than 0") }
    let distance = Int128(last) - Int128(first)
    let count = distance != 0 && (distance < 0) != (step < 0) ? 0 : distance / Int128(step) + 1
    let size = Int(min(count, Int128(Int.max / 64)))
    // Eight bytes an element, and as many again for the tensor that it goes to.
    try checkSize([size, 4], of: "arange")
    let values = (0..<size).map { Int64(Int128(first) + Int128($0) * Int128(step)) }
    let isShort = Int32(exactly: first) != nil && (values.last.map { Int32(exactly: $0) != nil } ?? true)
    return try self.return(Integers(values, shape: [size], width: isShort ? .i32 : .i64))
  }

  /// Ends the call with integers.
  func give(_ body: () throws -> Integers) throws -> Results { try self.return(compute(body)) }

  /// Ends the call with the values of a tensor as elements of a type; with those of `exact`, if there are any, where they are
  /// integers that the tensor may have rounded.
  func give(
    as kind: ElementKind, _ tensor: Tensor, exact: (Integers.Width) throws -> Integers?
  ) throws -> Results {
    do {
      if kind != .i64 { return try give(tensor, as: kind) }
    } catch let error as TensorError where error.isBeyondIntegers {}
    guard let width = Integers.Width(rawValue: kind.rawValue) else { return try give(tensor, as: kind) }
    if let integers = try exact(width) { return try self.return(integers) }
    return try give { () throws -> Integers in try Integers(whole: tensor, width: width) }
  }

  /// The parts of a list, if one of them holds integers that `Tensor` does not and the others are whole, too.
  func integerParts() throws -> [Integers]? {
    let parts = try self[1].elements()
    guard try parts.contains(where: { try $0.largeIntegers() != nil }) else { return nil }
    let whole = try parts.compactMap { part in
      if part.isNumber { throw part.mismatch("Tensor") }
      return try part.integerOperand()
    }
    return whole.count == parts.count ? whole : nil
  }
}

private func hasLargeIntegers(_ state: LuaState, at index: Int32) throws -> Bool {
  if lua_isinteger(state.lua, index) != 0 {
    return lua_tointegerx(state.lua, index, nil).magnitude > UInt(DType.integerLimit)
  }
  return try lua_type(state.lua, index) == LUA_TUSERDATA
    && state.type(of: StoredTensor.self).object(state.lua, index)?.integers != nil
}

extension Registry {
  /// The methods of `Tensor` that integers beyond 2²⁴ have in their own way.
  func addIntegers(to type: LuaType<StoredTensor>, like computing: LuaType<Tensor>) {
    typealias Body = (Call) throws -> Results
    /// What `exact` ends the call with; if that is nil, or there are no integers, what Tensor's method does with floats.
    func method(_ name: String, _ exact: @escaping (Integers, Call, _ plain: Body) throws -> Results?) {
      let (plain, body) = computing.immediateMethod(name)
      type.method(name, plain.doc, plain.parameters, returns: plain.returns, example: plain.example) {
        stored, call in
        guard let own = stored.integers else { return try computing.immediateMethod(name).body(call) }
        return try exact(own, call, body) ?? call.with(stored.floats(), body)
      }
    }
    /// The same, and `exact` also for a tensor of smaller integers where `Tensor`'s arithmetic would leave 2²⁴: at once if
    /// it could come back unnoticed (a sum) or meets larger ones, else when it did.
    func arithmetic(
      _ name: String, isSum: Bool = false, _ exact: @escaping (Integers, Call) throws -> Results?
    ) {
      method(name) { own, call, _ in try exact(own, call) }
      computing.wrap(name) { tensor, call, plain in
        if tensor.dtype == .f32 { return try plain(call) }
        let mayReturn = isSum && Tensor.integerBound([tensor], length: tensor.count) > DType.integerLimit
        if try mayReturn || call.hasLargeIntegers,
          let results = try exact(Integers(tensor), call)
        {
          return results
        }
        do { return try plain(call) } catch let error as TensorError where error.isBeyondIntegers {
          guard let results = try exact(Integers(tensor), call) else { throw error }
          return results
        }
      }
    }

    let moving =
      "slice reshape flatten transpose permute squeeze unsqueeze expand contiguous clone split chunk unbind diagonal "
      + "index_select gather flip"
    for name in moving.split(separator: " ") {
      method(String(name)) { own, call, plain in try call.moving(own, plain) }
    }
    for name in ["tril", "triu"] {
      method(name) { own, call, plain in try call.moving(own, plain, fillsWithZero: true) }
    }
    for name in "any all nonzero isnan isinf isfinite".split(separator: " ") {
      method(String(name)) { own, call, plain in
        let isSet = try call.compute { try own.compared(.notEqual, Integers([0], shape: [])) }
        return try call.with(isSet, plain)
      }
    }
    for name in "floor ceil round detach".split(separator: " ") {
      method(String(name)) { own, call, _ in try call.return(own) }
    }
    for name in fractional.split(separator: " ") { method(String(name)) { _, _, _ in nil } }
    method("sign") { own, call, _ in try call.return(own.signs()) }
    method("abs") { own, call, _ in try call.give { () throws -> Integers in try own.magnitudes() } }
    method("relu") { own, call, _ in
      try call.give { () throws -> Integers in
        try own.combined(.maximum, Integers([0], shape: [], width: .i32))
      }
    }
    arithmetic("square") { own, call in
      try call.give { () throws -> Integers in try own.combined(.multiply, own) }
    }
    arithmetic("clamp") { own, call in
      // An infinite bound is none.
      func bound(_ argument: Argument) throws -> Integers?? {
        if argument.isNil { return .some(nil) }
        if argument.isNumber, lua_tonumberx(call.lua, argument.index, nil).isInfinite { return .some(nil) }
        return try argument.integerOperand().map { .some($0) }
      }
      guard let low = try bound(call[1]), let high = try bound(call[2]) else { return nil }
      return try call.give { () throws -> Integers in
        let raised = try low.map { try own.combined(.maximum, $0) } ?? own
        return try high.map { try raised.combined(.minimum, $0) } ?? raised
      }
    }
    if let element = computing.element {
      type.element = { stored, call in
        guard let own = stored.integers else { return try element(stored.widened(), call) }
        return try call.moving(own) { try element($0.state.type(of: Tensor.self).object($0.lua, 1)!, $0) }
      }
    }

    for (name, comparison, flipped) in [
      ("lt", Integers.Comparison.less, Integers.Comparison.greater), ("le", .lessOrEqual, .greaterOrEqual),
      ("eq", .equal, .equal), ("ne", .notEqual, .notEqual), ("ge", .greaterOrEqual, .lessOrEqual),
      ("gt", .greater, .less),
    ] {
      method(name) { own, call, _ in
        if call[1].isNumber, !call[1].isInteger {
          let number = lua_tonumberx(call.lua, call[1].index, nil)
          return try call.give { () throws -> Tensor in try own.compared(comparison, number: number) }
        }
        let other = try call[1].integerOperand()
        let floats = try other == nil ? call[1].operand() : nil
        return try call.give { () throws -> Tensor in
          try other.map { try own.compared(comparison, $0) } ?? own.compared(comparison, floats: floats!)
        }
      }
      computing.wrap(name) { tensor, call, plain in
        if tensor.dtype != .f32, call[1].isNumber, !call[1].isInteger {
          let (own, number) = (Integers(tensor), lua_tonumberx(call.lua, call[1].index, nil))
          return try call.give { () throws -> Tensor in try own.compared(comparison, number: number) }
        }
        guard try call[1].isLargeInteger, let other = try call[1].integerOperand() else {
          return try plain(call)
        }
        return try call.give { () throws -> Tensor in
          try tensor.dtype == .f32
            ? other.compared(flipped, floats: tensor) : other.compared(flipped, Integers(tensor))
        }
      }
    }
    for operation in [Integers.Operation.minimum, .maximum, .power] {
      arithmetic(operation.rawValue) { own, call in
        guard let other = try call[1].integerOperand() else { return nil }
        return try call.give { () throws -> Integers in try own.combined(operation, other) }
      }
    }
    arithmetic("where") { own, call in
      guard let other = try call[2].integerOperand() else { return nil }
      let condition = try call[1].object(Tensor.self)
      return try call.give { () throws -> Integers in
        try .arranged([own, other]) { try $0[0].selected(where: condition, else: $0[1]) }
      }
    }
    arithmetic("masked_fill") { own, call in
      guard let value = try call[2].integerOperand() else { return nil }
      let mask = try call[1].object(Tensor.self)
      return try call.give { () throws -> Integers in
        try .arranged([own, value]) { try $0[1].selected(where: mask, else: $0[0]) }
      }
    }
    for (name, rank) in [("matmul", nil), ("mm", 2), ("bmm", 3), ("dot", 1)] as [(String, Int?)] {
      arithmetic(name) { own, call in
        guard let other = try call[1].integerOperand() else { return nil }
        try checkRanks(own.shape, other.shape, rank)
        return try call.give { () throws -> Integers in try own.product(other) }
      }
    }
    arithmetic("allclose") { own, call in
      guard let other = try call[1].integerOperand() else { return nil }
      let (rtol, atol) = (try call[2].number(min: 0), try call[3].number(min: 0))
      guard other.shape.isEmpty || other.shape == own.shape else { return try call.return(false) }
      return try call.return(own.isClose(to: other, rtol: rtol, atol: atol))
    }
    arithmetic("scatter_add") { own, call in
      guard let source = try call[3].integerOperand() else { return nil }
      let outline = try own.outline
      let dim = try call[1].dimension(of: outline)
      let (places, shape, _) = try call[2].gatherPlaces(outline, dim)
      guard source.shape == shape else {
        throw call[3].error("expected a source of the places' shape \(shape), got \(source.shape)")
      }
      return try call.give { () throws -> Integers in
        try own.adding(source, at: own.places().gathered(dim: dim, places))
      }
    }
    for (name, reduce) in [("sum", Integers.sum), ("prod", Integers.product)] {
      arithmetic(name, isSum: name == "sum") { own, call in
        let (dims, keep) = (try call[1].dimensions(of: own.outline), try call[2].boolean())
        return try call.give { () throws -> Integers in try reduce(own)(dims, keep) }
      }
    }
    arithmetic("cumsum") { own, call in
      let dim = try call[1].dimension(of: own.outline)
      return try call.give { () throws -> Integers in try own.cumulativeSum(dim: dim) }
    }
    method("mean") { own, call, _ in
      let (dims, keep) = (try call[1].dimensions(of: own.outline), try call[2].boolean())
      return try call.give { () throws -> Tensor in try own.mean(dims: dims, keepDim: keep) }
    }
    addOrder { name, exact in method(name) { own, call, _ in try exact(own, call) } }
  }

  /// Methods whose results have fractions, whatever they are of.
  private var fractional: String {
    "exp expm1 log log1p sqrt rsqrt reciprocal sin cos tanh erf sigmoid silu softplus logsigmoid gelu linear rms_norm "
      + "swiglu logsumexp var std norm softmax log_softmax quantile multinomial dropout"
  }

  /// Extremes and order.
  private func addOrder(_ method: (String, @escaping (Integers, Call) throws -> Results?) -> Void) {
    func ordered(
      _ own: Integers, _ call: Call, dim: Int?, keepDim: Bool, descending: Bool
    ) throws -> (values: Integers, places: Tensor) {
      try call.compute {
        let flat =
          dim == nil ? Integers(own.values, shape: [own.values.count], width: own.width) : own
        let (values, places) = try flat.sorted(dim: dim ?? 0, descending: descending, count: 1)
        var shape = own.shape.indices.map { dim == nil || $0 == dim ? 1 : own.shape[$0] }
        if !keepDim, let dim { shape.remove(at: dim) } else if !keepDim { shape = [] }
        return (
          Integers(values.values, shape: shape, width: own.width),
          try places.reshaped(shape).adding(Tensor.integer(1))
        )
      }
    }
    for (name, descending) in [("max", true), ("min", false)] {
      method(name) { own, call in
        guard let dims = try call[1].dimensions(of: own.outline) else {
          let value = try ordered(own, call, dim: nil, keepDim: call[2].boolean(), descending: descending)
            .values
          return try call.return(value)
        }
        let keep = try call[2].boolean()
        guard dims.count == 1 else {
          return try call.give { () throws -> Integers in
            try own.extremes(dims: dims, keepDim: keep, largest: descending)
          }
        }
        let found = try ordered(own, call, dim: dims[0], keepDim: keep, descending: descending)
        return try call.return(found.values, found.places)
      }
      method("arg\(name)") { own, call in
        let dim = try call[1].optional?.dimension(of: own.outline)
        return try call.return(
          ordered(own, call, dim: dim, keepDim: call[2].boolean(), descending: descending).places)
      }
    }
    func sorting(
      _ name: String, dim: Int, _ order: @escaping (Call) throws -> (count: Int?, descending: Bool)
    ) {
      method(name) { own, call in
        let (count, descending) = try order(call)
        let dim = try call[dim].dimension(of: own.outline)
        let found = try call.compute {
          let (values, places) = try own.sorted(dim: dim, descending: descending, count: count)
          return (values, try places.adding(Tensor.integer(1)))
        }
        return try call.return(found.0, found.1)
      }
    }
    sorting("sort", dim: 1) { (nil, try $0[2].boolean()) }
    sorting("topk", dim: 2) { (try $0[1].integer(min: 0), try $0[3].boolean()) }
  }
}

extension Integers {
  /// A tensor of this shape with nothing in it that matters, for what reads dimensions.
  fileprivate var outline: Tensor {
    get throws { try Tensor(0).expanded(to: shape) }
  }
}

extension Call {
  /// Ends the call with the results of a method that is called on another tensor.
  fileprivate func with(_ receiver: Tensor, _ body: (Call) throws -> Results) throws -> Results {
    try receiver.push(on: stack)
    lua_copy(lua, -1, 1)
    lua_settop(lua, -2)
    return try body(self)
  }

  /// Ends the call with the results of a method that moves elements, called on their places; those that count from 1
  /// where it puts zeros between them.
  fileprivate func moving(
    _ own: Integers, _ body: (Call) throws -> Results, fillsWithZero: Bool = false
  ) throws -> Results {
    let places = try compute { try own.places(from: fillsWithZero ? 1 : 0) }
    let own =
      fillsWithZero ? Integers([0] + own.values, shape: [own.values.count + 1], width: own.width) : own
    let results = try with(places, body)
    let top = lua_gettop(lua)
    for index in stride(from: top - results.count + 1, through: top, by: 1) { try fill(own, at: index) }
    return results
  }

  /// Replaces a tensor of places on the stack, or those in a list there, by the elements.
  private func fill(_ own: Integers, at index: Int32) throws {
    try stack.reserve(2)
    if lua_type(lua, index) == LUA_TTABLE {
      for i in stride(from: 1, through: Int(lua_rawlen(lua, index)), by: 1) {
        lua_rawgeti(lua, index, lua_Integer(i))
        try fill(own, at: lua_gettop(lua))
        lua_rawseti(lua, index, lua_Integer(i))
      }
    } else if let places = try state.type(of: Tensor.self).object(lua, index) {
      try places.taking(from: own).push(on: stack)
      lua_copy(lua, -1, index)
      lua_settop(lua, -2)
    }
  }
}
