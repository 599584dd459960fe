// What a training step will take, before it is begun.
import Kernels
import Tensor

/// An estimate of a training step's memory, in bytes, and the way to compute it that fits.
public struct MemoryPlan: Sendable {
  /// Weights as they are stored.
  public private(set) var weights = 0
  /// Gradients of what is trained.
  public private(set) var gradients = 0
  /// Both moments of what is trained.
  public private(set) var optimizer = 0
  /// Intermediate results that the forward pass keeps.
  public private(set) var activations = 0
  /// What is computed again, or exists for one layer or one part of the head at a time.
  public private(set) var temporary = 0
  /// What is computed again.
  public private(set) var checkpointing = Checkpointing.off
  /// Rows that go through the network at a time.
  public private(set) var maxRows = 0

  /// Keys and values of the step's completions if all were of full length. They are gone before the rest is needed, and
  /// completions wait for each other where they would be more than `cacheMemory`.
  public private(set) var keysAndValues = 0
  /// The most that keys and values may take.
  public private(set) var cacheMemory = 0

  /// All of it together, without keys and values.
  public var total: Int { weights + gradients + optimizer + activations + temporary }

  /// What a step on `rows` rows takes.
  ///
  /// - Parameter trained: number of elements that are trained; nil for all.
  public init(_ model: CausalLM, rows: Int, checkpointing: Checkpointing, trained: Int? = nil) {
    let trained = trained ?? model.parameters.reduce(0) { $0 + $1.tensor.count }
    let sizes = Sizes(model)
    weights = model.weightBytes
    gradients = 4 * trained
    optimizer = 8 * trained
    activations = 4 * rows * sizes.keptPerRow(checkpointing)
    temporary = 4 * sizes.temporary(rows, checkpointing)
    self.checkpointing = checkpointing
    maxRows = rows
  }

  /// The cheapest way to take a step on a forest in `available` bytes beyond those that are in use already: all is
  /// kept, or some is computed again, or the forest is computed in parts.
  ///
  /// - Parameters:
  ///   - inUse: bytes of weights, gradients and moments that are allocated already.
  ///   - sampling: completions that will be sampled and be part of the step, which is planned for the longest.
  ///   - checkpointing: nil for the cheapest that fits.
  /// - Throws: if nothing fits, with what would be needed.
  public static func fitting(
    _ model: CausalLM, rows: Int, longestBranch: Int, available: Int, inUse: Int,
    checkpointing: Checkpointing? = nil, sampling: Sampling? = nil
  ) throws(ModelError) -> MemoryPlan {
    if let sampling {
      let memory = ModelConfig.cacheMemory(of: available)
      let completions = sampling.ends.reduce(0) { $0 + $1.completion } * sampling.count
      var plan = try fitting(
        model, rows: rows + completions,
        longestBranch: max(longestBranch, sampling.ends.reduce(0) { max($0, $1.before + $1.completion) }),
        available: available, inUse: inUse, checkpointing: checkpointing)
      plan.keysAndValues = (rows + completions) * model.config.cacheBytesPerToken(sampling.cache)
      plan.cacheMemory = memory
      for (before, completion) in sampling.ends {
        try model.config.requireCache(
          sampling.cache, before: before, completion: completion, memory: memory)
      }
      return plan
    }
    let modes = checkpointing.map { [$0] } ?? Checkpointing.allCases
    func plan(_ rows: Int, _ mode: Checkpointing) -> MemoryPlan {
      MemoryPlan(model, rows: rows, checkpointing: mode)
    }
    func fits(_ plan: MemoryPlan) -> Bool { plan.total - inUse <= available }
    if let whole = modes.lazy.map({ plan(rows, $0) }).first(where: fits) { return whole }
    // In parts: every part repeats what comes before its segments, so parts should be long.
    for least in [max(longestBranch, min(rows, 1024)), longestBranch] {
      for mode in modes where fits(plan(least, mode)) {
        var (low, high) = (least, rows)
        while low + 1 < high {
          let middle = (low + high) / 2
          if fits(plan(middle, mode)) { low = middle } else { high = middle }
        }
        return plan(low, mode)
      }
    }
    let smallest = plan(longestBranch, modes[modes.count - 1])
    throw ModelError(
      "a step needs \(gigabytes(smallest.total)) of memory even one branch of \(longestBranch) tokens at a time, and "
        + "\(gigabytes(available + inUse)) can be had. Take shorter documents or completions, or train adapters on "
        + "packed weights (model:add_adapter, dtype)")
  }

  /// One line for people.
  public var summary: String {
    let parts = [
      ("weights", weights), ("gradients", gradients), ("optimiser", optimizer), ("activations", activations),
      ("temporary", temporary),
    ]
    return "memory \(Self.gigabytes(total)): "
      + parts.map { "\($0.0) \(Self.gigabytes($0.1))" }.joined(separator: " + ")
      + " · checkpointing \(checkpointing.rawValue) · up to \(maxRows) rows at a time"
      + (keysAndValues == 0
        ? "" : " · while sampling keys and values up to \(Self.gigabytes(min(keysAndValues, cacheMemory)))")
      + (keysAndValues > cacheMemory ? ", where all at once might take \(Self.gigabytes(keysAndValues))" : "")
  }

