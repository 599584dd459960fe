// The command line of the benchmarks, and the table of topics.
import Glibc
import Model
import Train

/// Something that keeps a benchmark from running: bad options, a missing model, a program that fails.
struct BenchError: Error, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

/// Says on the standard error what is wrong.
func complain(_ message: String) {
  let line = "bench: \(message)\n"
  _ = write(2, line, line.utf8.count)
}

/// All topics by their names. A new benchmark is one line here and a function in a file of its own.
let topics: [String: @Sendable (Report, Options) throws -> Void] = [
  "products": products,
  "elementwise": elementwise,
  "attention": attention,
  "decode": decode,
  "train": train,
  "step": step,
  "branches": branches,
  "context": context,
  "threads": threads,
  "thread-work": threadWork,
  "startup": startup,
  "lua": luaCalls,
  "allocations": allocations,
  "summary": { report, _ in try report.summary() },
]

/// What the command line asks for.
struct Options {
  /// What to measure.
  var topic = ""
  /// A folder, a GGUF file, or a name in the model cache.
  var model: String?
  /// How weights are held; `auto` is as the checkpoint has them.
  var dtype = WeightStorage.f32
  /// What a training step computes again to save memory.
  var checkpointing = Checkpointing.block
  /// Smaller sizes, to see that everything runs.
  var isQuick = false
  /// JSON lines that peers wrote in this run.
  var peers: String?
  /// Where every row of the table is added, as JSON lines.
  var results: String?
  /// The midtrain program, for topics that start it.
  var binary = ".build/release/midtrain"
  /// The largest numbers of allocations that pass.
  let thresholds = "Benchmarks/thresholds.json"
  /// The script that times calls from Lua.
  let calls = "Benchmarks/calls.lua"

  init(_ words: [String]) throws {
    var rest = words[...]
    func value(of option: String) throws -> String {
      guard let value = rest.popFirst() else { throw BenchError("\(option) needs a value after it") }
      return value
    }
    func choice<Choice: CaseIterable & RawRepresentable<String>>(_ option: String) throws -> Choice {
      let name = try value(of: option)
      guard let known = Choice(rawValue: name) else {
        let names = Choice.allCases.map(\.rawValue).joined(separator: ", ")
        throw BenchError("\(option): expected one of \(names), got '\(name)'")
      }
      return known
    }
    while let word = rest.popFirst() {
      switch word {
      case "--model": model = try value(of: word)
      case "--dtype": dtype = try choice(word)
      case "--checkpointing": checkpointing = try choice(word)
      case "--quick": isQuick = true
      case "--peers": peers = try value(of: word)
      case "--results": results = try value(of: word)
      case "--binary": binary = try value(of: word)
      case _ where topic.isEmpty && !word.hasPrefix("-"): topic = word
      default: throw BenchError("unknown option \(word)")
      }
    }
  }

  /// The model that the topic asks for, held as `--dtype` says.
  func loadModel() throws -> LanguageModel { try loadModel(dtype) }

  /// The model that the topic asks for.
  func loadModel(_ storage: WeightStorage) throws -> LanguageModel {
    guard let model else {
      throw BenchError(
        "\(topic) needs a model: --model with a folder, a GGUF file, or a name in the model cache")
    }
    return try LanguageModel.load(model, storage: storage)
  }
}
