// Changes at random moments of a training run hold from the step that the journal says, and a replay repeats them all.
import Foundation
import Glibc
import Testing

@Suite struct ReplayTests {
  private static let script =
    tinyRun + """
      local run = mid.rmt(mid.options.merged(tiny, { steps = 150, save_steps = 50, progress = false }))
      run:start()
      local changes = {
        function(x) run.budget = 5 + math.floor(20 * x) end,
        function(x) run.lambda = x end,
        function(x) run.learning_rate = function(t, T) return 1e-3 * x * (1 - t / T) end end,
        function(x) run.curriculum = { x / 2, (1 - x) / 2, 0.5 } end,
        function(x) run.temperature = 0.5 + x end,
        function(x) local base = 3 run.reward = function(s) return x * s.ids[1] % base + #s.ids end end,
      }
      for i = 1, 100 do
        mid.sleep(0.03 * math.random())
        changes[math.random(#changes)](math.random())
      end
      run:wait()
      """

  @Test func everyChangeIsRepeated() throws {
    let home = Home()
    let script = try home.write(Self.script, to: "run.lua")
    let first = try midtrain(["run", script, "--out", "live"], home: home)
    #expect(first.status == 0, "\(first.errors)")
    let journal = try entries(home.path + "/live/journal.jsonl")
    #expect(journal.count > 20)

    // A metric of the same name has the new value from the step of the journal on.
    let metrics = try entries(home.path + "/live/metrics.jsonl")
    var inForce: [String: Double] = ["lambda": 0.1]
    for (index, step) in metrics.enumerated() {
      for change in journal where change["step"] as? Int == index + 1 && change["name"] as? String == "lambda"
      {
        inForce["lambda"] = try #require(change["new"] as? Double)
      }
      #expect(step["lambda"] as? Double == inForce["lambda"], "step \(index + 1)")
    }

    let replay = try midtrain(["replay", "live"], home: home)
    #expect(replay.status == 0, "\(replay.errors)")
    #expect(replay.output.hasSuffix("replay: equal to the bit\n"))
    #expect(replay.output.contains("150 of 150 steps and 3 checkpoints compared"))

    // What differs is named, with the first step.
    try FileManager.default.removeItem(atPath: home.path + "/live-replay")
    let path = home.path + "/live/metrics.jsonl"
    var lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map(String.init)
    lines[6] = lines[6].replacingOccurrences(of: "\"loss\":", with: "\"loss\":1")
    try (lines.joined(separator: "\n") + "\n").write(toFile: path, atomically: true, encoding: .utf8)
    let other = try midtrain(["replay", "live"], home: home)
    #expect(other.status == 1)
    #expect(other.errors.hasPrefix("midtrain: replay: the first difference is in live: step 7: loss is "))
  }

  /// A run that was ended is repeated as far as it went, whatever its script waits for.
  @Test(arguments: ["run:start():wait()", "run:start()", "while run.t < run.T do run:step() end"])
  func aRunThatWasEnded(_ way: String) throws {
    let home = Home()
    let script = try home.write(
      tinyRun + """
        local run = mid.rmt(mid.options.merged(tiny, {
          steps = 100000, progress = false, reward = function(s) mid.sleep(0.001) return #s.ids end,
        }))
        \(way)
        """, to: "run.lua")
    let process = home.process(["run", script, "--out", "live"])
    try process.run()
    while (try? entries(home.path + "/live/metrics.jsonl").count) ?? 0 < 5 { usleep(5000) }
    kill(process.processIdentifier, SIGTERM)
    process.waitUntilExit()
    #expect(process.terminationStatus == 143)
    let steps = try entries(home.path + "/live/metrics.jsonl").count
    let replay = try midtrain(["replay", "live"], home: home)
    #expect(replay.status == 0, "\(replay.errors)")
    #expect(
      replay.output.contains(
        "\(steps) of \(steps) steps and 1 checkpoints compared\nreplay: equal to the bit"),
      "\(replay.output)")
  }

  @Test func whatCannotBeRepeatedIsSaid() throws {
    let home = Home()
    let nothing = try midtrain(["replay", "nowhere"], home: home)
    #expect(nothing.status == 1)
    #expect(nothing.errors == "midtrain: replay: there is no run in 'nowhere'\n")
    let noName = try midtrain(["replay"], home: home)
    #expect(noName.status != 0 && noName.errors.contains("replay needs a run's folder"))
  }

  private func entries(_ path: String) throws -> [[String: Any]] {
    try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
  }
}
