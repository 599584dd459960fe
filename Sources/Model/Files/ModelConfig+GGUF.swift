// ModelConfig from GGUF metadata: translated to config.json's keys, then read like one.

import Foundation

extension GGUFFile {
  /// Per-frequency divisors that llama.cpp writes for Llama 3 RoPE scaling, in place of its parameters.
  static let ropeFactorsName = "rope_freqs.weight"
}

extension ModelConfig {
  /// Reads the metadata and tensor shapes of a GGUF file.
  public init(gguf: GGUFFile) throws {
    guard let architecture = gguf.metadata["general.architecture"]?.text else {
      throw ModelError("\(gguf.path): has no general.architecture, expected a language model")
    }
    let type = architecture == "gptneox" ? Architecture.gptNeoX.rawValue : architecture
    let isPlain = Architecture(rawValue: type)?.isPlain ?? false
    var object: [String: JSONValue] = [
      "model_type": .string(type),
      "hidden_act": .string(!isPlain ? "silu" : architecture == "gpt2" ? "gelu_new" : "gelu"),
      "tie_word_embeddings": .bool(gguf.tensors["output.weight"] == nil),
      "rope_theta": .number(10_000),
    ]
    var fileKeys = ["model_type": "general.architecture"]
    func take(_ key: String, _ ggufKey: String) {
      fileKeys[key] = ggufKey
      if let value = gguf.metadata[ggufKey] { object[key] = value.json }
    }
    for (key, suffix) in [
      ("hidden_size", "embedding_length"), ("intermediate_size", "feed_forward_length"),
      ("num_hidden_layers", "block_count"), ("num_attention_heads", "attention.head_count"),
      ("num_key_value_heads", "attention.head_count_kv"), ("head_dim", "attention.key_length"),
      ("max_position_embeddings", "context_length"), ("rope_theta", "rope.freq_base"),
      ("rms_norm_eps", "attention.layer_norm_\(isPlain ? "" : "rms_")epsilon"),
      ("num_experts", "expert_count"),
      ("sliding_window", "attention.sliding_window"), ("use_parallel_residual", "use_parallel_residual"),
    ] { take(key, "\(architecture).\(suffix)") }
    take("bos_token_id", "tokenizer.ggml.bos_token_id")
    take("eos_token_id", "tokenizer.ggml.eos_token_id")
    if object["num_experts"] == .integer(0) { object["num_experts"] = nil }
    if object["sliding_window"] == .integer(0) { object["sliding_window"] = nil }
    object["use_sliding_window"] = object["sliding_window"].map { _ in .bool(true) }
    if object["num_key_value_heads"] == nil { object["num_key_value_heads"] = object["num_attention_heads"] }

    guard let embeddings = gguf.tensors["token_embd.weight"], embeddings.shape.count == 2 else {
      throw ModelError("\(gguf.path): has no matrix token_embd.weight, expected a whole model")
    }
    object["vocab_size"] = .integer(embeddings.shape[0])
    // llama.cpp's older files give no key_length, and mean this; transformers would assume 128 for qwen3.
    if object["head_dim"] == nil, let width = object["hidden_size"]?.integer,
      let heads = object["num_attention_heads"]?.integer, heads > 0, width % heads == 0
    {
      object["head_dim"] = .integer(width / heads)
    }
    if architecture != "qwen2", architecture != "gpt2" {
      let name = "blk.0.attn_\(isPlain ? "qkv" : "q").bias"
      object["attention_bias"] = .bool(gguf.tensors[name] != nil)
    }
    if architecture == "llama" { object["mlp_bias"] = .bool(gguf.tensors["blk.0.ffn_up.bias"] != nil) }

    // Chat models end a turn with another token than a document: llama.cpp stops at each of these.
    var ends = object["eos_token_id"].map { [$0] } ?? []
    for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
      if let id = gguf.metadata[key]?.json, !ends.contains(id) { ends.append(id) }
    }
    if ends.count > 1 { object["eos_token_id"] = .array(ends) }

