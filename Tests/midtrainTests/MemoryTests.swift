// What a run's process holds does not grow with its steps. scripts/soak takes many more of them.
import Foundation
import Testing

@Suite struct MemoryTests {
  private static let isSanitized = ProcessInfo.processInfo.environment["ASAN_OPTIONS"] != nil

  /// A few kilobytes a step are within the limit for so small a process; one forgotten copy of its weights is not.
  @Test(.enabled(if: !isSanitized, "sanitizers keep what was freed"))
  func aRunsMemoryIsFlat() throws {
    let home = Home()
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("LuaTests/soak.lua").path
    let outcome = try midtrain([script, "400", "200", "soak", "32", "0.1"], home: home)
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("soak: 400 steps"), "\(outcome.output)")
  }
}
