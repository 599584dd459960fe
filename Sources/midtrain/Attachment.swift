// The outside of `midtrain attach DIR` and `midtrain set DIR name=value`. What is said over the socket is in
// stdlib/midtrain/attach.lua.
import Glibc
import Script
import Text

/// A connection to a process that trains in a folder.
final class Attachment {
  private let descriptor: Int32
  private let folder: String
  private var received: [UInt8] = []
  /// What the line that is being typed stands behind; nil while an answer is due.
  private var prompt: String?
  private static let firstPrompt = "> "
  /// How long Tab waits for the process, which answers between two operations, in seconds.
  private static let patience = 1.0
  private lazy var editor = LineEditor(
    historyPath: Prompt.historyPath, complete: { [unowned self] in candidates(for: $0, after: $1) })

  /// - Throws: `ScriptError` that says what to do when nobody listens in the folder.
  init(to folder: String) throws {
    guard access(folder, F_OK) == 0 else { throw ScriptError("there is no folder '\(folder)'") }
    do {
      descriptor = try UnixSocket.connect(in: folder + "/.attach")
    } catch {
      throw ScriptError(
        """
        no process of yours trains in '\(folder)' now (\(error)). A run listens in its folder, `out`, as long as its \
        process has it
        """)
    }
    self.folder = folder
  }

  deinit { close(descriptor) }

  // MARK: midtrain set

  /// Changes settings and gives the exit status.
  func set(_ settings: [(name: String, value: String)]) throws -> Int32 {
    send(["set": .array(settings.map { [.string($0.name), .string($0.value)] })])
    while let message = try nextMessage() {
      if let text = message["output"]?.string { show(text) }
      if let text = message["done"]?.string {
        print(text)
        return 0
      }
      if let problem = message["problem"]?.string {
        writeError("midtrain: \(problem)")
        return 1
      }
    }
    throw ended
  }

  // MARK: midtrain attach

  /// Serves the person, or the lines of standard input, until they leave or the process ends.
  ///
  /// - Returns: The exit status.
  func run() throws -> Int32 {
    var hello: JSON = ["attach": true]
    if let size = screenSize() {
      hello = [
        "attach": true, "columns": .int(Int64(size.columns)), "is_colored": .bool(Terminal.isColored()),
      ]
    }
    send(hello)
    return isatty(STDIN_FILENO) != 0 ? try runTerminal() : try runPipe()
  }

  private func runPipe() throws -> Int32 {
    while let message = try nextMessage() {
      if let text = message["output"]?.string { show(text) }
      guard message["prompt"] != nil else { continue }
      guard let line = readLine() else { return 0 }
      send(["line": .string(line)])
    }
    throw ended
  }

  private func runTerminal() throws -> Int32 {
    Interrupt.install()
    while true {
      if let prompt, !editor.isVisible { editor.begin(prompt) }
      fflush(nil)
      let (hasKeys, hasMessages) = wait()
      editor.suspendIfAsked()
      if Interrupt.isPending { interrupt() }
      if hasMessages {
        guard try receive() else {
          editor.makeRoom(last: 10)
          throw ended
        }
        while let message = try takeMessage() { take(message) }
        editor.showAgain()
      }
      guard hasKeys else { continue }
      switch editor.readKeys() {
      case .line(let line):
        editor.remember(line)
        // The shell is that of the person, not of the process that trains.
        if prompt == Self.firstPrompt, Terminal.runByShell(line) { continue }
        prompt = nil
        send(["line": .string(line)])
      case .endOfInput: return 0
      case nil: break
      }
    }
  }

  /// Waits for a key, unless an answer is due first, or for something from the process.
  private func wait() -> (hasKeys: Bool, hasMessages: Bool) {
    var descriptors = [
      pollfd(fd: prompt == nil ? -1 : STDIN_FILENO, events: Int16(POLLIN), revents: 0),
      pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
    ]
    // A signal that comes just before is noticed after this long.
    guard poll(&descriptors, 2, 250) > 0 else { return (false, false) }
    return (descriptors[0].revents != 0, descriptors[1].revents != 0)
  }

  /// Ctrl-C drops the line that is typed, what was begun on the lines before it, or what runs over there.
  private func interrupt() {
    Interrupt.clear()
    editor.abandon()
    guard prompt != Self.firstPrompt else { return }
    prompt = nil
    send(bytes: [3])
  }

  private func take(_ message: JSON) {
    editor.makeRoom(last: 10)
    if let text = message["hello"]?.string { print(Terminal.bold(text) + " · Ctrl-D detaches") }
    if let text = message["output"]?.string {
      editor.makeRoom(last: text.utf8.last)
      show(text)
    }
    if let problem = message["problem"]?.string { Terminal.report(problem) }
    if let text = message["prompt"]?.string { prompt = text }
  }

  private func candidates(for word: String, after before: String) -> [String]? {
    if before.hasPrefix("!") { return nil }
    send(["complete": .string(word), "before": .string(before)])
    let deadline = monotonicSeconds() + Self.patience
    while let message = try? nextMessage(before: deadline) {
      if message["files"] != nil { return nil }
      if let found = message["candidates"]?.array { return found.compactMap(\.string) }
      take(message)
    }
    return []
  }

  private func show(_ text: String) {
    print(text, terminator: "")
    fflush(nil)
  }

  // MARK: Messages

  private var ended: ScriptError { ScriptError("the process that trained in '\(folder)' has ended") }

  private func send(_ message: JSON) {
    // Text from a terminal may hold bytes that are no text; they were repaired when they became a string.
    if let bytes = try? message.serialised() { send(bytes: bytes) }
  }

  /// Sends a line. If nobody takes it any more, the next message is the end.
  private func send(bytes: [UInt8]) {
    var rest = (bytes + [10])[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes {
        Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
      }
      if count > 0 { rest = rest.dropFirst(count) } else if errno != EINTR { return }
    }
  }

  /// Waits for a message; nil when the process ends, or no message comes before the deadline.
  private func nextMessage(before deadline: Double = .infinity) throws -> JSON? {
    while true {
      if let message = try takeMessage() { return message }
      var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let left = deadline - monotonicSeconds()
      guard left > 0 else { return nil }
      guard poll(&waiting, 1, left.isFinite ? Int32(left * 1000) + 1 : -1) > 0 else { continue }
      guard try receive() else { return nil }
    }
  }

  private func takeMessage() throws -> JSON? {
    guard let end = received.firstIndex(of: 10) else { return nil }
    let line = Array(received[..<end])
    received.removeSubrange(...end)
    return try JSON(parsing: line)
  }

  /// Reads what there is; false when the process has ended.
  private func receive() throws -> Bool {
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    let count = recv(descriptor, &chunk, chunk.count, 0)
    if count < 0, errno == EINTR { return true }
    received += chunk[..<max(0, count)]
    return count > 0
  }
}
