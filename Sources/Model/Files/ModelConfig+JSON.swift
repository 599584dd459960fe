// ModelConfig from and to config.json and generation_config.json.

import Foundation

extension ModelConfig {
  /// Reads `config.json` and, where present, `generation_config.json` of a Hugging Face folder.
  public init(folder: String) throws {
    let generation = folder + "/generation_config.json"
    try self.init(
      ConfigReader(file: folder + "/config.json", object: readJSONObject(folder + "/config.json")),
      generation: FileManager.default.fileExists(atPath: generation)
        ? ConfigReader(file: generation, object: readJSONObject(generation)) : nil)
  }

  /// Reads a config that uses Hugging Face's keys. Bounds are far above any real model's: they exist so that
  /// no product of them overflows.
  init(_ reader: ConfigReader, generation: ConfigReader? = nil) throws {
    let supported = "one of " + Architecture.allCases.map(\.rawValue).joined(separator: ", ")
    guard let architecture = reader["model_type"]?.string.flatMap(Architecture.init) else {
      throw reader.error("model_type", expected: supported + ", the supported architectures")
    }
    var reader = reader
    reader.aliases = architecture.keys
    try Self.refuseUnsupported(reader, architecture)

    self.architecture = architecture
    vocabSize = try reader.integer("vocab_size", in: 1...(1 << 24))
    hiddenSize = try reader.integer("hidden_size", in: 1...(1 << 20))
    intermediateSize = try reader.integer(
      "intermediate_size", in: 1...(1 << 22), default: architecture == .gpt2 ? 4 * hiddenSize : nil)
    numHiddenLayers = try reader.integer("num_hidden_layers", in: 1...4096)
    numAttentionHeads = try reader.integer("num_attention_heads", in: 1...(1 << 14))
    numKeyValueHeads = try reader.integer(
      "num_key_value_heads", in: 1...numAttentionHeads,
      default: architecture == .llama || architecture.isPlain ? numAttentionHeads : nil)
    try reader.require(
      "num_key_value_heads", numAttentionHeads % numKeyValueHeads == 0,
      expected: "a divisor of num_attention_heads, which is \(numAttentionHeads)")
    try reader.require(
      "num_key_value_heads", !architecture.isPlain || numKeyValueHeads == numAttentionHeads,
      expected: "num_attention_heads, \(numAttentionHeads): this architecture has no groups of heads")
    if reader["head_dim"] == nil, architecture != .qwen3 {
      try reader.require(
        "hidden_size", hiddenSize % numAttentionHeads == 0,
        expected: "a multiple of num_attention_heads, \(numAttentionHeads), since there is no head_dim")
    }
    headDim = try reader.integer(
      "head_dim", in: 1...(1 << 14), default: architecture == .qwen3 ? 128 : hiddenSize / numAttentionHeads)
    normEps = try reader.number("rms_norm_eps", in: 1e-30...1, default: architecture.isPlain ? 1e-5 : 1e-6)
    let context = try reader.integer("max_position_embeddings", in: 1...(1 << 31))
    // As far as a sliding window reaches it is the same as none.
    maxPositionEmbeddings = min(context, try Self.window(reader, architecture) ?? context)
    isContextFixed = architecture == .gpt2 || maxPositionEmbeddings < context
    let rotaryShare: Double
    (ropeTheta, ropeScaling, rotaryShare) = try Self.rope(reader, architecture)
    rotaryDim = architecture == .gpt2 ? 0 : Int(Double(headDim) * rotaryShare)
    guard rotaryDim % 2 == 0 else {
      throw ModelError(
        "\(reader.file): \(rotaryDim) of \(headDim) elements of a head are rotated, expected an even number")
    }
    activation = try Self.activation(reader, architecture)
    parallelResidual = try architecture == .gptNeoX && reader.bool("use_parallel_residual", default: true)
    tieWordEmbeddings = try reader.bool("tie_word_embeddings", default: architecture == .gpt2)
    switch architecture {
    case .qwen2, .gpt2: attentionBias = true
    case .mistral: attentionBias = false
    case .llama, .qwen3, .gptNeoX:
      attentionBias = try reader.bool("attention_bias", default: architecture == .gptNeoX)
    }
    mlpBias = try architecture.isPlain || architecture == .llama && reader.bool("mlp_bias", default: false)
    bosTokenID = try reader.tokenIDs("bos_token_id", vocabSize: vocabSize).first
    // What ends a generation is generation_config.json's to say; config.json speaks when that is silent.
    let generationIDs = try generation?.tokenIDs("eos_token_id", vocabSize: vocabSize) ?? []
    let configIDs = try reader.tokenIDs("eos_token_id", vocabSize: vocabSize)
    eosTokenIDs = generationIDs.isEmpty ? configIDs : generationIDs
    original = reader.object
    originalGeneration = generation?.object
    // 4096 layers × about 2^43 weights × 4 bytes stays below 2^58.
    let (attention, mlp) = (numAttentionHeads * headDim * hiddenSize, intermediateSize * hiddenSize)
    guard attention <= 1 << 40, mlp <= 1 << 40 else {
      throw ModelError(
        "\(reader.file): a layer would have \(attention) weights in q_proj and \(mlp) in gate_proj, "
          + "expected at most 2^40: hidden_size \(hiddenSize), intermediate_size \(intermediateSize), "
          + "num_attention_heads \(numAttentionHeads) or head_dim \(headDim) is wrong")
    }
  }

