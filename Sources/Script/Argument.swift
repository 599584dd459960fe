import CLua

/// One value that a script gave: an argument or an option. Each reader checks the type and says what it
/// expected. One that is nil gives the declared default; without a default it is an error, unless read
/// through `optional`.
package struct Argument {
  let call: Call
  let index: Int32
  let position: Int
  /// What leads from the argument to this value: `.temperature`, `[3]`, or nothing for the argument itself.
  let suffix: String
  let parameter: Parameter?

  var lua: LuaPointer { call.lua }

  package var isNil: Bool { lua_type(lua, index) <= LUA_TNIL }

  /// Itself, or nil when the script gave nothing: `call[2].optional?.integer()`.
  package var optional: Argument? { isNil ? nil : self }

  package var isString: Bool { lua_type(lua, index) == LUA_TSTRING }
  package var isNumber: Bool { lua_type(lua, index) == LUA_TNUMBER }
  package var isInteger: Bool { lua_isinteger(lua, index) != 0 }
  package var isTable: Bool { lua_type(lua, index) == LUA_TTABLE }
  package var isFunction: Bool { lua_type(lua, index) == LUA_TFUNCTION }

  /// The value as error messages show it.
  package var described: String {
    suffix.isEmpty && position > call.count ? "nothing" : describeValue(lua, index)
  }

  // MARK: Scalars

  /// True or false; nothing else counts as either.
  package func boolean() throws -> Bool {
    if lua_type(lua, index) == LUA_TBOOLEAN { return lua_toboolean(lua, index) != 0 }
    if isNil, case .boolean(let value) = parameter?.defaultValue { return value }
    throw mismatch("boolean")
  }

  /// A whole number; a float that is whole counts.
  package func integer(min: Int? = nil, max: Int? = nil) throws -> Int {
    if isNil, case .integer(let value) = parameter?.defaultValue { return value }
    var isInteger: Int32 = 0
    let value = lua_type(lua, index) == LUA_TNUMBER ? lua_tointegerx(lua, index, &isInteger) : 0
    guard isInteger != 0, value >= min ?? .min, value <= max ?? .max else {
      throw mismatch("integer" + bounds(min.map { "\($0)" }, max.map { "\($0)" }))
    }
    return Int(value)
  }

  /// A number that is not NaN.
  package func number(min: Double? = nil, above: Double? = nil, max: Double? = nil) throws -> Double {
    if isNil, let value = parameter?.defaultValue {
      if case .number(let number) = value { return number }
      if case .integer(let number) = value { return Double(number) }
    }
    let value = isNumber ? lua_tonumberx(lua, index, nil) : .nan
    guard value >= min ?? -.infinity, value <= max ?? .infinity, above.map({ value > $0 }) ?? true else {
      let range = above.map { " > \(short($0))" + (max.map { " and ≤ \(short($0))" } ?? "") }
      throw mismatch("number" + (range ?? bounds(min.map(short), max.map(short))))
    }
    return value
  }

  /// Text.
  package func string() throws -> String {
    if isString { return Script.string(lua, index) }
    if isNil, case .string(let value) = parameter?.defaultValue { return value }
    throw mismatch("string")
  }

  /// The name of a file or folder. One with a zero in it would name another one to the system.
  package func path() throws -> String {
    let path = try string()
    guard !path.isEmpty, !path.utf8.contains(0) else { throw mismatch("the name of a file or folder") }
    return path
  }

  /// One of some words.
  package func word(_ known: [String]) throws -> String {
    let word = try string()
    guard known.contains(word) else {
      throw mismatch("one of \(known.map { "\"\($0)\"" }.joined(separator: ", "))")
    }
    return word
  }

  /// The bytes of a string, which need not be text.
  package func bytes() throws -> [UInt8] {
    try withBytes { Array($0) }
  }

  /// The bytes of a string, without a copy.
  package func withBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    guard isString else { throw mismatch("string") }
    var length = 0
    let start = lua_tolstring(lua, index, &length)
    return try body(UnsafeRawBufferPointer(start: start, count: length))
  }

  // MARK: Lists

  /// The length of a list.
  package func length() throws -> Int {
    try requireTable("list")
    return Int(lua_rawlen(lua, index))
  }

  /// A list of numbers.
  package func floats() throws -> [Float] {
    try list("list of numbers") { clua_read_floats(lua, index, $0, $1) }
  }

  /// A list of numbers.
  package func doubles() throws -> [Double] {
    try list("list of numbers") { clua_read_doubles(lua, index, $0, $1) }
  }

  /// A list of integers of 32 bits, such as token ids.
  package func integers() throws -> [Int32] {
    try list("list of integers") { clua_read_int32s(lua, index, $0, $1) }
  }

  /// A list of strings.
  package func strings() throws -> [String] {
    try elements().map { try $0.string() }
  }

  /// The elements of a list of anything. They stay on the stack until the function returns.
  package func elements() throws -> [Argument] {
    let count = try length()
    try call.stack.reserve(count + 2)
    return (0..<count).map { offset in
      lua_rawgeti(lua, index, lua_Integer(offset + 1))
      return Argument(
        call: call, index: lua_gettop(lua), position: position, suffix: suffix + "[\(offset + 1)]",
        parameter: parameter)
    }
  }

  /// The pairs of a table, in no particular order. They stay on the stack until the function returns.
  package func pairs() throws -> [(key: Argument, value: Argument)] {
    try requireTable("table")
    var pairs: [(key: Argument, value: Argument)] = []
    try call.stack.reserve(4)
    lua_pushnil(lua)
    while clua_next(lua, index) != 0 {
      try call.stack.reserve(4)
      let top = lua_gettop(lua)
      let name = describeValue(lua, top - 1)
      let key = Argument(
        call: call, index: top - 1, position: position, suffix: suffix + "[key]", parameter: parameter)
      let value = Argument(
        call: call, index: top, position: position, suffix: suffix + "[\(name)]", parameter: parameter)
      pairs.append((key, value))
      lua_pushvalue(lua, top - 1)
    }
    return pairs
  }

  /// A field of a table, by raw access. It stays on the stack until the function returns.
  package subscript(name: String) -> Argument {
    get throws {
      try requireTable("table")
      try call.stack.reserve(2)
      name.push(on: call.stack)
      lua_rawget(lua, index)
      return Argument(
        call: call, index: lua_gettop(lua), position: position, suffix: "\(suffix).\(name)",
        parameter: parameter)
    }
  }

  private func list<Number>(
    _ expected: String, _ read: (UnsafeMutablePointer<Number>?, Int) -> Int
  ) throws -> [Number] {
    try requireTable(expected)
    let count = Int(lua_rawlen(lua, index))
    var bad = 0
    let values = [Number](unsafeUninitializedCapacity: count) { buffer, initialized in
      bad = read(buffer.baseAddress, count)
      initialized = bad == 0 ? count : 0
    }
    guard bad == 0 else {
      lua_rawgeti(lua, index, lua_Integer(bad))
      throw error("expected \(expected), got \(describeValue(lua, -1)) at position \(bad)")
    }
    return values
  }

  // MARK: Objects and functions

  /// An object of a registered type.
  package func object<Object: LuaObject>(_ type: Object.Type) throws -> Object {
    let luaType = call.state.type(of: type)
    guard let object = try luaType.object(lua, index) else { throw mismatch(luaType.name) }
    return object
  }

  /// An object of a registered type, or nil when the value is something else.
  package func ifObject<Object: LuaObject>(_ type: Object.Type) throws -> Object? {
    try call.state.type(of: type).object(lua, index)
  }

  /// A Lua function, kept alive for later calls on the Lua thread.
  package func function() throws -> LuaFunction {
    guard isFunction else { throw mismatch("function") }
    return LuaFunction(lua, index)
  }

  // MARK: Errors

  /// `model:generate: argument 2 (options.temperature): …`
  package func error(_ message: String) -> ScriptError {
    let function = call.function
    if function.kind == .property { return ScriptError("\(function.name): \(message)") }
    let path = (function.parameter(at: position)?.name ?? "") + suffix
    return ScriptError(
      "\(function.name): argument \(position)\(path.isEmpty ? "" : " (\(path))"): \(message)")
  }

  package func mismatch(_ expected: String) -> ScriptError {
    error("expected \(expected), got \(described)")
  }

  func requireTable(_ expected: String) throws {
    guard isTable else { throw mismatch(expected) }
  }

  private func bounds(_ min: String?, _ max: String?) -> String {
    switch (min, max) {
    case (let min?, let max?): " from \(min) to \(max)"
    case (let min?, nil): " ≥ \(min)"
    case (nil, let max?): " ≤ \(max)"
    case (nil, nil): ""
    }
  }
}

/// A number without a needless `.0`.
private func short(_ value: Double) -> String {
  Int(exactly: value).map { "\($0)" } ?? "\(value)"
}
