import Foundation
import Testing

/// The prompt on a real pseudo-terminal.
@Suite struct PromptTests {
  private func prompt(home: Home = Home()) throws -> PseudoTerminal {
    let terminal = try PseudoTerminal(home: home)
    try terminal.expect("type help() for help\n")
    try terminal.expect("> ")
    return terminal
  }

  @Test func expressionsPrintThemselves() throws {
    let terminal = try prompt()
    terminal.enter("6 * 7")
    try terminal.expect("6 * 7\n42\n> ")
    terminal.enter("_ + 1")
    try terminal.expect("\n43\n> ")
    terminal.enter("= 'a' .. 'b'")
    try terminal.expect("\nab\n> ")
    for silent in ["5;", "5; -- nothing"] {
      terminal.enter(silent)
      try terminal.expect("\(silent)\n> ")
    }
    terminal.enter("{ 1, 2, x = { 'y' } }")
    try terminal.expect("\n{ 1, 2, x = { \"y\" } }\n> ")
    terminal.control("d")
    #expect(terminal.exitStatus() == 0)
  }

  @Test func incompleteInputGoesOn() throws {
    let terminal = try prompt()
    terminal.enter("function double(x)")
    try terminal.expect("\n>> ")
    terminal.enter("return 2 * x")
    try terminal.expect("\n>> ")
    terminal.enter("end")
    try terminal.expect("\n> ")
    terminal.enter("double(21)")
    try terminal.expect("\n42\n> ")
    terminal.enter("print(")
    try terminal.expect("\n>> ")
    terminal.control("c")
    try terminal.expect("\n> ")
    terminal.enter("'still here'")
    try terminal.expect("\nstill here\n> ")
  }

  @Test func tabCompletes() throws {
    let home = Home()
    _ = try home.write("", to: "a file with spaces.txt")
    let terminal = try prompt(home: home)
    terminal.type("mid.clo\t")
    try terminal.expect("mid.clock")
    terminal.enter("() > 0")
    try terminal.expect("\ntrue\n> ")
    terminal.enter("job = mid.spawn(print);")
    try terminal.expect("\n> ")
    terminal.type("job:wa\t")
    try terminal.expect("job:wait")
    terminal.enter("()")
    try terminal.expect("\n> ")
    terminal.enter("alphabet = { soup = { hot = 1 } }")
    try terminal.expect("\n> ")
    terminal.type("alp\t.so\t.h\t")
    try terminal.expect("alphabet.soup.hot")
    terminal.enter("")
    try terminal.expect("\n1\n> ")
    terminal.type("#'\(home.path)/a fi\t")
    try terminal.expect("with spaces.txt'")
    terminal.enter(" > 0")
    try terminal.expect("\ntrue\n> ")
    // Looking for candidates must not run a script's code.
    terminal.enter("trap = setmetatable({}, { __index = function() error 'touched' end })")
    try terminal.expect("\n> ")
    terminal.type("trap.x\t.y\t")
    terminal.control("c")
    #expect(try !terminal.shown(before: "\n> ").contains("touched"))
  }

  @Test func tabKnowsWhereItIs() throws {
    let home = Home()
    _ = try home.write("text", to: "notes.txt")
    let terminal = try prompt(home: home)
    // Options of a call, over lines; a word among choices; a module.
    terminal.enter("o = mid.budget.linear {")
    try terminal.expect("\n>> ")
    terminal.type("ini\t = 5, fi\t = 5 }")
    try terminal.expect("initial = 5, final = 5 }")
    terminal.control("c")
    try terminal.expect("\n> ")
    terminal.type("mid.load(\"no\", { dt\t = \"bf\t")
    try terminal.expect("dtype = \"bf16\"")
    terminal.control("c")
    try terminal.expect("\n> ")
    terminal.type("type(require \"midtrain.bud\t")
    try terminal.expect("midtrain.budget\"")
    terminal.enter(")")
    try terminal.expect("\ntable\n> ")
    // Two candidates are listed, and what they have in common is typed.
    terminal.type("mid.rmt { loss_t\t = \"d\t\t")
    try terminal.expect("dapo     dr_grpo")
    terminal.control("c")
    try terminal.expect("\n> ")
    terminal.type("?mid.cloc\t\r")
    try terminal.expect("mid.clock()\n  Seconds of a clock")
    try terminal.expect("\n> ")
    terminal.type("!cat \(home.path)/no\t")
    try terminal.expect("/notes.txt")
    terminal.enter("")
    try terminal.expect("\ntext> ")
  }

  @Test func timeAndShellCommands() throws {
    let terminal = try prompt()
    terminal.enter("time(function() return 6 * 7 end)")
    try terminal.expect("ms · memory ")
    try terminal.expect("so far\n42\n> ")
    terminal.enter("!echo $((6 * 7)); exit 3")
    try terminal.expect("\n42\n(exit status 3)\n> ")
    terminal.enter("!echo on; sleep 100")
    try terminal.expect("\non\n")
    // The shell may still be on its way to `sleep`, and deaf.
    usleep(500_000)
    terminal.control("c")
    try terminal.expect("\n> ")
    terminal.enter("'alive'")
    try terminal.expect("\nalive\n> ")
  }

