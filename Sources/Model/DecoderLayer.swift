// One layer of the network. Names are the checkpoint's own.
import Tensor

/// `x·Wᵀ (+ b)`, with a low-rank adapter beside it where there is one.
final class Linear: @unchecked Sendable {
  /// The module's name in the checkpoint: `model.layers.0.self_attn.q_proj`.
  let name: String
  let weight: Weight
  let bias: Tensor?
  /// The matrix for inputs that are rounded, where sampling is to round them.
  let integers: IntegerWeight?
  var adapter: LowRankAdapter?

  init(
    name: String, weight: Weight, bias: Tensor?, integers: IntegerWeight? = nil,
    adapter: LowRankAdapter? = nil
  ) {
    (self.name, self.weight, self.bias) = (name, weight, bias)
    (self.integers, self.adapter) = (integers, adapter)
  }

  /// Whether this is the module's name, or the end of it from a dot on, as PEFT matches names.
  func isNamed(_ target: String) -> Bool { name == target || name.hasSuffix("." + target) }

  /// - Parameter isValueNeeded: false where only the gradients are wanted; then the result holds no values.
  func callAsFunction(_ x: Tensor, dropout: DropoutKey?, isValueNeeded: Bool = true) throws -> Tensor {
    let y =
      if let integers {
        try x.linear(integers, bias: bias)
      } else {
        try x.linear(weight, bias: bias, isValueNeeded: isValueNeeded)
      }
    guard let adapter else { return y }
    return try y.adding(adapter(x, dropout: dropout, isValueNeeded: isValueNeeded))
  }
}

/// How much of a layer's intermediate results is kept for the backward pass, and how much is computed again.
public enum Checkpointing: String, Sendable, CaseIterable {
  /// All is kept.
  case off
  /// The feed-forward layer, half of the memory, is computed again.
  case mlp
  /// Only each layer's input is kept.
  case block
}

/// A normalisation of the residual stream: RMS, or a layer norm where there is a bias.
struct Norm {
  private let weight: Tensor
  private let bias: Tensor?
  private let epsilon: Float

  /// Takes the weights by the name of the module.
  init(_ name: String, epsilon: Double, vector: (String) -> Tensor?) {
    (weight, bias) = (vector(name + ".weight")!, vector(name + ".bias"))
    self.epsilon = Float(epsilon)
  }

  func callAsFunction(_ x: Tensor) throws -> Tensor {
    guard let bias else { return try x.rmsNorm(weight, epsilon: epsilon) }
    return try x.layerNorm(weight, bias: bias, epsilon: epsilon)
  }
}

/// What makes queries, keys and values.
private enum Projections {
  case separate(q: Linear, k: Linear, v: Linear)
  /// One matrix: all queries, then all keys, then all values (GPT-2); or so for each head (GPT-NeoX).
  case fused(Linear, byHead: Bool)
}

/// Attention and feed-forward, each behind its normalisation, on a residual stream.
struct DecoderLayer {
  /// All linear maps.
  let linears: [Linear]
  private let inputNorm, postAttentionNorm: Norm
  private let projections: Projections
  private let output: Linear
  /// Qwen3 normalises each head of queries and keys: (D).
  private let qNorm, kNorm: Tensor?
  /// Nil without a gate.
  private let gate: Linear?
  private let up, down: Linear
  private let config: ModelConfig

  /// Most rows that go through a feed-forward layer at a time when it is computed again. Products with fewer are slower.
  static let feedForwardRows = 4096

  /// Takes the weights by their names within the layer.
  init(_ config: ModelConfig, vector: (String) -> Tensor?, linear: (String) -> Linear) {
    self.config = config
    let names = config.names
    inputNorm = Norm(names.inputNorm, epsilon: config.normEps, vector: vector)
    postAttentionNorm = Norm(names.postAttentionNorm, epsilon: config.normEps, vector: vector)
    let attention = names.projections.map(linear)
    projections =
      attention.count == 1
      ? .fused(attention[0], byHead: config.architecture == .gptNeoX)
      : .separate(q: attention[0], k: attention[1], v: attention[2])
    output = linear(names.attentionOutput)
    (qNorm, kNorm) = (vector("self_attn.q_norm.weight"), vector("self_attn.k_norm.weight"))
    let feedForward = names.feedForward.map(linear)
    gate = feedForward.count == 3 ? feedForward[0] : nil
    (up, down) = (feedForward[feedForward.count - 2], feedForward[feedForward.count - 1])
    linears = attention + [output] + feedForward
  }

