import Glibc
import Script

/// The prompt: reads lines, runs them, prints what they give, and lets jobs go on meanwhile.
final class Prompt {
  private let state: LuaState
  private let isTerminal = isatty(STDIN_FILENO) != 0
  /// The lines of an input that is not complete yet.
  private var pending = ""
  private var inputNumber = 0
  private var isAskingToLeave = false
  private var isOver = false
  private lazy var editor = LineEditor(
    historyPath: Self.historyPath, complete: { [unowned self] in complete($0, $1) })

  init(_ state: LuaState) { self.state = state }

  /// Serves the person until they leave.
  func run() {
    protect {
      try state.withStack { _ in try state.call("midtrain.repl", "begin", arguments: 0, results: 0) }
    }
    if isTerminal { runTerminal() } else { runPipe() }
  }

  static var historyPath: String {
    environment("MIDTRAIN_HISTORY") ?? (environment("HOME") ?? ".") + "/.midtrain_history"
  }

  // MARK: Main loops

  private func runTerminal() {
    print(Terminal.bold("midtrain \(midtrainVersion)") + " · \(engineSummary()) · type help() for help")
    runStartupFile()
    guardOutput()
    state.scheduler.onFailure = { [unowned self] message in
      editor.makeRoom(last: 10)
      Terminal.report(message)
    }
    while !isOver {
      if !editor.isVisible { editor.begin(promptText) }
      wait()
      if Interrupt.isPending {
        editor.abandon()
        pending = ""
        isAskingToLeave = false
        Interrupt.clear()
      }
    }
  }

  private var promptText: String {
    if isAskingToLeave {
      return "A job is still running. Leave and stop it? Runs with a folder are saved. [y/N] "
    }
    return pending.isEmpty ? "> " : ">> "
  }

  /// Waits for a key or a job, and deals with it.
  private func wait() {
    fflush(nil)
    let hasKeys = state.scheduler.wait(orFor: STDIN_FILENO)
    editor.suspendIfAsked()
    state.scheduler.turn()
    editor.showAgain()
    guard hasKeys else { return }
    switch editor.readKeys() {
    case .line(let line): take(line)
    case .endOfInput: leave()
    case nil: break
    }
  }

  /// Input that is no terminal: no banner, no prompts, only results.
  private func runPipe() {
    var buffer: [UInt8] = []
    var isAtEnd = false
    while !isAtEnd, !isOver {
      fflush(nil)
      let hasInput = state.scheduler.wait(orFor: STDIN_FILENO)
      state.scheduler.turn()
      if hasInput {
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(STDIN_FILENO, &chunk, chunk.count)
        isAtEnd = count == 0
        buffer += chunk[..<max(0, count)]
        if isAtEnd, !buffer.isEmpty { buffer.append(10) }
        while let end = buffer.firstIndex(of: 10), !isOver {
          take(String(decoding: buffer[..<end], as: UTF8.self))
          buffer.removeSubrange(...end)
        }
      }
      Interrupt.clear()
    }
    do {
      if !pending.isEmpty { try state.load(pending.utf8, name: "=stdin") }
      try state.scheduler.finishAll()
    } catch {
      Terminal.report("\(error)")
    }
  }

  private func leave() {
    if !pending.isEmpty {
      pending = ""
    } else if state.scheduler.hasJobs, !isAskingToLeave {
      isAskingToLeave = true
    } else {
      isOver = true
    }
  }

  // MARK: Evaluation

  private func take(_ line: String) {
    if isAskingToLeave {
      isAskingToLeave = false
      guard line.lowercased().hasPrefix("y") else { return }
      // Ctrl-C here leaves at once.
      protect { try state.run("require('midtrain.run').stop_all()", name: "=(leaving)") }
      isOver = true
      return
    }
    if isTerminal { editor.remember(line) }
    if pending.isEmpty, Terminal.runByShell(line) { return }
    pending += pending.isEmpty ? line : "\n" + line
    if pending.allSatisfy(\.isWhitespace) {
      pending = ""
      return
    }
    protect { try state.withStack { try evaluate(on: $0) } }
  }

  private func evaluate(on stack: Stack) throws {
    let base = stack.count
    try stack.push(pending)
    try stack.push("in[\(inputNumber + 1)]")
    try state.call("midtrain.repl", "compile", arguments: 2, results: 3)
    let isSilent = stack.topBoolean
    stack.drop(1)
    // A function, or what is wrong; neither for the beginning of something, which stays in `pending`.
    if let problem = stack.topString {
      pending = ""
      throw ScriptError(problem, .syntax)
    }
    stack.drop(1)
    guard stack.topIsFunction else { return }
    pending = ""
    inputNumber += 1
    try state.call()
    let results = stack.count - base
    if results > 0, !isSilent { try state.call("midtrain.repl", "show", arguments: results) }
  }

  /// Runs something whose errors are shown, and which Ctrl-C stops.
  private func protect(_ body: () throws -> Void) {
    Interrupt.clear()
    do { try body() } catch { Terminal.report("\(error)") }
    Interrupt.clear()
  }

  private func runStartupFile() {
    guard let home = environment("HOME"), let code = readFile(home + "/.midtrainrc.lua") else { return }
    protect {
      try state.withStack { _ in
        try state.load(code, name: "@\(home)/.midtrainrc.lua")
        try state.call(results: 0)
      }
    }
  }

  // MARK: Lua's part

  /// Lets what jobs print push the line that is being typed out of the way.
  private func guardOutput() {
    protect {
      try state.withStack { _ in
        state.push(function: "before_output") { [unowned self] call in
          editor.makeRoom(last: try call[1].withBytes { $0.last })
          return .none
        }
        try state.call("midtrain.repl", "guard_output", arguments: 1)
      }
    }
  }

  private func complete(_ word: String, _ before: String) -> [String]? {
    state.withStack { stack in
      do {
        try stack.push(word)
        try stack.push(pending.isEmpty ? before : pending + "\n" + before)
        try state.call("midtrain.repl", "complete", arguments: 2, results: 1)
      } catch {
        return []
      }
      return stack.topStrings
    }
  }
}
