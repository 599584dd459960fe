// All areas together, and the registry itself as a table for help, completion and stubs.

extension Registry {
  /// Everything that midtrain offers to Lua.
  package static func complete() -> Registry {
    let registry = Registry()
    registry.addSystem()
    registry.addFiles()
    registry.addJobs()
    registry.addServer()
    registry.addTensors()
    registry.addText()
    registry.addData()
    registry.addGrading()
    registry.addModels()
    registry.addTraining()
    registry.addRegistry()
    return registry
  }

  /// `mid.registry` and `mid.source`.
  package func addRegistry() {
    function(
      "registry",
      """
      Every native function, method and property as a list of tables: `name`, `kind`, `parameters`, `returns`, \
      `doc`, `example`.
      """,
      returns: "table[]", example: "for _, entry in ipairs(mid.registry()) do print(entry.name) end"
    ) { call in
      try call.return(call.state.registry.entries)
    }

    function(
      "source", "The text of code that is not in a file, such as what was typed at the prompt.",
      [Parameter("chunk", "string", "a name as in debug.getinfo(f).source")], returns: "string?",
      example: "print(mid.source(debug.getinfo(f).source))"
    ) { call in
      try call.return(call.state.source(of: call[1].string()))
    }
  }
}

extension NativeFunction: LuaPushable {
  package func push(on stack: Stack) throws {
    let table: Table = [
      "name": name, "kind": kind.rawValue, "parameters": parameters, "returns": returns, "doc": doc,
      "example": example,
    ]
    try table.push(on: stack)
  }
}

extension Parameter: LuaPushable {
  package func push(on stack: Stack) throws {
    let table: Table = [
      "name": name, "type": type, "doc": doc, "default": defaultValue?.description, "optional": isOptional,
      "options": options.isEmpty ? nil : options,
    ]
    try table.push(on: stack)
  }
}
