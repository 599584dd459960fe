import CLua

/// A Lua state with the native module in it. It belongs to the thread that made it; all Lua code runs there.
package final class LuaState {
  let lua: LuaPointer
  package let registry: Registry
  package let memory: NativeMemory
  let references = ReferencePool()
  package private(set) lazy var scheduler = Scheduler(self)
  /// Source text of chunks that are not files, by chunk name, for tracebacks.
  private var sources: [String: String] = [:]
  let messageHandler: NativeFunction
  /// Lua's own, which nobody can replace: every job runs in it.
  private(set) var protectedCall: LuaReference!
  /// Functions outside the registry, kept alive for Lua.
  private var extraFunctions: [NativeFunction] = []

  /// Opens the standard libraries and `midtrain.native`, the table of everything in the registry.
  package init(_ registry: Registry) {
    guard let lua = luaL_newstate() else { fatalError("not enough memory for a Lua state") }
    self.lua = lua
    self.registry = registry
    memory = NativeMemory(lua)
    messageHandler = NativeFunction(
      "traceback", kind: .function, [Parameter("message", "any")], returns: "string", doc: "", example: "",
      body: .immediate { call in
        let message = errorMessage(call.lua, 1)
        let words = call.state.inWordsOfTheLibrary(message, in: call.lua)
        return try call.return(words ?? call.state.traced(message, in: call.lua, from: 1))
      })
    clua_set_owner(lua, Unmanaged.passUnretained(self).toOpaque())
    clua_use_incremental_collector(lua)
    lua_pushcclosure(lua, clua_open_libraries, 0)
    guard lua_pcallk(lua, 0, 0, 0, 0, nil) == LUA_OK else { fatalError("Lua's libraries do not open") }
    lua_getglobal(lua, "xpcall")
    protectedCall = LuaReference(lua, -1)
    lua_settop(lua, -2)
    installNativeModule()
  }

  deinit {
    scheduler.shutDown()
    lua_close(lua)
  }

  /// The state that a Lua stack belongs to.
  static func of(_ lua: LuaPointer) -> LuaState {
    Unmanaged<LuaState>.fromOpaque(clua_owner(lua)!).takeUnretainedValue()
  }

  func type<Object: LuaObject>(of type: Object.Type) -> LuaType<Object> { registry.type(of: type) }

  // MARK: Running code

  /// Compiles a chunk and leaves it on the stack.
  ///
  /// - Parameters:
  ///   - code: Lua source text, or a compiled chunk.
  ///   - name: As Lua wants it: `@path`, or `=title` for text that is not a file.
  ///   - shown: What tracebacks show as the source text, if not the code.
  /// - Throws: `ScriptError`, whose kind is `incomplete` when more text could make it right.
  package func load(_ code: some Collection<UInt8>, name: String, shownAs shown: String? = nil) throws {
    let code = Array(code)
    if name.hasPrefix("=") { sources[name] = shown ?? String(decoding: code, as: UTF8.self) }
    let status = code.withUnsafeBytes { bytes in
      luaL_loadbufferx(lua, bytes.assumingMemoryBound(to: CChar.self).baseAddress, bytes.count, name, nil)
    }
    guard status == LUA_OK else {
      let message = errorMessage(lua, -1)
      lua_settop(lua, -2)
      throw ScriptError(withSourceLine(message, of: name), message.hasSuffix("<eof>") ? .incomplete : .syntax)
    }
  }

  /// Calls the function below its `arguments` on the stack and leaves `results` values there (or all of
  /// them).
  ///
  /// - Throws: `ScriptError` with a traceback; its kind is `interrupted` after Ctrl-C.
  package func call(arguments: Int32 = 0, results: Int32 = LUA_MULTRET) throws {
    let handler = lua_gettop(lua) - arguments
    push(messageHandler)
    lua_rotate(lua, handler, 1)
    let status = clua_pcall(lua, arguments, results, handler)
    lua_rotate(lua, handler, -1)
    lua_settop(lua, -2)
    guard status != LUA_OK else { return }
    let message = errorMessage(lua, -1)
    lua_settop(lua, -2)
    throw ScriptError(message, Interrupt.isPending ? .interrupted : .failure)
  }

  /// Compiles and runs text.
  package func run(_ code: String, name: String = "=(text)") throws {
    try withStack { _ in
      try load(code.utf8, name: name)
      try call(results: 0)
    }
  }

  /// Calls a function of a Lua module with the `arguments` on top of the stack.
  package func call(
    _ module: String, _ function: String, arguments: Int32 = 0, results: Int32 = 0
  ) throws {
    try load("return require('\(module)').\(function)".utf8, name: "=(library)")
    try call(results: 1)
    lua_rotate(lua, -arguments - 1, 1)
    try call(arguments: arguments, results: results)
  }

  /// Requires a module and drops what it gives.
  package func require(_ module: String) throws {
    try run("require('\(module)')", name: "=(library)")
  }

  /// Runs with a stack that is as it was before when it ends.
  package func withStack<R>(_ body: (Stack) throws -> R) rethrows -> R {
    let base = lua_gettop(lua)
    defer { lua_settop(lua, base) }
    return try body(Stack(lua: lua))
  }

  /// Pushes a function that is no part of the registry.
  package func push(function name: String, _ body: @escaping (Call) throws -> Results) {
    let function = NativeFunction(
      name, kind: .function, [Parameter("...", "any")], returns: "", doc: "", example: "",
      body: .immediate(body))
    extraFunctions.append(function)
    push(function)
  }

  /// Sets a global variable.
  package func setGlobal(_ name: String, to value: some LuaPushable) throws {
    try withStack { stack in
      lua_rawgeti(lua, CLUA_REGISTRY, lua_Integer(LUA_RIDX_GLOBALS))
      try stack.push(name)
      try stack.push(value)
      lua_rawset(lua, -3)
    }
  }

  // MARK: Native module

  func push(_ function: NativeFunction, on other: LuaPointer? = nil) {
    clua_push_function(other ?? lua, dispatch, pointer(to: function))
  }

  private func installNativeModule() {
    for type in registry.types { type.install(in: lua) }
    lua_getfield(lua, CLUA_REGISTRY, LUA_LOADED_TABLE)
    "midtrain.native".push(on: Stack(lua: lua))
    lua_createtable(lua, 0, Int32(registry.functions.count + registry.values.count))
    for function in registry.functions {
      let path = function.name.split(separator: ".").dropFirst().map(String.init)
      for table in path.dropLast() { enterTable(table) }
      path.last!.push(on: Stack(lua: lua))
      push(function)
      lua_rawset(lua, -3)
      lua_settop(lua, -Int32(path.count - 1) - 1)
    }
    for (name, value) in registry.values {
      name.push(on: Stack(lua: lua))
      do { try value.push(on: Stack(lua: lua)) } catch { preconditionFailure("mid.\(name): \(error)") }
      lua_rawset(lua, -3)
    }
    lua_rawset(lua, -3)
    lua_settop(lua, -2)
  }

  /// Pushes the table in a field of the table on top of the stack, and makes it if need be.
  private func enterTable(_ name: String) {
    name.push(on: Stack(lua: lua))
    if lua_rawget(lua, -2) == LUA_TTABLE { return }
    lua_settop(lua, -2)
    lua_createtable(lua, 0, 0)
    name.push(on: Stack(lua: lua))
    lua_pushvalue(lua, -2)
    lua_rawset(lua, -4)
  }

  // MARK: Tracebacks

  /// The text of a chunk that is not a file.
  func source(of chunk: String) -> String? { sources[chunk] }

  /// A message with the calls that led to it. If it names the line that is to blame, as those of a wrong argument do,
  /// what that line called is left out.
  func traced(_ message: String, in lua: LuaPointer, from firstLevel: Int32) -> String {
    var level = firstLevel
    var debug = lua_Debug()
    while lua_getstack(lua, level, &debug) != 0 {
      lua_getinfo(lua, "Sl", &debug)
      if debug.currentline > 0, message.hasPrefix("\(shortSource(debug)):\(debug.currentline): ") {
        return message + traceback(of: lua, from: level)
      }
      level += 1
    }
    return message + traceback(of: lua, from: firstLevel)
  }

  /// The same by the standard library, which leaves itself out and says what a wrong argument should have been; nil
  /// without the library, and while Ctrl-C, which ends Lua code at once, is to be dealt with.
  private func inWordsOfTheLibrary(_ message: String, in lua: LuaPointer) -> String? {
    guard !Interrupt.isPending else { return nil }
    let top = lua_gettop(lua)
    defer { lua_settop(lua, top) }
    lua_getfield(lua, CLUA_REGISTRY, LUA_LOADED_TABLE)
    guard lua_getfield(lua, -1, "midtrain") == LUA_TTABLE else { return nil }
    guard luaL_loadstring(lua, "return require('midtrain.errors').traced(...)") == LUA_OK else { return nil }
    message.push(on: Stack(lua: lua))
    lua_pushboolean(lua, 1)
    guard clua_pcall(lua, 2, 1, 0) == LUA_OK else { return nil }
    return errorMessage(lua, -1)
  }

  /// A message of the compiler about the chunk with this name, `title:LINE: …`, with the text of that line.
  private func withSourceLine(_ message: String, of chunk: String) -> String {
    var files = SourceFiles(texts: sources)
    guard let match = message.firstMatch(of: #/:(\d+): /#), let number = Int(match.1), number > 0,
      let line = files.line(number, of: chunk), !line.isEmpty
    else { return message }
    return "\(message)\n    \(number) │ \(line)"
  }

  /// The calls that led to where a stack is now, each Lua line with its source text; it begins with a line
  /// end.
  func traceback(of lua: LuaPointer, from firstLevel: Int32) -> String {
    var lines = ["", "stack traceback:"]
    var files = SourceFiles(texts: sources)
    var debug = lua_Debug()
    var level = firstLevel
    while lua_getstack(lua, level, &debug) != 0 {
      level += 1
      if level - firstLevel == 12, lua_getstack(lua, level + 12, &debug) != 0 {
        let last = depth(of: lua)
        lines.append("  … \(last - 10 - level) more")
        level = last - 10
        continue
      }
      lua_getinfo(lua, "Slnt", &debug)
      let source = shortSource(debug)
      let place = debug.currentline > 0 ? "\(source):\(debug.currentline)" : source
      lines.append("  \(place): in \(functionName(debug))" + (debug.istailcall != 0 ? " (tail call)" : ""))
      if debug.currentline > 0,
        let line = files.line(Int(debug.currentline), of: String(cString: debug.source))
      {
        lines.append("    \(debug.currentline) │ \(line)")
      }
    }
    // What native code began with says nothing.
    while lines.count > 2, lines[lines.count - 1].hasPrefix("  [C]: in ") { lines.removeLast() }
    return lines.count > 2 ? lines.joined(separator: "\n") : ""
  }
}

/// How many levels a stack has. Each look at a level takes as long as it is deep.
private func depth(of lua: LuaPointer) -> Int32 {
  var debug = lua_Debug()
  var (exists, beyond): (Int32, Int32) = (0, 1)
  while lua_getstack(lua, beyond, &debug) != 0 { (exists, beyond) = (beyond, 2 * beyond) }
  while exists + 1 < beyond {
    let middle = (exists + beyond) / 2
    if lua_getstack(lua, middle, &debug) != 0 { exists = middle } else { beyond = middle }
  }
  return beyond
}

/// Where a stack level's code is from, as messages say it.
private func shortSource(_ debug: lua_Debug) -> String {
  withUnsafePointer(to: debug.short_src) {
    $0.withMemoryRebound(to: CChar.self, capacity: Int(LUA_IDSIZE)) { String(cString: $0) }
  }
}

/// What to call the function of a stack level.
private func functionName(_ debug: lua_Debug) -> String {
  if debug.name != nil {
    let kind = String(cString: debug.namewhat)
    return "\(kind.isEmpty ? "function" : kind) '\(String(cString: debug.name))'"
  }
  switch String(cString: debug.what) {
  case "main": return "main chunk"
  case "C": return "native code"
  default: return "function at line \(debug.linedefined)"
  }
}

/// The message of an error value, with what `__tostring` says for objects.
func errorMessage(_ lua: LuaPointer, _ index: Int32) -> String {
  if lua_isstring(lua, index) != 0 {
    lua_pushvalue(lua, index)  // converting a number must not change the value itself
    defer { lua_settop(lua, -2) }
    return string(lua, -1)
  }
  let value = lua_absindex(lua, index)
  let plain = "(the error is \(describeValue(lua, value)), not a message)"
  guard lua_getmetatable(lua, value) != 0 else { return plain }
  lua_settop(lua, -2)
  lua_pushcclosure(lua, clua_tostring, 0)
  lua_pushvalue(lua, value)
  defer { lua_settop(lua, -2) }
  guard lua_pcallk(lua, 1, 1, 0, 0, nil) == LUA_OK, lua_type(lua, -1) == LUA_TSTRING else { return plain }
  return string(lua, -1)
}
