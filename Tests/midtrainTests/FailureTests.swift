// Disks that are full, folders that cannot be written, checkpoints that are damaged: a run says what is wrong, and goes on
// to the same bits when that is mended.
import Foundation
import Glibc
import Testing

@Suite struct FailureTests {
  private static let isRoot = getuid() == 0

  private static let script =
    tinyRun + """
      local run = mid.rmt(mid.options.merged(tiny, {
        steps = 20, save_steps = settings.every, save_total_limit = 2, progress = false,
      }))
      if run.t < run.T then run:step(settings.stop or run.T) end
      """

  /// A file system in memory of its own at a folder, as long as this lives.
  private final class SmallDisk {
    let path: String

    init(_ path: String, kilobytes: Int) throws {
      self.path = path
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
      try Self.mount(["-t", "tmpfs", "-o", "size=\(kilobytes)k", "tmpfs", path])
    }

    func remount(_ options: String) throws { try Self.mount(["-o", "remount,\(options)", path]) }

    private static func mount(_ arguments: [String]) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/mount")
      process.arguments = arguments
      try process.run()
      process.waitUntilExit()
      try #require(process.terminationStatus == 0, "mount \(arguments)")
    }

    deinit { umount2(path, Int32(MNT_DETACH)) }
  }

  private let home = Home()
  private let path: String

  init() throws { path = try home.write(Self.script, to: "run.lua") }

  private func run(_ out: String, every: Int, _ more: String...) throws -> Outcome {
    try midtrain(["run", path, "--out", out, "--set", "every=\(every)"] + more, home: home)
  }

  /// A run that pauses itself waits for a person; where there is none it ends instead.
  @Test func pausesNoScriptThatHasEnded() throws {
    let script = try home.write(
      tinyRun + """
        mid.rmt(mid.options.merged(tiny, {
          steps = 20, learning_rate = 1e30, max_grad_norm = 0, max_skipped_steps = 2,
        })):start()
        """, to: "diverging.lua")
    let outcome = try midtrain(["run", script, "--out", "diverging"], home: home)
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("were not finite"), "\(outcome.errors)")
    let saved = try FileManager.default.contentsOfDirectory(atPath: home.path + "/diverging/checkpoints")
    #expect(saved.count == 1, "\(saved)")
  }

  /// os.exit while a thread of the engine computes.
  @Test func exitsWhileARunTrains() throws {
    let script = try home.write(
      tinyRun + """
        local run = mid.rmt(mid.options.merged(tiny, { steps = 100000, progress = false }))
        run:start():wait(3)
        os.exit(4)
        """, to: "exits.lua")
    for number in 0..<5 {
      let outcome = try midtrain(["run", script, "--out", "exit\(number)"], home: home)
      #expect(outcome.status == 4 && outcome.errors.isEmpty, "\(outcome.errors)")
    }
  }

  private func runCalmly() throws {
    let outcome = try run("calm", every: 5)
    #expect(outcome.status == 0, "\(outcome.errors)")
  }

  /// Whether the last weights, the optimiser's state and all metrics are those of the undisturbed run.
  private func compare(_ out: String) throws {
    for file in ["model.safetensors", "optimizer.safetensors"] {
      let name = "/checkpoints/step-20/" + file
      #expect(
        FileManager.default.contentsEqual(
          atPath: "\(home.path)/\(out)\(name)", andPath: "\(home.path)/calm\(name)"), "\(out) \(file)")
    }
    #expect(
      try timelessMetrics("\(home.path)/\(out)/metrics.jsonl")
        == timelessMetrics("\(home.path)/calm/metrics.jsonl"))
  }

  private func names(_ folder: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "\(home.path)/\(folder)").sorted()
  }

  @Test(.enabled(if: isRoot, "a small disk needs root to be mounted"))
  func aFullDisk() throws {
    try runCalmly()
    // Two checkpoints have room, a third one beside them has not.
    let size = try FileManager.default.subpathsOfDirectory(atPath: home.path + "/calm/checkpoints/step-20")
      .reduce(0) { sum, name in
        let file = "\(home.path)/calm/checkpoints/step-20/\(name)"
        return try sum + (FileManager.default.attributesOfItem(atPath: file)[.size] as! Int + 4095) / 4096 * 4
      }
    let disk = try SmallDisk(home.path + "/disk", kilobytes: size * 5 / 2 + 80)
    let full = try run("disk/run", every: 1)
    #expect(full.status == 1)
    #expect(full.errors.contains("No space left on device"), "\(full.errors)")
    let kept = try names("disk/run/checkpoints")
    #expect(kept.count == 2 && kept.allSatisfy { !$0.hasSuffix(".tmp") }, "\(kept)")
    for name in kept {
      let verified = try midtrain(["-e", "mid.verify 'disk/run/checkpoints/\(name)'"], home: home)
      #expect(verified.status == 0, "\(verified.errors)")
    }
    // Still full: it goes on, and fails the same way.
    let again = try run("disk/run", every: 1, "--resume")
    #expect(again.status == 1 && again.errors.contains("No space left on device"), "\(again.errors)")
    try disk.remount("size=\(size * 4 + 400)k")
    let rest = try run("disk/run", every: 1, "--resume")
    #expect(rest.status == 0 && rest.output.contains("going on after step 2 of 20"), "\(rest.errors)")
    try compare("disk/run")
  }

  @Test(.enabled(if: isRoot, "a small disk needs root to be mounted"))
  func aDiskThatFillsWithLines() throws {
    try runCalmly()
    let disk = try SmallDisk(home.path + "/disk", kilobytes: 64)
    let full = try run("disk/run", every: 0)
    #expect(full.status == 1)
    #expect(full.errors.contains("No space left on device"), "\(full.errors)")
    // Whole lines only.
    for name in ["metrics", "completions"] {
      let text = try String(contentsOfFile: "\(home.path)/disk/run/\(name).jsonl", encoding: .utf8)
      #expect(text.hasSuffix("}\n"), "\(name)")
    }
    try disk.remount("size=4m")
    let rest = try run("disk/run", every: 0, "--resume")
    #expect(rest.status == 0, "\(rest.errors)")
    try compare("disk/run")
  }

  @Test(.enabled(if: isRoot, "root may write where modes forbid it, so a disk is mounted read-only"))
  func aReadOnlyDisk() throws {
    try runCalmly()
    let disk = try SmallDisk(home.path + "/disk", kilobytes: 4096)
    #expect(try run("disk/run", every: 5, "--set", "stop=10").status == 0)
    try disk.remount("ro")
    for outcome in [try run("disk/run", every: 5, "--resume"), try run("disk/other", every: 5)] {
      #expect(outcome.status == 1)
      #expect(outcome.errors.contains("Read-only file system"), "\(outcome.errors)")
      #expect(outcome.errors.contains("disk/"), "\(outcome.errors)")
    }
    try disk.remount("rw")
    let rest = try run("disk/run", every: 5, "--resume")
    #expect(rest.status == 0 && rest.output.contains("going on after step 10 of 20"), "\(rest.errors)")
    try compare("disk/run")
  }

  @Test(.enabled(if: !isRoot, "root may write where modes forbid it"))
  func aFolderThatMayNotBeWritten() throws {
    let folder = home.path + "/locked"
    try FileManager.default.createDirectory(
      atPath: folder, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o555])
    let outcome = try run("locked/run", every: 5)
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("locked/run") && outcome.errors.contains("Permission denied"))
    chmod(folder, 0o755)
  }

  /// What happens to the newest checkpoint, and what is said about it.
  private static let damages: [(name: String, damage: @Sendable (String) throws -> Void, said: String)] = [
    (
      "half of the weights", { try Self.change($0 + "/model.safetensors") { $0.removeLast($0.count / 2) } },
      "model.safetensors: is damaged: it has "
    ),
    (
      "a byte of the weights", { try Self.change($0 + "/model.safetensors") { $0[$0.count - 3] ^= 4 } },
      "model.safetensors: is damaged: its checksum is "
    ),
    (
      "a byte of the optimiser's state",
      { try Self.change($0 + "/optimizer.safetensors") { $0[$0.count / 2] ^= 128 } },
      "optimizer.safetensors: is damaged: its checksum is "
    ),
    (
      "an empty trainer_state.json", { try Self.change($0 + "/trainer_state.json") { $0 = [] } },
      "trainer_state.json: is damaged: it has 0 bytes"
    ),
    (
      "no tokenizer", { try FileManager.default.removeItem(atPath: $0 + "/tokenizer.json") },
      "tokenizer.json: cannot open"
    ),
    (
      "no checksums", { try FileManager.default.removeItem(atPath: $0 + "/checksums.json") },
      "has no checksums.json"
    ),
    (
      "zeros for checksums",
      { try Self.change($0 + "/checksums.json") { $0 = .init(repeating: 0, count: $0.count) } },
      "checksums.json"
    ),
  ]

  private static func change(_ path: String, _ body: (inout [UInt8]) -> Void) throws {
    var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
    body(&bytes)
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  @Test func aDamagedNewestCheckpoint() throws {
    try runCalmly()
    for (index, damage) in Self.damages.enumerated() {
      let out = "run-\(index)"
      try FileManager.default.copyItem(atPath: home.path + "/calm", toPath: "\(home.path)/\(out)")
      try damage.damage("\(home.path)/\(out)/checkpoints/step-20")
      let outcome = try run(out, every: 5, "--resume")
      #expect(outcome.status == 0, "\(damage.name): \(outcome.errors)")
      #expect(outcome.output.contains(damage.said), "\(damage.name): \(outcome.output)")
      #expect(
        outcome.output.contains("/step-20 cannot be used, trying the one before"),
        "\(damage.name): \(outcome.output)")
      #expect(outcome.output.contains("going on after step 15 of 20"), "\(damage.name): \(outcome.output)")
      try compare(out)
      #expect(try names(out + "/checkpoints") == ["step-15", "step-20", "step-20.damaged"])
    }
    // All of them: nothing is made up.
    for step in [15, 20] {
      try Self.change("\(home.path)/calm/checkpoints/step-\(step)/model.safetensors") { $0[100] ^= 1 }
    }
    let none = try run("calm", every: 5, "--resume")
    #expect(none.status == 1 && none.errors.contains("no checkpoint in 'calm' can be used"), "\(none.errors)")
  }
}
