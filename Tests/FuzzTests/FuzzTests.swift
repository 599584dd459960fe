// Everything that midtrain reads from outside, with inputs that are damaged or made up. scripts/fuzz runs many more of
// them than every run of the tests does.

import Foundation
import Model
import TestSupport
import Tensor
import Testing
import Text
import Train

@Suite(.serialized) struct FuzzTests {
  private static let goldens = Places.golden("").path
  private static let ids: [Int32] = [1, 5, 9, 2, 7, 3]

  @Test func readers() throws {
    // In memory where there is such a folder: each input is a file.
    let base = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
    let folder = "\(base)/midtrain-fuzz-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder + "/inner", withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let fuzzers =
      try safetensors(folder) + shards(folder) + configs(folder) + gguf(folder) + trainer(folder)
      + texts(folder)
    let shares = fuzzers.reduce(0) { $0 + $1.share }
    for fuzzer in fuzzers { try fuzzer.run(of: shares) }
  }

  private static func bytes(_ name: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(goldens)/\(name)")))
  }

  private func write(_ bytes: [UInt8], _ path: String) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: path))
  }

  /// Copies a tiny model into a folder of its own.
  private func model(_ name: String, in folder: String) throws -> String {
    let target = "\(folder)/\(name)"
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    for file in ["config.json", "generation_config.json", "model.safetensors"] {
      try write(Self.bytes("\(name)/\(file)"), "\(target)/\(file)")
    }
    return target
  }

  private func use(_ model: LanguageModel) throws {
    let vocabulary = Int32(model.network.config.vocabSize)
    _ = try model.network.score(Self.ids.map { $0 % vocabulary })
    if let tokenizer = model.tokenizer { _ = try tokenizer.decode(tokenizer.encode("Hello, wörld 12\n")) }
  }

  // MARK: Weights and configurations

  private static let headerWords = [
    "\"F32\"", "\"BF16\"", "\"F64\"", "\"I64\"", "\"data_offsets\":", "\"shape\":[",
    "[0,18446744073709551615]", "{", "}",
    "\"__metadata__\":", "\\u0000", "null", "-1", "1e400",
  ]

  private func safetensors(_ folder: String) throws -> [Fuzzer] {
    var small: [[UInt8]] = []
    for (name, type) in [("a", ElementType.f32), ("b", .bf16)] {
      let path = "\(folder)/\(name).safetensors"
      let list = [
        WeightInfo(name: "x", shape: [3, 4]), WeightInfo(name: "y.weight", shape: [5]),
        WeightInfo(name: "z", shape: []),
      ]
      try SafetensorsWriter(elementType: type).write(list, to: path) { name, sink in
        try [Float](repeating: 1.5, count: name == "x" ? 12 : name == "z" ? 1 : 5).withUnsafeBufferPointer(
          sink)
      }
      small.append([UInt8](try Data(contentsOf: URL(fileURLWithPath: path))))
    }
    let path = folder + "/fuzz.safetensors"
    let tiny = try model("tiny-qwen2", in: folder)
    return [
      Fuzzer(
        name: "safetensors", share: 4, corpus: small, words: Self.headerWords, head: 400, kind: .safetensors
      ) { input in
        try write(input, path)
        let file = try SafetensorsFile(path: path)
        for name in file.names {
          _ = try file.withBytes(of: name) { $0.reduce(0) { $0 &+ Int($1) } }
          if case .some = try? file.format(of: name) { _ = try file.read(name) }
        }
      },
      Fuzzer(
        name: "weights", corpus: [try Self.bytes("tiny-qwen2/model.safetensors")], words: Self.headerWords,
        kind: .safetensors
      ) { input in
        try write(input, tiny + "/model.safetensors")
        try use(LanguageModel.load(tiny))
      },
    ]
  }

  /// An index may only name files beside it: one that it could reach outside has numbers that no weight has.
  private func shards(_ folder: String) throws -> [Fuzzer] {
    let target = "\(folder)/inner/shards"
    let source = try ModelFiles(path: model("tiny-llama", in: folder + "/inner"))
    try FileManager.default.createDirectory(atPath: target, withIntermediateDirectories: true)
    try source.config.save(toFolder: target, with: SafetensorsWriter(maximumShardSize: 20_000)) {
      name, sink in
      try source.weights.read(name).withUnsafeBufferPointer(sink)
    }
    for place in [folder + "/inner", folder] {
      try SafetensorsWriter().write(source.config.weights, to: "\(place)/secret.safetensors") { name, sink in
        let count = try source.weights.read(name).count
        try [Float](repeating: 12345, count: count).withUnsafeBufferPointer(sink)
      }
    }
    let index = target + "/model.safetensors.index.json"
    let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: index)))
    return [
      Fuzzer(
        name: "shard index", share: 2, corpus: [good],
        words: [
          "../secret.safetensors", "../../secret.safetensors", "/dev/zero", folder + "/secret.safetensors",
          "./model-00001-of-00004.safetensors", "\\u002e\\u002e/secret.safetensors",
          "..\\/secret.safetensors",
          "%2e%2e/secret.safetensors", ".safetensors", "\\u0000.safetensors", "\"weight_map\"", "{", "}",
        ], head: 10_000, kind: .json
      ) { input in
        try write(input, index)
        let files = try ModelFiles(path: target)
        for name in files.weights.names {
          #expect(try files.weights.read(name).first != 12345, "an index led out of its folder")
        }
      }
    ]
  }

  private func configs(_ folder: String) throws -> [Fuzzer] {
    let place = folder + "/configs"
    let words = [
      "null", "true", "-1", "0", "1e999", "[]", "{}", "\"llama\"", "\"qwen3\"", "\"rope_scaling\":",
      "\"yarn\"", "\"gpt2\"", "\"gelu\"",
    ]
    var fuzzers: [Fuzzer] = []
    for name in ["tiny-llama", "tiny-qwen2", "tiny-qwen3", "tiny-mistral", "tiny-gpt2", "tiny-neox"] {
      let target = try model(name, in: place)
      for file in ["config.json", "generation_config.json"] {
        let good = try Self.bytes("\(name)/\(file)")
        fuzzers.append(
          Fuzzer(name: "\(name)/\(file)", corpus: [good], words: words, kind: .json) { input in
            try write(input, "\(target)/\(file)")
            defer { try? write(good, "\(target)/\(file)") }
            try use(LanguageModel.load(target))
          })
      }
    }
    return fuzzers
  }

  private func gguf(_ folder: String) throws -> [Fuzzer] {
    let path = folder + "/fuzz.gguf"
    let words = [
      "GGUF", "general.architecture", "tokenizer.ggml.tokens", "tokenizer.ggml.merges",
      "llama.rope.freq_base", "qwen2",
      "general.alignment",
    ]
    // These models have no tokenizer; what has one has no weights.
    let vocabularies = Fuzzer(
      name: "vocabulary.gguf", share: 3,
      corpus: [vocabulary(isByteLevel: true), vocabulary(isByteLevel: false)],
      words: words
    ) { input in
      try write(input, path)
      let tokenizer = try LanguageModel.loadTokenizer(path)
      _ = try tokenizer.decode(tokenizer.encode("Hello, wörld ab 12\n"))
      _ = try tokenizer.huggingFaceFiles()
    }
    return try [vocabularies]
      + ["llama", "qwen2", "qwen3", "gpt2", "neox"].map { name in
        Fuzzer(name: "\(name).gguf", share: 1, corpus: [try Self.bytes("tiny-\(name).gguf")], words: words) {
          input in
          try write(input, path)
          _ = try CausalLM(ModelFiles(path: path)).score(Self.ids)
        }
      }
  }

  /// A GGUF file with nothing but a vocabulary of bytes and a few pieces.
  private func vocabulary(isByteLevel: Bool) -> [UInt8] {
    func number<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
      withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
    func string(_ text: String) -> [UInt8] { number(UInt64(text.utf8.count)) + Array(text.utf8) }
    func array(_ type: UInt32, _ items: [[UInt8]]) -> [UInt8] {
      number(UInt32(9)) + number(type) + number(UInt64(items.count)) + items.flatMap { $0 }
    }
    let bytes =
      isByteLevel ? byteLevelNames() : (0..<256).map { String(format: "<0x%02X>", $0) } + ["▁", "H", "▁H"]
    let tokens = ["<unk>", "<s>"] + bytes + ["ab"]
    let types = tokens.indices.map { $0 == 0 ? Int32(2) : $0 == 1 ? 3 : !isByteLevel && $0 < 258 ? 6 : 1 }
    let values: [(String, [UInt8])] = [
      ("general.architecture", number(UInt32(8)) + string("llama")),
      ("tokenizer.ggml.model", number(UInt32(8)) + string(isByteLevel ? "gpt2" : "llama")),
      ("tokenizer.ggml.pre", number(UInt32(8)) + string("llama-bpe")),
      ("tokenizer.ggml.tokens", array(8, tokens.map(string))),
      ("tokenizer.ggml.token_type", array(5, types.map(number))),
      ("tokenizer.ggml.merges", array(8, [string("a b")])),
      ("tokenizer.ggml.scores", array(6, tokens.indices.map { number(Float($0).bitPattern) })),
      ("tokenizer.ggml.bos_token_id", number(UInt32(4)) + number(UInt32(1))),
      ("tokenizer.ggml.add_bos_token", number(UInt32(7)) + [1]),
    ]
    return Array("GGUF".utf8) + number(UInt32(3)) + number(UInt64(0)) + number(UInt64(values.count))
      + values.flatMap { string($0.0) + $0.1 }
  }

  /// The characters that stand for the 256 bytes in byte-level vocabularies.
  private func byteLevelNames() -> [String] {
    var next: UInt32 = 0x100
    return (UInt32(0)..<256).map { byte in
      let isItself = 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || byte >= 0xAE
      defer { if !isItself { next += 1 } }
      return String(Character(Unicode.Scalar(isItself ? byte : next)!))
    }
  }

  // MARK: Checkpoints

  private func trainer(_ folder: String) throws -> [Fuzzer] {
    let base = try LanguageModel.load(model("tiny-llama", in: folder))
    let adapter = folder + "/adapter"
    try FileManager.default.createDirectory(atPath: adapter, withIntermediateDirectories: true)
    let parts = ["adapter_config.json", "adapter_model.safetensors"]
    for file in parts { try write(Self.bytes("adapters/llama/\(file)"), "\(adapter)/\(file)") }

    let trained = try LanguageModel.load(folder + "/tiny-llama")
    try trained.network.makeTrainable()
    let optimizer = AdamW(parameters: trained.network.parameters)
    var forest = Forest()
    try forest.add(Self.ids)
    try trained.network.logProbs(forest).logProbs.sum().backward()
    _ = optimizer.step()
    let state = folder + "/state"
    try FileManager.default.createDirectory(atPath: state, withIntermediateDirectories: true)
    try optimizer.save(to: state)
    try FolderSeal.seal(state)

    func fuzzer(_ name: String, _ path: String, _ kind: Mutator.Kind, _ read: @escaping () throws -> Void)
      throws -> Fuzzer
    {
      let good = [UInt8](try Data(contentsOf: URL(fileURLWithPath: path)))
      return Fuzzer(name: name, corpus: [good], words: Self.headerWords, kind: kind) { input in
        try write(input, path)
        defer { try? write(good, path) }
        try read()
      }
    }
    let load = {
      try base.network.loadAdapters(from: adapter)
      base.network.removeAdapters()
    }
    return [
      try fuzzer("adapter config", "\(adapter)/\(parts[0])", .json, load),
      try fuzzer("adapter weights", "\(adapter)/\(parts[1])", .safetensors, load),
      try fuzzer("optimiser state", state + "/optimizer.safetensors", .safetensors) {
        try optimizer.load(from: state)
      },
      try fuzzer("checksums", state + "/checksums.json", .json) { try FolderSeal.verify(state) },
    ]
  }

  // MARK: Text

  private func texts(_ folder: String) throws -> [Fuzzer] {
    let jinja = try JSON(parsing: Self.bytes("text/jinja.json"))
    let templates = try #require(jinja["cases"]?.array).compactMap { $0["template"]?.string }
    let variables = try #require(jinja["variables"]?.object)
    let messages: [JSON] = [
      ["role": "system", "content": "Be brief."], ["role": "user", "content": "What is 2 + 3?"],
      ["role": "assistant", "content": "<think>\nadd\n</think>\n\n5"],
    ]
    let lines =
      #"{"text": "one", "n": 1}"# + "\n"
      + #"{"text": "zw\u00f6lf \ud83d\ude00", "list": [1, 2.5, null, true]}"# + "\n\n"
    let path = folder + "/fuzz.jsonl"
    let jsonWords = [
      "{", "}", "[", "]", "[[[[[[[[", "\\ud800", "\\u", "null", "1e999", "-", "\"", "\u{feff}", "\n",
    ]
    return [
      Fuzzer(
        name: "chat template", share: 8, corpus: templates.map { Array($0.utf8) },
        words: [
          "{% for x in xs %}", "{% endfor %}", "{% if ", "{% endif %}", "{% set ns = namespace() %}", "{{",
          "}}", "{%-", "-%}",
          "{#", "#}", "range(1000000000)", " * 1000000", "| join", "|tojson", "loop.index", ".split(",
          "[::-1]", "[-1:",
          "messages", "{% macro f(x) %}", "{% endmacro %}", "f(f(1))", "'a' * 9999999", "raise_exception(",
          "not ", " is defined",
          "strftime_now('%Y')", "((((", "~", "**", "//", "%",
        ], head: 100_000
      ) { input in
        // What is no UTF-8 is refused where templates are read.
        let template = try ChatTemplate(String(decoding: input, as: UTF8.self))
        _ = try template.render(messages: messages, addGenerationPrompt: true, variables: variables)
      },
      Fuzzer(
        name: "tokenizer.json", share: 6, corpus: try tokenizers(), words: jsonWords + Self.tokenizerWords,
        head: 20_000, kind: .json
      ) {
        input in
        let tokenizer = try Tokenizer(tokenizerJSON: input)
        let ids = try tokenizer.encode("Hello wörld <s> 12 ab\n\n  x")
        _ = try tokenizer.decode(ids)
        _ = try tokenizer.huggingFaceFiles()
      },
      Fuzzer(
        name: "JSON", share: 8,
        corpus: [Array(lines.utf8.prefix(24)), try Self.bytes("tiny-llama/config.json")], words: jsonWords,
        kind: .json
      ) {
        input in
        let value = try JSON(parsing: input)
        // What was read can be written, and is read as the same.
        let text = try value.serialised()
        #expect(try JSON(parsing: text) == value, "\(String(decoding: input, as: UTF8.self))")
        _ = try input.withUnsafeBytes { try JSONValue(parsing: $0, file: "input") }
      },
      Fuzzer(name: "JSON lines", share: 3, corpus: [Array(lines.utf8)], words: jsonWords, kind: .bytes) {
        input in
        try write(input, path)
        var rows = 0
        let report = try JSONLines(path: path, field: "text").forEachText { _, _ in
          rows += 1
          return true
        }
        #expect(report.rows == rows)
        // Nothing is refused as a whole; count damage as refusal.
        if report.malformed > 0 { throw TextError(report.description) }
        try PlainText(path: path).forEachDocument { _ in true }
      },
    ]
  }

  private static let tokenizerWords = [
    "\"BPE\"", "\"Unigram\"", "\"WordPiece\"", "\"ByteLevel\"", "\"Split\"", "\"Regex\": \"(a+)+b\"",
    "\"Regex\": \"[\"", "\"Metaspace\"",
    "\"ByteFallback\"", "\"merges\": [\"a b\"]", "\"<0x0A>\"", "\"Sequence\"", "\"Strip\"", "\"start\": -1",
    "\"id\": 4294967296",
    "\"id\": -1",
  ]

  /// A byte-level and two SentencePiece-like ones, small.
  private func tokenizers() throws -> [[UInt8]] {
    var bytes = JSON.Object(byteLevelNames().enumerated().map { ($0.element, .int(Int64($0.offset))) })
    bytes.append("ab", 256)
    bytes.append("Ġx", 257)
    let byteLevel: JSON = [
      "added_tokens": [["id": 258, "content": "<s>", "special": true, "lstrip": true]],
      "normalizer": ["type": "NFC"],
      "pre_tokenizer": [
        "type": "Sequence",
        "pretokenizers": [
          [
            "type": "Split", "pattern": ["Regex": "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+|\\s+"],
            "behavior": "Isolated",
          ],
          ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
        ],
      ],
      "decoder": ["type": "ByteLevel"],
      "model": ["type": "BPE", "vocab": .object(bytes), "merges": [["a", "b"], "Ġ x"]],
    ]
    var pieces = JSON.Object([("<unk>", 0), ("<s>", 1)])
    for byte in 0..<256 { pieces.append(String(format: "<0x%02X>", byte), .int(Int64(byte + 2))) }
    for (index, piece) in ["▁", "H", "e", "l", "o", "x", "▁H", "ll", "▁x"].enumerated() {
      pieces.append(piece, .int(Int64(258 + index)))
    }
    let sentencePiece: JSON = [
      "added_tokens": [["id": 1, "content": "<s>", "special": true]],
      "normalizer": [
        "type": "Sequence",
        "normalizers": [
          ["type": "Prepend", "prepend": "▁"],
          ["type": "Replace", "pattern": ["String": " "], "content": "▁"],
        ],
      ],
      "decoder": [
        "type": "Sequence",
        "decoders": [
          ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"],
          ["type": "Fuse"],
          ["type": "Strip", "content": " ", "start": 1, "stop": 0],
        ],
      ],
      "model": [
        "type": "BPE", "vocab": .object(pieces), "merges": [["▁", "H"], ["l", "l"], ["▁", "x"]],
        "byte_fallback": true,
        "unk_token": "<unk>", "fuse_unk": true,
      ],
    ]
    // "ﬁ" → "fi" in a trie of four units.
    let unigram: JSON = [
      "normalizer": ["type": "Precompiled", "precompiled_charsmap": "CAAAAAAEAAABAACAZmkA"],
      "pre_tokenizer": ["type": "Metaspace", "prepend_scheme": "always"],
      "decoder": ["type": "Metaspace"],
      "model": [
        "type": "Unigram", "unk_id": 0, "byte_fallback": true,
        "vocab": [
          ["<unk>", 0], ["▁", -2.5], ["▁H", -3.5], ["ell", -4], ["o", -3], ["<0xC3>", -9], ["<0xB6>", -9],
        ],
      ],
    ]
    return [try byteLevel.serialised(), try sentencePiece.serialised(), try unigram.serialised()]
  }
}