    if let headDim = object["head_dim"]?.integer, headDim > 0 {
      let key = "\(architecture).rope.dimension_count"
      let rotary = gguf.metadata[key]?.json.integer ?? headDim
      if type == Architecture.gptNeoX.rawValue {
        let share = Double(rotary) / Double(headDim)
        // What is multiplied by the head's dimension again must not end below the whole number.
        object["partial_rotary_factor"] = .number(
          (share * Double(headDim)).rounded(.down) == Double(rotary) ? share : share.nextUp)
      } else if rotary != headDim {
        throw ModelError(
          "\(gguf.path): \(key) is \(rotary), expected the head dimension, \(headDim): partial rotary embeddings are "
            + "not supported")
      }
    }
    object["rope_scaling"] = try Self.ropeScaling(
      gguf, architecture, theta: object["rope_theta"]?.number ?? 0)
    if let known = Architecture(rawValue: type) {
      // These have no such keys, or call them otherwise.
      if known.isPlain { for key in ["head_dim", "num_key_value_heads"] { object[key] = nil } }
      if known == .gpt2 { object["rope_theta"] = nil }
      for (key, own) in known.keys { object[own] = object.removeValue(forKey: key) }
    }
    try self.init(ConfigReader(file: gguf.path, object: object, fileKeys: fileKeys))
  }

  private static func ropeScaling(_ gguf: GGUFFile, _ architecture: String, theta: Double) throws
    -> JSONValue?
  {
    let key = "\(architecture).rope.scaling"
    switch gguf.metadata["\(key).type"]?.text {
    case nil, "none":
      return try gguf.tensors[GGUFFile.ropeFactorsName].map { try llama3Scaling(gguf, $0, theta: theta) }
    case "linear":
      return .object([
        "rope_type": .string("linear"), "factor": gguf.metadata["\(key).factor"]?.json ?? .null,
      ])
    case let type?:
      throw ModelError(
        "\(gguf.path): \(key).type is \(JSONValue.string(type).summary), expected \"none\" or \"linear\": others are not supported"
      )
    }
  }

  /// Llama 3's scaling is stored as one divisor per frequency. All published models share all its parameters
  /// but `factor`, which is the largest divisor; whether that is so here is checked against every divisor.
  private static func llama3Scaling(_ gguf: GGUFFile, _ tensor: GGUFFile.Tensor, theta: Double) throws
    -> JSONValue
  {
    let (low, high, originalContext) = (1.0, 4.0, 8192)
    guard tensor.shape.count == 1, tensor.shape[0] <= 1 << 13 else {
      throw ModelError("\(gguf.path): \(tensor.name) has shape \(tensor.shape), expected a vector")
    }
    let count = tensor.shape[0]
    var divisors = [Float](repeating: 0, count: count)
    try gguf.withBytes(of: tensor) { bytes in
      guard let base = bytes.baseAddress, count > 0 else { return }
      tensor.type.expand(base, into: &divisors, count: count)
    }
    let factor = Double(divisors.max() ?? 1)
    let matches = divisors.indices.allSatisfy { i in
      let wavelength = 2 * Double.pi * pow(theta, Double(i) / Double(count))
      let turns = Double(originalContext) / wavelength
      let smooth = min(max((turns - low) / (high - low), 0), 1)
      let expected = 1 / ((1 - smooth) / factor + smooth)
      return abs(Double(divisors[i]) - expected) <= 1e-3 * expected
    }
    guard matches else {
      throw ModelError(
        "\(gguf.path): \(tensor.name) is not Llama 3's RoPE scaling with its usual parameters (low_freq_factor 1, "
          + "high_freq_factor 4, original_max_position_embeddings 8192); load the model from a Hugging Face folder"
      )
    }
    return .object([
      "rope_type": .string("llama3"), "factor": .number(factor), "low_freq_factor": .number(low),
      "high_freq_factor": .number(high), "original_max_position_embeddings": .integer(originalContext),
    ])
  }
}
