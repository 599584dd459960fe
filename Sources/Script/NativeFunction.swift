import CLua

package typealias LuaPointer = OpaquePointer

/// What a long function does away from Lua. It runs on the worker thread when a job called it, so it must not
/// touch Lua; it should poll `isInterrupted()`. What it returns pushes the results, on the Lua thread again.
package typealias Work = () throws -> Completion
package typealias Completion = (Stack) throws -> Results

/// What holds while a Lua function runs that a native function was given: `enter` sets it and returns what was
/// before, `leave` puts that back, after an error too. The Lua function may wait.
package struct Scope {
  let enter: () -> Int
  let leave: (LuaState, Int) -> Void
}

/// One argument, option, or property, as the person who calls it sees it. Feeds error messages, `help` and
/// stubs.
package final class Parameter: Sendable {
  /// A value that is taken when the script gives none.
  package enum Default: Sendable, CustomStringConvertible {
    case boolean(Bool), integer(Int), number(Double), string(String)

    package var description: String {
      switch self {
      case .boolean(let value): "\(value)"
      case .integer(let value): "\(value)"
      case .number(let value): "\(value)"
      case .string(let value): "\"\(value)\""
      }
    }
  }

  package let name: String
  /// In LuaCATS notation: `string`, `integer[]`, `Tensor`, `string|integer[]`, `table`, `fun(t: number):
  /// number`.
  package let type: String
  package let doc: String
  package let isOptional: Bool
  package let defaultValue: Default?
  /// The options of a table of options; unknown ones are errors.
  package let options: [Parameter]

  package init(
    _ name: String, _ type: String, _ doc: String = "", default: Default? = nil, optional: Bool = false,
    options: [Parameter] = []
  ) {
    self.name = name
    self.type = type
    self.doc = doc
    self.defaultValue = `default`
    self.isOptional = optional || `default` != nil
    self.options = options
  }

  /// A table of named options, which may be left out.
  package static func options(
    _ options: [Parameter], name: String = "options", _ doc: String = "", optional: Bool = true
  ) -> Parameter {
    Parameter(name, "table", doc, optional: optional, options: options)
  }
}

/// A function that Lua can call, declared once: what it is called, takes and gives, and what it does.
package final class NativeFunction {
  package enum Kind: String { case function, method, property, metamethod }
  package enum Body {
    /// Runs at once on the Lua thread.
    case immediate((Call) throws -> Results)
    /// Reads its arguments on the Lua thread and returns the work that is left to do.
    case long((Call) throws -> Work)
    /// Says what it waits for; other jobs run meanwhile.
    case waiting((Call) throws -> Wait)
    /// Calls its first argument with the others.
    case scoped(Scope)
  }

  /// As a person writes it: `mid.clock`, `model:generate`.
  package let name: String
  package let kind: Kind
  package let parameters: [Parameter]
  package let returns: String
  package let doc: String
  package let example: String
  let body: Body

  init(
    _ name: String, kind: Kind, _ parameters: [Parameter], returns: String, doc: String, example: String,
    body: Body
  ) {
    self.name = name
    self.kind = kind
    self.parameters = parameters
    self.returns = returns
    self.doc = doc
    self.example = example
    self.body = body
    receivers = kind == .method || kind == .property ? 1 : 0
    slots = receivers + Int32(parameters.count { $0.name != "..." })
  }

  /// The name without what it belongs to: `clock`, `generate`, `__add`.
  package var shortName: String { String(name.split(whereSeparator: { $0 == "." || $0 == ":" }).last ?? "") }

  /// What stands before the first argument on the stack: the object that a method was called on.
  let receivers: Int32
  private let slots: Int32

  /// The parameter at a 1-based position; a last one named `...` stands for all that follow.
  func parameter(at position: Int) -> Parameter? {
    if position <= parameters.count { return parameters[position - 1] }
    return parameters.last?.name == "..." ? parameters.last : nil
  }

  func invoke(_ lua: LuaPointer) throws -> Int32 {
    let given = lua_gettop(lua)
    // Options are pushed while they are read, so arguments that were not given need their places.
    if given < slots { lua_settop(lua, slots) }
    let call = Call(lua: lua, function: self, count: Int(given - receivers))
    switch body {
    case .immediate(let body): return try body(call).count
    case .long(let body): return try call.state.scheduler.run(body(call), for: call)
    case .waiting(let body): return try call.state.scheduler.wait(body(call), for: call)
    case .scoped(let scope):
      guard call[1].isFunction else { throw call[1].mismatch("function") }
      lua_settop(lua, given)
      lua_pushinteger(lua, lua_Integer(scope.enter()))
      lua_rotate(lua, 1, 1)
      return CLUA_CALL
    }
  }

  /// Ends the scope of a function that was called, and hands on its results or its error.
  func leaveScope(_ lua: LuaPointer, raising: Bool) -> Int32 {
    guard case .scoped(let scope) = body else { preconditionFailure("\(name) calls no function") }
    scope.leave(LuaState.of(lua), Int(lua_tointegerx(lua, 1, nil)))
    return raising ? CLUA_RAISE : lua_gettop(lua) - 1
  }
}

/// The one function of Swift that Lua's trampolines call. It never raises: it tells the trampoline what to
/// do.
let dispatch: clua_dispatch = { lua, function, reason in
  let lua = lua!
  return Unmanaged<NativeFunction>.fromOpaque(function!)._withUnsafeGuaranteedRef { function in
    do {
      switch Int(reason) {
      case CLUA_CALLED: return try function.invoke(lua)
      case CLUA_CONTINUED: return try LuaState.of(lua).scheduler.finish(lua)
      default: return function.leaveScope(lua, raising: reason == CLUA_RAISED)
      }
    } catch {
      return fail(error, in: function, lua)
    }
  }
}

/// Leaves the message for an error on the stack, headed by the script's line and the function's name.
private func fail(_ error: any Error, in function: NativeFunction, _ lua: LuaPointer) -> Int32 {
  lua_settop(lua, 0)
  if let error = error as? LuaValueError {  // a Lua error that passed through: the same value goes on
    error.push(to: lua)
    return CLUA_RAISE
  }
  if isInterrupted() {
    lua_pushstring(lua, "interrupted")
    return CLUA_RAISE
  }
  var message = "\(error)"
  // An operation's own error says `reshape: …`; the function's name says it already.
  if message.hasPrefix("\(function.shortName): ") { message.removeFirst(function.shortName.count + 2) }
  if !message.hasPrefix(function.name) { message = "\(function.name): \(message)" }
  luaL_where(lua, 1)
  lua_pushstring(lua, message)
  lua_concat(lua, 2)
  return CLUA_RAISE
}
