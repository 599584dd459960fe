import Foundation
import Testing

/// Tests/LuaTests, run by the program itself: policies by hand-computed values, objectives and the loop on the engine.
@Suite struct LuaTests {
  @Test func allPass() throws {
    let runner = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("LuaTests/run.lua").path
    let outcome = try midtrain([runner])
    #expect(
      outcome.output.contains(/[1-9]\d+ Lua tests passed, 0 failed/), "\(outcome.output)\(outcome.errors)")
    #expect(outcome.status == 0)
  }
}
