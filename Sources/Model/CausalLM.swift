// A decoder-only transformer: Llama, Qwen2, Qwen3. One description of the network serves training, scoring and
// sampling; they differ only in where attention finds its keys and values.
import Kernels
import Tensor

/// A causal language model: configuration and weights.
public final class CausalLM: @unchecked Sendable {
  /// Sizes and constants of the network.
  public let config: ModelConfig
  /// All weights by their checkpoint names, in the order of the network.
  public let parameters: [(name: String, tensor: Tensor)]
  private let weights: Weights
  let rotaryFrequencies: [Float]

  /// A model from named weights of the shapes that `config` implies.
  ///
  /// - Throws: if a weight is missing or has another shape.
  public init(config: ModelConfig, tensors: [String: Tensor]) throws {
    self.config = config
    var parameters: [(name: String, tensor: Tensor)] = []
    for weight in config.weights {
      let (name, shape) = (weight.name, weight.shape)
      guard let tensor = tensors[name] else { throw ModelError("the weight \(name) is missing") }
      guard tensor.shape == shape else {
        throw ModelError("the weight \(name) has shape \(tensor.shape), expected \(shape)")
      }
      parameters.append((name, tensor))
    }
    self.parameters = parameters
    weights = Weights(config: config, tensors: tensors)
    rotaryFrequencies = config.rotaryFrequencies
  }

  /// Reads all weights of an open checkpoint.
  public convenience init(_ files: ModelFiles) throws {
    var tensors: [String: Tensor] = [:]
    for weight in files.config.weights {
      let tensor = Tensor(uninitialized: weight.shape)
      try files.weights.read(
        weight.name, into: UnsafeMutableBufferPointer(start: tensor.pointer, count: tensor.count))
      tensors[weight.name] = tensor
    }
    try self.init(config: files.config, tensors: tensors)
  }

  /// Number of weights.
  public var parameterCount: Int { config.numParameters }

  private var epsilon: Float { Float(config.rmsNormEps) }

  /// The output matrix (V, C): the head's own, or the embedding where they are one.
  var head: Tensor { weights.head }

  var attentionShape: AttentionShape {
    AttentionShape(
      heads: config.numAttentionHeads, keyHeads: config.numKeyValueHeads, headSize: config.headDim)
  }

  /// Final hidden states (N, C) of a forest, normalised and ready for the head.
  public func hiddenStates(_ forest: Forest) throws -> Tensor {
    let (plan, shape) = (forest.attentionPlan, attentionShape)
    return try forward(forest.tokens, positions: forest.positions) { _, q, k, v in
      try Tensor.attention(q, k, v, plan: plan, shape: shape)
    }
  }

  /// The network. `attend` gets the layer and its rotated queries, keys and values: (N, H·D), (N, KVH·D) twice.
  func forward(
    _ tokens: [Int32], positions: [Int], attend: (Int, Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    let table = RotaryTable(positions: positions, frequencies: rotaryFrequencies)
    var x = try weights.embedding.embedding(tokens)
    for (index, layer) in weights.layers.enumerated() {
      try Cancellation.check()
      let attended = try layer.attention(x, table: table, epsilon: epsilon) { q, k, v in
        try attend(index, q, k, v)
      }
      x = try x.adding(attended)
      x = try x.adding(layer.feedForward(x, epsilon: epsilon))
    }
    return try x.rmsNorm(weights.norm, epsilon: epsilon)
  }

  /// Log-probabilities of all scored tokens of a forest, each given everything before it in its branch.
  ///
  /// - Returns: (N), 0 where a token is not scored or has nothing before it; and, if asked for, the entropies in nats
  ///   of the same distributions, also (N).
  public func logProbs(_ forest: Forest, entropy: Bool = false) throws -> (logProbs: Tensor, entropy: Tensor?)
  {
    let predictions = forest.predictions
    let rows = try hiddenStates(forest).embedding(predictions.rows)
    let both = try rows.tokenLogProbs(
      head, targets: predictions.targets, inverseTemperatures: predictions.inverseTemperatures,
      entropy: entropy)
    // To their places in the packed list: a gather from the list with a zero added for the others.
    func spread(_ row: Int) throws -> Tensor {
      let count = predictions.places.count
      var source = [Int32](repeating: Int32(count), count: forest.count)
      for (index, place) in predictions.places.enumerated() { source[Int(place)] = Int32(index) }
      let column = try both.sliced(dim: 0, row..<row + 1).reshaped([count, 1])
      let padded = try Tensor.concatenated([column, Tensor(repeating: 0, shape: [1, 1])], dim: 0)
      return try padded.embedding(source).reshaped([forest.count])
    }
    return (try spread(0), entropy ? try spread(1) : nil)
  }

  /// Logits (N, V) of some rows of hidden states. For sampling: training never holds them.
  package func logits(_ hidden: Tensor) throws -> Tensor { try hidden.linear(head) }
}

/// The weights in their places.
private struct Weights {
  let embedding: Tensor
  let layers: [DecoderLayer]
  let norm: Tensor
  let head: Tensor

  init(config: ModelConfig, tensors: [String: Tensor]) {
    embedding = tensors["model.embed_tokens.weight"]!
    norm = tensors["model.norm.weight"]!
    head = tensors["lm_head.weight"] ?? embedding
    layers = (0..<config.numHiddenLayers).map { index in
      DecoderLayer { tensors["model.layers.\(index).\($0)"] }
    }
  }
}
