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

/// Attention and feed-forward, each behind its normalisation, on a residual stream.
struct DecoderLayer {
  let inputLayernorm: Tensor
  let qProj, kProj, vProj, oProj: Linear
  /// Qwen3 normalises each head of queries and keys: (D).
  let qNorm, kNorm: Tensor?
  let postAttentionLayernorm: Tensor
  let gateProj, upProj, downProj: Linear

  /// Rows that go through a feed-forward layer at a time when it is computed again: enough for efficient products.
  static let feedForwardRows = 512

  /// Takes the weights by their names within the layer.
  init(vector: (String) -> Tensor?, linear: (String) -> Linear) {
    inputLayernorm = vector("input_layernorm.weight")!
    (qProj, kProj, vProj) = (
      linear("self_attn.q_proj"), linear("self_attn.k_proj"), linear("self_attn.v_proj")
    )
    oProj = linear("self_attn.o_proj")
    (qNorm, kNorm) = (vector("self_attn.q_norm.weight"), vector("self_attn.k_norm.weight"))
    postAttentionLayernorm = vector("post_attention_layernorm.weight")!
    (gateProj, upProj, downProj) = (linear("mlp.gate_proj"), linear("mlp.up_proj"), linear("mlp.down_proj"))
  }

  /// All linear maps.
  var linears: [Linear] { [qProj, kProj, vProj, oProj, gateProj, upProj, downProj] }

  /// What the residual stream `x` (N, C) becomes. `attend` gets rotated queries, keys and values.
  func callAsFunction(
    _ x: Tensor, table: RotaryTable, epsilon: Float, checkpointing: Checkpointing, dropout: DropoutKey?,
    attend: @escaping (Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    func attention(_ x: Tensor) throws -> Tensor { try self.attention(x, table, epsilon, dropout, attend) }
    func feedForward(_ x: Tensor, _ isValueNeeded: Bool) throws -> Tensor {
      try self.feedForward(x, epsilon, dropout, isValueNeeded)
    }
    guard Tape.isRecording, checkpointing != .off else { return try feedForward(attention(x), true) }
    // What dropout drops goes by the row, so with it all rows go through at once.
    let rowsAtATime = dropout == nil ? Self.feedForwardRows : nil
    func checkpointedFeedForward(_ x: Tensor, _ isValueNeeded: Bool) throws -> Tensor {
      try x.checkpointed(rowsAtATime: rowsAtATime, isValueNeeded: isValueNeeded, feedForward)
    }
    if checkpointing == .mlp { return try checkpointedFeedForward(attention(x), true) }
    return try x.checkpointed { try checkpointedFeedForward(attention($0), $1) }
  }

  /// `x` and what attention adds to it.
  private func attention(
    _ x: Tensor, _ table: RotaryTable, _ epsilon: Float, _ dropout: DropoutKey?,
    _ attend: (Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    let normed = try x.rmsNorm(inputLayernorm, epsilon: epsilon)
    let q = try normalizeHeads(qProj(normed, dropout: dropout), qNorm, epsilon).rope(table)
    let k = try normalizeHeads(kProj(normed, dropout: dropout), kNorm, epsilon).rope(table)
    let attended = try attend(q, k, vProj(normed, dropout: dropout))
    return try x.adding(oProj(attended, dropout: dropout))
  }

  /// `x` and what the feed-forward layer adds to it.
  private func feedForward(
    _ x: Tensor, _ epsilon: Float, _ dropout: DropoutKey?, _ isValueNeeded: Bool
  ) throws -> Tensor {
    let normed = try x.rmsNorm(postAttentionLayernorm, epsilon: epsilon)
    let gated = try gateProj(normed, dropout: dropout).swiglu(upProj(normed, dropout: dropout))
    return try x.adding(downProj(gated, dropout: dropout, isValueNeeded: isValueNeeded))
  }

  private func normalizeHeads(_ x: Tensor, _ weight: Tensor?, _ epsilon: Float) throws -> Tensor {
    guard let weight else { return x }
    let size = weight.shape[0]
    return try x.reshaped([x.shape[0], x.shape[1] / size, size]).rmsNorm(weight, epsilon: epsilon).reshaped(
      x.shape)
  }
}
