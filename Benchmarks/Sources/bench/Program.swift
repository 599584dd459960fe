// The midtrain program from outside: start-up, the first prompt on a terminal, calls from Lua.
import Foundation
import Glibc

/// Start-up of the program, with and without a terminal.
func startup(_ report: Report, _ options: Options) throws {
  let binary = try program(options)
  let runs = options.isQuick ? 5 : 20
  let plain = try (0..<runs).map { _ in
    try time { try Child(binary, ["-e", ""], terminal: "/dev/null").wait() }
  }
  report.add(
    "start-up, midtrain -e ''", median(plain) * 1e3, "ms",
    note: "median of \(runs), best \(Report.format(plain.min()! * 1e3))")
  let prompts = try (0..<runs).map { _ in try secondsToPrompt(binary) }
  report.add(
    "start-up to the prompt", median(prompts) * 1e3, "ms",
    note: "median of \(runs), best \(Report.format(prompts.min()! * 1e3))", targets: [.atMost(50)])
}

/// What a call from Lua into native code costs; the script is run by the program itself.
func luaCalls(_ report: Report, _ options: Options) throws {
  let text = try output(of: try program(options), [options.calls])
  for line in text.split(separator: "\n") {
    let words = line.split(separator: "\t")
    guard words.count == 3, let value = Double(words[1]) else {
      throw BenchError("\(options.calls): expected name, nanoseconds and kind, got '\(line)'")
    }
    let isNative = words[2] == "native"
    report.add(String(words[0]), value, "ns", targets: isNative ? [.atMost(200)] : [])
  }
}

private func program(_ options: Options) throws -> String {
  guard access(options.binary, X_OK) == 0 else {
    throw BenchError(
      "\(options.binary) is no program; build it with swift build -c release --product midtrain")
  }
  return options.binary
}

/// Runs a program and gives what it printed; fails if it does.
func output(of path: String, _ arguments: [String], environment: [String: String] = [:]) throws -> String {
  let process = Process()
  let pipe = Pipe()
  process.executableURL = URL(fileURLWithPath: path).resolvingSymlinksInPath()
  process.arguments = arguments
  process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
  process.standardOutput = pipe
  process.standardInput = FileHandle.nullDevice
  try process.run()
  let data = pipe.fileHandleForReading.readDataToEndOfFile()
  process.waitUntilExit()
  guard process.terminationStatus == 0 else {
    throw BenchError(
      "\(path) \(arguments.joined(separator: " ")) ended with status \(process.terminationStatus)")
  }
  return String(decoding: data, as: UTF8.self)
}

/// Seconds from the start on a terminal of its own until the prompt shows.
private func secondsToPrompt(_ binary: String) throws -> Double {
  // What posix_openpt, unlockpt and ptsname do; Swift's view of the C library lacks them.
  let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
  guard master >= 0 else {
    throw BenchError("no terminal can be opened: \(String(cString: strerror(errno)))")
  }
  defer { close(master) }
  var (lock, number) = (Int32(0), UInt32(0))
  guard ioctl(master, 0x4004_5431, &lock) == 0, ioctl(master, 0x8004_5430, &number) == 0 else {
    throw BenchError("the terminal cannot be unlocked: \(String(cString: strerror(errno)))")
  }
  let start = seconds()
  let child = try Child(binary, [], terminal: "/dev/pts/\(number)")
  defer { child.kill() }
  var shown = ""
  var buffer = [UInt8](repeating: 0, count: 4096)
  // The prompt begins a line, colours or not; the banner before it has no such sign.
  while !shown.contains("> ") {
    let count = read(master, &buffer, buffer.count)
    guard count > 0, seconds() - start < 30 else {
      throw BenchError("\(binary): no prompt showed, but '\(shown)'")
    }
    shown += String(decoding: buffer[..<count], as: UTF8.self)
  }
  return seconds() - start
}

/// A process with a file or a terminal as its input and output.
private struct Child {
  private var process = pid_t()

  init(_ path: String, _ arguments: [String], terminal: String) throws {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    posix_spawnattr_setflags(&attributes, 0x80)  // POSIX_SPAWN_SETSID: the terminal becomes its own
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_addopen(&actions, 0, terminal, O_RDWR, 0)
    posix_spawn_file_actions_adddup2(&actions, 0, 1)
    posix_spawn_file_actions_adddup2(&actions, 0, 2)
    // A history file of the person who runs this is neither read nor written.
    let variables = ProcessInfo.processInfo.environment.merging([
      "MIDTRAIN_HISTORY": "/dev/null", "TERM": "xterm",
    ]) { $1 }
    let words = ([path] + arguments).map { strdup($0) } + [nil]
    let environment = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
    defer {
      (words + environment).forEach { free($0) }
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    let status = posix_spawn(&process, path, &actions, &attributes, words, environment)
    guard status == 0 else { throw BenchError("\(path): \(String(cString: strerror(status)))") }
  }

  /// Waits for the end.
  func wait() throws {
    var status: Int32 = 0
    waitpid(process, &status, 0)
    guard status == 0 else { throw BenchError("the program ended with status \(status >> 8)") }
  }

  func kill() {
    Glibc.kill(process, SIGKILL)
    waitpid(process, nil, 0)
  }
}
