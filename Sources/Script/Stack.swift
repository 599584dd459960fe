import CLua

/// How many values a native function left on top of the stack for its caller.
package struct Results {
  let count: Int32
  /// What is still to be done before there are results, away from Lua again; then `count` is 0.
  var next: Work?
  package static var none: Results { Results(count: 0) }
}

/// What can be given to Lua.
package protocol LuaPushable {
  /// Pushes exactly one value.
  func push(on stack: Stack) throws
}

/// The top of a Lua stack, for pushing results.
package struct Stack {
  let lua: LuaPointer

  /// Pushes values as a function's results.
  package func `return`<each Value: LuaPushable>(_ values: repeat each Value) throws -> Results {
    let top = lua_gettop(lua)
    repeat try (each values).push(on: self)
    return Results(count: lua_gettop(lua) - top)
  }

  package func push(_ value: some LuaPushable) throws {
    try value.push(on: self)
  }

  /// The number of values on the stack.
  package var count: Int32 { lua_gettop(lua) }

  /// The string on top, if it is one.
  package var topString: String? { lua_type(lua, -1) == LUA_TSTRING ? string(lua, -1) : nil }

  package var topBoolean: Bool { lua_toboolean(lua, -1) != 0 }

  package var topIsFunction: Bool { lua_type(lua, -1) == LUA_TFUNCTION }

  /// Takes values off the top.
  package func drop(_ count: Int32) { lua_settop(lua, -count - 1) }

  /// The strings of the list on top; nil when there is no list.
  package var topStrings: [String]? {
    guard lua_type(lua, -1) == LUA_TTABLE, lua_checkstack(lua, 1) != 0 else { return nil }
    return (0..<lua_rawlen(lua, -1)).map { offset in
      lua_rawgeti(lua, -1, lua_Integer(offset + 1))
      defer { lua_settop(lua, -2) }
      return lua_type(lua, -1) == LUA_TSTRING ? string(lua, -1) : ""
    }
  }

  /// Makes room for more values than the handful that a native function always has.
  func reserve(_ count: Int) throws {
    guard lua_checkstack(lua, Int32(count)) != 0 else {
      throw ScriptError("the Lua stack is full: too deep a recursion, or a value nested too deeply")
    }
  }

  /// Gives the table on top a field.
  package func set(_ value: some LuaPushable, _ name: String) throws {
    try reserve(3)
    name.push(on: self)
    try value.push(on: self)
    lua_rawset(lua, -3)
  }

  /// Pushes a list.
  package func push<Element: LuaPushable>(list: some Collection<Element>) throws {
    try reserve(3)
    lua_createtable(lua, Int32(clamping: list.count), 0)
    var position: lua_Integer = 0
    for element in list {
      position += 1
      try element.push(on: self)
      lua_rawseti(lua, -2, position)
    }
  }
}

/// A table with whole numbers as keys, which need not start at 1.
package struct IndexedTable: LuaPushable {
  let fields: [(key: Int, value: any LuaPushable)]
  package init(_ fields: [(key: Int, value: any LuaPushable)]) { self.fields = fields }
  package func push(on stack: Stack) throws {
    try stack.reserve(4)
    lua_createtable(stack.lua, Int32(clamping: fields.count), 0)
    for field in fields {
      try field.value.push(on: stack)
      lua_rawseti(stack.lua, -2, lua_Integer(field.key))
    }
  }
}

/// A table with named fields, in the order in which they are written; fields that are nil are left out.
package struct Table: LuaPushable, ExpressibleByDictionaryLiteral {
  private var fields: [(name: String, value: (any LuaPushable)?)]

  package init(dictionaryLiteral elements: (String, (any LuaPushable)?)...) {
    fields = elements.map { (name: $0.0, value: $0.1) }
  }

  package init(_ fields: [(name: String, value: (any LuaPushable)?)]) {
    self.fields = fields
  }

  package func push(on stack: Stack) throws {
    try stack.reserve(4)
    lua_createtable(stack.lua, 0, Int32(clamping: fields.count))
    for case (let name, let value?) in fields {
      name.push(on: stack)
      try value.push(on: stack)
      lua_rawset(stack.lua, -3)
    }
  }
}

extension Bool: LuaPushable {
  package func push(on stack: Stack) { lua_pushboolean(stack.lua, self ? 1 : 0) }
}
extension Int: LuaPushable {
  package func push(on stack: Stack) { lua_pushinteger(stack.lua, lua_Integer(self)) }
}
extension Int32: LuaPushable {
  package func push(on stack: Stack) { lua_pushinteger(stack.lua, lua_Integer(self)) }
}
extension Double: LuaPushable {
  package func push(on stack: Stack) { lua_pushnumber(stack.lua, self) }
}
extension Float: LuaPushable {
  package func push(on stack: Stack) { lua_pushnumber(stack.lua, Double(self)) }
}
extension String: LuaPushable {
  package func push(on stack: Stack) {
    var copy = self
    copy.withUTF8 { bytes in
      _ = bytes.withMemoryRebound(to: CChar.self) { lua_pushlstring(stack.lua, $0.baseAddress, $0.count) }
    }
  }
}
extension Optional: LuaPushable where Wrapped: LuaPushable {
  package func push(on stack: Stack) throws {
    if let self { try self.push(on: stack) } else { lua_pushnil(stack.lua) }
  }
}

/// Bytes that become a Lua string as they are.
package struct Bytes: LuaPushable {
  let bytes: [UInt8]
  package init(_ bytes: [UInt8]) { self.bytes = bytes }
  package func push(on stack: Stack) {
    bytes.withUnsafeBytes {
      _ = lua_pushlstring(stack.lua, $0.assumingMemoryBound(to: CChar.self).baseAddress, $0.count)
    }
  }
}

/// A Swift array becomes a list; numbers take a fast path.
extension Array: LuaPushable where Element: LuaPushable {
  package func push(on stack: Stack) throws {
    let lua = stack.lua
    switch self {
    case let values as [Float]:
      values.withUnsafeBufferPointer { clua_push_floats(lua, $0.baseAddress, $0.count) }
    case let values as [Double]:
      values.withUnsafeBufferPointer { clua_push_doubles(lua, $0.baseAddress, $0.count) }
    case let values as [Int32]:
      values.withUnsafeBufferPointer { clua_push_int32s(lua, $0.baseAddress, $0.count) }
    case let values as [Int]:
      values.withUnsafeBytes {
        clua_push_integers(lua, $0.assumingMemoryBound(to: Int64.self).baseAddress, values.count)
      }
    default: try stack.push(list: self)
    }
  }
}
