import CLua
import Synchronization

/// Which references Swift let go of. Objects may die on the worker thread, where Lua must not be touched, so
/// the numbers are kept here until the Lua thread asks.
final class ReferencePool: Sendable {
  private let released = Mutex<[Int32]>([])

  func release(_ number: Int32) { released.withLock { $0.append(number) } }

  /// Frees what was released. Call on the Lua thread.
  func drain(_ lua: LuaPointer) {
    let numbers = released.withLock { numbers in
      defer { numbers.removeAll(keepingCapacity: true) }
      return numbers
    }
    for number in numbers { luaL_unref(lua, CLUA_REGISTRY, number) }
  }
}

/// A Lua value that Swift keeps alive.
final class LuaReference: Sendable {
  private let number: Int32
  private let pool: ReferencePool

  /// Takes the value at an index.
  init(_ lua: LuaPointer, _ index: Int32) {
    pool = LuaState.of(lua).references
    pool.drain(lua)
    lua_pushvalue(lua, index)
    number = luaL_ref(lua, CLUA_REGISTRY)
  }

  deinit { pool.release(number) }

  func push(on lua: LuaPointer) { lua_rawgeti(lua, CLUA_REGISTRY, lua_Integer(number)) }
}

/// An error value that a Lua function raised and that passes through native code unchanged.
struct LuaValueError: Error {
  private let value: LuaReference
  init(_ lua: LuaPointer) { value = LuaReference(lua, -1) }
  func push(to lua: LuaPointer) { value.push(on: lua) }
}

/// What a Lua function returned to native code.
package enum LuaScalar: Equatable {
  case none, boolean(Bool), number(Double), string(String), other(String)
}

/// A Lua function that native code can call, on the Lua thread only.
package final class LuaFunction {
  private let reference: LuaReference

  init(_ lua: LuaPointer, _ index: Int32) { reference = LuaReference(lua, index) }

  /// Calls the function and gives its first result. An error inside it goes on to the script that called us.
  package func call<each Value: LuaPushable>(
    on stack: Stack, _ arguments: repeat each Value
  ) throws -> LuaScalar {
    try call(on: stack, results: 1, repeat each arguments) { lua, index in
      switch lua_type(lua, index) {
      case LUA_TNIL: .none
      case LUA_TBOOLEAN: .boolean(lua_toboolean(lua, index) != 0)
      case LUA_TNUMBER: .number(lua_tonumberx(lua, index, nil))
      case LUA_TSTRING: .string(string(lua, index))
      default: .other(describeValue(lua, index))
      }
    }
  }

  /// Calls the function for so many results, which `read` finds from an index on.
  func call<each Value: LuaPushable, Result>(
    on stack: Stack, results: Int32, _ arguments: repeat each Value,
    read: (_ lua: LuaPointer, _ index: Int32) throws -> Result
  ) throws -> Result {
    let lua = stack.lua
    let base = lua_gettop(lua)
    defer { lua_settop(lua, base) }
    try stack.reserve(Int(results) + 4)
    reference.push(on: lua)
    let count = try stack.return(repeat each arguments).count
    guard clua_pcall(lua, count, results, 0) == LUA_OK else { throw LuaValueError(lua) }
    return try read(lua, base + 1)
  }
}
