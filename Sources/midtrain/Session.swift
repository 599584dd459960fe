import Glibc
import Kernels
import Script

/// Runs what the command line asks for and gives the exit status: 0, 1 after an error, 2 for wrong usage, 130
/// after Ctrl-C, 143 after SIGTERM.
func run(_ words: [String]) -> Int32 {
  let invocation: Invocation
  do {
    invocation = try Invocation(words, fileExists: { access($0, F_OK) == 0 })
  } catch {
    writeError("midtrain: \(error)\nmidtrain --help shows what there is")
    return 2
  }
  do {
    switch invocation.command {
    case .help: print(Invocation.usage)
    case .version, .info: try printInfo()
    case .attach(let folder): return try Attachment(to: folder).run()
    case .set(let folder): return try Attachment(to: folder).set(invocation.settings)
    case .run: return Session().run(invocation)
    }
    return 0
  } catch {
    Terminal.report("\(error)")
    return 1
  }
}

/// `OpenBLAS 0.3.21 SkylakeX, AMX · 2 threads`
func engineSummary() -> String {
  let threads = ThreadPool.shared.threadCount
  return "\(BLAS.summary) · \(threads) thread\(threads == 1 ? "" : "s")"
}

private func printInfo() throws {
  print("midtrain \(midtrainVersion) · \(engineSummary()) · Lua 5.4")
  print("processor  \(processorName)")
  print("build      \(buildName)")
  print("library    \(try Library.locate())")
}

/// One run of the process: a Lua state, the scripts of the command line, and perhaps a prompt.
private struct Session {
  private let state = LuaState(.complete())

  func run(_ invocation: Invocation) -> Int32 {
    Interrupt.install(waking: state.scheduler)
    if invocation.isInteractive || startsPrompt(invocation) { Interrupt.expectPerson() }
    state.memory.collectWhenExhausted()
    state.scheduler.onFailure = { Terminal.report($0) }
    do {
      try prepare(invocation)
      try runScripts(invocation)
    } catch let error as ScriptError where error.kind == .interrupted {
      Terminal.report("\(error)")
      Interrupt.clear()
      if !invocation.isInteractive { end(by: Interrupt.termination ?? SIGINT) }
    } catch {
      Terminal.report("\(error)")
      if !invocation.isInteractive { leave(1) }
    }
    if invocation.isInteractive || startsPrompt(invocation) {
      Prompt(state).run()
      leave(0)
    }
    return state.scheduler.reportedFailures == 0 ? 0 : 1
  }

  /// Ends the process because of a signal, once runs that are between two steps are saved. A second signal ends it at once.
  private func end(by signal: Int32) -> Never {
    do {
      try state.run(
        "local run = package.loaded['midtrain.run'] if run then run.save_all '\(signal == SIGINT ? "SIGINT" : "SIGTERM")' end",
        name: "=(end)")
    } catch {
      Terminal.report("\(error)")
    }
    leave(128 + signal)
  }

  /// Ends the process while jobs may still run: they are cancelled and come to their ends, unless Ctrl-C is pressed
  /// again.
  private func leave(_ status: Int32) -> Never {
    Interrupt.clear()
    state.scheduler.onFailure = { _ in }
    let isClean = (try? state.scheduler.cancelAll()) != nil
    fflush(nil)
    // The libraries' own clean-up would pull memory from under a worker that still computes.
    if isClean { exit(status) } else { _exit(status) }
  }

  /// Nothing to run and a person to talk to.
  private func startsPrompt(_ invocation: Invocation) -> Bool {
    invocation.script == nil && invocation.steps.isEmpty && isatty(STDIN_FILENO) != 0
  }

  private func prepare(_ invocation: Invocation) throws {
    let folder = try Library.locate()
    try state.setGlobal("mid", to: folder)
    try state.run(
      """
      package.path = mid .. "/?.lua;" .. mid .. "/?/init.lua;" .. package.path
      mid = require "midtrain"
      function help(...) return require "midtrain.repl".help(...) end
      """, name: "=(start)")
    // As in `lua`: the script at 0, its arguments from 1, what came before at negative places.
    let origin = invocation.scriptIndex ?? 0
    try state.setGlobal(
      "arg", to: IndexedTable(invocation.words.enumerated().map { ($0.offset - origin, $0.element) }))
    if invocation.isRun { try state.setGlobal("settings", to: SettingsTable(settings: invocation.settings)) }
    if let code = environment("LUA_INIT_5_4") ?? environment("LUA_INIT") {
      if code.hasPrefix("@") {
        try runFile(String(code.dropFirst()))
      } else {
        try state.run(code, name: "=LUA_INIT")
      }
    }
  }

  private func runScripts(_ invocation: Invocation) throws {
    for step in invocation.steps {
      switch step {
      case .execute(let code): try state.run(code, name: "=(command line)")
      case .require(let name):
        try runCode(Array("local name = ... _G[name] = require(name)".utf8), name: "=(command line)", [name])
      }
    }
    let isPiped = isatty(STDIN_FILENO) == 0
    let script =
      invocation.script
      ?? (invocation.steps.isEmpty && isPiped && !invocation.isInteractive ? .standardInput : nil)
    if let script {
      try state.require("midtrain.strict")
      let arguments = invocation.scriptIndex.map { Array(invocation.words[($0 + 1)...]) } ?? []
      switch script {
      case .file(let path): try runFile(path, arguments)
      case .standardInput:
        guard let code = readAll(STDIN_FILENO) else { throw ScriptError("cannot read standard input") }
        try runCode(code, name: "=stdin", arguments)
      }
    }
    if !invocation.isInteractive { try state.scheduler.finishAll() }
  }

  private func runFile(_ path: String, _ arguments: [String] = []) throws {
    guard let code = readFile(path) else {
      throw ScriptError("cannot read \(path): \(String(cString: strerror(errno)))")
    }
    try runCode(code, name: "@" + path, arguments)
  }

  private func runCode(_ code: [UInt8], name: String, _ arguments: [String]) throws {
    // A first line `#!/usr/bin/env midtrain` is no Lua; its line end stays, so that lines keep their numbers.
    let body = code.first == UInt8(ascii: "#") ? code.drop { $0 != UInt8(ascii: "\n") } : code[...]
    try state.withStack { stack in
      try state.load(body, name: name)
      for argument in arguments { try stack.push(argument) }
      try state.call(arguments: Int32(arguments.count), results: 0)
    }
  }
}

/// The values of `--set`: numbers and booleans as such, anything else as text.
private struct SettingsTable: LuaPushable {
  let settings: [(name: String, value: String)]

  func push(on stack: Stack) throws {
    try Table(settings.map { (name: $0.name, value: value($0.value)) }).push(on: stack)
  }

  private func value(_ text: String) -> any LuaPushable {
    if text == "true" || text == "false" { return text == "true" }
    if let integer = Int(text) { return integer }
    if let number = Double(text) { return number }
    return text
  }
}
