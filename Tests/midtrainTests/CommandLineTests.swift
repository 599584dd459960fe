import Foundation
import TestSupport
import Testing

/// The program through pipes: scripts, options, exit statuses.
@Suite struct CommandLineTests {
  @Test func runsCodeFromTheCommandLine() throws {
    let outcome = try midtrain(["-e", "print(1+1)"])
    #expect(outcome.output == "2\n")
    #expect(outcome.errors == "")
    #expect(outcome.status == 0)
  }

  @Test func helpFollowsVariables() throws {
    let code =
      "b = mid.batch() list = { f = mid.budget.linear } local text = require 'midtrain.help'.text "
      + "print(text 'b:segment') print(text 'list.f') print(text 'list.g')"
    let output = try midtrain(["-e", code]).output
    #expect(output.contains("batch:segment(ids"))
    #expect(output.contains("list.f(given)\n  A straight line from `initial` at 0"))
    #expect(output.contains("Nothing is called 'list.g'"))
  }

  @Test func optionsComeInLuasOrder() throws {
    let home = Home()
    _ = try home.write("return { name = 'module' }", to: "helper.lua")
    let script = try home.write(
      "print(helper.name, x, ...) print(arg[0], arg[1], arg[-1], #arg)", to: "script.lua")
    let outcome = try midtrain(
      ["-l", "helper", "-e", "x = 1", "-e", "x = x + 1", script, "a", "-e"], home: home)
    #expect(outcome.output == "module\t2\ta\t-e\n\(script)\ta\tx = x + 1\t2\n")
    #expect(outcome.status == 0)
  }

  @Test func readsAScriptFromStandardInput() throws {
    #expect(try midtrain([], input: "print('in', ...)").output == "in\n")
    #expect(try midtrain(["-", "a"], input: "#!/usr/bin/env midtrain\nprint('in', ...)").output == "in\ta\n")
  }

  @Test func errorsGoToStandardErrorWithATraceback() throws {
    let home = Home()
    _ = try home.write("local function f()\n  error 'boom'\nend\nf()\n", to: "script.lua")
    let outcome = try midtrain(["script.lua"], home: home)
    #expect(outcome.status == 1)
    #expect(outcome.output == "")
    #expect(outcome.errors.hasPrefix("midtrain: script.lua:2: boom\nstack traceback:\n"))
    #expect(outcome.errors.contains("    2 │ error 'boom'"))
    #expect(outcome.errors.contains("    4 │ f()"))
  }

  @Test(arguments: [
    (["inof"], "no command and no file is called 'inof'; did you mean 'info'?"),
    (["--hlep"], "unknown option --hlep; did you mean '--help'?"),
    (["-e"], "-e needs a value after it"),
    (["run"], "run needs a script"),
    (["run", "x.lua", "--set", "steps"], "--set needs name=value, got 'steps'"),
  ])
  func wrongUsageIsExplained(arguments: [String], message: String) throws {
    let outcome = try midtrain(arguments)
    #expect(outcome.status == 2)
    #expect(outcome.errors.contains(message))
  }

  @Test func aMissingScriptIsAnError() throws {
    let outcome = try midtrain(["nowhere.lua"])
    #expect(outcome.status == 1)
    #expect(outcome.errors == "midtrain: cannot read nowhere.lua: No such file or directory\n")
  }

  @Test func runPassesSettings() throws {
    let home = Home()
    let script = try home.write(
      "print(settings.steps + 1, settings.fast, settings.name, settings.rate, settings.out, ...)", to: "s.lua"
    )
    let outcome = try midtrain(
      [
        "run", script, "--set", "steps=500", "--set", "fast=true", "more", "--set", "name=a=b", "--set",
        "rate=1e-3",
        "--out", "runs/x",
      ], home: home)
    #expect(outcome.output == "501\ttrue\ta=b\t0.001\truns/x\tmore\n")
  }

