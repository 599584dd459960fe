// Prompts inside a process that trains: what they see and change, who may open them, and that nothing they do holds
// the training up.
import Foundation
import Glibc
import Script
import TestSupport
import Testing

@Suite struct AttachTests {
  /// Steps of some milliseconds.
  private static let script =
    tinyRun + """
      local run = mid.rmt(mid.options.merged(tiny, { steps = settings.steps, progress = false, log_completions = 0,
        reward = function(s) mid.sleep(0.002) return s.ids[1] % 7 + #s.ids end }))
      run:start():wait()
      """

  /// A process that trains in a folder, once its socket is there.
  private func train(in folder: String, steps: Int = 120, _ home: Home) throws -> Process {
    let script = try home.write(Self.script, to: "\(folder).lua")
    let process = home.process(["run", script, "--out", folder, "--set", "steps=\(steps)"])
    process.standardOutput = FileHandle(forWritingAtPath: try home.write("", to: "\(folder).out"))
    process.standardError = FileHandle(forWritingAtPath: try home.write("", to: "\(folder).err"))
    try process.run()
    while access(home.path + "/\(folder)/.attach/socket", F_OK) != 0 {
      let errors = try String(contentsOfFile: home.path + "/\(folder).err", encoding: .utf8)
      try #require(process.isRunning, "\(errors)")
      usleep(1000)
    }
    return process
  }

  private func finish(_ process: Process, _ folder: String, _ home: Home) throws {
    process.waitUntilExit()
    let errors = try String(contentsOfFile: home.path + "/\(folder).err", encoding: .utf8)
    #expect(process.terminationStatus == 0 && errors.isEmpty, "\(errors)")
  }

