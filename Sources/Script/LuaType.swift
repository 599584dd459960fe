import CLua

/// A Swift object that Lua can hold. Register its type once, in a `Bind+X.swift`.
package protocol LuaObject: AnyObject, LuaPushable {
  /// Memory that the object keeps outside Lua's heap. It drives collection, so it need only be about right.
  var nativeBytes: Int { get }
}

extension LuaObject {
  package var nativeBytes: Int { 0 }
  package func push(on stack: Stack) throws {
    try LuaState.of(stack.lua).type(of: Self.self).push(self, on: stack)
  }
}

/// What a userdata holds: the object, retained, and its size when it was boxed.
private struct Box {
  var object: Unmanaged<AnyObject>?
  var bytes: Int
}

/// A registered type, whatever its objects are.
package protocol AnyLuaType: AnyObject {
  var name: String { get }
  var functions: [NativeFunction] { get }
  /// How many objects of this type Lua holds, and bytes that they keep outside its heap.
  var held: (count: Int, bytes: Int) { get }
  func install(in lua: LuaPointer)
}

/// The operators that a type can give a meaning to.
package enum Metamethod: String {
  case add, sub, mul, div, pow, mod, idiv, unm, band, bor, bxor, bnot, len, eq, lt, le, concat, call
}

/// How objects of one Swift class look to Lua: methods, properties, operators.
package final class LuaType<Object: LuaObject>: AnyLuaType {
  package let name: String
  package private(set) var functions: [NativeFunction] = []
  package private(set) var held = (count: 0, bytes: 0)

  /// What `tostring` and the prompt show.
  package var describe: (Object) -> String
  /// What the end of a `<close>` variable does before the object is let go.
  package var close: (Object) -> Void = { _ in }
  /// Where a key leads that is neither a method nor a property; nil for an error with the nearest name.
  package var missing: ((Object, Call) throws -> Results)?
  /// What a key stands for that is no name, as in `t[1]`: argument 2 of the call.
  package var element: ((Object, Call) throws -> Results)?
  /// What an object of another type is worth as one of this type; nil if nothing.
  package var adopt: (LuaPointer, Int32) throws -> Object? = { _, _ in nil }
  /// Assigns argument 3 to such a key.
  package var setElement: ((Object, Call) throws -> Void)?

  private var setters: [String: NativeFunction] = [:]
  private var internals: [NativeFunction] = []
  private var metatable: UnsafeRawPointer?
  private var metatableReference: Int32 = 0

  init(_ name: String) {
    self.name = name
    describe = { _ in name }
  }

  private var receiverName: String { name.lowercased() }

  // MARK: Declarations

  /// A method that runs at once on the Lua thread.
  package func method(
    _ name: String, _ doc: String, _ parameters: [Parameter] = [], returns: String = "", example: String = "",
    _ body: @escaping (Object, Call) throws -> Results
  ) {
    functions.append(
      NativeFunction(
        "\(receiverName):\(name)", kind: .method, parameters, returns: returns, doc: doc, example: example,
        body: .immediate { [unowned self] call in try body(call.receiver(self), call) }))
  }

  /// A method that takes long: see `Work`.
  package func longMethod(
    _ name: String, _ doc: String, _ parameters: [Parameter] = [], returns: String = "", example: String = "",
    _ body: @escaping (Object, Call) throws -> Work
  ) {
    functions.append(
      NativeFunction(
        "\(receiverName):\(name)", kind: .method, parameters, returns: returns, doc: doc, example: example,
        body: .long { [unowned self] call in try body(call.receiver(self), call) }))
  }

  /// A method that waits for something other than a native operation.
  func waitingMethod(
    _ name: String, _ doc: String, _ parameters: [Parameter] = [], returns: String = "", example: String = "",
    _ body: @escaping (Object, Call) throws -> Wait
  ) {
    functions.append(
      NativeFunction(
        "\(receiverName):\(name)", kind: .method, parameters, returns: returns, doc: doc, example: example,
        body: .waiting { [unowned self] call in try body(call.receiver(self), call) }))
  }

  /// A field that is computed when it is read, and can be assigned if there is a `set`, which finds the new
  /// value as its argument 1.
  package func property(
    _ name: String, _ type: String, _ doc: String, get: @escaping (Object, Stack) throws -> Results,
    set: ((Object, Argument) throws -> Void)? = nil
  ) {
    let title = "\(receiverName).\(name)"
    functions.append(
      NativeFunction(
        title, kind: .property, [], returns: type, doc: doc, example: "",
        body: .immediate { [unowned self] call in try get(call.receiver(self), call.stack) }))
    guard let set else { return }
    setters[name] = NativeFunction(
      title, kind: .property, [Parameter("value", type)], returns: "", doc: doc, example: "",
      body: .immediate { [unowned self] call in
        try set(call.receiver(self), call[1])
        return .none
      })
  }

  /// An operator. Either operand may be the object: read both as arguments 1 and 2.
  package func metamethod(_ metamethod: Metamethod, _ body: @escaping (Call) throws -> Results) {
    let parameters = [Parameter("left", name), Parameter("right", name)]
    functions.append(
      NativeFunction(
        "\(name).__\(metamethod.rawValue)", kind: .metamethod, parameters, returns: name, doc: "",
        example: "",
        body: .immediate(body)))
  }

  /// The operators of another type, which adopts objects of this one.
  func addOperators<Other: LuaObject>(of other: LuaType<Other>) {
    functions += other.functions.filter { $0.kind == .metamethod }
  }

  /// A method that runs at once, and its body.
  func immediateMethod(_ name: String) -> (NativeFunction, body: (Call) throws -> Results) {
    guard let function = functions.first(where: { $0.kind == .method && $0.shortName == name }),
      case .immediate(let body) = function.body
    else { preconditionFailure("\(self.name) has no method '\(name)'") }
    return (function, body)
  }

  /// Replaces a method's body by one around it.
  func wrap(
    _ name: String,
    _ body: @escaping (Object, Call, _ plain: (Call) throws -> Results) throws -> Results
  ) {
    let (function, plain) = immediateMethod(name)
    functions[functions.firstIndex { $0 === function }!] = NativeFunction(
      function.name, kind: .method, function.parameters, returns: function.returns, doc: function.doc,
      example: function.example,
      body: .immediate { [unowned self] call in try body(call.receiver(self), call, plain) })
  }

  /// Ends a call for a field of an object that this type adopts: gives the method, or the property's value.
  func field(_ name: String, _ call: Call) throws -> Results {
    switch functions.first(where: { $0.kind != .metamethod && $0.shortName == name }) {
    case let function? where function.kind == .method:
      clua_push_function(call.lua, dispatch, pointer(to: function))
      return Results(count: 1)
    case let function?:
      guard case .immediate(let body) = function.body else { return .none }
      return try body(call)
    case nil: throw unknownField(call, among: functions.filter { $0.kind != .metamethod }.map(\.shortName))
    }
  }

  // MARK: Objects

  /// The object at an index, or nil when something else is there.
  func object(_ lua: LuaPointer, _ index: Int32) throws -> Object? {
    guard let box = box(lua, index) else { return try adopt(lua, index) }
    guard let object = box.pointee.object else { throw ScriptError("this \(name) has been closed") }
    return object._withUnsafeGuaranteedRef { unsafeDowncast($0, to: Object.self) }
  }

  private func box(_ lua: LuaPointer, _ index: Int32) -> UnsafeMutablePointer<Box>? {
    guard let memory = lua_touserdata(lua, index), lua_getmetatable(lua, index) != 0 else { return nil }
    let found = lua_topointer(lua, -1)
    lua_settop(lua, -2)
    return found == metatable ? memory.assumingMemoryBound(to: Box.self) : nil
  }

  func push(_ object: Object, on stack: Stack) throws {
    let lua = stack.lua
    try stack.reserve(3)
    let bytes = object.nativeBytes
    let memory = lua_newuserdatauv(lua, MemoryLayout<Box>.size, 0)!
    memory.initializeMemory(as: Box.self, to: Box(object: .passRetained(object), bytes: bytes))
    lua_rawgeti(lua, CLUA_REGISTRY, lua_Integer(metatableReference))
    lua_setmetatable(lua, -2)
    held = (held.count + 1, held.bytes + bytes)
    LuaState.of(lua).memory.add(bytes)
  }

  private func release(_ lua: LuaPointer) {
    guard let box = box(lua, 1), let object = box.pointee.object else { return }
    box.pointee.object = nil
    held = (held.count - 1, held.bytes - box.pointee.bytes)
    LuaState.of(lua).memory.remove(box.pointee.bytes)
    object.release()
  }

  // MARK: Metatable

  package func install(in lua: LuaPointer) {
    lua_createtable(lua, 0, 16)
    metatable = lua_topointer(lua, -1)
    set(name, "__name", in: lua)
    set(name, "__metatable", in: lua)  // scripts see the name instead of this table
    for function in functions where function.kind == .metamethod {
      set(function, function.shortName, in: lua)
    }
    setCommonMetamethods(in: lua)

    "__index".push(on: Stack(lua: lua))
    pushMethods(on: lua)
    pushTable(of: functions.filter { $0.kind == .property }.map { ($0.shortName, $0) }, on: lua)
    clua_push_index(lua, dispatch, pointer(to: missingKey))
    lua_rawset(lua, -3)
    "__newindex".push(on: Stack(lua: lua))
    pushTable(of: setters.map { ($0, $1) }, on: lua)
    clua_push_newindex(lua, dispatch, pointer(to: missingSetter))
    lua_rawset(lua, -3)
    metatableReference = luaL_ref(lua, CLUA_REGISTRY)
  }

  private func setCommonMetamethods(in lua: LuaPointer) {
    let collect = own("__gc") { type, call in
      type.release(call.lua)
      return .none
    }
    set(collect, "__gc", in: lua)
    let close = own("__close") { type, call in
      if let object = try type.object(call.lua, 1) { type.close(object) }
      type.release(call.lua)
      return .none
    }
    set(close, "__close", in: lua)
    let describe = own("__tostring") { type, call in
      guard let box = type.box(call.lua, 1), box.pointee.object != nil else {
        return try call.return("\(type.name) (closed)")
      }
      return try call.return(type.describe(call.receiver(type)))
    }
    set(describe, "__tostring", in: lua)
    if functions.contains(where: { $0.shortName == "__eq" }) { return }
    let equal = own("__eq") { type, call in
      try call.return(type.object(call.lua, 1) === type.object(call.lua, 2))
    }
    set(equal, "__eq", in: lua)
  }

  private func set(_ value: String, _ key: String, in lua: LuaPointer) {
    key.push(on: Stack(lua: lua))
    value.push(on: Stack(lua: lua))
    lua_rawset(lua, -3)
  }

  private func set(_ function: NativeFunction, _ key: String, in lua: LuaPointer) {
    key.push(on: Stack(lua: lua))
    clua_push_function(lua, dispatch, pointer(to: function))
    lua_rawset(lua, -3)
  }

  private func pushMethods(on lua: LuaPointer) {
    lua_createtable(lua, 0, Int32(functions.count))
    for method in functions where method.kind == .method { set(method, method.shortName, in: lua) }
  }

  private func pushTable(of functions: [(String, NativeFunction)], on lua: LuaPointer) {
    lua_createtable(lua, 0, Int32(functions.count))
    for (name, function) in functions {
      name.push(on: Stack(lua: lua))
      lua_pushlightuserdata(lua, pointer(to: function))
      lua_rawset(lua, -3)
    }
  }

  private var missingKey: NativeFunction {
    own("") { type, call in
      let object = try call.receiver(type)
      if let element = type.element, !call[2].isString { return try element(object, call) }
      if let missing = type.missing { return try missing(object, call) }
      throw type.unknownField(call, among: type.functions.filter { $0.kind != .metamethod }.map(\.shortName))
    }
  }

  private var missingSetter: NativeFunction {
    own("") { type, call in
      if let setElement = type.setElement, !call[2].isString {
        try setElement(call.receiver(type), call)
        return .none
      }
      let name = Script.string(call.lua, 2)
      guard type.functions.contains(where: { $0.kind == .property && $0.shortName == name }) else {
        throw type.unknownField(call, among: type.setters.keys.sorted())
      }
      throw ScriptError("\(type.receiverName).\(name) can be read but not assigned")
    }
  }

  private func unknownField(_ call: Call, among known: [String]) -> ScriptError {
    guard call[2].isString else {
      return ScriptError("\(name) has named fields, not \(describeValue(call.lua, 2))")
    }
    let key = Script.string(call.lua, 2)
    return ScriptError("\(name) has no field '\(key)'\(suggestion(for: key, among: known))")
  }

  /// A function that no person calls by name, kept alive by the type.
  private func own(
    _ title: String, _ body: @escaping (LuaType, Call) throws -> Results
  ) -> NativeFunction {
    let function = NativeFunction(
      title.isEmpty ? name : "\(name).\(title)", kind: .metamethod, [], returns: "", doc: "", example: "",
      body: .immediate { [unowned self] call in try body(self, call) })
    internals.append(function)
    return function
  }
}

func pointer(to function: NativeFunction) -> UnsafeMutableRawPointer {
  Unmanaged.passUnretained(function).toOpaque()
}
