// A person at the prompt while runs train: typing, pasting, resizing, several runs at once, leaving.
import Foundation
import Glibc
import Testing

@Suite struct LiveTests {
  /// A prompt with `model`, `tiny` and a way to make runs: `new(name)`.
  private func prompt(_ home: Home) throws -> PseudoTerminal {
    let text =
      "settings = { out = '\(home.path)/run' }\n"
      + tinyRun.replacing("local model", with: "model").replacing("local tiny", with: "tiny") + """
        function new(name, given)
          return mid.rmt(mid.options.merged(tiny, { steps = 100000, progress = false, model = model:copy { dtype = "f32" },
            out = "\(home.path)/" .. name }, given or {}))
        end
        """
    let terminal = try PseudoTerminal(["-i", home.write(text, to: "run.lua")], home: home)
    try terminal.expect("> ")
    return terminal
  }

  /// Keys are echoed while steps run. How fast is printed, and decides nothing.
  @Test func keysAreEchoedDuringSteps() throws {
    let home = Home()
    let terminal = try prompt(home)
    terminal.enter("run = new 'first'; run:start();")
    try terminal.expect("> ")
    terminal.type("'")
    try terminal.expect("'")
    var delays: [Double] = []
    var random = SystemRandomNumberGenerator()
    for number in 0..<200 {
      usleep(UInt32.random(in: 0...10_000, using: &random))
      let key = String(UnicodeScalar(UInt8(97 + number % 26)))
      let pressed = Date()
      terminal.type(key)
      try terminal.expect(key)
      delays.append(Date().timeIntervalSince(pressed))
    }
    terminal.enter("' > ''")
    try terminal.expect("\ntrue\n> ")
    delays.sort()
    print("a key is echoed after \(delays[100] * 1000) ms (median), \(delays[197] * 1000) ms (99 %)")
    terminal.enter("run.t > 3")
    try terminal.expect("\ntrue\n> ")
  }

  /// Step lines and a resize leave what is being typed whole.
  @Test func theTypedLineStaysWhole() throws {
    let home = Home()
    let terminal = try prompt(home)
    terminal.enter("run = new('first', { progress = true, steps = 400 }); run:start();")
    try terminal.expect("> ")
    terminal.type("'abc' .. ")
    // One in half a second.
    for _ in 0..<3 { try terminal.expect(" tok/s · ") }
    try terminal.expect("> 'abc' .. ")
    terminal.resize(columns: 60)
    terminal.type("'def'")
    try terminal.expect(" tok/s · ")
    terminal.resize(columns: 120)
    terminal.enter("")
    try terminal.expect("\nabcdef\n")
  }

  @Test func aPasteOfManyLines() throws {
    let home = Home()
    let terminal = try prompt(home)
    let lines = (1...200).map { "t[\($0)] = \($0)" }
    terminal.enter("t = {}")
    try terminal.expect("> ")
    terminal.type(lines.joined(separator: "\r") + "\r")
    terminal.enter("for i = 1, 3 do\rlocal x = i\rt[i] = x * 10\rend")
    terminal.enter("'sum ' .. #t .. ' ' .. t[1] + t[200]")
    try terminal.expect("\nsum 200 210\n> ")
    // As terminals paste: marked, and taken as one input.
    let text = "function f(x)\n  return {\n    x,\n  }\nend\nprint('f is there', #f(1))"
    terminal.type("\u{1b}[200~\(text)\u{1b}[201~\r")
    try terminal.expect("\nf is there\t1\n")
  }

