// The shape of a model: what config.json and GGUF metadata say about it, checked once.

/// The hyper-parameters of a causal language model, under their Hugging Face names.
///
/// A value of this type is consistent: every count is positive and bounded, heads divide evenly, and the
/// number of parameters fits an `Int` many times over.
public struct ModelConfig: Sendable, Equatable {
  /// The supported `model_type`s.
  public enum Architecture: String, Sendable, CaseIterable {
    case llama, mistral, qwen2, qwen3, gpt2
    case gptNeoX = "gpt_neox"

    /// The class that transformers instantiates.
    public var className: String {
      switch self {
      case .llama: "LlamaForCausalLM"
      case .mistral: "MistralForCausalLM"
      case .qwen2: "Qwen2ForCausalLM"
      case .qwen3: "Qwen3ForCausalLM"
      case .gpt2: "GPT2LMHeadModel"
      case .gptNeoX: "GPTNeoXForCausalLM"
      }
    }

    /// The name that people use.
    public var displayName: String {
      switch self {
      case .gpt2: "GPT-2"
      case .gptNeoX: "GPT-NeoX"
      default: rawValue.capitalized
      }
    }

    /// Whether this is one of the older kind: layer norms instead of RMS norms, a feed-forward layer without a gate,
    /// queries, keys and values in one matrix, and biases everywhere.
    public var isPlain: Bool { self == .gpt2 || self == .gptNeoX }
  }

  /// What stands between the projections of a feed-forward layer.
  public enum Activation: String, Sendable, CaseIterable {
    case silu, gelu
    /// The approximation by tanh.
    case geluTanh = "gelu_new"
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
  /// Elements of a head; not always `hiddenSize / numAttentionHeads`.
  public let headDim: Int
  /// Leading elements of a head that are rotated by its position, an even number; 0 where positions are embedded as
  /// tokens are (GPT-2).
  public let rotaryDim: Int
  /// What stands between the projections of a feed-forward layer.
  public let activation: Activation
  /// Whether attention and the feed-forward layer read the same residual stream (GPT-NeoX), not one after the other.
  public let parallelResidual: Bool
  /// Added to the mean square, or the variance, in norms.
  public let normEps: Double
  /// Base of the rotary wavelengths.
  public let ropeTheta: Double
  /// How rotary frequencies are changed for long contexts.
  public let ropeScaling: RopeScaling
  /// The context that the model was made for, in tokens.
  public let maxPositionEmbeddings: Int
  /// Whether nothing can be computed beyond it: there are no more embeddings of positions, or a sliding window, which this
  /// engine does not have, would begin to matter.
  public let isContextFixed: Bool
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

  /// The number of parameters; tied ones count once.
  public var numParameters: Int { weights.reduce(0) { $0 + $1.shape.reduce(1, *) } }
}
