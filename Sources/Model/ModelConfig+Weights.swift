// What the weights of each architecture are called, and their shapes.

/// The names of a checkpoint's modules. Those of a layer are relative to it.
struct ModuleNames: Sendable {
  let embedding: String
  /// Embeddings of positions, where there are any.
  var positions: String?
  /// What the names of a layer's modules begin with, but for its number.
  let layers: String
  let inputNorm: String
  /// Queries, keys and values, or all of them in one.
  let projections: [String]
  let attentionOutput: String
  let postAttentionNorm: String
  /// Gate, up and down; or up and down.
  let feedForward: [String]
  let norm: String
  let head: String
}

extension ModelConfig {
  /// What this model's modules are called.
  var names: ModuleNames {
    switch architecture {
    case .llama, .mistral, .qwen2, .qwen3:
      ModuleNames(
        embedding: "model.embed_tokens", layers: "model.layers.", inputNorm: "input_layernorm",
        projections: ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
        attentionOutput: "self_attn.o_proj", postAttentionNorm: "post_attention_layernorm",
        feedForward: ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"], norm: "model.norm", head: "lm_head")
    case .gpt2:
      ModuleNames(
        embedding: "transformer.wte", positions: "transformer.wpe", layers: "transformer.h.",
        inputNorm: "ln_1", projections: ["attn.c_attn"], attentionOutput: "attn.c_proj",
        postAttentionNorm: "ln_2", feedForward: ["mlp.c_fc", "mlp.c_proj"], norm: "transformer.ln_f",
        head: "lm_head")
    case .gptNeoX:
      ModuleNames(
        embedding: "gpt_neox.embed_in", layers: "gpt_neox.layers.", inputNorm: "input_layernorm",
        projections: ["attention.query_key_value"], attentionOutput: "attention.dense",
        postAttentionNorm: "post_attention_layernorm",
        feedForward: ["mlp.dense_h_to_4h", "mlp.dense_4h_to_h"], norm: "gpt_neox.final_layer_norm",
        head: "embed_out")
    }
  }

  /// Every weight of the model, in the order of the network; the matrix of a tied head is not one.
  public var weights: [WeightInfo] {
    let (query, keyValue) = (numAttentionHeads * headDim, numKeyValueHeads * headDim)
    let names = names
    var result = [WeightInfo(name: names.embedding + ".weight", shape: [vocabSize, hiddenSize])]
    func norm(_ name: String) {
      result.append(WeightInfo(name: name + ".weight", shape: [hiddenSize]))
      if architecture.isPlain { result.append(WeightInfo(name: name + ".bias", shape: [hiddenSize])) }
    }
    if let positions = names.positions {
      result.append(WeightInfo(name: positions + ".weight", shape: [maxPositionEmbeddings, hiddenSize]))
    }
    for layer in 0..<numHiddenLayers {
      let prefix = "\(names.layers)\(layer)."
      func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool) {
        result.append(WeightInfo(name: "\(prefix)\(name).weight", shape: [outputs, inputs]))
        if bias { result.append(WeightInfo(name: "\(prefix)\(name).bias", shape: [outputs])) }
      }
      norm(prefix + names.inputNorm)
      let widths = names.projections.count == 1 ? [query + 2 * keyValue] : [query, keyValue, keyValue]
      for (name, width) in zip(names.projections, widths) {
        linear(name, width, hiddenSize, bias: attentionBias)
      }
      linear(names.attentionOutput, hiddenSize, query, bias: attentionOutputBias)
      if queryKeyNorm {
        result.append(WeightInfo(name: prefix + "self_attn.q_norm.weight", shape: [headDim]))
        result.append(WeightInfo(name: prefix + "self_attn.k_norm.weight", shape: [headDim]))
      }
      norm(prefix + names.postAttentionNorm)
      for name in names.feedForward.dropLast() { linear(name, intermediateSize, hiddenSize, bias: mlpBias) }
      linear(names.feedForward.last!, hiddenSize, intermediateSize, bias: mlpBias)
    }
    norm(names.norm)
    if !tieWordEmbeddings {
      result.append(WeightInfo(name: names.head + ".weight", shape: [vocabSize, hiddenSize]))
    }
    return result
  }
}
