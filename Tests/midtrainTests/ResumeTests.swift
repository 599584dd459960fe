// A run that is killed again and again ends with the weights and metrics of one that nothing happened to.
import Foundation
import Glibc
import Testing

@Suite struct ResumeTests {
  private static let script =
    tinyRun + """
      local run = mid.rmt(mid.options.merged(tiny, {
        steps = 30, positions_per_document = 2, save_steps = 1, save_total_limit = 2,
      }))
      if run.t < run.T then run:step(run.T) end
      """

  /// $MIDTRAIN_KILLS more of them, for a long test by hand.
  @Test func killedAtRandomMoments() throws {
    let home = Home()
    let script = try home.write(Self.script, to: "run.lua")
    let undisturbed = try midtrain(["run", script, "--out", "calm"], home: home)
    #expect(undisturbed.status == 0, "\(undisturbed.errors)")
    let wanted = ProcessInfo.processInfo.environment["MIDTRAIN_KILLS"].flatMap(Int.init) ?? 12
    var random = SystemRandomNumberGenerator()
    var (kills, steps) = (0, 0)
    while steps < 30 || kills < wanted {
      if steps == 30 {
        // All is done and more kills are wanted: once more from the start.
        try compare(home)
        try FileManager.default.removeItem(atPath: home.path + "/killed")
        steps = 0
      }
      let process = try start(["run", script, "--out", "killed", "--resume"], home)
      usleep(UInt32.random(in: 20_000...400_000, using: &random))
      if process.isRunning {
        kill(process.processIdentifier, SIGKILL)
        kills += 1
      }
      process.waitUntilExit()
      if process.terminationReason == .exit {
        #expect(process.terminationStatus == 0)
        steps = 30
      }
    }
    try compare(home)
  }

  /// SIGTERM, or Ctrl-C where there is no prompt, ends a run after its step, with a checkpoint and a status of its own.
  @Test(arguments: [SIGTERM, SIGINT]) func terminatedBetweenSteps(
    signal: Int32
  ) throws {
    let home = Home()
    // As slow as steps of a real model, at least.
    let slow = Self.script.replacingOccurrences(
      of: "save_steps = 1, save_total_limit = 2", with: "log_completions = 0"
    )
    .replacingOccurrences(of: "return s.ids[1]", with: "mid.sleep(0.002) return s.ids[1]")
    let script = try home.write(slow, to: "run.lua")
    let calm = try midtrain(["run", script, "--out", "calm"], home: home)
    #expect(calm.status == 0, "\(calm.errors)")

    let process = try start(["run", script, "--out", "ended"], home)
    let path = home.path + "/ended/metrics.jsonl"
    while (try? timelessMetrics(path))?.count ?? 0 < 3 { usleep(1000) }
    kill(process.processIdentifier, signal)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 128 + signal)
    let steps = try timelessMetrics(path).count
    #expect(steps < 30)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: home.path + "/ended/checkpoints") == [
        "step-\(steps)"
      ])

    let rest = try midtrain(["run", script, "--out", "ended", "--resume"], home: home)
    #expect(rest.status == 0 && rest.output.contains("going on after step \(steps) of 30"), "\(rest.errors)")
    let last = "/checkpoints/step-30/model.safetensors"
    #expect(
      FileManager.default.contentsEqual(
        atPath: home.path + "/ended" + last, andPath: home.path + "/calm" + last))
    #expect(try timelessMetrics(path) == timelessMetrics(home.path + "/calm/metrics.jsonl"))
  }

  /// So does a signal that meets a script between two steps, whatever it does there.
  @Test(
    arguments: ["while true do end", "mid.sleep(600)", "while true do pcall(mid.sleep, 600) end"],
    [SIGTERM, SIGINT])
  func terminatedWhileNoStepIsTaken(_ pastime: String, signal: Int32) throws {
    let home = Home()
    let script = try home.write(
      tinyRun + """
        local run = mid.rmt(mid.options.merged(tiny, { steps = 3, save_steps = 0 }))
        local isResumed = run.t > 0
        run:step(isResumed and 1 or 2)
        if not isResumed then
          io.stderr:write("between\\n")
          \(pastime)
        end
        """, to: "run.lua")
    let process = home.process(["run", script, "--out", "ended"])
    let errors = Pipe()
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    var said = ""
    while !said.contains("between") {
      let bytes = errors.fileHandleForReading.availableData
      try #require(!bytes.isEmpty, "\(said)")
      said += String(decoding: bytes, as: UTF8.self)
    }
    kill(process.processIdentifier, signal)
    said += String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 128 + signal)
    let name = signal == SIGTERM ? "SIGTERM" : "SIGINT"
    #expect(
      said.contains("run: ended by \(name) after step 2, which is saved; resume = true goes on"), "\(said)")
    let rest = try midtrain(["run", script, "--out", "ended", "--resume"], home: home)
    #expect(rest.status == 0 && rest.output.contains("going on after step 2 of 3"), "\(rest.errors)")
  }

  /// A step that Ctrl-C ended does not keep SIGTERM from ending the process.
  @Test func anInterruptedStepHoldsNothing() throws {
    let home = Home()
    let text =
      "settings = { out = '\(home.path)/run' }\n" + tinyRun
      + "run = mid.rmt(mid.options.merged(tiny, { steps = 100000 }))"
    let terminal = try PseudoTerminal(["-i", home.write(text, to: "run.lua")], home: home)
    terminal.enter("run:step(100000)")
    for _ in 0..<2 { try terminal.expect("/100000 · ") }
    terminal.control("C")
    try terminal.expect("interrupted")
    terminal.enter("print('holders: ' .. select(2, mid.is_terminated()))")
    try terminal.expect("holders: 0")
  }

  private func compare(_ home: Home) throws {
    let (calm, killed) = (home.path + "/calm", home.path + "/killed")
    #expect(try timelessMetrics(killed + "/metrics.jsonl") == timelessMetrics(calm + "/metrics.jsonl"))
    for file in ["model.safetensors", "optimizer.safetensors"] {
      let name = "/checkpoints/step-30/" + file
      #expect(FileManager.default.contentsEqual(atPath: killed + name, andPath: calm + name), "\(file)")
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: killed + "/checkpoints").count == 2)
  }

  private func start(_ arguments: [String], _ home: Home) throws -> Process {
    let process = home.process(arguments)
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    return process
  }
}
