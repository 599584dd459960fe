// Batched sampling: many continuations of the branches of one forest, their prefixes computed once.
import Kernels
import Tensor

/// What a model wrote.
public struct Completion: Sendable {
  /// Why it ended: with an end-of-sequence token or a stop text, or because there was no room for more.
  public enum FinishReason: String, Sendable { case stop, length }

  /// Sampled tokens, an end-of-sequence token included.
  public var ids: [Int32] = []
  /// Their log-probabilities at the sampling temperature, of the whole distribution.
  public var logProbs: [Float] = []
  /// Why it ended.
  public var finishReason = FinishReason.length
}

extension CausalLM {
  /// Samples `count` continuations of each of some segments of a forest.
  ///
  /// - Parameters:
  ///   - segments: numbers of segments to go on from; each has at least one token in its branch.
  ///   - stopIDs: tokens that end a completion.
  ///   - cache: how keys and values are kept: in 32 bits, or in bfloat16, which takes half the memory and rounds them.
  ///   - isFinished: called after each token with the prompt's index and the tokens so far; true ends a completion.
  /// - Returns: for each segment its completions.
  public func generate(
    _ forest: Forest, from segments: [Int], count: Int, maxTokens: Int, options: SamplingOptions,
    stopIDs: Set<Int32>, cache: CacheStorage = .f32,
    isFinished: (_ prompt: Int, _ ids: [Int32]) -> Bool = { _, _ in false }
  ) throws -> [[Completion]] {
    try options.validate()
    guard count > 0, maxTokens > 0 else {
      throw ModelError(
        "generate: expected at least one completion of at least one token, got \(count) of \(maxTokens)")
    }
    guard !segments.isEmpty else { return [] }
    return try Tape.withoutRecording {
      var decoder = try Decoder(self, forest, segments, count: count, maxTokens: maxTokens, cache: cache)
      return try decoder.run(Sampler(options: options), stopIDs: stopIDs, isFinished: isFinished)
    }
  }
}

/// The state of a batch of continuations.
private struct Decoder {
  /// One continuation that is still growing.
  private struct Branch {
    let prompt: Int
    let sample: Int
    /// Position of its first token, its first row in the cache, and the rows reserved there.
    let position: Int
    let firstRow: Int
    let room: Int
    var completion = Completion()
  }

  private let model: CausalLM
  /// Rows before each prompt's continuations.
  private let spans: [[AttentionPlan.Span]]
  /// First the rows of the forest, then those reserved for each branch.
  private let cache: KeyValueCache
  private var live: [Branch] = []
  private var finished: [[Completion]]
  /// Final hidden states that the next token of every live branch is drawn from, and the row of each branch in them.
  private var hidden: Tensor
  private var hiddenRows: [Int] = []

  init(
    _ model: CausalLM, _ forest: Forest, _ segments: [Int], count: Int, maxTokens: Int, cache: CacheStorage
  ) throws {
    self.model = model
    var (spans, lastRows, rows, bytes) = ([[AttentionPlan.Span]](), [Int32](), forest.count, 0.0)
    for (prompt, number) in segments.enumerated() {
      guard forest.segments.indices.contains(number) else {
        throw ModelError(
          "generate: there is no segment \(number + 1); the batch has \(forest.segments.count)")
      }
      let segment = forest.segments[number]
      let before = forest.spans(before: number, offset: segment.rows.count)
      guard let last = before.last else {
        throw ModelError(
          "generate: the prompt is empty; give at least one token (the tokenizer's bos_id will do)")
      }
      let position = segment.position + segment.rows.count
      let room = min(maxTokens, model.config.maxPositionEmbeddings - position)
      guard room > 0 else {
        throw ModelError(
          "generate: a prompt of \(position) tokens leaves no room in a context of \(model.config.maxPositionEmbeddings)"
        )
      }
      bytes += Double(count) * Double(room) * Double(model.config.cacheBytesPerToken(cache))
      guard bytes <= Double(BufferPool.physicalMemory) else {
        throw ModelError(
          "generate: \(count) completions of up to \(room) tokens would take \(Int(min(bytes, 1e18) / 1e9)) GB of cache; this "
            + "machine has \(BufferPool.physicalMemory / 1_000_000_000) GB. Take fewer at a time")
      }
      spans.append(before)
      lastRows.append(Int32(last.start + last.count - 1))
      for sample in 0..<count {
        live.append(Branch(prompt: prompt, sample: sample, position: position, firstRow: rows, room: room))
        hiddenRows.append(prompt)
        rows += room
      }
    }
    self.spans = spans
    finished = segments.map { _ in Array(repeating: Completion(), count: count) }
    let store = KeyValueCache(model.config, rows: rows, storage: cache)
    self.cache = store
    let (plan, shape) = (forest.attentionPlan, model.attentionShape)
    let all = try model.forward(forest.tokens, positions: forest.positions) { layer, q, k, v in
      store.write(layer, k, v, firstRow: 0)
      return try Tensor.attention(q, k, v, plan: plan, shape: shape)
    }
    hidden = try all.embedding(lastRows)
  }

