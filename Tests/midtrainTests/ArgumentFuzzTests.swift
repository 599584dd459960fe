// Native functions called from Lua with wrong arguments; see Tests/LuaTests/fuzz.lua.
import Foundation
import Testing

@Suite struct ArgumentFuzzTests {
  @Test func wrongArgumentsAreErrors() throws {
    let home = Home()
    let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appendingPathComponent("LuaTests/fuzz.lua").path
    let variables = ProcessInfo.processInfo.environment
    let count = variables["MIDTRAIN_FUZZ_CALLS"] ?? "3000"
    let outcome = try midtrain(
      [script, count, variables["MIDTRAIN_FUZZ_SEED"] ?? "1"], home: home,
      environment: variables["MIDTRAIN_FUZZ_TRACE"].map { ["MIDTRAIN_FUZZ_TRACE": $0] } ?? [:])
    #expect(outcome.status == 0, "\(outcome.errors.suffix(2000))")
    #expect(outcome.output.contains("fuzz: arguments: \(count) calls"), "\(outcome.output)")
    print(outcome.output, terminator: "")
  }
}
