// A decoder-only transformer: Llama and its kin, GPT-2, GPT-NeoX. One description of the network serves training,
// scoring and sampling; they differ only in where attention finds its keys and values.
import Kernels
import Synchronization
import Tensor

/// A causal language model: configuration and weights.
public final class CausalLM: @unchecked Sendable {
  /// Sizes and constants of the network.
  public let config: ModelConfig
  /// All weights by their checkpoint names, in the order of the network, whatever their storage.
  public let weights: [(name: String, weight: Weight)]
  private let network: Network
  package let rotaryFrequencies: [Float]
  /// Copies of this network for sampling, see `shadow`.
  private let shadows = Mutex<[ShadowKind: CausalLM]>([:])
  /// The adapters' settings while there are any.
  package internal(set) var adapterConfig: AdapterConfig?

  /// A model from named weights of the shapes that `config` implies.
  ///
  /// - Throws: if a weight is missing or has another shape.
  public convenience init(config: ModelConfig, tensors: [String: Tensor]) throws {
    try self.init(config: config, weights: tensors.mapValues(Weight.init))
  }

  init(
    config: ModelConfig, weights given: [String: Weight], adapters: [String: LowRankAdapter] = [:],
    activations: Activations = .f32
  ) throws {
    self.config = config
    weights = try config.weights.map { info in
      guard let weight = given[info.name] else { throw ModelError("the weight \(info.name) is missing") }
      guard weight.shape == info.shape else {
        throw ModelError("the weight \(info.name) has shape \(weight.shape), expected \(info.shape)")
      }
      return (info.name, weight)
    }
    network = Network(config: config, weights: given, adapters: adapters, activations: activations)
    rotaryFrequencies = config.rotaryFrequencies
  }

  /// Reads all weights of an open checkpoint. Vectors are 32-bit floats whatever the storage of matrices.
  public convenience init(_ files: ModelFiles, storage: WeightStorage = .f32) throws {
    var weights: [String: Weight] = [:]
    for info in files.config.weights {
      weights[info.name] = try Weight(reading: info, of: files.weights, storage: storage)
    }
    try self.init(config: files.config, weights: weights)
  }

  /// Number of weights, those of adapters not counted.
  public var parameterCount: Int { config.numParameters }

  /// Bytes of all weights as they are stored, master copies, adapters and the copies that `shadow` made included.
  public var weightBytes: Int {
    let stored = weights.reduce(0) { sum, entry in
      let master = entry.weight.format == .f32 ? 0 : (entry.weight.tensor?.count ?? 0) * 4
      return sum + entry.weight.byteCount + master
    }
    let copies = shadows.withLock { shadows in
      shadows.values.reduce(0) { sum, copy in
        let integers = copy.network.integers.reduce(sum) { $0 + $1.byteCount }
        // What a copy did not pack is the original's own.
        return zip(copy.weights, weights).reduce(integers) { sum, pair in
          pair.0.weight === pair.1.weight ? sum : sum + pair.0.weight.byteCount
        }
      }
    }
    return stored + copies + adapterParameters.reduce(0) { $0 + $1.tensor.count * 4 }
  }

  /// The format that most values are stored in, for people: `f32`, `q4_1`.
  public var formatName: String {
    var bytes: [WeightFormat: Int] = [:]
    for (_, weight) in weights { bytes[weight.format, default: 0] += weight.shape.reduce(1, *) }
    let main = bytes.max { ($0.value, $1.key.rawValue) < ($1.value, $0.key.rawValue) }?.key ?? .f32
    return main.name.lowercased()
  }

  /// What an optimiser can train: the adapters where there are any, else all weights that have 32-bit values.
  public var parameters: [(name: String, tensor: Tensor)] {
    if adapterConfig != nil { return adapterParameters }
    return weights.compactMap { entry in entry.weight.tensor.map { (entry.name, $0) } }
  }

  /// Makes everything trainable that `parameters` is to list: bfloat16 matrices get master copies in 32 bits.
  ///
  /// - Throws: if a matrix is stored in a format that cannot be trained and there are no adapters.
  public func makeTrainable() throws(ModelError) {
    if adapterConfig != nil { return }
    for (name, weight) in weights {
      do {
        try weight.makeTrainable()
      } catch {
        throw ModelError(
          "\(name) is stored as \(weight.format.name), which is frozen. Load the model with dtype f32 or bf16 to train all "
            + "weights, or add adapters (model:add_adapter) to train those")
      }
    }
  }

  /// All linear maps of the layers, by their modules' names.
  var linears: [Linear] { network.layers.flatMap(\.linears) }

