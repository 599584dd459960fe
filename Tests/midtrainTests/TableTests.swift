// The paper's table and post-training in the small world, a few steps of each: the whole way from a random model.
import Foundation
import Testing

@Suite struct TableTests {
  private let experiments = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("experiments").path

  private func table(_ home: Home, _ out: String, _ words: [String] = []) throws -> Outcome {
    try midtrain(
      [
        "run", "\(experiments)/table.lua", "--quick", "--out", out, "--seeds", "1", "--pretrain-steps", "12",
        "--coldstart-steps", "4", "--documents", "60", "--evaluated", "12", "--steps", "2",
      ] + words, home: home)
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

  @Test func mistakesAreNamed() throws {
    let home = Home()
    let unknown = try midtrain(["run", "\(experiments)/table.lua", "--step", "2"], home: home)
    #expect(unknown.status != 0 && unknown.errors.contains("steps"))
    let method = try table(home, "one", ["--methods", "rnt"])
    #expect(method.status != 0 && method.errors.contains("unknown method 'rnt'"))
  }
}
