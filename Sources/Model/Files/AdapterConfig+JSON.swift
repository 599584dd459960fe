// AdapterConfig from and to PEFT's adapter_config.json.
import Kernels

extension AdapterConfig {
  static let fileName = "adapter_config.json"
  static let weightsName = "adapter_model.safetensors"

  /// Reads the settings of a PEFT folder.
  ///
  /// - Throws: if they ask for what this engine does not compute.
  public init(folder: String) throws {
    let file = "\(folder)/\(Self.fileName)"
    let reader = ConfigReader(file: file, object: try readJSONObject(file))
    try reader.require("peft_type", reader["peft_type"]?.string == "LORA", expected: "\"LORA\"")
    try reader.require(
      "bias", reader["bias"] == nil || reader["bias"]?.string == "none",
      expected: "\"none\": biases are not trained")
    for key in ["use_dora", "lora_bias", "use_qalora"] {
      try reader.require(key, !reader.bool(key, default: false), expected: "false: it is not supported")
    }
    // All of these change what is computed, some of them without a tensor more or less.
    let others = [
      "modules_to_save", "layers_to_transform", "rank_pattern", "alpha_pattern", "exclude_modules",
      "layer_replication", "target_parameters", "trainable_token_indices", "alora_invocation_tokens",
      "use_bdlora",
      "arrow_config", "kasa_config", "monteclora_config",
    ]
    for key in others {
      let value = reader[key]
      let isEmpty =
        value == nil || value?.object?.isEmpty == true || value?.array?.isEmpty == true
        || value == .bool(false)
      try reader.require(key, isEmpty, expected: "nothing: it is not supported")
    }
    var modules = reader["target_modules"]?.array?.compactMap(\.string)
    if reader["target_modules"]?.string == "all-linear" { modules = AdapterConfig.allLinear }
    guard let modules, modules.count == reader["target_modules"]?.array?.count ?? modules.count else {
      throw reader.error("target_modules", expected: "a list of module names, or \"all-linear\"")
    }
    self.init(
      rank: try reader.integer("r", in: Self.ranks),
      alpha: try reader.number("lora_alpha", in: 1e-9...1e9),
      dropout: try reader.number("lora_dropout", in: 0...0.999, default: 0), targetModules: modules,
      usesRSLoRA: try reader.bool("use_rslora", default: false))
  }

  /// - Parameter isTransposed: whether the base model's checkpoints have matrices as (inputs, outputs), as GPT-2's do.
  func json(baseModel: String, isTransposed: Bool) -> JSONValue {
    .object([
      "peft_type": .string("LORA"), "task_type": .string("CAUSAL_LM"),
      "base_model_name_or_path": .string(baseModel), "r": .integer(rank),
      "lora_alpha": alpha == alpha.rounded() && abs(alpha) < 1e15 ? .integer(Int(alpha)) : .number(alpha),
      "lora_dropout": .number(dropout), "target_modules": .array(targetModules.map(JSONValue.string)),
      "use_rslora": .bool(usesRSLoRA), "bias": .string("none"), "fan_in_fan_out": .bool(isTransposed),
      "inference_mode": .bool(true), "init_lora_weights": .bool(true), "modules_to_save": .null,
      "layers_to_transform": .null, "use_dora": .bool(false), "rank_pattern": .object([:]),
      "alpha_pattern": .object([:]),
    ])
  }
}