  /// The output matrix (V, C): the head's own, or the embedding where they are one.
  var head: Weight { network.head }

  var attentionShape: AttentionShape {
    AttentionShape(
      heads: config.numAttentionHeads, keyHeads: config.numKeyValueHeads, headSize: config.headDim)
  }

  /// How a shadow differs from its model.
  private struct ShadowKind: Hashable {
    var storage: WeightStorage
    var activations: Activations
  }

  /// This network with its matrices in another format, for sampling: it shares everything else, and packs a matrix
  /// anew when the original was trained since. Matrices in integer blocks stay as they are.
  ///
  /// - Parameter activations: whether products round their inputs. Such a network gives no gradients.
  /// - Throws: if inputs are to be rounded and no matrix is stored in blocks that can be multiplied with those.
  public func shadow(_ storage: WeightStorage, activations: Activations = .f32) throws -> CausalLM {
    let format = storage.format ?? .f32
    if format == .f32, activations == .f32 { return self }
    let kind = ShadowKind(storage: storage, activations: activations)
    if let known = shadows.withLock({ $0[kind] }) { return known }
    var packed: [String: Weight] = [:]
    for (name, weight) in weights {
      let isFloat = [.f32, .bf16, .f16].contains(weight.format)
      guard format != .f32, format != weight.format, isFloat, format.holds(weight.shape) else {
        packed[name] = weight
        continue
      }
      packed[name] =
        try weight.tensor.map { try Weight(master: $0, format: format) } ?? weight.copy(as: format)
    }
    let copy = try CausalLM(config: config, weights: packed, adapters: adapters, activations: activations)
    if activations == .int8, copy.network.integers.isEmpty {
      throw ModelError(
        "activations int8 need matrices in integer blocks, and these are \(copy.formatName): sample with dtype int8, or "
          + "load a file of Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0 with dtype auto")
    }
    copy.adapterConfig = adapterConfig
    shadows.withLock { $0[kind] = copy }
    return copy
  }

  /// Forgets the copies that `shadow` made.
  func dropShadows() { shadows.withLock { $0 = [:] } }

  /// A model of its own with the same values, adapters merged into their matrices: trainable in f32, else frozen.
  public func copy(_ storage: WeightStorage) throws -> CausalLM {
    var copies: [String: Weight] = [:]
    let merged = mergedWeights
    for (name, original) in weights {
      let weight = merged[name] ?? original
      let format = storage.format ?? weight.format
      if !format.holds(weight.shape) || format == .f32 {
        copies[name] = Weight(weight.expanded())
      } else {
        copies[name] = try weight.copy(as: format)
      }
    }
    return try CausalLM(config: config, weights: copies)
  }

  /// How a forward pass is to be recorded.
  public struct TrainingOptions: Sendable {
    /// What is computed again in the backward pass.
    public var checkpointing = Checkpointing.off
    /// A forest with more rows is computed in parts of at most so many, again in the backward pass, and the gradients
    /// add up. Nil for one piece.
    public var maxRows: Int?
    /// Mixed into the seed of the adapters' dropout, so that steps differ.
    public var step: UInt64 = 0

    /// Everything is kept.
    public init() {}
  }

  /// Final hidden states (N, C) of a forest, normalised and ready for the head.
  public func hiddenStates(_ forest: Forest, options: TrainingOptions = TrainingOptions()) throws -> Tensor {
    try hiddenStates(forest, options: options, dropout: dropout(options))
  }

  private func hiddenStates(
    _ forest: Forest, options: TrainingOptions, dropout: DropoutKey?
  ) throws -> Tensor {
    let (plan, shape) = (forest.attentionPlan, attentionShape)
    return try forward(
      forest.tokens, positions: forest.positions, checkpointing: options.checkpointing, dropout: dropout
    ) { _, q, k, v in
      try Tensor.attention(q, k, v, plan: plan, shape: shape)
    }
  }

  /// What adapters drop: nothing where no gradient is recorded. Asked for once, at the outermost place: what is
  /// computed twice is not recorded the first time, and must drop the same.
  private func dropout(_ options: TrainingOptions) -> DropoutKey? {
    Tape.isRecording ? adapterConfig?.dropoutKey(step: options.step) : nil
  }

