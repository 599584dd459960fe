// Whole models whose matrices are packed: they compute what 32-bit models of the same values compute.
import Kernels
import Tensor
import TestSupport
import Testing

import Model

@Suite struct PackedModelTests {
  private func load(_ path: String, _ storage: WeightStorage = .f32) throws -> CausalLM {
    try CausalLM(ModelFiles(path: Places.golden(path).path), storage: storage)
  }

  /// A 32-bit model of the values that `model` computes with.
  private func expanded(_ model: CausalLM) throws -> CausalLM {
    try CausalLM(
      config: model.config,
      tensors: Dictionary(uniqueKeysWithValues: model.weights.map { ($0.name, $0.weight.expanded()) }))
  }

  private func forest() throws -> Forest {
    var forest = Forest()
    let trunk = try forest.add((0..<30).map { Int32($0 * 37 % 97) })
    for i in 0..<5 {
      try forest.add((0..<9).map { Int32(($0 * 11 + i) % 97) }, parent: trunk, offset: 5 * i + 1)
    }
    return forest
  }

  private func logits(_ model: CausalLM) throws -> [Float] {
    try Tape.withoutRecording { try model.logits(model.hiddenStates(forest())) }.values
  }

  private func generate(_ model: CausalLM, temperature: Float = 0.7) throws -> [[Int32]] {
    var options = SamplingOptions()
    (options.temperature, options.seed) = (temperature, 5)
    var forest = Forest()
    let prompt = try forest.add([5, 17, 40])
    return try model.generate(forest, from: [prompt], count: 6, maxTokens: 20, options: options, stopIDs: [])[
      0
    ]
    .map(\.ids)
  }

