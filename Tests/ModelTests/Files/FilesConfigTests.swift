// Configs: what is read, what is refused and how that is said, what is kept when saving.

import Foundation
import Model
import Testing

@Suite struct FilesConfigTests {
  private static let base: [String: JSONValue] = [
    "model_type": .string("llama"), "vocab_size": .integer(100), "hidden_size": .integer(64),
    "intermediate_size": .integer(128), "num_hidden_layers": .integer(2), "num_attention_heads": .integer(4),
    "num_key_value_heads": .integer(2), "rms_norm_eps": .number(1e-5),
    "max_position_embeddings": .integer(512),
  ]

  private func config(_ changes: [String: JSONValue], generation: String? = nil) throws -> ModelConfig {
    try withScratchFolder { folder throws in
      let object = Self.base.merging(changes) { $1 }
      try write(Array(JSONValue.object(object).serialized().utf8), to: "\(folder)/config.json")
      if let generation { try write(Array(generation.utf8), to: "\(folder)/generation_config.json") }
      return try ModelConfig(folder: folder)
    }
  }

  private func object(_ json: String) throws -> JSONValue {
    try Array(json.utf8).withUnsafeBytes { try JSONValue(parsing: $0, file: "test") }
  }

  @Test func derivesDefaults() throws {
    let llama = try config([:])
    #expect(llama.headDim == 16 && llama.ropeTheta == 10_000 && llama.ropeScaling == .none)
    #expect(!llama.tieWordEmbeddings && !llama.attentionBias && !llama.mlpBias && llama.eosTokenIDs.isEmpty)
    #expect(try config(["num_key_value_heads": .null]).numKeyValueHeads == 4)
    let qwen2 = try config(["model_type": .string("qwen2"), "attention_bias": .bool(false)])
    #expect(qwen2.attentionBias && !qwen2.attentionOutputBias)
    let qwen3 = try config(["model_type": .string("qwen3"), "attention_bias": .bool(true)])
    #expect(qwen3.headDim == 128 && qwen3.queryKeyNorm && qwen3.attentionOutputBias)
    #expect(qwen3.weights.contains(WeightInfo(name: "model.layers.1.self_attn.o_proj.bias", shape: [64])))
    let biased = try config(["attention_bias": .bool(true), "mlp_bias": .bool(true)])
    #expect(biased.weights.count - llama.weights.count == 2 * 7)
  }

