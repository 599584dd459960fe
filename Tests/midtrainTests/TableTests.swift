// The paper's table and post-training in the small world, a few steps of each: the whole way from a random model.
import Foundation
import Glibc
import Testing

@Suite struct TableTests {
  private let experiments = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("experiments").path

  private func arguments(_ out: String, _ words: [String]) -> [String] {
    [
      "run", "\(experiments)/table.lua", "--quick", "--out", out, "--seeds", "1", "--pretrain-steps", "12",
      "--coldstart-steps", "4", "--documents", "60", "--evaluated", "12", "--steps", "2",
    ] + words
  }

  private func table(_ home: Home, _ out: String, _ words: [String] = []) throws -> Outcome {
    try midtrain(arguments(out, words), home: home)
  }

  @Test func everyRowIsMadeAndKept() throws {
    let home = Home()
    let first = try table(home, "one")
    #expect(first.status == 0, "\(first.errors)")
    let text = try String(contentsOfFile: home.path + "/one/table.md", encoding: .utf8)
    let titles = [
      "NTP (continual pre-training)", "NTR (reasoning, untrained)", "RPT", "RMT", "RMT without budget",
      "RMT without curriculum", "RMT without NTP", "RL + NTP, no length reward",
    ]
    for title in titles { #expect(text.contains("| \(title) | "), "\(title)") }
    for name in ["table.csv", "accuracy.svg", "length.svg", "budget.svg", "entropy.svg"] {
      #expect(FileManager.default.fileExists(atPath: home.path + "/one/" + name), "\(name)")
    }
    // What is there is not made again.
    let made = "/seed-1/rmt/run/metrics.jsonl"
    let before = try Data(contentsOf: URL(fileURLWithPath: home.path + "/one" + made))
    let again = try table(home, "one")
    #expect(again.status == 0 && !again.output.contains("Pre-training") && !again.output.contains(" …\nRMT"))
    #expect(try Data(contentsOf: URL(fileURLWithPath: home.path + "/one" + made)) == before)
    #expect(try String(contentsOfFile: home.path + "/one/table.md", encoding: .utf8) == text)

    // One seed, one result: metrics and weights are those of another process.
    let other = try table(home, "two", ["--methods", "rmt,ntp"])
    #expect(other.status == 0, "\(other.errors)")
    for method in ["rmt", "ntp"] {
      let (a, b) = (home.path + "/one/seed-1/\(method)/run", home.path + "/two/seed-1/\(method)/run")
      #expect(try timelessMetrics(a + "/metrics.jsonl") == timelessMetrics(b + "/metrics.jsonl"), "\(method)")
      let weights = "/checkpoints/step-2/model.safetensors"
      #expect(FileManager.default.contentsEqual(atPath: a + weights, andPath: b + weights), "\(method)")
    }

    let posttrain = try midtrain(
      [
        "run", "\(experiments)/posttrain.lua", "--quick", "--comparison", "one", "--steps", "2",
        "--evaluated",
        "8", "--methods", "rmt,ntr",
      ], home: home)
    #expect(posttrain.status == 0, "\(posttrain.errors)")
    #expect(posttrain.output.contains("RMT") && posttrain.output.contains("54.67"))
  }

  /// A row that is killed goes on from its last point of the curve, and a second process waits for it.
  @Test func rowsGoOnAndAreNotShared() throws {
    let home = Home()
    let words = ["--methods", "rmt", "--steps", "6", "--curve-every", "2"]
    let calm = try table(home, "calm", words)
    #expect(calm.status == 0, "\(calm.errors)")

    let process = home.process(arguments("killed", words))
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    let row = home.path + "/killed/seed-1/rmt"
    while !FileManager.default.fileExists(atPath: row + "/run/checkpoints/step-2/checksums.json") {
      usleep(2000)
    }
    let second = try midtrain(
      ["-e", "print(mid.lock '\(row)/.lock' == \(process.processIdentifier))"], home: home)
    #expect(second.output == "true\n", "\(second.output)\(second.errors)")
    let inside = try midtrain(
      [
        "-e",
        "mid.rmt { model = mid.load 'killed/start', docs = { 'abc' }, out = '\(row)/run', resume = true }",
      ],
      home: home)
    #expect(inside.errors.contains("process \(process.processIdentifier) has a run in"), "\(inside.errors)")
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    #expect(process.terminationReason == .uncaughtSignal)

    let again = try table(home, "killed", words)
    #expect(again.status == 0, "\(again.errors)")
    #expect(!again.output.contains("Pre-training"))
    for file in ["run/checkpoints/step-6/model.safetensors", "curve.json"] {
      #expect(
        FileManager.default.contentsEqual(
          atPath: home.path + "/calm/seed-1/rmt/" + file, andPath: row + "/" + file), "\(file)")
    }
    let other = try table(home, "killed", ["--methods", "rmt", "--steps", "5"])
    #expect(other.status != 0 && other.errors.contains("made with other options"), "\(other.errors)")
  }

  @Test func mistakesAreNamed() throws {
    let home = Home()
    let unknown = try midtrain(["run", "\(experiments)/table.lua", "--step", "2"], home: home)
    #expect(unknown.status != 0 && unknown.errors.contains("steps"))
    let method = try table(home, "one", ["--methods", "rnt"])
    #expect(method.status != 0 && method.errors.contains("unknown method 'rnt'"))
  }
}