  static func gigabytes(_ bytes: Int) -> String {
    bytes < 1_000_000
      ? "\((Double(bytes) / 100).rounded() / 10) KB"
      : bytes < 1_000_000_000
        ? "\((Double(bytes) / 1e5).rounded() / 10) MB" : "\((Double(bytes) / 1e7).rounded() / 100) GB"
  }
}

extension MemoryPlan {
  /// Completions that a step is going to sample.
  public struct Sampling: Sendable {
    /// For each prompt the tokens before a completion, and the most in one.
    let ends: [(before: Int, completion: Int)]
    /// Completions of each prompt.
    let count: Int
    let cache: CacheStorage

    /// - Throws: if there is no such segment.
    public init(
      of segments: [Int], in forest: Forest, count: Int, maxTokens: Int, config: ModelConfig,
      cache: CacheStorage
    ) throws(ModelError) {
      (self.count, self.cache) = (count, cache)
      ends = try segments.map { number throws(ModelError) in
        guard forest.segments.indices.contains(number) else {
          throw ModelError("there is no segment \(number + 1); the batch has \(forest.segments.count)")
        }
        let before = forest.segments[number].position + forest.segments[number].rows.count
        return (before, max(0, min(maxTokens, config.maxPositionEmbeddings - before)))
      }
    }
  }
}

/// Floats per row of a network's intermediate results.
private struct Sizes {
  private let hidden, queries, keys, intermediate, layers, vocabulary: Int
  private let hasHeadNorms: Bool
  /// Without a gate: what the norms' means and one matrix for all projections keep besides.
  private let isPlain: Bool
  /// Of the adapters of all layers, beside attention and in feed-forward layers.
  private var attentionAdapters = 0
  private var feedForwardAdapters = 0
  private let feedForwardChunk: Int

  init(_ model: CausalLM) {
    let config = model.config
    let hasDropout = model.adapterConfig?.dropoutKey(step: 0) != nil
    feedForwardChunk = hasDropout ? .max : DecoderLayer.feedForwardRows
    for linear in model.linears {
      guard let rank = linear.adapter?.a.shape[0] else { continue }
      // The thin product; with dropout the mask and what it leaves of the input. The outputs are added and let go.
      let size = rank + (hasDropout ? 2 * linear.weight.shape[1] : 0)
      if config.names.feedForward.contains(where: linear.isNamed) {
        feedForwardAdapters += size
      } else {
        attentionAdapters += size
      }
    }
    (hidden, intermediate) = (config.hiddenSize, config.intermediateSize)
    (layers, vocabulary) = (config.numHiddenLayers, config.vocabSize)
    queries = config.numAttentionHeads * config.headDim
    keys = config.numKeyValueHeads * config.headDim
    hasHeadNorms = config.queryKeyNorm
    isPlain = config.architecture.isPlain
  }

  /// Normed input, rotated q and k, v, what attention gives, the sum. What no gradient needs is let go.
  private var attention: Int {
    2 * hidden + 2 * queries + 2 * keys + (hasHeadNorms ? queries + keys : 0)
      + (isPlain ? hidden + queries + 2 * keys : 0)
  }

  /// Normed input, gate, up, their product, the sum; without a gate up and its GELU.
  private var feedForward: Int { (isPlain ? 3 : 2) * hidden + (isPlain ? 2 : 3) * intermediate }

  /// What the tape holds on to after the forward pass.
  func keptPerRow(_ checkpointing: Checkpointing) -> Int {
    // The final norm, the rows that the head reads, and the tables of rotations.
    let ends = 4 * hidden + 2 * keys
    switch checkpointing {
    case .off: return ends + layers * (attention + feedForward) + attentionAdapters + feedForwardAdapters
    case .mlp: return ends + layers * (attention + hidden) + attentionAdapters
    case .block: return ends + layers * hidden
    }
  }

  /// What exists for one layer at a time, with its gradients; or for one part of the head, if that is more.
  func temporary(_ rows: Int, _ checkpointing: Checkpointing) -> Int {
    let chunk = min(rows, feedForwardChunk)
    // What the head is allowed, not how its parts come out: more rows never take less.
    let head = max(
      rows * Tensor.headTokens(rows: rows, vocabulary: vocabulary),
      min(rows * vocabulary, Tensor.headChunkElements))
    let feedForwardAgain = chunk * (feedForward + 3 * intermediate + feedForwardAdapters / layers)
    let layer =
      switch checkpointing {
      case .off: rows * (3 * intermediate + 3 * hidden)
      case .mlp: rows * 4 * hidden + feedForwardAgain
      case .block: rows * (attention + 4 * hidden + queries + attentionAdapters / layers) + feedForwardAgain
      }
    return max(head, layer)
  }
}
