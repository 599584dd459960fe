// Opening a model, whatever its format: config and weights that are known to fit together.

import Foundation

/// The config and weights of a model on disk.
public struct ModelFiles: Sendable {
  /// The folder or .gguf file.
  public let path: String
  /// The shape of the model.
  public let config: ModelConfig
  /// Holds every one of `config.weights`, in its shape.
  public let weights: any WeightSource
  /// The GGUF file that this is, for its vocabulary; nil for a Hugging Face folder.
  public let gguf: GGUFFile?

  /// Opens a Hugging Face folder (config.json, safetensors) or a GGUF file; nothing is read but headers.
  ///
  /// Throws `ModelError` when files are damaged, unsupported, or do not fit each other.
  public init(path: String) throws {
    self.path = path
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw ModelError("\(path): does not exist, expected a Hugging Face folder or a .gguf file")
    }
    if isFolder.boolValue {
      gguf = nil
      config = try ModelConfig(folder: path)
      let folder = try SafetensorsFolder(folder: path)
      weights = config.architecture == .gpt2 ? GPT2Weights(folder) : folder
    } else {
      let file = try GGUFFile(path: path)
      gguf = file
      config = try ModelConfig(gguf: file)
      weights = GGUFWeights(file, config: config)
    }
    try config.check(weights)
  }
}

extension ModelConfig {
  /// Throws a `ModelError` that lists what `source` lacks, has too much or has in another shape.
  public func check(_ source: some WeightSource) throws {
    let present = Set(source.names)
    var problems: [String] = []
    var expected: Set<String> = []
    for weight in weights {
      expected.insert(weight.name)
      if !present.contains(weight.name) {
        problems.append("\(weight.name) \(weight.shape) is missing")
      } else if case let shape = try source.shape(of: weight.name), shape != weight.shape {
        problems.append("\(weight.name) has shape \(shape), expected \(weight.shape)")
      }
    }
    for name in source.names where !expected.contains(name) && !isRedundant(name) {
      problems.append("\(name) is no weight of a \(architecture.rawValue) model with this config")
    }
    guard problems.isEmpty else {
      let more = problems.count > 8 ? "; and \(problems.count - 8) more" : ""
      throw ModelError(
        "\(source.path): does not fit its config: \(problems.prefix(8).joined(separator: "; "))\(more)")
    }
  }

  /// What checkpoints may hold although it is not a weight: a copy of tied embeddings, rotary tables, causal masks.
  private func isRedundant(_ name: String) -> Bool {
    if tieWordEmbeddings && name == names.head + ".weight" || name.hasSuffix(".rotary_emb.inv_freq") {
      return true
    }
    let masks = [".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias"]
    return architecture.isPlain && masks.contains { name.hasSuffix($0) }
  }
}
