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
  ///   - cacheMemory: bytes of keys and values at most; by default most of what is free. Completions that find no room
  ///     wait until others have ended.
  ///   - isFinished: called after each token with the prompt's index and the tokens so far; true ends a completion.
  /// - Returns: for each segment its completions.
  /// - Throws: if there is no room for a single completion.
  public func generate(
    _ forest: Forest, from segments: [Int], count: Int, maxTokens: Int, options: SamplingOptions,
    stopIDs: Set<Int32>, cache: CacheStorage = .f32, cacheMemory: Int? = nil,
    isFinished: (_ prompt: Int, _ ids: [Int32]) -> Bool = { _, _ in false }
  ) throws -> [[Completion]] {
    try options.validate()
    let most = 1 << 20
    guard count > 0, maxTokens > 0, count <= most / max(1, segments.count) else {
      throw ModelError(
        "generate: expected one completion of a token or more, and at most \(most) completions in all, got \(count) of "
          + "\(maxTokens) tokens for each of \(segments.count) prompts")
    }
    for number in segments where !forest.segments.indices.contains(number) {
      throw ModelError(
        "generate: there is no segment \(number + 1); the batch has \(forest.segments.count)")
    }
    let sampler = Sampler(options: options)
    var results = segments.map { _ in Array(repeating: Completion(), count: count) }
    var waiting = segments.indices.flatMap { prompt in (0..<count).map { (prompt: prompt, sample: $0) } }
    try Tape.withoutRecording {
      while !waiting.isEmpty {
        var decoder = try Decoder(
          self, forest, segments, waiting, maxTokens: maxTokens, cache: cache,
          cacheMemory: cacheMemory ?? ModelConfig.cacheMemory(of: BufferPool.shared.availableMemory))
        try decoder.run(sampler, stopIDs: stopIDs, isFinished: isFinished) { results[$0][$1] = $2 }
        waiting = decoder.waiting
      }
    }
    return results
  }
}

/// The state of a batch of continuations.
private struct Decoder {
  /// One continuation that is still growing.
  private struct Branch {
    let prompt: Int
    let sample: Int
    /// Position of its first token, and how many there can be.
    let position: Int
    let most: Int
    /// Its first row in the cache.
    var firstRow = 0
    var completion = Completion()
  }

  private let model: CausalLM
  /// Rows before each prompt's continuations.
  private var spans: [Int: [AttentionPlan.Span]] = [:]
  /// First the rows of the forest, then `room` rows for each branch.
  private let cache: KeyValueCache
  private let prefixRows: Int
  private var writtenPrefixRows = 0
  private var room: Int
  private let maxRows: Int
  private var live: [Branch] = []
  /// Continuations that there was no room for, to be sampled from their beginning once the others are done.
  private(set) var waiting: [(prompt: Int, sample: Int)] = []
  /// Final hidden states that the next token of every live branch is drawn from, and the row of each branch in them.
  private var hidden: Tensor
  private var hiddenRows: [Int] = []

