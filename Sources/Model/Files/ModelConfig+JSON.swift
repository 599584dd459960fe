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
    try Self.refuseUnsupported(reader, architecture)

    self.architecture = architecture
    vocabSize = try reader.integer("vocab_size", in: 1...(1 << 24))
    hiddenSize = try reader.integer("hidden_size", in: 1...(1 << 20))
    intermediateSize = try reader.integer("intermediate_size", in: 1...(1 << 22))
    numHiddenLayers = try reader.integer("num_hidden_layers", in: 1...4096)
    numAttentionHeads = try reader.integer("num_attention_heads", in: 1...(1 << 14))
    numKeyValueHeads = try reader.integer(
      "num_key_value_heads", in: 1...numAttentionHeads,
      default: architecture == .llama ? numAttentionHeads : nil)
    try reader.require(
      "num_key_value_heads", numAttentionHeads % numKeyValueHeads == 0,
      expected: "a divisor of num_attention_heads, which is \(numAttentionHeads)")
    if reader["head_dim"] == nil, architecture != .qwen3 {
      try reader.require(
        "hidden_size", hiddenSize % numAttentionHeads == 0,
        expected: "a multiple of num_attention_heads, \(numAttentionHeads), since there is no head_dim")
    }
    headDim = try reader.integer(
      "head_dim", in: 1...(1 << 14), default: architecture == .qwen3 ? 128 : hiddenSize / numAttentionHeads)
    guard headDim % 2 == 0 else {
      throw ModelError(
        "\(reader.file): the head dimension is \(headDim), expected an even number (rotary pairs)")
    }
    rmsNormEps = try reader.number("rms_norm_eps", in: 1e-30...1, default: 1e-6)
    maxPositionEmbeddings = try reader.integer("max_position_embeddings", in: 1...(1 << 31))
    (ropeTheta, ropeScaling) = try Self.rope(reader, maxPositionEmbeddings: maxPositionEmbeddings)
    tieWordEmbeddings = try reader.bool("tie_word_embeddings", default: false)
    attentionBias = try architecture == .qwen2 ? true : reader.bool("attention_bias", default: false)
    mlpBias = try architecture == .llama ? reader.bool("mlp_bias", default: false) : false
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
    try reader.require(
      "hidden_act", [nil, "silu"].contains(reader["hidden_act"].map { $0.string ?? "" }), expected: "\"silu\""
    )
    for key in ["num_experts", "num_local_experts", "n_routed_experts"] {
      try reader.require(
        key, [nil, 0].contains(reader[key]?.integer), expected: "none: mixtures of experts are not supported")
    }
    try reader.require(
      "quantization_config", reader["quantization_config"] == nil,
      expected: "none: quantised safetensors are not supported (load the original weights or a GGUF file)")
    if let types = reader["layer_types"] {
      try reader.require(
        "layer_types", (types.array ?? []).allSatisfy { $0 == .string("full_attention") },
        expected: "only \"full_attention\": sliding windows are not supported")
    } else {
      let windowed = try reader.bool("use_sliding_window", default: architecture == .llama)
      let first = try reader.integer("max_window_layers", in: 0...(1 << 20), default: 0)
      let layers = try reader.integer("num_hidden_layers", in: 1...4096)
      try reader.require(
        "sliding_window", !windowed || reader["sliding_window"] == nil || first >= layers,
        expected: "none: sliding windows are not supported")
    }
  }

  /// `rope_parameters` holds everything since transformers 5; before, `rope_theta` stood at the top level,
  /// beside `rope_scaling`.
  private static func rope(_ reader: ConfigReader, maxPositionEmbeddings: Int) throws -> (Double, RopeScaling)
  {
    let key = reader["rope_parameters"] != nil ? "rope_parameters" : "rope_scaling"
    guard let members = reader[key].map(\.object) ?? [:] else {
      throw reader.error(key, expected: "an object")
    }
    let nested = ConfigReader(file: "\(reader.file): \(key)", object: members)
    let thetaReader = nested["rope_theta"] != nil ? nested : reader
    let theta = try thetaReader.number("rope_theta", in: 1...1e12, default: 10_000)
    for holder in [nested, reader] {
      try holder.require(
        "partial_rotary_factor", [nil, 1].contains(holder["partial_rotary_factor"]?.number),
        expected: "1: partial rotary embeddings are not supported")
    }
    let typeKey = nested["rope_type"] != nil ? "rope_type" : "type"
    switch nested[typeKey].map({ $0.string ?? "" }) {
    case nil where nested.object.keys.allSatisfy({ $0 == "rope_theta" || $0 == "partial_rotary_factor" }):
      return (theta, .none)
    case "default":
      return (theta, .none)
    case "linear":
      return (theta, .linear(factor: try nested.number("factor", in: 1...1e6)))
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
      return (theta, scaling)
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
