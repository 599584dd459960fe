// Sampling in little memory.
import Model
import Tensor
import TestSupport
import Testing

@Suite struct GenerationMemoryTests {
  private static func small() throws -> CausalLM {
    var sizes = RandomModel()
    (sizes.layers, sizes.hidden, sizes.intermediate, sizes.vocabulary) = (2, 64, 96, 50)
    return try sizes.model()
  }

  /// Completions that wait for memory, or move when they outgrow their place, are those of a machine without limit.
  @Test(arguments: CacheStorage.allCases) func samplesDoNotDependOnTheMemoryOfTheirCache(
    _ cache: CacheStorage
  ) throws {
    let model = try Self.small()
    var options = SamplingOptions()
    (options.temperature, options.seed) = (1, 5)
    var forest = Forest()
    let trunk = try forest.add([5, 17, 40, 3, 22, 41])
    let prompts = [
      try forest.add([9, 33], parent: trunk, offset: 4), try forest.add([31], parent: trunk),
      try forest.add([12, 13, 14]),
    ]
    let rowBytes = model.config.cacheBytesPerToken(cache)
    func sampled(rows: Int?) throws -> [[Completion]] {
      try model.generate(
        forest, from: prompts, count: 5, maxTokens: 200, options: options, stopIDs: [2], cache: cache,
        cacheMemory: rows.map { $0 * rowBytes })
    }
    let all = try sampled(rows: nil)
    let lengths = all.joined().map(\.ids.count)
    #expect(lengths.min()! < 60 && lengths.max()! > 128, "\(lengths)")
    // Room for one, for several that grow one by one, and for all of them only at first.
    for rows in [212, 500, 1000, 15 * 64 + 12] {
      let some = try sampled(rows: rows)
      for (own, other) in zip(some.joined(), all.joined()) {
        #expect(own.ids == other.ids && own.finishReason == other.finishReason)
        #expect(zip(own.logProbs, other.logProbs).allSatisfy { abs($0 - $1) < 1e-5 })
      }
    }
    #expect(throws: ModelError.self) { try sampled(rows: 200) }
  }

  /// A step is planned for the longest completions that it can get, and refused if not even one of them fits.
  @Test func thePlanKnowsOfCompletions() throws {
    let model = try Self.small()
    var forest = Forest()
    let trunk = try forest.add([Int32](repeating: 7, count: 100))
    let prompt = try forest.add([1, 2], parent: trunk, offset: 50)
    let sampling = try MemoryPlan.Sampling(
      of: [prompt, trunk], in: forest, count: 8, maxTokens: 300, config: model.config, cache: .bf16)
    func plan(_ available: Int) throws -> MemoryPlan {
      try MemoryPlan.fitting(
        model, rows: forest.count, longestBranch: forest.longestBranch, available: available, inUse: 0,
        sampling: sampling)
    }
    let rows = 102 + 2 * 8 * 300
    let ample = try plan(1 << 34)
    #expect(ample.maxRows == rows && ample.total == MemoryPlan(model, rows: rows, checkpointing: .off).total)
    // Two layers, a key and a value of two heads of 16 numbers, two bytes each.
    #expect(ample.keysAndValues == rows * 2 * 2 * 32 * 2 && ample.cacheMemory == 3 << 32)
    #expect(ample.summary.contains("keys and values up to 1.3 MB") && !ample.summary.contains("all at once"))
    // Less than all completions take: they wait for each other, and the training pass goes in parts.
    let block = MemoryPlan(model, rows: 400, checkpointing: .block).total
    let scarce = try plan(block)
    #expect(scarce.maxRows >= 400 && scarce.maxRows < rows && scarce.checkpointing == .block)
    #expect(throws: ModelError.self) { try plan(400 * 64) }
    #expect(throws: ModelError.self) {
      try MemoryPlan.Sampling(of: [9], in: forest, count: 1, maxTokens: 1, config: model.config, cache: .f32)
    }
  }
}