  init(
    _ model: CausalLM, _ whole: Forest, _ prompts: [Int], _ samples: [(prompt: Int, sample: Int)],
    maxTokens: Int, cache: CacheStorage, cacheMemory: Int
  ) throws {
    self.model = model
    let wanted = Array(Set(samples.map(\.prompt))).sorted()
    let (forest, segments) = try whole.pruned(to: wanted.map { prompts[$0] })
    let rowBytes = model.config.cacheBytesPerToken(cache)
    (prefixRows, maxRows) = (forest.count, cacheMemory / rowBytes)
    var ends: [Int: (position: Int, most: Int, hiddenRow: Int)] = [:]
    var lastRows: [Int32] = []
    for (prompt, number) in zip(wanted, segments) {
      let segment = forest.segments[number]
      let before = forest.spans(before: number, offset: segment.rows.count)
      guard let last = before.last else {
        throw ModelError(
          "generate: the prompt is empty; give at least one token (the tokenizer's bos_id will do)")
      }
      let position = segment.position + segment.rows.count
      let most = min(maxTokens, model.config.maxPositionEmbeddings - position)
      guard most > 0 else {
        throw ModelError(
          "generate: a prompt of \(position) tokens leaves no room in a context of \(model.config.maxPositionEmbeddings)"
        )
      }
      try model.config.requireCache(cache, before: position, completion: most, memory: cacheMemory)
      spans[prompt] = before
      ends[prompt] = (position, most, lastRows.count)
      lastRows.append(Int32(last.start + last.count - 1))
    }
    live = samples.map { prompt, sample in
      Branch(prompt: prompt, sample: sample, position: ends[prompt]!.position, most: ends[prompt]!.most)
    }
    room = min(Self.firstRoom, live.lazy.map(\.most).max()!)
    self.cache = KeyValueCache(model.config, rows: 0, storage: cache)
    hidden = Tensor(uninitialized: [0])
    layOut()
    let store = self.cache
    hiddenRows = live.map { ends[$0.prompt]!.hiddenRow }
    let (plan, shape) = (forest.attentionPlan, model.attentionShape)
    let all = try model.forward(forest.tokens, positions: forest.positions) { layer, q, k, v in
      store.write(layer, k, v, firstRow: 0)
      return try Tensor.attention(q, k, v, plan: plan, shape: shape)
    }
    writtenPrefixRows = prefixRows
    hidden = try all.embedding(lastRows)
  }

  /// Rows that each branch gets at first. When they are full there are twice as many.
  private static let firstRoom = 64

  /// Lays the branches out with room for each. Where memory ends the last ones have to wait; one stays in any case.
  private mutating func layOut() {
    let kept = max(1, min(live.count, (maxRows - prefixRows) / room))
    waiting = live[kept...].map { ($0.prompt, $0.sample) } + waiting
    live.removeSubrange(kept...)
    let moves = live.indices.map { index in
      let (written, first) = (max(0, live[index].completion.ids.count - 1), live[index].firstRow)
      live[index].firstRow = prefixRows + index * room
      return (rows: first..<first + written, to: live[index].firstRow)
    }
    cache.move([(0..<writtenPrefixRows, 0)] + moves, rows: prefixRows + live.count * room)
  }

  /// Makes twice the room for every branch, or little more where memory has no place for that.
  private mutating func grow() {
    let double = min(2 * room, live.lazy.map(\.most).max()!)
    room = prefixRows + live.count * double <= maxRows ? double : min(room + Self.firstRoom, double)
    layOut()
  }

  /// Samples until every branch has ended, and hands out each as it ends; or it is in `waiting` afterwards.
  mutating func run(
    _ sampler: Sampler, stopIDs: Set<Int32>, isFinished: (Int, [Int32]) -> Bool,
    finish: (_ prompt: Int, _ sample: Int, Completion) -> Void
  ) throws {
    while true {
      try draw(sampler)
      live.removeAll { branch in
        var completion = branch.completion
        let isStopped = stopIDs.contains(completion.ids.last!) || isFinished(branch.prompt, completion.ids)
        guard isStopped || completion.ids.count == branch.most else { return false }
        completion.finishReason = isStopped ? .stop : .length
        finish(branch.prompt, branch.sample, completion)
        return true
      }
      if live.isEmpty { return }
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
    if live.contains(where: { $0.completion.ids.count > room }) { grow() }
    var plan = AttentionPlan()
    var (tokens, positions, rows) = ([Int32](), [Int](), [Int]())
    var parts: [Int: [AttentionPlan.Part]] = [:]
    for (index, branch) in live.enumerated() {
      let written = branch.completion.ids.count - 1
      tokens.append(branch.completion.ids[written])
      positions.append(branch.position + written)
      rows.append(branch.firstRow + written)
      parts[branch.prompt, default: []].append(
        .init(queryStart: index, queryCount: 1, keyStart: branch.firstRow, keyOffset: written))
    }
    for (prompt, parts) in parts.sorted(by: { $0.key < $1.key }) {
      plan.add(spans: spans[prompt]!, parts: parts)
    }
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