  private static func refuseUnsupported(_ reader: ConfigReader, _ architecture: Architecture) throws {
    for key in ["num_experts", "num_local_experts", "n_routed_experts"] {
      try reader.require(
        key, [nil, 0].contains(reader[key]?.integer), expected: "none: mixtures of experts are not supported")
    }
    try reader.require(
      "quantization_config", reader["quantization_config"] == nil,
      expected: "none: quantised safetensors are not supported (load the original weights or a GGUF file)")
    for (key, usual) in architecture == .gpt2
      ? [("scale_attn_weights", true), ("scale_attn_by_inverse_layer_idx", false)] : []
    {
      try reader.require(key, reader.bool(key, default: usual) == usual, expected: "\(usual)")
    }
  }

  /// How many tokens any layer looks back, if that is limited.
  private static func window(_ reader: ConfigReader, _ architecture: Architecture) throws -> Int? {
    let isUsed: Bool
    if let types = reader["layer_types"] {
      let (full, windowed) = (JSONValue.string("full_attention"), JSONValue.string("sliding_attention"))
      try reader.require(
        "layer_types", (types.array ?? []).allSatisfy { [full, windowed].contains($0) },
        expected: "only \"full_attention\" and \"sliding_attention\"")
      isUsed = (types.array ?? []).contains(windowed)
    } else {
      let isUsual = architecture == .llama || architecture == .mistral
      let first = try reader.integer("max_window_layers", in: 0...(1 << 20), default: 0)
      let layers = try reader.integer("num_hidden_layers", in: 1...4096)
      isUsed = try reader.bool("use_sliding_window", default: isUsual) && first < layers
    }
    guard isUsed, reader["sliding_window"] != nil else { return nil }
    return try reader.integer("sliding_window", in: 1...(1 << 31))
  }

  private static func activation(_ reader: ConfigReader, _ architecture: Architecture) throws -> Activation {
    guard architecture.isPlain else {
      try reader.require(
        "hidden_act", [nil, "silu"].contains(reader["hidden_act"].map { $0.string ?? "" }),
        expected: "\"silu\"")
      return .silu
    }
    switch reader["hidden_act"].map({ $0.string ?? "" }) ?? (architecture == .gpt2 ? "gelu_new" : "gelu") {
    case "gelu": return .gelu
    case "gelu_new", "gelu_fast", "gelu_pytorch_tanh": return .geluTanh
    default: throw reader.error("hidden_act", expected: "\"gelu\" or \"gelu_new\"")
    }
  }