  /// The network. `attend` gets the layer and its rotated queries, keys and values: (N, H·D), (N, KVH·D) twice.
  func forward(
    _ tokens: [Int32], positions: [Int], checkpointing: Checkpointing = .off, dropout: DropoutKey? = nil,
    attend: @escaping (Int, Tensor, Tensor, Tensor) throws -> Tensor
  ) throws -> Tensor {
    if config.isContextFixed, let last = positions.max(), last >= config.maxPositionEmbeddings {
      throw ModelError(
        "a branch of \(last + 1) tokens does not fit in this model's context of \(config.maxPositionEmbeddings); take "
          + "shorter documents or completions")
    }
    let table = RotaryTable(positions: positions, frequencies: rotaryFrequencies)
    var x = try network.embedding.embedding(tokens)
    if let embeddings = network.positions {
      x = try x.adding(embeddings.embedding(positions.map(Int32.init)))
    }
    for (index, layer) in network.layers.enumerated() {
      try Cancellation.check()
      x = try layer(x, table: table, checkpointing: checkpointing, dropout: dropout) { q, k, v in
        try attend(index, q, k, v)
      }
    }
    return try network.norm(x)
  }

  /// Log-probabilities of all scored tokens of a forest, each given everything before it in its branch.
  ///
  /// - Returns: (N), 0 where a token is not scored or has nothing before it; and, if asked for, the entropies in nats
  ///   of the same distributions, also (N).
  public func logProbs(
    _ forest: Forest, entropy: Bool = false, options: TrainingOptions = TrainingOptions()
  ) throws -> (logProbs: Tensor, entropy: Tensor?) {
    let dropout = dropout(options)
    guard let maxRows = options.maxRows, forest.count > maxRows else {
      return try logProbsInOnePiece(forest, entropy: entropy, options: options, dropout: dropout)
    }
    let (parts, N) = (try forest.split(maxRows: maxRows), forest.count)
    let places = parts.map { part in
      let places = part.rows.map { Int32($0.whole) }
      return entropy ? places + places.map { $0 + Int32(N) } : places
    }
    let both = try Tensor.computedInParts(count: entropy ? 2 * N : N, places: places) { [self] index in
      let part = parts[index]
      var dropout = dropout
      dropout?.rows = part.origins
      let own = part.rows.map { Int32($0.own) }
      let (logProbs, entropies) = try logProbsInOnePiece(
        part.forest, entropy: entropy, options: options, dropout: dropout)
      let values = try [logProbs, entropies].compactMap { $0 }.map { values in
        try values.reshaped([values.count, 1]).embedding(own).reshaped([own.count])
      }
      return try Tensor.concatenated(values, dim: 0)
    }
    return (
      try both.sliced(dim: 0, 0..<N), entropy ? try both.sliced(dim: 0, N..<2 * N) : nil
    )
  }

  private func logProbsInOnePiece(
    _ forest: Forest, entropy: Bool, options: TrainingOptions, dropout: DropoutKey?
  ) throws -> (logProbs: Tensor, entropy: Tensor?) {
    let predictions = forest.predictions
    let hidden = try hiddenStates(forest, options: options, dropout: dropout)
    let rows = try hidden.embedding(predictions.rows)
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
  package func logits(_ hidden: Tensor) throws -> Tensor {
    try network.integerHead.map { try hidden.linear($0) } ?? hidden.linear(head)
  }
}

/// The weights in their places.
private struct Network {
  let embedding: Weight
  /// Embeddings of positions, where they are not rotated.
  let positions: Weight?
  let layers: [DecoderLayer]
  let norm: Norm
  let head: Weight
  /// The head for inputs that are rounded.
  let integerHead: IntegerWeight?

  /// All matrices for inputs that are rounded.
  var integers: [IntegerWeight] {
    (layers.flatMap(\.linears).map(\.integers) + [integerHead]).compactMap { $0 }
  }

  init(
    config: ModelConfig, weights: [String: Weight], adapters: [String: LowRankAdapter],
    activations: Activations
  ) {
    func integers(_ weight: Weight) -> IntegerWeight? { activations == .int8 ? IntegerWeight(weight) : nil }
    func vector(_ name: String) -> Tensor? { weights[name]?.tensor }
    let names = config.names
    embedding = weights[names.embedding + ".weight"]!
    positions = names.positions.flatMap { weights[$0 + ".weight"] }
    norm = Norm(names.norm, epsilon: config.normEps, vector: vector)
    head = config.tieWordEmbeddings ? embedding : weights[names.head + ".weight"]!
    integerHead = integers(head)
    layers = (0..<config.numHiddenLayers).map { index in
      let prefix = "\(names.layers)\(index)."
      return DecoderLayer(config, vector: { vector(prefix + $0) }) {
        let name = prefix + $0
        let weight = weights[name + ".weight"]!
        return Linear(
          name: name, weight: weight, bias: vector(name + ".bias"), integers: integers(weight),
          adapter: adapters[name])
      }
    }
  }
}
