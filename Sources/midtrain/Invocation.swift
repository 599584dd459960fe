import Script

/// What the command line asks for. Parsed by hand: the start takes a few milliseconds, and Lua's own order of
/// options is kept.
struct Invocation {
  enum Source: Equatable {
    case file(String)
    case standardInput
  }

  enum Step: Equatable {
    case execute(String)
    case require(String)
  }

  enum Command: Equatable {
    case run, help, version, info
    case attach(String)
    /// With `settings`.
    case set(String)
  }

  var command = Command.run
  /// `-e` and `-l`, in order; they come before the script.
  var steps: [Step] = []
  var script: Source?
  /// All words; the script's own follow `scriptIndex`.
  var words: [String]
  var scriptIndex: Int?
  var isInteractive = false
  /// `run FILE --set name=value --out DIR --resume`, `set DIR name=value`
  var settings: [(name: String, value: String)] = []
  var isRun = false

  /// Reads the command line.
  ///
  /// - Throws: `ScriptError` with what is wrong with it.
  init(_ words: [String], fileExists: (String) -> Bool) throws {
    self.words = words
    var index = 1
    func value(of option: String, _ rest: Substring = "") throws -> String {
      if !rest.isEmpty { return String(rest) }
      index += 1
      guard index < words.count else { throw ScriptError("\(option) needs a value after it") }
      return words[index]
    }
    func argument(of command: String) throws -> String {
      index += 1
      guard index < words.count else {
        throw ScriptError("\(command) needs a run's folder: midtrain \(command) DIR")
      }
      return words[index]
    }
    while index < words.count, script == nil {
      let word = words[index]
      switch word {
      case "-h", "--help", "help": command = .help
      case "-v", "--version": command = .version
      case "info" where !fileExists(word):
        guard index + 1 < words.count else {
          command = .info
          break
        }
        index += 1
        steps.append(.execute("require 'midtrain.inspection'.command([=====[\(words[index])]=====])"))
      case "-i": isInteractive = true
      case "-": setScript(.standardInput, at: index)
      case "run" where !fileExists(word):
        index += 1
        isRun = true
        guard index < words.count else { throw ScriptError("run needs a script: midtrain run FILE.lua") }
        setScript(.file(words[index]), at: index)
      case "doctor" where !fileExists(word):
        index += 1
        let folder = index < words.count ? "[=====[\(words[index])]=====]" : "nil"
        steps.append(.execute("require 'midtrain.installation'.command(\(folder))"))
      case "pull" where !fileExists(word):
        let names = words[(index + 1)...].map { "[=====[\($0)]=====]" }
        guard !names.isEmpty else {
          throw ScriptError("pull needs a model: midtrain pull OWNER/NAME [FILE…]")
        }
        steps.append(.execute("require 'midtrain.pull'.command(\(names.joined(separator: ", ")))"))
        index = words.count
      case "replay" where !fileExists(word):
        // The folder as a Lua string that needs no escapes.
        steps.append(.execute("require 'midtrain.replay'.command([=====[\(try argument(of: word))]=====])"))
      case "attach" where !fileExists(word):
        command = .attach(try argument(of: word))
      case "set" where !fileExists(word):
        let folder = try argument(of: word)
        command = .set(folder)
        settings = try words[(index + 1)...].map { try Self.setting($0, of: "set") }
        guard index + 1 < words.count else {
          throw ScriptError("set needs settings after the folder: budget=120")
        }
        for (i, setting) in settings.enumerated()
        where settings[..<i].contains(where: { $0.name == setting.name }) {
          throw ScriptError("set got '\(setting.name)' twice; give it one value")
        }
        index = words.count
      case _ where word.hasPrefix("-e"): steps.append(.execute(try value(of: "-e", word.dropFirst(2))))
      case _ where word.hasPrefix("-l"): steps.append(.require(try value(of: "-l", word.dropFirst(2))))
      case _ where word.hasPrefix("-"):
        throw ScriptError(
          "unknown option \(word)"
            + suggestion(for: word, among: ["-e", "-h", "-i", "-l", "--help", "--version"]))
      default:
        // A bare word that is no file is a mistyped command rather than a script.
        guard fileExists(word) || word.contains("/") || word.contains(".") else {
          throw ScriptError(
            "no command and no file is called '\(word)'\(suggestion(for: word, among: Self.commands))"
          )
        }
        setScript(.file(word), at: index)
      }
      index += 1
    }
    if isRun { try readSettings(from: index) }
  }

  private mutating func setScript(_ source: Source, at index: Int) {
    script = source
    scriptIndex = index
  }

  /// Takes `--set`, `--out` and `--resume` out of the script's words.
  private mutating func readSettings(from start: Int) throws {
    var rest: [String] = []
    var index = start
    while index < words.count {
      let word = words[index]
      if word == "--resume" {
        settings.append(("resume", "true"))
        index += 1
        continue
      }
      guard word == "--set" || word == "--out" else {
        rest.append(word)
        index += 1
        continue
      }
      guard index + 1 < words.count else {
        throw ScriptError("\(word) needs \(word == "--set" ? "name=value" : "a folder") after it")
      }
      let value = words[index + 1]
      if word == "--out" {
        settings.append(("out", value))
      } else {
        settings.append(try Self.setting(value, of: "--set"))
      }
      index += 2
    }
    words = Array(words[..<start]) + rest
  }

  /// The two sides of `name=value`.
  private static func setting(_ text: String, of option: String) throws -> (name: String, value: String) {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    guard parts.count == 2, !parts[0].isEmpty else {
      throw ScriptError("\(option) needs name=value, got '\(text)'")
    }
    return (String(parts[0]), String(parts[1]))
  }

  private static let commands = ["run", "attach", "set", "replay", "pull", "doctor", "info", "help"]

  static let usage = """
    usage: midtrain                          a prompt
           midtrain [options] FILE [args]    run a Lua script; FILE - is standard input
           midtrain run FILE [--set NAME=VALUE]… [--out DIR] [--resume] [args]
                                             run a script with a global table `settings`
           midtrain attach DIR               a prompt inside the process that trains in DIR
           midtrain set DIR NAME=VALUE…      change its settings from its next step on
           midtrain replay DIR               run a run's script again with every change made under way, and compare
           midtrain pull OWNER/NAME [FILE…]  fetch a model from the Hugging Face hub into the model cache
           midtrain doctor [DIR]             check the installation, or what looks wrong with a run
           midtrain info                     what the engine runs on
           midtrain info MODEL               what is in a model's files
    options, in Lua's order:
      -e CODE    run CODE
      -l NAME    require NAME into a global
      -i         go on with a prompt
      -v, --version   -h, --help
    environment: MIDTRAIN_STDLIB (folder of the Lua library), MIDTRAIN_HISTORY, MIDTRAIN_MODELS, HF_TOKEN, LUA_INIT,
      NO_COLOR; a prompt begins with ~/.midtrainrc.lua and keeps its history in ~/.midtrain_history
    """
}
