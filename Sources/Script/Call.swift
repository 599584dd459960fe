import CLua

/// One call of a native function: its arguments by 1-based position, and the stack for its results.
///
///     let path = try call[1].path()
///     return try call.return(path.utf8.count)
package struct Call {
  let lua: LuaPointer
  let function: NativeFunction
  /// The number of arguments that were given, not counting the object that a method is called on.
  package let count: Int

  package var stack: Stack { Stack(lua: lua) }
  package var state: LuaState { LuaState.of(lua) }

  /// The argument at a 1-based position, not counting the object that a method is called on.
  package subscript(position: Int) -> Argument {
    Argument(
      call: self, index: Int32(position) + function.receivers, position: position, suffix: "",
      parameter: function.parameter(at: position))
  }

  /// The table of options at a position, or none. An option that is not declared is an error.
  package func options(_ position: Int) throws -> Options {
    try Options(self[position])
  }

  /// Ends the call with these results.
  package func `return`<each Value: LuaPushable>(_ values: repeat each Value) throws -> Results {
    try stack.return(repeat each values)
  }

  func receiver<Object: LuaObject>(_ type: LuaType<Object>) throws -> Object {
    if let object = try type.object(lua, 1) { return object }
    let found = describeValue(lua, 1)
    throw ScriptError(
      """
      \(function.name) was called on \(found), not on a \(type.name); write `object:\(function.shortName)(…)`
      """
    )
  }
}

/// The named options of a call: `try options["temperature"].number(min: 0)`.
package struct Options {
  private let table: Argument
  private let isAbsent: Bool

  init(_ table: Argument) throws {
    self.table = table
    isAbsent = table.isNil
    guard !isAbsent else {
      if table.parameter?.isOptional == false { throw table.mismatch("table of options") }
      return
    }
    try table.requireTable("table of options")
    let lua = table.lua
    let known = table.parameter?.options ?? []
    try table.call.stack.reserve(2)
    lua_pushnil(lua)
    while clua_next(lua, table.index) != 0 {
      lua_settop(lua, -2)
      let name = lua_type(lua, -1) == LUA_TSTRING ? string(lua, -1) : nil
      guard let name, known.contains(where: { $0.name == name }) else {
        throw table.error(
          name.map { "unknown option '\($0)'\(suggestion(for: $0, among: known.map(\.name)))" }
            ?? "options have names, but a key is \(describeValue(lua, -1))")
      }
    }
  }

  package subscript(name: String) -> Argument {
    guard let parameter = table.parameter?.options.first(where: { $0.name == name }) else {
      preconditionFailure("\(table.call.function.name) reads an option '\(name)' that it does not declare")
    }
    let lua = table.lua
    guard lua_checkstack(lua, 2) != 0 else { fatalError("no room on the Lua stack for an option") }
    if isAbsent {
      lua_pushnil(lua)
    } else {
      name.push(on: Stack(lua: lua))
      lua_rawget(lua, table.index)
    }
    return Argument(
      call: table.call, index: lua_gettop(lua), position: table.position, suffix: ".\(name)",
      parameter: parameter)
  }
}

/// The bytes of the string at an index, as text; invalid UTF-8 is repaired.
func string(_ lua: LuaPointer, _ index: Int32) -> String {
  var length = 0
  guard let start = lua_tolstring(lua, index, &length) else { return "" }
  return String(decoding: UnsafeRawBufferPointer(start: start, count: length), as: UTF8.self)
}

/// A value as error messages show it: `string "hot"`, `number 3`, `nil`, `Tensor`.
func describeValue(_ lua: LuaPointer, _ index: Int32) -> String {
  switch lua_type(lua, index) {
  case LUA_TNONE: return "nothing"
  case LUA_TNIL: return "nil"
  case LUA_TBOOLEAN: return "boolean \(lua_toboolean(lua, index) != 0)"
  case LUA_TNUMBER:
    return lua_isinteger(lua, index) != 0
      ? "number \(lua_tointegerx(lua, index, nil))" : "number \(lua_tonumberx(lua, index, nil))"
  case LUA_TSTRING:
    let text = string(lua, index)
    return text.count <= 40 ? "string \"\(text)\"" : "string \"\(text.prefix(40))…\""
  case LUA_TTABLE: return "a table"
  case LUA_TFUNCTION: return "a function"
  case LUA_TTHREAD: return "a coroutine"
  default:
    guard lua_getmetatable(lua, index) != 0 else { return "userdata" }
    "__name".push(on: Stack(lua: lua))
    let isNamed = lua_rawget(lua, -2) == LUA_TSTRING
    defer { lua_settop(lua, -3) }
    return isNamed ? string(lua, -1) : "userdata"
  }
}