  /// Two prompts at once, one of them killed in the middle of a command, others that hang, flood and talk nonsense: the
  /// run ends with the weights and metrics of one that nobody attached to.
  @Test func clientsDoNotDisturbTheRun() throws {
    let home = Home()
    let calm = try train(in: "calm", home)
    try finish(calm, "calm", home)

    let process = try train(in: "live", home)
    let first = try PseudoTerminal(["attach", home.path + "/live"], home: home)
    try first.expect("attached to live · step ")
    try first.expect("> ")
    let second = try PseudoTerminal(["attach", home.path + "/live"], home: home)
    try second.expect("> ")
    second.enter("io.write('busy\\n') while true do pcall(error) end")
    try second.expect("\nbusy\n")
    // Meanwhile the first one is answered.
    first.enter("run.T")
    try first.expect("\n120\n> ")
    first.enter("mine = 5;")
    try first.expect("> ")
    first.enter("mine + run.seed")
    try first.expect("\n7\n> ")
    second.kill()
    let silent = try UnixSocket.connect(in: home.path + "/live/.attach")
    // Answers that nobody reads, more than a connection may keep waiting.
    send(#"{ "line": "for i = 1, 100 do print(('x'):rep(200000)) end" }"#, to: silent)
    let endless = try UnixSocket.connect(in: home.path + "/live/.attach")
    for _ in 0..<40 { send(String(repeating: "y", count: 50_000), to: endless, line: false) }
    let odd = try UnixSocket.connect(in: home.path + "/live/.attach")
    for line in ["", "}{", "5", "{}", #"{ "line": 5 }"#, #"{ "set": [5] }"#, "\u{0}\u{ff}"] {
      send(line, to: odd)
    }
    first.enter("print(pcall(function() run.budget = -1 end) or 'checked')")
    try first.expect("\nchecked\n> ")
    try finish(process, "live", home)
    try first.expect("/live' has ended")
    #expect(first.exitStatus() == 1)
    for descriptor in [silent, endless, odd] { close(descriptor) }

    #expect(
      try timelessMetrics(home.path + "/live/metrics.jsonl")
        == timelessMetrics(home.path + "/calm/metrics.jsonl"))
    let weights = "/checkpoints/step-120/model.safetensors"
    #expect(
      FileManager.default.contentsEqual(
        atPath: home.path + "/live" + weights, andPath: home.path + "/calm" + weights))
  }

  /// What a client changes and what then fails is taken back, and the client is told; it cannot end the process either.
  @Test func clientsDoNotEndTheRun() throws {
    let home = Home()
    let process = try train(in: "run", steps: 100_000, home)
    let terminal = try PseudoTerminal(["attach", home.path + "/run"], home: home)
    try terminal.expect("> ")
    terminal.enter("run.budget = function() error 'bad' end;")
    try terminal.expect("budget is again what it was")
    terminal.enter("os.exit(0)")
    try terminal.expect("os.exit would end the process that trains")
    try terminal.expect("\n> ")
    let set = try midtrain(["set", "run", "lambda=os.exit(4)"], home: home)
    #expect(set.status == 1)
    terminal.enter("run:wait(run.t + 3).status")
    try terminal.expect("\nrunning\n> ")
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    #expect(process.terminationStatus == 143)
  }

  @Test func onlyTheOwnerMayEnter() throws {
    let home = Home()
    let process = try train(in: "run", steps: 1_000_000, home)
    func mode(_ path: String) throws -> Int? {
      try FileManager.default.attributesOfItem(atPath: home.path + "/run/" + path)[.posixPermissions] as? Int
    }
    #expect(try mode(".attach") == 0o700 && mode(".attach/socket") == 0o600)
    chmod(home.path + "/run/.attach", 0o755)
    let refused = try midtrain(["attach", "run"], home: home)
    #expect(refused.status == 1 && refused.errors.contains("must belong to you, with mode 700"))
    chmod(home.path + "/run/.attach", 0o700)
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    let gone = try midtrain(["attach", "run"], home: home)
    #expect(gone.status == 1 && gone.errors.contains("no process of yours trains in 'run' now"))
    let nowhere = try midtrain(["set", "nowhere", "budget=5"], home: home)
    #expect(nowhere.status == 1 && nowhere.errors == "midtrain: there is no folder 'nowhere'\n")
  }

  /// Even where the modes let everybody in, a process that is neither the owner's nor root's is not read.
  @Test(.enabled(if: geteuid() == 0, "only root can be another user, too"))
  func anotherUserIsCutOff() throws {
    let home = Home()
    let process = try train(in: "run", steps: 1_000_000, home)
    chmod(home.path + "/run/.attach", 0o777)
    chmod(home.path + "/run/.attach/socket", 0o666)
    let script = #"""
      use Socket;
      $) = "$ARGV[0] $ARGV[0]";
      $> = $ARGV[0];
      $SIG{PIPE} = "IGNORE";
      alarm 20;
      socket(my $socket, AF_UNIX, SOCK_STREAM, 0);
      connect($socket, sockaddr_un("run/.attach/socket")) or die "no connection: $!";
      syswrite $socket, qq({"line":"6 * 7"}\n);
      while (sysread $socket, my $bytes, 4096) { print $bytes; last if $bytes =~ /42/ }
      """#
    for (user, isAnswered) in [("0", true), ("65534", false), ("0", true)] {
      let (client, output) = (home.process([]), Pipe())
      client.executableURL = URL(fileURLWithPath: "/usr/bin/perl")
      client.arguments = ["-e", script, user]
      client.standardOutput = output
      try client.run()
      let received = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      client.waitUntilExit()
      #expect(client.terminationStatus == 0, "user \(user) could not connect")
      #expect(isAnswered ? received.contains("42") : received.isEmpty, "user \(user): \(received)")
    }
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    #expect(process.terminationStatus == 143)
  }

  @Test func settingsFromAShell() throws {
    let home = Home()
    let process = try train(in: "run", steps: 600, home)
    let changed = try midtrain(
      ["set", "run", "budget=9", "lambda=function(t, T) return 0.2 end", "scale_rewards=none"], home: home)
    #expect(changed.status == 0, "\(changed.errors)")
    let step = try #require(
      changed.output.firstMatch(of: /scale_rewards = none: in force from step (\d+)\n/)?.1)
    let wrong = try midtrain(["set", "run", "budget=10", "lamda=1"], home: home)
    #expect(wrong.status == 1 && wrong.output.isEmpty)
    #expect(wrong.errors == "midtrain: run: unknown option 'lamda'; did you mean 'lambda'?\n")
    let half = try midtrain(["set", "run", "budget=function(t"], home: home)
    #expect(half.status == 1 && half.errors == "midtrain: run: option 'budget': ')' expected near <eof>\n")
    let misspelt = try midtrain(["set", "run", "budget=mid.budget.linear{fnal=1}"], home: home)
    #expect(misspelt.status == 1 && misspelt.errors.contains("unknown option 'fnal'; did you mean 'final'?"))
    let comma = try midtrain(["set", "run", "lambda=0,5"], home: home)
    #expect(comma.status == 1 && comma.errors.hasPrefix("midtrain: run: option 'lambda': expected one value"))
    let empty = try midtrain(["set", "run", "=5"], home: home)
    #expect(empty.status == 2 && empty.errors.contains("set needs name=value, got '=5'"))
    let twice = try midtrain(["set", "run", "budget=4", "lambda=1", "budget=5"], home: home)
    #expect(twice.status == 2 && twice.errors.contains("set got 'budget' twice; give it one value"))
    try finish(process, "run", home)

    let entries = try String(contentsOfFile: home.path + "/run/journal.jsonl", encoding: .utf8)
      .split(separator: "\n").map {
        try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
      }
    #expect(entries.map { $0["name"] as? String } == ["budget", "lambda", "scale_rewards"])
    #expect(entries.allSatisfy { $0["step"] as? Int == Int(step) })
    #expect(
      (entries[1]["new"] as? [String: Any])?["function"] as? String == "return function(t, T) return 0.2 end")
    // The replay makes the same changes.
    let replay = try midtrain(["replay", "run"], home: home)
    #expect(replay.status == 0 && replay.output.hasSuffix("equal to the bit\n"), "\(replay.errors)")
  }

  @Test func thePromptInside() throws {
    let home = Home()
    let process = try train(in: "run", steps: 1_000_000, home)
    let terminal = try PseudoTerminal(["attach", home.path + "/run"], home: home)
    try terminal.expect("> ")
    terminal.type("mid.clo\t")
    try terminal.expect("mid.clock")
    terminal.enter("() > 0")
    try terminal.expect("\ntrue\n> ")
    terminal.enter("error 'oh'")
    try terminal.expect("]:1: oh\nstack traceback:\n")
    let trace = try terminal.shown(before: "\n> ")
    #expect(trace.contains("1 │ error 'oh'") && !trace.contains("attach.lua"))
    terminal.enter("for i = 1, 2 do")
    try terminal.expect(">> ")
    terminal.enter("io.write(i, ' ') end")
    try terminal.expect("\n1 2 ")
    try terminal.expect("> ")
    terminal.enter("function f(")
    try terminal.expect(">> ")
    terminal.control("c")
    try terminal.expect("interrupted\n> ")
    for code in ["while true do end", "while true do pcall(error) end", "mid.sleep(1000)", "run:wait()"] {
      terminal.enter("io.write('go\\n') \(code)")
      try terminal.expect("\ngo\n")
      terminal.control("c")
      #expect(try terminal.shown(before: "\n> ") == "^Cinterrupted")
    }
    // What cannot give way may not take long.
    for code in [
      "string.find(('x'):rep(100000), ('x*'):rep(30) .. 'y')",
      "xpcall(error, function() while true do end end)",
      "coroutine.wrap(function() while true do pcall(error) end end)()",
    ] {
      terminal.enter(code)
      try terminal.expect("this takes too long, and what else runs here would have to wait")
      try terminal.expect("\n> ")
    }
    // A finalizer's error goes nowhere; that the prompt is back says that it ended.
    terminal.enter("setmetatable({}, { __gc = function() while true do end end }) collectgarbage() print(7)")
    try terminal.expect("\n7\n> ")
    terminal.enter("run:pause().status")
    try terminal.expect("\npaused\n> ")
    // The process that trains has no terminal; what its clients see has colours all the same.
    terminal.enter("require 'midtrain.terminal'.is_colored()")
    try terminal.expect("\ntrue\n> ")
    terminal.enter("require 'midtrain.terminal'.columns(1000) < 1000")
    try terminal.expect("\ntrue\n> ")
    terminal.enter("?run.stop")
    try terminal.expect("Ends the run")
    try terminal.expect("\n> ")
    terminal.enter("run:resume();")
    // Only then is the next line awaited, and Ctrl-D taken for its end.
    try terminal.expect("run:resume();\n> ")
    terminal.control("d")
    #expect(terminal.exitStatus() == 0)
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    #expect(process.terminationStatus == 143)
  }

  /// Damaged messages, $MIDTRAIN_FUZZ_MESSAGES of them: none ends the process, holds it up, or changes what it learns.
  @Test func messagesAreFuzzed() throws {
    let home = Home()
    let calm = try train(in: "calm", steps: 60, home)
    try finish(calm, "calm", home)
    let variables = ProcessInfo.processInfo.environment
    let count = variables["MIDTRAIN_FUZZ_MESSAGES"].flatMap(Int.init) ?? 1000
    let corpus = [
      #"{"attach":true,"columns":80,"is_colored":true}"#, #"{"line":"run.t + 1"}"#, #"{"line":"if x then"}"#,
      #"{"line":"?run.stop"}"#, #"{"complete":"run.le","before":"x = { "}"#,
      #"{"set":[["budgt","9"],["lambda","x"]]}"#,
      "\u{3}", "{}", #"{"line":7}"#,
    ]
    let words = [
      "\n", "\u{3}", "\"", "{", "}", "[[", "]]", "\\u0000", "\\ud800", "null", "-1", "run", "(", "end", ":",
    ]
    let seed = variables["MIDTRAIN_FUZZ_SEED"].flatMap(UInt64.init) ?? 1
    var (sent, runs, clients, answered) = (0, 0, 0, 0)
    while sent < count {
      runs += 1
      let folder = "live\(runs)"
      let process = try train(in: folder, steps: 60, home)
      while sent < count, process.isRunning,
        let client = try? UnixSocket.connect(in: home.path + "/\(folder)/.attach")
      {
        for _ in 0..<20 {
          sent += 1
          var mutator = Mutator(
            number: seed &+ UInt64(sent) &* 0x9e37_79b9, corpus: corpus.map { Array($0.utf8) }, words: words,
            head: 64,
            kind: .json)
          send(mutator.next() + [10], to: client)
        }
        // All that came before is done with when this is answered, or when the client is dropped.
        send(Array("\u{3}\n".utf8) + Array(#"{"line":"6 * 7"}"#.utf8) + [10], to: client)
        answered += try isAnswered(client) ? 1 : 0
        clients += 1
        close(client)
      }
      try finish(process, folder, home)
      for file in ["/metrics.jsonl", "/checkpoints/step-60/model.safetensors"] {
        let (a, b) = (home.path + "/calm" + file, home.path + "/\(folder)" + file)
        let isSame =
          file.hasSuffix("jsonl")
          ? try timelessMetrics(a) == timelessMetrics(b)
          : FileManager.default.contentsEqual(atPath: a, andPath: b)
        #expect(isSame, "\(file) after \(sent) messages")
      }
    }
    #expect(answered > clients / 2, "\(answered) of \(clients)")
    print(
      "fuzz: attach: \(sent) messages, \(answered) of \(clients) clients answered to the end, \(runs) processes"
    )
  }

  /// Whether the answer 42 comes, and not the end of the connection.
  private func isAnswered(_ client: Int32) throws -> Bool {
    var received: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      var descriptor = pollfd(fd: client, events: Int16(POLLIN), revents: 0)
      try #require(poll(&descriptor, 1, 20_000) == 1, "no answer")
      let count = recv(client, &chunk, chunk.count, 0)
      guard count > 0 else { return false }
      received += chunk[..<count]
      if received.firstRange(of: Array("42\\n".utf8)) != nil { return true }
    }
  }

  private func send(_ text: String, to descriptor: Int32, line: Bool = true) {
    send(Array(text.utf8) + (line ? [10] : []), to: descriptor)
  }

  private func send(_ bytes: [UInt8], to descriptor: Int32) {
    // Whoever is dropped gets an error here.
    _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }
}