  mutating func run(
    _ sampler: Sampler, stopIDs: Set<Int32>, isFinished: (Int, [Int32]) -> Bool
  ) throws -> [[Completion]] {
    while true {
      try draw(sampler)
      live.removeAll { branch in
        let isStopped =
          stopIDs.contains(branch.completion.ids.last!) || isFinished(branch.prompt, branch.completion.ids)
        guard isStopped || branch.completion.ids.count == branch.room else { return false }
        finished[branch.prompt][branch.sample] = branch.completion
        finished[branch.prompt][branch.sample].finishReason = isStopped ? .stop : .length
        return true
      }
      if live.isEmpty { return finished }
      try advance()
    }
  }

  /// Draws one token for every live branch. Logits exist for some branches at a time only.
  private mutating func draw(_ sampler: Sampler) throws {
    let (V, options) = (model.config.vocabSize, sampler.options)
    // Branches of one prompt have one row until their first token is drawn.
    let rows = hiddenRows.max()! + 1
    let chunk = max(1, Tensor.headChunkElements / V)
    var drawn = [(id: Int32, logProb: Float)](repeating: (0, 0), count: live.count)
    for start in stride(from: 0, to: rows, by: chunk) {
      let part = start..<min(rows, start + chunk)
      let here = live.indices.filter { part.contains(hiddenRows[$0]) }
      let logits = try model.logits(hidden.sliced(dim: 0, part))
      drawn.withUnsafeMutableBufferPointer { drawn in
        let (drawn, pointer, places, branches) = (drawn.baseAddress!, logits.pointer, hiddenRows, live)
        ThreadPool.shared.forEach(count: here.count, grain: 1) { range in
          for i in range.map({ here[$0] }) {
            let branch = branches[i]
            let uniform = CounterRandom.uniform(
              seed: options.seed, step: options.step, prompt: branch.prompt, sample: branch.sample,
              token: branch.completion.ids.count)
            drawn[i] = sampler.draw(pointer + (places[i] - start) * V, count: V, uniform: uniform)
          }
        }
      }
    }
    for i in live.indices {
      live[i].completion.ids.append(drawn[i].id)
      live[i].completion.logProbs.append(drawn[i].logProb)
    }
  }

  /// Runs the last token of every live branch through the network.
  private mutating func advance() throws {
    var plan = AttentionPlan()
    var (tokens, positions, rows) = ([Int32](), [Int](), [Int]())
    var parts = [[AttentionPlan.Part]](repeating: [], count: spans.count)
    for (index, branch) in live.enumerated() {
      let written = branch.completion.ids.count - 1
      tokens.append(branch.completion.ids[written])
      positions.append(branch.position + written)
      rows.append(branch.firstRow + written)
      parts[branch.prompt].append(
        .init(queryStart: index, queryCount: 1, keyStart: branch.firstRow, keyOffset: written))
    }
    for (prompt, parts) in parts.enumerated() { plan.add(spans: spans[prompt], parts: parts) }
    let (shape, cache) = (model.attentionShape, cache)
    hidden = try model.forward(tokens, positions: positions) { layer, q, k, v in
      cache.write(layer, k, v, rows: rows)
      return try cache.withRows(layer) { keys, values in
        try Tensor.attention(q, keys: keys, values: values, plan: plan, shape: shape)
      }
    }
    hiddenRows = Array(live.indices)
  }
}