  @Test func historyIsKept() throws {
    let home = Home()
    do {
      let terminal = try prompt(home: home)
      terminal.enter("'first of all'")
      try terminal.expect("\nfirst of all\n> ")
      terminal.enter("1")
      try terminal.expect("\n1\n> ")
      #expect(try String(contentsOfFile: home.history, encoding: .utf8) == "'first of all'\n1\n")
      terminal.control("d")
      #expect(terminal.exitStatus() == 0)
    }
    let terminal = try prompt(home: home)
    terminal.type("\u{1b}[A\u{1b}[A\r")
    try terminal.expect("\nfirst of all\n> ")
    terminal.control("r")
    terminal.type("of al")
    try terminal.expect("first of all")
    terminal.type("\r")
    try terminal.expect("\nfirst of all\n> ")
  }

  @Test(arguments: [
    "while true do end",
    "while true do pcall(function() while true do end end) end",
    "coroutine.wrap(function() while true do end end)()",
    "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
    "mid.sleep(1000)",
    "mid.spawn(function() mid.sleep(1000) end):wait()",
  ])
  func controlCStopsTheEvaluation(code: String) throws {
    let terminal = try prompt()
    terminal.enter("io.write 'go\\n' \(code)")
    try terminal.expect("\ngo\n")
    terminal.control("c")
    try terminal.expect("interrupted")
    try terminal.expect("\n> ")
    terminal.enter("'alive'")
    try terminal.expect("\nalive\n> ")
    terminal.control("c")
    try terminal.expect("> ")
    terminal.enter("'and well'")
    try terminal.expect("\nand well\n> ")
  }

  @Test func controlCClearsTheLine() throws {
    let terminal = try prompt()
    terminal.type("error 'not to be run'")
    try terminal.expect("not to be run'")
    terminal.control("c")
    try terminal.expect("^C\n> ")
    terminal.enter("1 + 1")
    try terminal.expect("\n2\n> ")
  }

  /// What nothing else ends: one search of Lua's own library that takes for ever.
  @Test func controlBackslashEndsWhatRunsButNotALine() throws {
    let terminal = try prompt()
    terminal.type("1 +")
    try terminal.expect("1 +")
    terminal.control("\\")
    terminal.enter(" 1")
    try terminal.expect("\n2\n> ")
    terminal.enter("print 'go'; ('x'):rep(1e7):find(('x*'):rep(30) .. 'y')")
    try terminal.expect("go\n")
    terminal.control("\\")
    #expect(terminal.exitStatus() == -SIGQUIT)
    #expect(!terminal.unread.contains("rash"), "\(terminal.unread)")
  }

  @Test func jobsRunWhileThePersonTypes() throws {
    let terminal = try prompt()
    terminal.enter("mid.spawn(function() for i = 1, 3 do mid.sleep(0.1) print('tick ' .. i) end end);")
    try terminal.expect("\n> ")
    terminal.type("20 + ")
    try terminal.expect("tick 1\n")
    try terminal.expect("> 20 + ")
    try terminal.expect("tick 3\n> 20 + ")
    terminal.enter("3")
    try terminal.expect("\n23\n> ")
  }

  @Test func aFailedJobIsReportedAboveTheLine() throws {
    let terminal = try prompt()
    terminal.enter("mid.spawn(function() mid.sleep(0.1) error 'oh' end);")
    terminal.type("abc")
    try terminal.expect("job 1 failed: in[1]:1: oh\n")
    try terminal.expect("\n> abc")
  }

  @Test func controlDAsksWhileAJobRuns() throws {
    let terminal = try prompt()
    terminal.enter("mid.spawn(function() mid.sleep(1000) end);")
    try terminal.expect("\n> ")
    terminal.control("d")
    try terminal.expect("Leave and stop it? Runs with a folder are saved. [y/N] ")
    terminal.enter("n")
    try terminal.expect("\n> ")
    terminal.enter("'stayed'")
    try terminal.expect("\nstayed\n> ")
    terminal.control("d")
    try terminal.expect("Leave and stop it? Runs with a folder are saved. [y/N] ")
    terminal.enter("y")
    #expect(terminal.exitStatus() == 0)
  }

  @Test func helpShowsDeclarations() throws {
    let terminal = try prompt()
    terminal.enter("?rename")
    try terminal.expect("\nmid.rename(from, to)\n  Renames")
    terminal.enter("help(mid.sleep)")
    try terminal.expect("\nmid.sleep(seconds)\n")
    terminal.enter("help()")
    try terminal.expect("\n  mid.spawn(f, [...])")
    terminal.enter("help 'renam'")
    try terminal.expect("Nothing is called 'renam'")
  }

  @Test func whatWasTypedCanBeReadBack() throws {
    let terminal = try prompt()
    terminal.enter("f = function() return 1 end")
    try terminal.expect("\n> ")
    terminal.enter("mid.source(debug.getinfo(f).source)")
    try terminal.expect("\nf = function() return 1 end\n> ")
  }

  @Test func theStartUpFileRuns() throws {
    let home = Home()
    _ = try home.write("greeting = 'hello from the file'", to: ".midtrainrc.lua")
    let terminal = try prompt(home: home)
    terminal.enter("greeting")
    try terminal.expect("\nhello from the file\n> ")
  }

  @Test func aScriptThatIsInterruptedExitsWith130() throws {
    let terminal = try PseudoTerminal(["-e", "print 'go' while true do pcall(mid.sleep, 1000) end"])
    try terminal.expect("go\n")
    terminal.control("c")
    try terminal.expect("interrupted")
    #expect(terminal.exitStatus() == 130)
  }

  @Test func interactiveAfterAScript() throws {
    let terminal = try PseudoTerminal(["-i", "-e", "x = 'kept'"])
    try terminal.expect("> ")
    terminal.enter("x")
    try terminal.expect("\nkept\n> ")
  }
}