  @Test func versionHelpAndInfo() throws {
    let version = try midtrain(["--version"])
    #expect(
      version.output.contains(
        /^midtrain 0\.\d+ · OpenBLAS [\d.]+ \w+(?:, AMX)? · \d+ threads? · Lua 5\.4\nprocessor  .+\nbuild      release\n/
      ))
    #expect(try midtrain(["-h"]).output.hasPrefix("usage: midtrain"))
    let info = try midtrain(["info"])
    #expect(info.output.contains("OpenBLAS"))
    #expect(info.status == 0)
  }

  @Test func theDoctorChecksTheInstallation() throws {
    let home = Home()
    let fine = try midtrain(["doctor"], home: home)
    #expect(fine.status == 0, "\(fine.output)\(fine.errors)")
    for check in ["library", "products", "files", "training", "models"] {
      #expect(fine.output.contains(try Regex("(?m)^ok   \(check) ")), "\(check): \(fine.output)")
    }
    // A library with a module that does not load.
    let stdlib = home.path + "/stdlib"
    let original = try midtrain([
      "-e", "print((package.searchpath('midtrain', package.path):gsub('/midtrain/init.lua$', '')))",
    ])
    try FileManager.default.copyItem(
      atPath: original.output.trimmingCharacters(in: .newlines), toPath: stdlib)
    _ = try home.write("return {", to: "stdlib/midtrain/tasks.lua")
    let broken = try midtrain(["doctor"], home: home, environment: ["MIDTRAIN_STDLIB": stdlib])
    #expect(broken.status == 1)
    #expect(broken.output.contains(/FAIL library .*tasks.lua/), "\(broken.output)")

    // With a folder it looks at a run.
    _ = try home.write("", to: "nothing")
    let none = try midtrain(["doctor", home.path], home: home)
    #expect(none.status == 1 && none.errors.contains("it has no metrics.jsonl"), "\(none.errors)")
    _ = try home.write(
      String(repeating: "{\"step\": 1, \"skipped\": 1, \"grad_norm\": 1, \"learning_rate\": 1}\n", count: 5),
      to: "metrics.jsonl")
    let ill = try midtrain(["doctor", home.path], home: home)
    #expect(ill.status == 1 && ill.output.contains("steps were skipped"), "\(ill.output)")
  }

  @Test func luaInitComesFirst() throws {
    #expect(try midtrain(["-e", "print(early)"], environment: ["LUA_INIT": "early = 7"]).output == "7\n")
  }

  @Test func scriptsWaitForTheirJobs() throws {
    let outcome = try midtrain(["-e", "mid.spawn(function() mid.sleep(0.05) print 'late' end) print 'early'"])
    #expect(outcome.output == "early\nlate\n")
    #expect(outcome.status == 0)
    let stopped = try midtrain([
      "-e",
      "mid.spawn(function() local _ <close> = setmetatable({}, { __close = function() print 'closed' end }) "
        + "mid.sleep(1000) end) mid.sleep(0.05) error 'over'",
    ])
    #expect(stopped.output == "closed\n")
    #expect(stopped.status == 1)
    let failed = try midtrain(["-e", "mid.spawn(function() error 'lost' end)"])
    #expect(failed.status == 1)
    #expect(failed.errors.contains("job 1 failed: (command line):1: lost"))
  }

  @Test func accidentalGlobalsAreWarnedOf() throws {
    let home = Home()
    let script = try home.write("fine = 1\nlocal function f() leak = 1 end\nf() print(leak)", to: "s.lua")
    let outcome = try midtrain([script], home: home)
    #expect(outcome.output == "1\n")
    #expect(outcome.errors.contains("s.lua:2: assignment to new global 'leak'"))
    #expect(!outcome.errors.contains("fine"))
  }

  @Test func interactiveInputFromAPipePrintsResultsOnly() throws {
    let input = """
      x = 6
      x * 7
      for i = 1, 2 do
        print(i)
      end
      1 +
      2
      _ * 10
      x = 1; x;
      "text", nil
      nothing()
      { 1, { a = "b" } }
      """
    let outcome = try midtrain(["-i"], input: input)
    #expect(outcome.output == "42\n1\n2\n3\n30\ntext\tnil\n{ 1, { a = \"b\" } }\n")
    #expect(outcome.errors.contains("attempt to call a nil value (global 'nothing')"))
    #expect(outcome.status == 0)
  }

  /// What the files say, and what loading them finds.
  @Test(arguments: [
    ("tiny-llama", "llama", "2 layers, d 32, feed-forward 48, 4 heads (keys and values 2) of 8"),
    ("tiny-qwen3", "qwen3", "2 layers, d 32, feed-forward 48, 4 heads (keys and values 2) of 16"),
    ("tiny-gpt2", "gpt2, embeddings tied", "2 layers, d 32, feed-forward 128, 4 heads of 8"),
  ])
  func aModelIsDescribed(name: String, architecture: String, shape: String) throws {
    let path = Places.golden(name).path
    for file in [path, path + ".gguf"] {
      let outcome = try midtrain(["info", file])
      #expect(outcome.status == 0 && outcome.errors.isEmpty)
      #expect(outcome.output.contains("\narchitecture  \(architecture)\n"), "\(outcome.output)")
      #expect(outcome.output.contains("\nshape         \(shape)\n"), "\(outcome.output)")
    }
    let code = """
      local info, n = mid.model_info(arg[1]), 0
      for _, parameter in pairs(mid.load(arg[1]):parameters()) do n = n + #parameter:flatten() end
      for _, count in pairs(info.elements) do n = n - count end
      print(n, info.bytes >= info.num_parameters, info.vocab_size)
      """
    let loaded = try midtrain(["-", path], input: code)
    #expect(loaded.output == "0\ttrue\t97\n", "\(loaded.output) \(loaded.errors)")
  }

  @Test func whatIsNoModelIsRefused() throws {
    let home = Home()
    _ = try home.write("no model", to: "text.gguf")
    for (path, message) in [
      ("nowhere", "midtrain: info: nowhere: no such folder or file, and no model of that name in "),
      ("text.gguf", "midtrain: info: text.gguf: does not begin with \"GGUF\": it is no GGUF file\n"),
      (".", "midtrain: info: ./config.json: cannot open: No such file or directory\n"),
    ] {
      let outcome = try midtrain(["info", path], home: home)
      #expect(outcome.status == 1 && outcome.output.isEmpty)
      #expect(outcome.errors.hasPrefix(message), "\(outcome.errors)")
    }
  }

  @Test func midIsTheModule() throws {
    let outcome = try midtrain(["-e", "print(mid == require 'midtrain', type(mid.version), type(help))"])
    #expect(outcome.output == "true\tstring\tfunction\n")
  }

  @Test func aWrongLibraryFolderIsNamed() throws {
    let outcome = try midtrain(["-e", "print(1)"], environment: ["MIDTRAIN_STDLIB": "/nowhere"])
    #expect(outcome.status == 1)
    #expect(outcome.errors.contains("MIDTRAIN_STDLIB is '/nowhere', but there is no midtrain/init.lua in it"))
  }
}
