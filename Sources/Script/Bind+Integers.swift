// What is computed with 64-bit integers: exactly, where both sides are integers; otherwise as with f32 or i32.
import CLua
import Tensor

extension Argument {
  /// The elements of a tensor of integers or bools, or a whole number, for arithmetic with 64-bit integers; nil for
  /// anything else.
  func integers() throws -> Integers? {
    if isInteger { return Integers([Int64(try integer())], shape: []) }
    if let stored = try ifObject(StoredTensor.self) { return stored.integers }
    guard let tensor = try ifObject(Tensor.self), tensor.dtype != .f32 else { return nil }
    return Integers(tensor)
  }

  /// Whether a tensor of 64-bit integers stands here.
  var isLongInteger: Bool {
    get throws { try ifObject(StoredTensor.self)?.typeName == "i64" }
  }
}

extension Call {
  /// Both operands of arithmetic, if one of them is a tensor of 64-bit integers and the other is whole, too.
  func integerOperands() throws -> (Integers, Integers)? {
    guard try self[1].isLongInteger || self[2].isLongInteger, let a = try self[1].integers(),
      let b = try self[2].integers()
    else { return nil }
    return (a, b)
  }

  /// Ends the call with integers.
  func give(_ body: () throws -> Integers) throws -> Results {
    try self.return(compute { StoredTensor(try body()) })
  }

  /// The parts of a list, if one of them is a tensor of 64-bit integers and the others are whole, too.
  func integerParts() throws -> [Integers]? {
    let parts = try self[1].elements()
    guard try parts.contains(where: { try $0.isLongInteger }) else { return nil }
    let whole = try parts.compactMap { part in
      if part.isNumber { throw part.mismatch("Tensor") }
      return try part.integers()
    }
    return whole.count == parts.count ? whole : nil
  }
}

extension Registry {
  /// The methods of `Tensor` that 64-bit integers have in their own way.
  func addIntegers(to type: LuaType<StoredTensor>, like computing: LuaType<Tensor>) {
    typealias Body = (Call) throws -> Results
    /// What `exact` ends the call with, or what Tensor's method does if that is nil or there are no integers.
    func method(_ name: String, _ exact: @escaping (Integers, Call, _ plain: Body) throws -> Results?) {
      guard let plain = computing.functions.first(where: { $0.kind == .method && $0.shortName == name }),
        case .immediate(let body) = plain.body
      else { preconditionFailure("Tensor has no method '\(name)'") }
      type.method(name, plain.doc, plain.parameters, returns: plain.returns, example: plain.example) {
        stored, call in
        if let own = stored.integers, let results = try exact(own, call, body) { return results }
        return try body(call)
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
      method(String(name)) { own, call, _ in try call.return(StoredTensor(own)) }
    }
    method("sign") { own, call, _ in try call.return(StoredTensor(own.signs())) }
    method("square") { own, call, _ in
      try call.give { () throws -> Integers in try own.combined(.multiply, own) }
    }
    method("clamp") { own, call, _ in
      guard (1...2).allSatisfy({ call[$0].isNil || call[$0].isInteger }) else { return nil }
      let (low, high) = (try call[1].optional?.integers(), try call[2].optional?.integers())
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

    for (name, comparison) in [
      ("lt", Integers.Comparison.less), ("le", .lessOrEqual), ("eq", .equal), ("ne", .notEqual),
      ("ge", .greaterOrEqual), ("gt", .greater),
    ] {
      method(name) { own, call, _ in
        guard let other = try call[1].integers() else { return nil }
        return try call.give { () throws -> Tensor in try own.compared(comparison, other) }
      }
    }
    for operation in [Integers.Operation.minimum, .maximum, .power] {
      method(operation.rawValue) { own, call, _ in
        guard let other = try call[1].integers() else { return nil }
        return try call.give { () throws -> Integers in try own.combined(operation, other) }
      }
    }
    method("abs") { own, call, _ in
      try call.give { () throws -> Integers in
        try own.combined(.maximum, Integers([0], shape: []).combined(.subtract, own))
      }
    }
    method("where") { own, call, _ in
      guard let other = try call[2].integers() else { return nil }
      let condition = try call[1].object(Tensor.self)
      return try call.give { () throws -> Integers in
        try .arranged([own, other]) { try $0[0].selected(where: condition, else: $0[1]) }
      }
    }
    method("masked_fill") { own, call, _ in
      guard let value = try call[2].integers() else { return nil }
      let mask = try call[1].object(Tensor.self)
      return try call.give { () throws -> Integers in
        try .arranged([own, value]) { try $0[1].selected(where: mask, else: $0[0]) }
      }
    }
    addIntegerReductions { name, exact in method(name) { own, call, _ in try exact(own, call) } }
  }

  private func addIntegerReductions(
    _ method: (String, @escaping (Integers, Call) throws -> Results?) -> Void
  ) {
    for (name, reduce) in [("sum", Integers.sum), ("prod", Integers.product)] {
      method(name) { own, call in
        let (dims, keep) = (try call[1].dimensions(of: own.outline), try call[2].boolean())
        return try call.give { () throws -> Integers in try reduce(own)(dims, keep) }
      }
    }
    method("cumsum") { own, call in
      let dim = try call[1].dimension(of: own.outline)
      return try call.give { () throws -> Integers in try own.cumulativeSum(dim: dim) }
    }
    func ordered(
      _ own: Integers, _ call: Call, dim: Int?, keepDim: Bool, descending: Bool
    ) throws -> (values: Integers, places: Tensor) {
      try call.compute {
        let flat = dim == nil ? Integers(own.values, shape: [own.values.count]) : own
        let (values, places) = try flat.sorted(dim: dim ?? 0, descending: descending, count: 1)
        var shape = own.shape.indices.map { dim == nil || $0 == dim ? 1 : own.shape[$0] }
        if !keepDim, let dim { shape.remove(at: dim) } else if !keepDim { shape = [] }
        return (
          Integers(values.values, shape: shape), try places.reshaped(shape).adding(Tensor.integer(1))
        )
      }
    }
    for (name, descending) in [("max", true), ("min", false)] {
      method(name) { own, call in
        guard let dims = try call[1].dimensions(of: own.outline) else {
          let value = try ordered(own, call, dim: nil, keepDim: call[2].boolean(), descending: descending)
            .values
          return try call.return(StoredTensor(value))
        }
        guard dims.count == 1 else { return nil }
        let found = try ordered(own, call, dim: dims[0], keepDim: call[2].boolean(), descending: descending)
        return try call.return(StoredTensor(found.values), found.places)
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
          return (StoredTensor(values), try places.adding(Tensor.integer(1)))
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
    let own = fillsWithZero ? Integers([0] + own.values, shape: [own.values.count + 1]) : own
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
      try StoredTensor(places.taking(from: own.values)).push(on: stack)
      lua_copy(lua, -1, index)
      lua_settop(lua, -2)
    }
  }
}
