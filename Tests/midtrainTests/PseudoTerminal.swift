import Foundation
import Testing

/// The executable beside the test runner.
let executable = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
  .deletingLastPathComponent().appendingPathComponent("midtrain").path

/// A home folder of its own for each test, removed with it.
final class Home {
  let path: String

  init() {
    path = FileManager.default.temporaryDirectory.appendingPathComponent("midtrain-\(UUID().uuidString)").path
    try! FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  var history: String { path + "/history" }

  /// The environment for the program: nothing of the person who runs the tests but the library's place.
  var environment: [String: String] {
    var variables = ["HOME": path, "MIDTRAIN_HISTORY": history, "TERM": "xterm", "LC_ALL": "C.UTF-8"]
    for name in ["PATH", "LD_LIBRARY_PATH", "MIDTRAIN_STDLIB", "ASAN_OPTIONS", "TSAN_OPTIONS"] {
      variables[name] = ProcessInfo.processInfo.environment[name]
    }
    return variables
  }

  /// The program, not yet started.
  func process(_ arguments: [String]) -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: executable)
    process.arguments = arguments
    process.environment = environment
    process.currentDirectoryURL = URL(fileURLWithPath: path)
    return process
  }

  /// Writes a file and gives its path.
  func write(_ text: String, to name: String) throws -> String {
    try text.write(toFile: path + "/" + name, atomically: true, encoding: .utf8)
    return path + "/" + name
  }
}

/// What a program run without a terminal left behind.
struct Outcome {
  let status: Int32
  let output: String
  let errors: String
}

/// Runs the program to its end with pipes.
func midtrain(
  _ arguments: [String], input: String = "", home: Home = Home(), environment: [String: String] = [:]
) throws -> Outcome {
  let process = home.process(arguments)
  process.environment?.merge(environment) { $1 }
  let files = ["in", "out", "err"].map { home.path + "/" + $0 }
  try input.write(toFile: files[0], atomically: true, encoding: .utf8)
  for file in files.dropFirst() { _ = FileManager.default.createFile(atPath: file, contents: nil) }
  process.standardInput = FileHandle(forReadingAtPath: files[0])
  process.standardOutput = FileHandle(forWritingAtPath: files[1])
  process.standardError = FileHandle(forWritingAtPath: files[2])
  try process.run()
  process.waitUntilExit()
  // A program may print any bytes.
  func text(_ path: String) throws -> String {
    String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
  }
  return Outcome(
    status: process.terminationStatus, output: try text(files[1]), errors: try text(files[2]))
}

/// Lua that makes `model`, tiny and random, and `tiny`, options of `mid.rmt` with it that take milliseconds a step.
let tinyRun = """
  local model = mid.from_config({
    model_type = "llama", hidden_size = 16, intermediate_size = 32, num_hidden_layers = 2, num_attention_heads = 2,
    num_key_value_heads = 1, vocab_size = 260, max_position_embeddings = 256, rms_norm_eps = 1e-5, rope_theta = 10000,
    tie_word_embeddings = true, eos_token_id = 256, initializer_range = 0.2,
  }, { tokenizer = mid.chain.tokenizer(settings.out .. "-tokenizer"), seed = 5 })
  local tiny = {
    model = model, docs = mid.chain.generate(12, { seed = 3, lines = 2 }), seed = 2, budget = 12,
    prompt = mid.chain_tasks.words, documents_per_step = 2, max_completion_length = 8, num_generations = 3,
    learning_rate = 1e-2, out = settings.out, resume = settings.resume,
    -- It writes no boxes; lengths differ.
    reward = function(s) return s.ids[1] % 7 + #s.ids end,
  }

  """

/// The metrics of a run without what a clock measured, a line for each step.
func timelessMetrics(_ path: String) throws -> [String] {
  try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { line in
    let values = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Double])
    return values.filter {
      !$0.key.contains("time") && !$0.key.contains("timing") && !$0.key.contains("second")
    }
    .map { "\($0.key) \($0.value)" }.sorted().joined(separator: ", ")
  }
}

/// The program on a real terminal, with a person who types and reads.
final class PseudoTerminal {
  private let master: Int32
  private var process = pid_t()
  /// Everything that was shown and not yet matched, without the terminal's control sequences.
  private(set) var unread = ""
  private var raw: [UInt8] = []
  let home: Home

