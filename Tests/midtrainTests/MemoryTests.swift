// What a run's process holds does not grow with its steps. scripts/soak takes many more of them.
import Foundation
import Testing

@Suite struct MemoryTests {
  private static let isSanitized = ["ASAN_OPTIONS", "TSAN_OPTIONS"].contains {
    ProcessInfo.processInfo.environment[$0] != nil
  }

  private static let luaTests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .appendingPathComponent("LuaTests").path

  /// Two thousand steps after a warm-up, as long as there is no forgotten copy of a step's metrics.
  @Test(.enabled(if: !isSanitized, "sanitizers keep what was freed"))
  func aRunsMemoryIsFlat() throws {
    let home = Home()
    let outcome = try midtrain(
      [Self.luaTests + "/soak.lua", "2500", "500", "soak"], home: home,
      environment: ["MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"])
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("soak: 2500 steps"), "\(outcome.output)")
  }

  /// Lua knows nothing of the size of tensors, and yet garbage does not pile up: half of the working set at most.
  @Test(.enabled(if: !isSanitized, "sanitizers keep what was freed"), arguments: [8, 48])
  func garbageOfLargeTensorsIsCollected(megabytes: Int) throws {
    let outcome = try midtrain([Self.luaTests + "/working_set.lua", "\(megabytes)"], home: Home())
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("working set \(3 * megabytes) MB"), "\(outcome.output)")
  }
}
