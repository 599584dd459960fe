// Ctrl-C again and again, at random moments of all kinds of work: the prompt comes back, and nothing is left half done.
import Foundation
import Testing

@Suite struct InterruptionTests {
  /// Work that would go on for long, as a person types it; `%` stands for a number of its own.
  private static let work = [
    "while true do end",
    "while true do pcall(error) end",
    "pcall(function() while true do end end)",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
    "table.sort({ 3, 2, 1 }, function() while true do end end)",
    "string.find(('x'):rep(1000000), ('x*'):rep(30) .. 'y')",
    "while true do pcall(string.gsub, ('x'):rep(100000), ('(x-)'):rep(30) .. 'y', '') end",
    "xpcall(error, function() while true do end end)",
    "xpcall(function() error('x') end, function() while true do end end)",
    "while true do xpcall(function() while true do end end, function() while true do end end) end",
    "mid.sleep(1000)",
    "mid.spawn(function() while true do mid.sleep(0.01) end end):wait()",
    "while true do model:entropy('1+2=3') end",
    "while true do pcall(model.generate, model, '1+2=', { max_tokens = 64, n = 8 }) end",
    "run:step(100000)",
    "while true do run:step() end",
  ]

  /// $MIDTRAIN_INTERRUPTS of them: the long test by hand has 1000.
  @Test func atRandomMoments() throws {
    let home = Home()
    let wanted = ProcessInfo.processInfo.environment["MIDTRAIN_INTERRUPTS"].flatMap(Int.init) ?? 150
    let text =
      "settings = { out = '\(home.path)/run' }\n" + tinyRun.replacing("local model", with: "model") + """
        run = mid.rmt(mid.options.merged(tiny, { steps = 1000000, progress = false }))
        marks = 0
        """
    let terminal = try PseudoTerminal(["-i", home.write(text, to: "run.lua")], home: home)
    try terminal.expect("> ")
    var random = SystemRandomNumberGenerator()
    var delays: [Double] = []
    for number in 1...wanted {
      let code = Self.work.randomElement(using: &random)!
      terminal.enter("marks = marks + 1 io.write('go\\n') \(code)")
      try terminal.expect("\ngo\n")
      usleep(UInt32.random(in: 0...40_000, using: &random))
      let pressed = Date()
      terminal.control("c")
      try terminal.expect("interrupted")
      try terminal.expect("\n> ")
      delays.append(Date().timeIntervalSince(pressed))
      if number % 25 == 0 {
        terminal.enter("marks .. ' ' .. run.status .. ' ' .. tostring(run.t == #run.history)")
        try terminal.expect("\n\(number) ready true\n> ")
      }
    }
    delays.sort()
    func milliseconds(_ share: Double) -> Int { Int(1000 * delays[Int(share * Double(wanted - 1))]) }
    print(
      "\(wanted) interrupts: back after \(milliseconds(0.5)) ms (median), \(milliseconds(0.99)) ms (99 %)",
      "and at most \(milliseconds(1)) ms")

    // The steps that were taken are those of a run that nobody interrupted, and so is its model.
    terminal.enter("run:step() print('steps ' .. run.t .. '.') run:save '\(home.path)/interrupted'")
    try terminal.expect("\nsteps ")
    let steps = try #require(Int(try terminal.shown(before: ".\n")))
    try terminal.expect("> ")
    // Jobs that were waited for still run.
    terminal.control("d")
    terminal.enter("y")
    #expect(terminal.exitStatus() == 0)
    let calm = try midtrain(
      [
        "-e",
        text.replacing("/run'", with: "/calm'") + "\nrun:step(\(steps)) run:save '\(home.path)/undisturbed'",
      ], home: home)
    #expect(calm.status == 0, "\(calm.errors)")
    for file in ["model.safetensors", "optimizer.safetensors"] {
      #expect(
        FileManager.default.contentsEqual(
          atPath: home.path + "/interrupted/" + file, andPath: home.path + "/undisturbed/" + file), "\(file)")
    }
    #expect(
      try timelessMetrics(home.path + "/run/metrics.jsonl")
        == timelessMetrics(home.path + "/calm/metrics.jsonl"))
  }
}
