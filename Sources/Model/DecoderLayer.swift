// One layer of the network. Names are the checkpoint's own.
import Tensor

/// `x·Wᵀ (+ b)`.
struct LinearWeights {
  let weight: Tensor
  let bias: Tensor?

  func callAsFunction(_ x: Tensor) throws -> Tensor { try x.linear(weight, bias: bias) }
}

/// Attention and feed-forward, each behind its normalisation. The caller adds the results to the residual stream.
struct DecoderLayer {
  let inputLayernorm: Tensor
  let qProj, kProj, vProj, oProj: LinearWeights
  /// Qwen3 normalises each head of queries and keys: (D).
  let qNorm, kNorm: Tensor?
  let postAttentionLayernorm: Tensor
  let gateProj, upProj, downProj: LinearWeights

  /// Takes the weights by their names within the layer.
  init(_ weight: (String) -> Tensor?) {
    func linear(_ name: String) -> LinearWeights {
      LinearWeights(weight: weight("\(name).weight")!, bias: weight("\(name).bias"))
    }
    inputLayernorm = weight("input_layernorm.weight")!
    (qProj, kProj, vProj) = (
      linear("self_attn.q_proj"), linear("self_attn.k_proj"), linear("self_attn.v_proj")
    )
    oProj = linear("self_attn.o_proj")
    (qNorm, kNorm) = (weight("self_attn.q_norm.weight"), weight("self_attn.k_norm.weight"))
    postAttentionLayernorm = weight("post_attention_layernorm.weight")!
    (gateProj, upProj, downProj) = (linear("mlp.gate_proj"), linear("mlp.up_proj"), linear("mlp.down_proj"))
  }

  /// `x` is (N, C), and so is the result. `attend` gets rotated queries, keys and values.
  func attention(
    _ x: Tensor, table: RotaryTable, epsilon: Float, attend: (Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    let normed = try x.rmsNorm(inputLayernorm, epsilon: epsilon)
    let q = try normalizeHeads(qProj(normed), qNorm, epsilon).rope(table)
    let k = try normalizeHeads(kProj(normed), kNorm, epsilon).rope(table)
    return try oProj(attend(q, k, vProj(normed)))
  }

  /// `x` is (N, C), and so is the result.
  func feedForward(_ x: Tensor, epsilon: Float) throws -> Tensor {
    let normed = try x.rmsNorm(postAttentionLayernorm, epsilon: epsilon)
    return try downProj(gateProj(normed).swiglu(upProj(normed)))
  }

  private func normalizeHeads(_ x: Tensor, _ weight: Tensor?, _ epsilon: Float) throws -> Tensor {
    guard let weight else { return x }
    let size = weight.shape[0]
    return try x.reshaped([x.shape[0], x.shape[1] / size, size]).rmsNorm(weight, epsilon: epsilon).reshaped(
      x.shape)
  }
}
