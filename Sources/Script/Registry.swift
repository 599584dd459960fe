/// Everything that native code offers to Lua, each declared once. A `Bind+X.swift` adds one area:
///
///     extension Registry {
///       package func addSystem() {
///         function("exists", "Whether a file is there.", [Parameter("path", "string")], returns: "boolean") {
///           call in
///           try call.return(access(call[1].path(), F_OK) == 0)
///         }
///       }
///     }
package final class Registry {
  package private(set) var functions: [NativeFunction] = []
  package private(set) var types: [any AnyLuaType] = []
  private(set) var values: [(name: String, value: any LuaPushable)] = []
  private var typesByClass: [ObjectIdentifier: any AnyLuaType] = [:]

  package init() {}

  /// A function of `mid` that runs at once on the Lua thread. A name with a dot goes into a table:
  /// `json.encode`.
  package func function(
    _ name: String, _ doc: String, _ parameters: [Parameter] = [], returns: String = "", example: String = "",
    _ body: @escaping (Call) throws -> Results
  ) {
    add(name, parameters, returns, doc, example, .immediate(body))
  }

  /// A function of `mid` that takes long: see `Work`.
  package func longFunction(
    _ name: String, _ doc: String, _ parameters: [Parameter] = [], returns: String = "", example: String = "",
    _ body: @escaping (Call) throws -> Work
  ) {
    add(name, parameters, returns, doc, example, .long(body))
  }

  /// A function of `mid` that waits for something other than a native operation.
  func waitingFunction(
    _ name: String, _ doc: String, _ parameters: [Parameter] = [], returns: String = "", example: String = "",
    _ body: @escaping (Call) throws -> Wait
  ) {
    add(name, parameters, returns, doc, example, .waiting(body))
  }

  /// A function of `mid` that calls a function which it is given: see `Scope`.
  func scopedFunction(
    _ name: String, _ doc: String, _ parameters: [Parameter], returns: String = "", example: String = "",
    _ scope: Scope
  ) {
    add(name, parameters, returns, doc, example, .scoped(scope))
  }

  /// A constant of `mid`.
  package func value(_ name: String, _ value: any LuaPushable) {
    values.append((name, value))
  }

  /// A Swift class whose objects Lua can hold; `declare` adds its methods and properties.
  package func type<Object: LuaObject>(
    _ type: Object.Type, _ name: String, _ declare: (LuaType<Object>) -> Void
  ) {
    let luaType = LuaType<Object>(name)
    declare(luaType)
    types.append(luaType)
    typesByClass[ObjectIdentifier(type)] = luaType
  }

  /// Every function, method and property, for help, completion and stubs.
  package var entries: [NativeFunction] {
    functions + types.flatMap { $0.functions.filter { $0.kind != .metamethod } }
  }

  func type<Object: LuaObject>(of type: Object.Type) -> LuaType<Object> {
    guard let luaType = typesByClass[ObjectIdentifier(type)] as? LuaType<Object> else {
      preconditionFailure("\(type) is given to Lua but not registered")
    }
    return luaType
  }

  private func add(
    _ name: String, _ parameters: [Parameter], _ returns: String, _ doc: String, _ example: String,
    _ body: NativeFunction.Body
  ) {
    functions.append(
      NativeFunction(
        "mid.\(name)", kind: .function, parameters, returns: returns, doc: doc, example: example, body: body))
  }
}