  private func expectSameModel(_ actual: CausalLM, _ expected: CausalLM, _ what: String) throws {
    expectNear(try logits(actual), try logits(expected), 1e-5, what)
    for temperature in [0, 0.7] as [Float] {
      #expect(
        try generate(actual, temperature: temperature) == generate(expected, temperature: temperature),
        "\(what)")
    }
  }

  private static let paths =
    GoldenTests.models + ["llama", "qwen2", "qwen3", "gpt2", "neox"].map { "tiny-\($0).gguf" }

  @Test(arguments: paths, WeightStorage.allCases) func loads(_ path: String, storage: WeightStorage) throws {
    let (model, plain) = (try load(path, storage), try load(path))
    try expectSameModel(model, expanded(model), "\(path), \(storage)")
    #expect(model.parameterCount == plain.parameterCount)
    for ((name, weight), (_, original)) in zip(model.weights, plain.weights) {
      // down_proj has rows of 48: no whole blocks of 32.
      let fits = weight.shape.count == 2 && weight.shape[1] % 32 == 0
      switch storage {
      case .f32, .auto:
        #expect(weight.format == .f32 && weight.expanded().values == original.expanded().values, "\(name)")
      case .bf16:
        #expect(weight.format == (weight.shape.count == 2 ? .bf16 : .f32), "\(name)")
      case .int8:
        #expect(weight.format == (fits ? .q8_0 : .f32), "\(name)")
      }
      #expect((weight.tensor == nil) == (weight.format != .f32))
      let exact = original.expanded().values
      // Half a step of 127, and the rounding of the scale to a half.
      let error: Float = storage == .bf16 ? 0x1p-8 : (0.5 + 0x1p-4) / 127
      expectNear(weight.expanded().values, exact, error, "\(name)")
    }
    // The norms and their 32 bits are why a model of this size does not shrink to a quarter.
    #expect(storage == .f32 || storage == .auto || model.weightBytes < plain.weightBytes * 6 / 10)
    #expect(model.formatName == (storage == .bf16 ? "bf16" : storage == .int8 ? "q8_0" : "f32"))
  }

  /// A GGUF file of blocks keeps them; llama.cpp's order of rows within heads is undone for packed rows, too.
  @Test(arguments: ["llama", "qwen2"], [WeightFormat.q4_0, .q4_1, .q8_0, .bf16, .q6_K])
  func keepsTheBlocksOfAFile(architecture: String, format: WeightFormat) throws {
    try withScratchFolder { folder throws in
      let path = "\(folder)/packed.gguf"
      try writeBlocks(of: architecture, format, to: path)
      let model = try CausalLM(ModelFiles(path: path), storage: .auto)
      let plain = try CausalLM(ModelFiles(path: path))
      #expect(model.formatName == format.name.lowercased())
      #expect(model.weightBytes < plain.weightBytes)
      for ((name, a), (_, b)) in zip(model.weights, plain.weights) {
        #expect(a.format == (a.shape.count == 2 ? format : .f32))
        #expect(a.expanded().values == b.expanded().values, "\(name)")
      }
      try expectSameModel(model, plain, "\(architecture), \(format)")
      // From blocks to other blocks, and to 32 bits.
      try expectSameModel(CausalLM(ModelFiles(path: path), storage: .int8), plain.copy(.int8), "int8")
      try expectSameModel(model.copy(.f32), plain, "copy in 32 bits")
      try expectSameModel(model.copy(.auto), plain, "copy")
      // Blocks of integers stay as they are.
      let shadowed = try format == .bf16 || format == .f16 ? plain.copy(.int8) : plain
      try expectSameModel(model.shadow(.int8), shadowed, "shadow of what is packed already")

      if format == .bf16 {
        try model.makeTrainable()
        #expect(model.parameters.count == model.weights.count)
        return
      }
      let message = modelError { try model.makeTrainable() }
      #expect(message.contains(format.name) && message.contains("adapters") && message.contains("dtype"))
      // With adapters it can be trained, and only they are.
      try model.addAdapters(AdapterConfig(rank: 2, alpha: 4, targetModules: ["q_proj"]))
      try model.makeTrainable()
      #expect(model.parameters.count == 2 * model.config.numHiddenLayers)
    }
  }

  /// A model of 256 columns whose matrices are random blocks of one format.
  private func writeBlocks(of architecture: String, _ format: WeightFormat, to path: String) throws {
    var random = Random(31)
    let sizes = [
      "embedding_length": 256, "feed_forward_length": 256, "attention.key_length": 64,
      "attention.head_count": 4,
      "attention.head_count_kv": 2, "attention.value_length": 64,
    ]
    var builder = GGUFBuilder(copying: try GGUFFile(path: "\(goldens)/tiny-\(architecture).gguf"))
    builder.metadata = builder.metadata.map { key, value in
      let name = key.split(separator: ".").dropFirst().joined(separator: ".")
      return (key, sizes[name].map { .integer($0) } ?? value)
    }
    builder.tensors = builder.tensors.map { tensor in
      let name = tensor.name
      var shape = tensor.shape
      // Queries have as many rows as the stream has columns, keys and values half of them.
      let narrow = name.contains("attn_k.") || name.contains("attn_v.")
      if shape.count == 1 { return (name, [narrow ? 128 : 256], random.floats(narrow ? 128 : 256)) }
      shape = [shape[0] == 97 ? 97 : narrow ? 128 : 256, 256]
      return (name, shape, random.floats(shape[0] * 256, in: -0.1...0.1))
    }
    builder.format = format
    try write(builder.bytes(&random), to: path)
  }

  @Test(arguments: GoldenTests.models) func copies(_ name: String) throws {
    let model = try load(name)
    for storage in WeightStorage.allCases {
      let copy = try model.copy(storage)
      try expectSameModel(copy, load(name, storage), "\(storage)")
      #expect(copy.weights.allSatisfy { entry in !model.weights.contains { $0.weight === entry.weight } })
    }
    // Copies are on their own.
    let (copy, before) = (try model.copy(.f32), try logits(model))
    copy.parameters[0].tensor.pointer.update(repeating: 0, count: 97 * 32)
    copy.parameters[0].tensor.markWritten()
    #expect(try logits(model) == before && logits(copy) != before)
  }

  @Test(arguments: [WeightStorage.bf16, .int8]) func shadowsFollow(_ storage: WeightStorage) throws {
    let model = try load("tiny-llama")
    let shadow = try model.shadow(storage)
    #expect(
      try model.shadow(storage) === shadow && model.shadow(.f32) === model && model.shadow(.auto) === model)
    try expectSameModel(shadow, load("tiny-llama", storage), "before training")
    var random = Random(3)
    for _ in 0..<2 {
      for (_, tensor) in model.parameters {
        for i in 0..<tensor.count { tensor.pointer[i] *= Float.random(in: 0.8...1.2, using: &random) }
        tensor.markWritten()
      }
      try expectSameModel(shadow, model.copy(storage), "after training")
    }
    // What cannot be packed is shared, as are adapters.
    for ((_, own), (_, original)) in zip(shadow.weights, model.weights) {
      #expect((own === original) == (own.format == .f32))
      #expect(own.tensor === original.tensor)
    }
    try model.addRandomAdapters()
    let adapted = try model.shadow(storage)
    #expect(adapted !== shadow)
    let merged = try expanded(adapted)
    try merged.addRandomAdapters()
    expectNear(try logits(adapted), try logits(merged), 1e-5, "adapters of the shadow")
    #expect(try logits(adapted) != logits(shadow))
  }

  /// A policy in bfloat16, with master copies or frozen, is sampled from in eight bits if that is asked for.
  @Test func shadowsOfHalfPrecisionFollow() throws {
    let model = try load("tiny-llama", .bf16)
    let frozen = try model.shadow(.int8)
    #expect(try model.shadow(.bf16) !== frozen)
    try expectSameModel(frozen, model.copy(.int8), "frozen")
    let trained = try load("tiny-llama", .bf16)
    for (_, weight) in trained.weights { try weight.makeTrainable() }
    let shadow = try trained.shadow(.int8)
    #expect(shadow.weights.contains { $0.weight.format == .q8_0 })
    let before = try logits(shadow)
    for (_, tensor) in trained.parameters {
      for i in 0..<tensor.count { tensor.pointer[i] *= 1 + 0.2 * Float(i % 3) }
      tensor.markWritten()
    }
    #expect(try logits(shadow) != before)
    let difference = zip(try logits(shadow), try logits(trained)).map { abs($0 - $1) }.max()!
    let size = try logits(trained).map { abs($0) }.max()!
    #expect(difference < 0.1 * size, "\(difference) of \(size)")
  }

  /// Rounded inputs change logits by what eight bits lose, and follow training and adapters as packed matrices do.
  @Test func shadowsRoundActivations() throws {
    let model = try load("tiny-llama")
    func difference(_ a: CausalLM, _ b: CausalLM) throws -> Float {
      let (x, y) = (try logits(a), try logits(b))
      let size = y.reduce(0) { $0 + $1 * $1 }
      return (zip(x, y).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } / size).squareRoot()
    }
    let (rounded, exact) = (try model.shadow(.int8, activations: .int8), try model.shadow(.int8))
    #expect(try model.shadow(.int8, activations: .int8) === rounded && rounded !== exact)
    #expect(model.weightBytes > exact.weightBytes)
    let before = try difference(rounded, exact)
    #expect(before > 1e-4 && before < 0.05, "\(before)")
    let old = try logits(rounded)
    var random = Random(3)
    for (_, tensor) in model.parameters {
      for i in 0..<tensor.count { tensor.pointer[i] *= Float.random(in: 0.8...1.2, using: &random) }
      tensor.markWritten()
    }
    #expect(try logits(rounded) != old)
    let after = try difference(rounded, exact)
    #expect(after > 1e-4 && after < 0.05, "after training: \(after)")
    try model.addRandomAdapters()
    let adapted = try difference(
      model.shadow(.int8, activations: .int8), model.shadow(.int8))
    #expect(adapted > 1e-4 && adapted < 0.05, "with adapters: \(adapted)")
    for storage in [WeightStorage.f32, .bf16, .auto] {
      let message = modelError { _ = try model.shadow(storage, activations: .int8) }
      #expect(message.contains("dtype int8") && message.contains("auto"), "\(storage): \(message)")
    }
  }

  @Test func aTiedHeadStaysOne() throws {
    let model = try load("tiny-qwen2")
    #expect(model.config.tieWordEmbeddings)
    for other in [try model.shadow(.bf16), try load("tiny-qwen2", .bf16), try model.copy(.int8)] {
      #expect(other.weights.filter { $0.weight.shape == [97, 32] }.count == 1)
    }
  }
}
