// What a run's process holds does not grow with its steps. scripts/soak takes many more of them.
import Foundation
import Testing

@Suite struct MemoryTests {
  private static let isSanitized = ProcessInfo.processInfo.environment["ASAN_OPTIONS"] != nil

  private static let luaTests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()
    .appendingPathComponent("LuaTests").path

  /// A few kilobytes a step are within the limit for so small a process; one forgotten copy of its weights is not.
  @Test(.enabled(if: !isSanitized, "sanitizers keep what was freed"))
  func aRunsMemoryIsFlat() throws {
    let home = Home()
    let outcome = try midtrain([Self.luaTests + "/soak.lua", "400", "200", "soak", "32", "0.1"], home: home)
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("soak: 400 steps"), "\(outcome.output)")
  }

  /// Lua knows nothing of the size of tensors, and yet garbage does not pile up: half of the working set at most.
  @Test(.enabled(if: !isSanitized, "sanitizers keep what was freed"))
  func garbageOfLargeTensorsIsCollected() throws {
    let outcome = try midtrain([Self.luaTests + "/working_set.lua"], home: Home())
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("working set 144 MB"), "\(outcome.output)")
  }
}