  /// `rope_parameters` holds everything since transformers 5; before, `rope_theta` stood at the top level,
  /// beside `rope_scaling`.
  private static func rope(
    _ reader: ConfigReader, _ architecture: Architecture
  ) throws -> (theta: Double, scaling: RopeScaling, share: Double) {
    let key = reader["rope_parameters"] != nil ? "rope_parameters" : "rope_scaling"
    guard let members = reader[key].map(\.object) ?? [:] else {
      throw reader.error(key, expected: "an object")
    }
    let nested = ConfigReader(file: "\(reader.file): \(key)", object: members)
    let thetaReader = nested["rope_theta"] != nil ? nested : reader
    let theta = try thetaReader.number("rope_theta", in: 1...1e12, default: 10_000)
    let factor = "partial_rotary_factor"
    let shareReader = nested[factor] != nil ? nested : reader
    let isPartial = architecture == .gptNeoX
    let share = try shareReader.number(factor, in: 0.01...1, default: isPartial ? 0.25 : 1)
    try shareReader.require(
      factor, share == 1 || isPartial, expected: "1: only GPT-NeoX may rotate a part of a head")
    let typeKey = nested["rope_type"] != nil ? "rope_type" : "type"
    switch nested[typeKey].map({ $0.string ?? "" }) {
    case nil where nested.object.keys.allSatisfy({ $0 == "rope_theta" || $0 == "partial_rotary_factor" }):
      return (theta, .none, share)
    case "default":
      return (theta, .none, share)
    case "linear":
      return (theta, .linear(factor: try nested.number("factor", in: 1...1e6)), share)
    case "llama3":
      let original = "original_max_position_embeddings"
      let scaling = RopeScaling.llama3(
        factor: try nested.number("factor", in: 1...1e6),
        lowFreqFactor: try nested.number("low_freq_factor", in: 1e-3...1e6),
        highFreqFactor: try nested.number("high_freq_factor", in: 1e-3...1e6),
        originalMaxPositionEmbeddings: try (nested[original] != nil ? nested : reader).integer(
          original, in: 1...(1 << 31)))
      try nested.require(
        "high_freq_factor", nested["high_freq_factor"]!.number! > nested["low_freq_factor"]!.number!,
        expected: "more than low_freq_factor")
      return (theta, scaling, share)
    default:
      throw nested.error(
        typeKey, expected: "\"default\", \"linear\" or \"llama3\": other RoPE scalings are not supported")
    }
  }

  /// The files that make transformers build this model: `config.json`, `generation_config.json`.
  ///
  /// All keys of the files that this was read from are kept. `elementType` is that of the saved weights.
  public func huggingFaceFiles(elementType: ElementType) -> [(name: String, contents: String)] {
    var config = original
    config["architectures"] = .array([.string(architecture.className)])
    // The older spelling is the one that every version reads.
    config["dtype"] = nil
    config["torch_dtype"] = .string(elementType.torchName)
    // llama.cpp's converter asks for GPT-2's context by a name that transformers no longer writes.
    if architecture == .gpt2, config["n_ctx"] == nil { config["n_ctx"] = config["n_positions"] }
    var generation = originalGeneration ?? [:]
    if originalGeneration == nil {
      generation["bos_token_id"] = original["bos_token_id"]
      generation["eos_token_id"] = original["eos_token_id"]
    }
    return [
      ("config.json", JSONValue.object(config).serialized(indented: true) + "\n"),
      ("generation_config.json", JSONValue.object(generation).serialized(indented: true) + "\n"),
    ]
  }
}

extension ModelConfig.Architecture {
  /// What this architecture's config.json calls a key that most call otherwise.
  var keys: [String: String] {
    switch self {
    case .llama, .mistral, .qwen2, .qwen3: [:]
    case .gpt2:
      [
        "hidden_size": "n_embd", "intermediate_size": "n_inner", "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head", "max_position_embeddings": "n_positions",
        "hidden_act": "activation_function", "rms_norm_eps": "layer_norm_epsilon",
      ]
    case .gptNeoX:
      [
        "rms_norm_eps": "layer_norm_eps", "rope_theta": "rotary_emb_base",
        "partial_rotary_factor": "rotary_pct",
      ]
    }
  }
}
