// The shape of a model: what config.json and GGUF metadata say about it, checked once.

/// The hyper-parameters of a causal language model, under their Hugging Face names.
///
/// A value of this type is consistent: every count is positive and bounded, heads divide evenly, and the
/// number of parameters fits an `Int` many times over.
public struct ModelConfig: Sendable, Equatable {
  /// The supported `model_type`s.
  public enum Architecture: String, Sendable, CaseIterable {
    case llama, qwen2, qwen3

    /// The class that transformers instantiates.
    public var className: String {
      switch self {
      case .llama: "LlamaForCausalLM"
      case .qwen2: "Qwen2ForCausalLM"
      case .qwen3: "Qwen3ForCausalLM"
      }
    }
  }

  /// How the rotary frequencies are changed for contexts longer than those of pre-training.
  public enum RopeScaling: Sendable, Equatable {
    case none
    /// All frequencies are divided by `factor`.
    case linear(factor: Double)
    /// Low frequencies are divided by `factor`, high ones kept, with a smooth passage between.
    case llama3(
      factor: Double, lowFreqFactor: Double, highFreqFactor: Double, originalMaxPositionEmbeddings: Int)
  }

  /// `model_type`.
  public let architecture: Architecture
  /// Rows of the embedding matrix; token ids are below it.
  public let vocabSize: Int
  /// Width of the residual stream.
  public let hiddenSize: Int
  /// Width between an MLP's projections.
  public let intermediateSize: Int
  /// Transformer blocks.
  public let numHiddenLayers: Int
  /// Query heads.
  public let numAttentionHeads: Int
  /// Key and value heads; divides `numAttentionHeads`.
  public let numKeyValueHeads: Int
  /// Elements of a head, even; not always `hiddenSize / numAttentionHeads`.
  public let headDim: Int
  /// Added to the mean square in RMS norms.
  public let rmsNormEps: Double
  /// Base of the rotary wavelengths.
  public let ropeTheta: Double
  /// How rotary frequencies are changed for long contexts.
  public let ropeScaling: RopeScaling
  /// The context that the model was made for, in tokens.
  public let maxPositionEmbeddings: Int
  /// Whether the output layer is the embedding matrix; there is then no `lm_head.weight`.
  public let tieWordEmbeddings: Bool
  /// Whether q, k and v projections have biases; see also `attentionOutputBias`.
  public let attentionBias: Bool
  /// Whether gate, up and down projections have biases.
  public let mlpBias: Bool
  /// The id that begins a document, if any.
  public let bosTokenID: Int?
  /// All ids that end a sequence; empty when the files name none.
  public let eosTokenIDs: [Int]

  /// The file that this was read from, with every key, so that saving keeps what this engine has no use for.
  let original: [String: JSONValue]
  let originalGeneration: [String: JSONValue]?

  /// Whether o_proj has a bias too: llama and qwen3 give it one with the others, qwen2 never.
  public var attentionOutputBias: Bool { attentionBias && architecture != .qwen2 }

  /// Whether q and k are RMS-normalised per head (`q_norm.weight`, `k_norm.weight`).
  public var queryKeyNorm: Bool { architecture == .qwen3 }

  /// Every weight of the model, in the order of the network; a tied `lm_head.weight` is not one.
  public var weights: [WeightInfo] {
    let query = numAttentionHeads * headDim
    let keyValue = numKeyValueHeads * headDim
    var result = [WeightInfo(name: "model.embed_tokens.weight", shape: [vocabSize, hiddenSize])]
    for layer in 0..<numHiddenLayers {
      func add(_ name: String, _ shape: [Int]) {
        result.append(WeightInfo(name: "model.layers.\(layer).\(name)", shape: shape))
      }
      func linear(_ name: String, _ outputs: Int, _ inputs: Int, bias: Bool) {
        add("\(name).weight", [outputs, inputs])
        if bias { add("\(name).bias", [outputs]) }
      }
      add("input_layernorm.weight", [hiddenSize])
      linear("self_attn.q_proj", query, hiddenSize, bias: attentionBias)
      linear("self_attn.k_proj", keyValue, hiddenSize, bias: attentionBias)
      linear("self_attn.v_proj", keyValue, hiddenSize, bias: attentionBias)
      linear("self_attn.o_proj", hiddenSize, query, bias: attentionOutputBias)
      if queryKeyNorm {
        add("self_attn.q_norm.weight", [headDim])
        add("self_attn.k_norm.weight", [headDim])
      }
      add("post_attention_layernorm.weight", [hiddenSize])
      linear("mlp.gate_proj", intermediateSize, hiddenSize, bias: mlpBias)
      linear("mlp.up_proj", intermediateSize, hiddenSize, bias: mlpBias)
      linear("mlp.down_proj", hiddenSize, intermediateSize, bias: mlpBias)
    }
    result.append(WeightInfo(name: "model.norm.weight", shape: [hiddenSize]))
    if !tieWordEmbeddings {
      result.append(WeightInfo(name: "lm_head.weight", shape: [vocabSize, hiddenSize]))
    }
    return result
  }

  /// The number of parameters; tied ones count once.
  public var numParameters: Int { weights.reduce(0) { $0 + $1.shape.reduce(1, *) } }
}