  /// What the residual stream `x` (N, C) becomes. `attend` gets rotated queries, keys and values.
  func callAsFunction(
    _ x: Tensor, table: RotaryTable, checkpointing: Checkpointing, dropout: DropoutKey?,
    attend: @escaping (Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    func attention(_ x: Tensor) throws -> Tensor { try self.attention(x, table, dropout, attend) }
    func feedForward(_ x: Tensor, _ isValueNeeded: Bool) throws -> Tensor {
      guard Tape.isRecording, checkpointing != .off else {
        return try self.feedForward(x, dropout, isValueNeeded)
      }
      // What dropout drops goes by the row, so with it all rows go through at once.
      return try x.checkpointed(
        rowsAtATime: dropout == nil ? Self.feedForwardRows : nil, isValueNeeded: isValueNeeded
      ) { try self.feedForward($0, dropout, $1) }
    }
    func both(_ x: Tensor, _ isValueNeeded: Bool) throws -> Tensor {
      guard config.parallelResidual else { return try feedForward(attention(x), isValueNeeded) }
      return try attention(x).adding(feedForward(x, true)).subtracting(x)
    }
    guard Tape.isRecording, checkpointing == .block else { return try both(x, true) }
    return try x.checkpointed { try both($0, $1) }
  }

  /// `x` and what attention adds to it.
  private func attention(
    _ x: Tensor, _ table: RotaryTable, _ dropout: DropoutKey?,
    _ attend: (Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    let (q, k, v) = try queriesKeysValues(inputNorm(x), dropout)
    let attended = try attend(
      rotated(normalizeHeads(q, qNorm), table), rotated(normalizeHeads(k, kNorm), table), v)
    return try x.adding(output(attended, dropout: dropout))
  }

  /// (N, H·D), (N, KVH·D) twice.
  private func queriesKeysValues(_ x: Tensor, _ dropout: DropoutKey?) throws -> (Tensor, Tensor, Tensor) {
    switch projections {
    case .separate(let q, let k, let v):
      return (try q(x, dropout: dropout), try k(x, dropout: dropout), try v(x, dropout: dropout))
    case .fused(let linear, let byHead):
      let (N, H, D) = (x.shape[0], config.numAttentionHeads, config.headDim)
      let all = try linear(x, dropout: dropout).reshaped(byHead ? [N, H, 3, D] : [N, 3, H, D])
      func part(_ index: Int) throws -> Tensor {
        try all.sliced(dim: byHead ? 2 : 1, index..<index + 1).reshaped([N, H * D])
      }
      return (try part(0), try part(1), try part(2))
    }
  }

  /// `x` and what the feed-forward layer adds to it.
  private func feedForward(_ x: Tensor, _ dropout: DropoutKey?, _ isValueNeeded: Bool) throws -> Tensor {
    let normed = try postAttentionNorm(x)
    let inner =
      if let gate {
        try gate(normed, dropout: dropout).swiglu(up(normed, dropout: dropout))
      } else {
        try up(normed, dropout: dropout).gelu(approximate: config.activation == .geluTanh)
      }
    return try x.adding(down(inner, dropout: dropout, isValueNeeded: isValueNeeded))
  }

  private func normalizeHeads(_ x: Tensor, _ weight: Tensor?) throws -> Tensor {
    guard let weight else { return x }
    let heads = try x.reshaped([x.shape[0], x.shape[1] / config.headDim, config.headDim])
    return try heads.rmsNorm(weight, epsilon: Float(config.normEps)).reshaped(x.shape)
  }

  /// Each head of (N, H·D) turned by the position of its row, or the leading elements of each that are to be.
  private func rotated(_ x: Tensor, _ table: RotaryTable) throws -> Tensor {
    let (D, R) = (config.headDim, config.rotaryDim)
    if R == 0 { return x }
    if R == D { return try x.rope(table) }
    let (N, H) = (x.shape[0], x.shape[1] / D)
    let heads = try x.reshaped([N, H, D])
    let turned = try heads.sliced(dim: 2, 0..<R).reshaped([N, H * R]).rope(table).reshaped([N, H, R])
    return try Tensor.concatenated([turned, heads.sliced(dim: 2, R..<D)], dim: 2).reshaped(x.shape)
  }
}