  @Test func readsRope() throws {
    let linear = try object(#"{"type": "linear", "factor": 4}"#)
    let old = try config(["rope_theta": .number(5e5), "rope_scaling": linear])
    #expect(old.ropeTheta == 5e5 && old.ropeScaling == .linear(factor: 4))
    let llama3 = try object(
      #"{"rope_theta": 5e5, "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,"#
        + #""original_max_position_embeddings": 8192}"#)
    for key in ["rope_parameters", "rope_scaling"] {
      let new = try config([key: llama3])
      #expect(new.ropeTheta == 5e5)
      #expect(
        new.ropeScaling
          == .llama3(factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192))
    }
  }

  @Test func readsEndOfSequence() throws {
    #expect(try config(["eos_token_id": .integer(7)]).eosTokenIDs == [7])
    #expect(try config(["eos_token_id": .array([.integer(7), .integer(9)])]).eosTokenIDs == [7, 9])
    let both = try config(["eos_token_id": .integer(7)], generation: #"{"eos_token_id": [3, 4]}"#)
    #expect(both.eosTokenIDs == [3, 4])
    #expect(try config(["eos_token_id": .integer(7)], generation: "{}").eosTokenIDs == [7])
    let message = modelError { _ = try config([:], generation: #"{"eos_token_id": [3, 100]}"#) }
    #expect(
      message.contains("generation_config.json: \"eos_token_id\"") && message.contains("vocab_size of 100"))
  }

  @Test(arguments: [
    (
      "model_type", "\"mixtral\"", "\"mixtral\", expected one of llama, mistral, qwen2, qwen3, gpt2, gpt_neox"
    ),
    ("model_type", "null", "missing, expected one of llama, mistral, qwen2, qwen3, gpt2, gpt_neox"),
    ("vocab_size", "0", "0, expected an integer from 1 to 16777216"),
    ("hidden_size", "-64", "-64, expected an integer"),
    ("hidden_size", "\"64\"", "\"64\", expected an integer"),
    ("hidden_size", "66", "66, expected a multiple of num_attention_heads, 4"),
    ("intermediate_size", "null", "missing, expected an integer"),
    ("intermediate_size", "1.5", "1.5, expected an integer"),
    ("num_hidden_layers", "9223372036854775808", "expected an integer from 1 to 4096"),
    ("num_key_value_heads", "3", "3, expected a divisor of num_attention_heads, which is 4"),
    ("head_dim", "7", "7 of 7 elements of a head are rotated, expected an even number"),
    ("rms_norm_eps", "-1e-5", "-1e-05, expected a number"),
    ("tie_word_embeddings", "1", "1, expected true or false"),
    ("hidden_act", "\"gelu\"", "\"gelu\", expected \"silu\""),
    ("eos_token_id", "\"</s>\"", "\"</s>\", expected a token id"),
    ("num_local_experts", "8", "8, expected none: mixtures of experts are not supported"),
    ("sliding_window", "0", "0, expected an integer from 1"),
    ("layer_types", "[\"linear_attention\"]", "expected only \"full_attention\" and \"sliding_attention\""),
    ("quantization_config", "{}", "expected none: quantised safetensors are not supported"),
    ("partial_rotary_factor", "0.5", "0.5, expected 1"),
    ("rope_scaling", "{\"rope_type\":\"yarn\"}", "\"yarn\", expected \"default\", \"linear\" or \"llama3\""),
    ("rope_scaling", "{\"type\":\"dynamic\"}", "\"dynamic\", expected"),
    ("rope_scaling", "{\"type\":\"linear\"}", "\"factor\" is missing, expected a number"),
    ("rope_scaling", "3", "3, expected an object"),
  ])
  func refuses(key: String, value: String, message: String) throws {
    let value = try object(value)
    let description = modelError { _ = try config([key: value]) }
    #expect(description.contains("config.json: ") && description.contains(message), "\(description)")
  }

  @Test func windowsThatAreOffAreIgnored() throws {
    let qwen2: [String: JSONValue] = ["model_type": .string("qwen2"), "sliding_window": .integer(4096)]
    #expect(try config(qwen2.merging(["use_sliding_window": .bool(false)]) { $1 }).numHiddenLayers == 2)
    let on = qwen2.merging(["use_sliding_window": .bool(true), "max_window_layers": .integer(28)]) { $1 }
    #expect(try config(on).numHiddenLayers == 2)
  }

  @Test func contextsEndWhereWindowsWouldMatter() throws {
    let usual = try config([:]).maxPositionEmbeddings
    #expect(try config(["sliding_window": .integer(16)]).maxPositionEmbeddings == 16)
    #expect(try config(["sliding_window": .integer(1 << 20)]).maxPositionEmbeddings == usual)
    let layers: JSONValue = .array([.string("full_attention"), .string("sliding_attention")])
    #expect(try config(["layer_types": layers, "sliding_window": .integer(16)]).maxPositionEmbeddings == 16)
    #expect(try config(["layer_types": layers, "sliding_window": .null]).maxPositionEmbeddings == usual)
  }

  @Test func hugeLayersAreRefused() throws {
    let message = modelError {
      _ = try config([
        "hidden_size": .integer(1 << 20), "num_attention_heads": .integer(1 << 14),
        "head_dim": .integer(1 << 14),
      ])
    }
    #expect(message.contains("expected at most 2^40"))
  }

  @Test func keepsUnknownKeys() throws {
    let read = try config(
      ["custom": .array([.null, .number(2), .string("é\"\n")]), "dtype": .string("float32")],
      generation: #"{"temperature": 0.6, "eos_token_id": [3]}"#)
    let files = read.huggingFaceFiles(elementType: .bf16)
    #expect(files.map(\.name) == ["config.json", "generation_config.json"])
    let written = try #require(try object(files[0].contents).object)
    #expect(written["custom"] == .array([.null, .number(2), .string("é\"\n")]))
    #expect(files[0].contents.contains("2.0"))
    #expect(written["torch_dtype"] == .string("bfloat16") && written["dtype"] == nil)
    #expect(written["architectures"] == .array([.string("LlamaForCausalLM")]))
    #expect(try object(files[1].contents).object?["temperature"] == .number(0.6))
  }

  @Test func weightsThatDoNotFitAreListed() throws {
    try withScratchFolder { folder throws in
      for file in ["config.json", "model.safetensors"] {
        try write(try read("\(goldens)/tiny-llama/\(file)"), to: "\(folder)/\(file)")
      }
      var config = try #require(
        try object(String(decoding: try read("\(folder)/config.json"), as: UTF8.self)).object)
      func message(_ changes: [String: JSONValue]) throws -> String {
        config.merge(changes) { $1 }
        try write(Array(JSONValue.object(config).serialized().utf8), to: "\(folder)/config.json")
        return modelError { _ = try ModelFiles(path: folder) }
      }
      let layers = try message(["num_hidden_layers": .integer(3)])
      #expect(
        layers.contains("model.layers.2.input_layernorm.weight [32] is missing") && layers.contains("1 more"))
      let fewer = try message(["num_hidden_layers": .integer(1)])
      #expect(fewer.contains("model.layers.1.mlp.down_proj.weight is no weight of a llama model"))
      let shape = try message(["num_hidden_layers": .integer(2), "vocab_size": .integer(98)])
      #expect(shape.contains("model.embed_tokens.weight has shape [97, 32], expected [98, 32]"))
      // A checkpoint may repeat tied embeddings.
      config["vocab_size"] = .integer(97)
      config["tie_word_embeddings"] = .bool(true)
      try write(Array(JSONValue.object(config).serialized().utf8), to: "\(folder)/config.json")
      #expect(try ModelFiles(path: folder).config.tieWordEmbeddings)
    }
  }
}