  @Test func severalRunsAndJobsSideBySide() throws {
    let home = Home()
    let terminal = try prompt(home)
    terminal.enter("a, b = new('a', { steps = 30 }), new('b', { steps = 30, seed = 3 });")
    try terminal.expect("> ")
    terminal.enter("a:start(); b:start(); ticks = 0;")
    terminal.enter(
      "job = mid.spawn(function() while b.t < 30 do ticks = ticks + 1 mid.sleep(0.005) end end);")
    terminal.enter("a:wait() b:wait() job:wait() print(a.status .. b.status .. tostring(ticks > 5))")
    try terminal.expect("\ndonedonetrue\n> ")
    // Alone each of them comes to the same.
    terminal.enter("new('alone', { steps = 30, seed = 3 }):start():wait();")
    terminal.enter("'alone ' .. 'too'")
    try terminal.expect("\nalone too\n> ")
    #expect(
      try timelessMetrics(home.path + "/b/metrics.jsonl")
        == timelessMetrics(home.path + "/alone/metrics.jsonl"))
  }

  /// An error of a step is told above the line, the run waits at its last step, and goes on when it is mended.
  @Test func aFailureIsMendedAtThePrompt() throws {
    let home = Home()
    let terminal = try prompt(home)
    terminal.enter(
      "run = new('first', { steps = 30 }); run:step(3); run.lambda = function() return oops.x end;")
    try terminal.expect("> ")
    terminal.enter("run:start();")
    try terminal.expect("job 1 failed: ")
    try terminal.expect("attempt to index a nil value (global 'oops')")
    try terminal.expect("run.lambda = function() return oops.x end")  // the source line
    try terminal.expect("> ")
    terminal.enter("run.status .. run.t")
    try terminal.expect("\nfailed3\n> ")
    terminal.enter("run.lambda = 'x'")
    try terminal.expect("option 'lambda' must be number or a function of (t, T, state), got string (\'x\')")
    terminal.enter("run.lambda = 0.1 run:resume():wait() print(run.status .. run.t)")
    try terminal.expect("\ndone30\n> ")
  }

  @Test func leavingAsksWhileARunTrains() throws {
    let home = Home()
    let terminal = try prompt(home)
    terminal.enter("run = new 'first'; run:start();")
    try terminal.expect("> ")
    terminal.control("d")
    try terminal.expect("Leave and stop it? Runs with a folder are saved. [y/N] ")
    terminal.enter("n")
    try terminal.expect("\n> ")
    terminal.enter("run:wait(run.t + 2).status")
    try terminal.expect("\nrunning\n> ")
    terminal.control("d")
    terminal.enter("y")
    #expect(terminal.exitStatus() == 0)
    let saved = try FileManager.default.contentsOfDirectory(atPath: home.path + "/first/checkpoints")
    #expect(saved.count == 1 && saved[0].hasPrefix("step-"), "\(saved)")
  }

  /// While a run is paused, a step that fails or is interrupted leaves it paused, and it goes on and saves as before.
  @Test func stepsThatFailWhilePaused() throws {
    let home = Home()
    let terminal = try prompt(home)
    terminal.enter("run = new('first', { steps = 12, save_steps = 1 }); run:start():pause();")
    try terminal.expect("> ")
    terminal.enter("run.budget = function() error 'oops' end run:step()")
    try terminal.expect("oops")
    try terminal.expect("\n> ")
    terminal.enter("run.status")
    try terminal.expect("\npaused\n> ")
    terminal.enter(
      "run.reward_instructions, run.budget = 0, 9 run.reward = function() while true do end end;")
    try terminal.expect("> ")
    terminal.enter("io.write 'go\\n' run:step(5)")
    try terminal.expect("\ngo\n")
    terminal.control("c")
    try terminal.expect("interrupted")
    try terminal.expect("\n> ")
    terminal.enter("run.status")
    try terminal.expect("\npaused\n> ")
    terminal.enter(
      "run.reward = function(s) return #s.ids end run:resume():wait() print(run.status .. run.t)")
    try terminal.expect("\ndone12\n> ")
  }

  /// A reward without end in the background: Ctrl-C, pressed twice, ends the step, and the run can be mended.
  @Test func aStepWithoutEndInTheBackground() throws {
    let home = Home()
    let terminal = try prompt(home)
    terminal.enter("run = new('first', { steps = 9, reward_instructions = 0 }); run:step(2);")
    try terminal.expect("> ")
    terminal.enter("run.reward = function() io.write 'endless\\n' while true do end end run:start();")
    try terminal.expect("endless\n")
    try terminal.control("c", until: "interrupted")
    try terminal.expect("> ")
    terminal.enter("run.status .. run.t")
    try terminal.expect("\nfailed2\n> ")
    terminal.enter(
      "run.reward = function(s) return #s.ids end run:resume():wait() print(run.status .. run.t)")
    try terminal.expect("\ndone9\n> ")
    // A schedule without end ends by itself.
    terminal.enter(
      "two = new('second', { budget = function() while true do end end }); print(pcall(two.step, two))")
    try terminal.expect("is there a loop without end?")
  }
}