  init(
    _ arguments: [String] = [], home: Home = Home(), variables: [String: String] = [:], columns: UInt16 = 200
  ) throws {
    self.home = home
    // What posix_openpt, unlockpt and ptsname do; Swift's view of the C library lacks them.
    master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
    var (lock, number) = (Int32(0), UInt32(0))
    try #require(ioctl(master, 0x4004_5431, &lock) == 0)  // TIOCSPTLCK
    try #require(ioctl(master, 0x8004_5430, &number) == 0)  // TIOCGPTN
    resize(columns: columns)
    let slave = "/dev/pts/\(number)"

    // A new session whose first opened terminal becomes its own: Ctrl-C arrives as a signal.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    var unblocked = sigset_t()
    sigemptyset(&unblocked)
    posix_spawnattr_setsigmask(&attributes, &unblocked)
    posix_spawnattr_setflags(&attributes, Int16(0x80 | POSIX_SPAWN_SETSIGMASK))  // 0x80: POSIX_SPAWN_SETSID
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    posix_spawn_file_actions_addopen(&actions, 0, slave, O_RDWR, 0)
    posix_spawn_file_actions_adddup2(&actions, 0, 1)
    posix_spawn_file_actions_adddup2(&actions, 0, 2)
    defer {
      posix_spawn_file_actions_destroy(&actions)
      posix_spawnattr_destroy(&attributes)
    }
    // `env` changes the folder and becomes the program.
    let shell = "/usr/bin/env"
    let words = ([shell, "-C", home.path, executable] + arguments).map { strdup($0) } + [nil]
    let variables =
      home.environment.merging(variables, uniquingKeysWith: { $1 }).map { strdup("\($0.key)=\($0.value)") }
      + [nil]
    defer { (words + variables).forEach { free($0) } }
    let status = posix_spawn(&process, shell, &actions, &attributes, words, variables)
    try #require(status == 0)
  }

  deinit {
    kill()
    close(master)
  }

  /// Kills the program.
  func kill() {
    guard process > 0 else { return }
    Glibc.kill(process, SIGKILL)
    waitpid(process, nil, 0)
    process = 0
  }

  /// Gives the window another width, of which the program is told by a signal.
  func resize(columns: UInt16) {
    var size = winsize(ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(master, UInt(TIOCSWINSZ), &size)
  }

  /// Types text as it is; `\r` is Enter, `\t` Tab.
  func type(_ text: String) {
    let bytes = Array(text.utf8)
    _ = bytes.withUnsafeBytes { write(master, $0.baseAddress, $0.count) }
  }

  /// Types a line and Enter.
  func enter(_ line: String) { type(line + "\r") }

  /// Control and a letter.
  func control(_ letter: Character) { type(String(UnicodeScalar(letter.asciiValue! & 0x1f))) }

  /// Presses Control and a letter until the text shows, a second apart: presses that a busy machine sees at once are one.
  func control(_ letter: Character, until text: String) throws {
    for _ in 0..<30 where !unread.contains(text) {
      control(letter)
      let deadline = Date().addingTimeInterval(1)
      while Date() < deadline, !unread.contains(text) { _ = read(patience: 100) }
    }
    try expect(text)
  }

  /// Reads until the text shows, and forgets everything up to its end.
  ///
  /// - Throws: when it has not shown within half a minute.
  func expect(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let deadline = Date().addingTimeInterval(30)
    while true {
      if let range = unread.range(of: text) {
        unread = String(unread[range.upperBound...])
        return
      }
      try #require(
        Date() < deadline && read(), "'\(text)' did not show in \(unread.debugDescription)",
        sourceLocation: sourceLocation)
    }
  }

  /// What has been shown since the last match, up to this text, which may take some more half minutes of silence.
  func shown(
    before text: String, patience: Int = 1, sourceLocation: SourceLocation = #_sourceLocation
  ) throws -> String {
    var patience = patience
    while true {
      if let range = unread.range(of: text) {
        defer { unread = String(unread[range.upperBound...]) }
        return String(unread[..<range.lowerBound])
      }
      if read() { continue }
      patience -= 1
      try #require(
        patience > 0, "'\(text)' did not show in \(unread.debugDescription)", sourceLocation: sourceLocation)
    }
  }

  /// The exit status, once the program ends; one that says nothing for half a minute is killed.
  func exitStatus() -> Int32 {
    while read() {}
    var status: Int32 = 0
    var patience = 300
    while waitpid(process, &status, WNOHANG) == 0 {
      patience -= 1
      if patience == 0 { Glibc.kill(process, SIGKILL) }
      usleep(10_000)
    }
    process = 0
    return status & 0x7f == 0 ? (status >> 8) & 0xff : -(status & 0x7f)
  }

  /// Takes what is there, waiting if need be; false when the program has gone or says nothing for so many milliseconds.
  private func read(patience: Int32 = 30_000) -> Bool {
    var descriptor = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
    // Other tests of this process send signals, which may end a system call early.
    let ready = poll(&descriptor, 1, patience)
    if ready < 0, errno == EINTR { return true }
    guard ready > 0 else { return false }
    var chunk = [UInt8](repeating: 0, count: 4096)
    let count = Glibc.read(master, &chunk, chunk.count)
    if count < 0, errno == EINTR { return true }
    guard count > 0 else { return false }
    raw += chunk[..<count].filter { $0 != 13 }
    // A control sequence or a character may be cut in two: keep what is not complete for the next time.
    let text = String(decoding: raw, as: UTF8.self)
    if text.hasSuffix("\u{FFFD}") { return true }
    if let escape = text.lastIndex(of: "\u{1b}"), text[escape...].firstMatch(of: Self.controlSequence) == nil
    {
      return true
    }
    unread += text.replacing(Self.controlSequence, with: "")
    raw = []
    return true
  }

  private static var controlSequence: Regex<Substring> { /\u{1b}(?:\[[0-9;?]*[A-Za-z]|[=>])/ }
}
