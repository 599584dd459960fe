// One trunk, many branches: a forest gives what its branches give as independent sequences.
import Kernels
import Tensor
import TestSupport
import Testing

import Model

@Suite struct ForestTests {
  @Test(arguments: GoldenTests.models) func matchesIndependentSequences(_ name: String) throws {
    let model = try Goldens.model(name)
    var random = Random(7)
    for round in 0..<16 {
      let (forest, branches) = try randomForest(&random, isVaried: round % 2 == 1)
      try expectIndependent(model, forest, branches, "round \(round)")
    }
  }

  /// More queries and keys than attention takes at a time.
  @Test(arguments: GoldenTests.models) func longForestsMatchIndependentSequences(_ name: String) throws {
    let model = try Goldens.model(name)
    let isFixed = model.config.isContextFixed
    var random = Random(8)
    let (forest, branches) = try longForest(
      &random, context: isFixed ? model.config.maxPositionEmbeddings : .max)
    let blocks = forest.attentionPlan.blocks
    #expect(blocks.contains { block in block.parts.reduce(0) { $0 + $1.queryCount } == 64 })
    #expect(isFixed || blocks.contains { $0.spans.contains { $0.count > 256 } })
    try expectIndependent(model, forest, branches, "long")
  }

  /// Logits of all rows, also of those that predict nothing in the forest.
  @Test(arguments: GoldenTests.models) func logitsMatchIndependentSequences(_ name: String) throws {
    let model = try Goldens.model(name)
    let V = model.config.vocabSize
    func logits(_ forest: Forest) throws -> [Float] {
      try Tape.withoutRecording { try model.logits(model.hiddenStates(forest)) }.values
    }
    var random = Random(11)
    for round in 0..<16 {
      let (forest, branches) = try randomForest(&random)
      let together = try logits(forest)
      #expect(together.count == forest.count * V)
      for (number, (segment, branch)) in zip(forest.segments, branches).enumerated()
      where !segment.rows.isEmpty {
        var alone = Forest()
        try alone.add(branch)
        let actual = together[segment.rows.lowerBound * V..<segment.rows.upperBound * V]
        let expected = try logits(alone).suffix(actual.count)
        expectWithin(1e-4, actual, expected, "round \(round), segment \(number): logits")
      }
    }
  }

  /// Log-probabilities and entropies of a forest, and gradients of a weighted sum of both, against those of its
  /// branches one by one.
  private func expectIndependent(
    _ model: CausalLM, _ forest: Forest, _ branches: [[Int32]], _ what: String
  ) throws {
    for (_, tensor) in model.parameters { tensor.requiresGradient = true }
    var random = Random(9)
    let weights = (0..<2).map { _ in random.floats(forest.count) }
    func sum(_ logProbs: Tensor, _ entropies: Tensor, _ rows: Range<Int>) throws -> Tensor {
      let terms = try zip([logProbs, entropies], weights).map { values, weights in
        try values.multiplied(by: Tensor(Array(weights[rows]), shape: [rows.count])).sum()
      }
      return try terms[0].adding(terms[1])
    }
    let together = try model.logProbs(forest, entropy: true)
    try sum(together.logProbs, together.entropy!, 0..<forest.count).backward()
    let gradients = model.parameters.map { $0.tensor.gradient!.values }
    for (_, tensor) in model.parameters { tensor.zeroGradient() }

    let (logProbs, entropies) = (together.logProbs.values, together.entropy!.values)
    for (number, (segment, branch)) in zip(forest.segments, branches).enumerated() {
      let rows = segment.rows
      guard segment.isScored, !rows.isEmpty else {
        #expect((logProbs[rows] + entropies[rows]).allSatisfy { $0 == 0 })
        continue
      }
      var alone = Forest()
      try alone.add(branch, temperature: segment.temperature)
      let expected = try model.logProbs(alone, entropy: true)
      let tail = branch.count - rows.count..<branch.count
      let place = "\(what), segment \(number)"
      let own = try (
        logProbs: expected.logProbs.sliced(dim: 0, tail), entropy: expected.entropy!.sliced(dim: 0, tail)
      )
      expectWithin(1e-4, logProbs[rows], own.logProbs.values, "\(place): log-probs")
      expectWithin(1e-4, entropies[rows], own.entropy.values, "\(place): entropies")
      try sum(own.logProbs, own.entropy, rows).backward()
    }
    for ((parameter, tensor), actual) in zip(model.parameters, gradients) {
      let expected = tensor.gradient!.values
      let scale = max(1e-2, expected.reduce(0) { max($0, abs($1)) })
      expectWithin(1e-4 * scale, actual, expected, "\(what), gradient of \(parameter)")
      tensor.zeroGradient()
    }
  }

  private func expectWithin(
    _ tolerance: Float, _ actual: some Collection<Float>, _ expected: some Collection<Float>, _ what: String
  ) {
    let worst = zip(actual, expected).map { abs($0 - $1) }.max { $0 < $1 || $1.isNaN } ?? 0
    #expect(actual.count == expected.count && worst <= tolerance, "\(what): off by \(worst)")
  }

  /// The generator makes what it promises.
  @Test func randomForestsHaveAllShapes() throws {
    var (random, seen) = (Random(10), [String: Int]())
    for _ in 0..<100 {
      let (forest, branches) = try randomForest(&random)
      func note(_ what: String, _ isSo: Bool) { seen[what, default: 0] += isSo ? 1 : 0 }
      func depth(_ number: Int) -> Int { forest.segments[number].parent.map { depth($0) + 1 } ?? 0 }
      note("several roots", forest.segments.filter { $0.parent == nil }.count > 1)
      note("deep", forest.segments.indices.contains { depth($0) > 5 })
      note("empty", forest.segments.contains { $0.rows.isEmpty })
      note(
        "a child of an empty one",
        forest.segments.contains { segment in
          segment.parent.map { forest.segments[$0].rows.isEmpty } ?? false
        })
      note("offset 0", forest.segments.contains { $0.parent != nil && $0.offset == 0 && !$0.rows.isEmpty })
      note("long", forest.segments.contains { $0.rows.count > 12 })
      for (number, branch) in branches.enumerated() {
        let spans = forest.spans(before: number, offset: forest.segments[number].rows.count)
        #expect(spans.flatMap { forest.tokens[$0.start..<$0.start + $0.count] } == branch)
        #expect(branch.count <= 64)
      }
    }
    #expect(seen.count == 6 && seen.values.allSatisfy { $0 >= 5 }, "\(seen)")
  }

  @Test func samplesDoNotDependOnTheirBatchAndMatchTraining() throws {
    let model = try Goldens.model("tiny-llama")
    var options = SamplingOptions()
    (options.temperature, options.seed, options.step) = (0.8, 3, 11)
    var forest = Forest()
    let trunk = try forest.add([5, 17, 40, 3, 22, 61])
    let first = try forest.add([9, 33], parent: trunk, offset: 4)
    let second = try forest.add([71], parent: trunk)
    let all = try model.generate(
      forest, from: [first, second], count: 8, maxTokens: 12, options: options, stopIDs: [2])
    let few = try model.generate(
      forest, from: [first], count: 3, maxTokens: 12, options: options, stopIDs: [2])
    #expect(Array(all[0][..<3]).map(\.ids) == few[0].map(\.ids))
    #expect(Set(all[0].map(\.ids)).count > 1)

    // The log-probabilities seen while sampling are those of a training pass.
    var batch = forest
    var rows: [(Range<Int>, [Float])] = []
    for (segment, completions) in zip([first, second], all) {
      for completion in completions {
        let number = try batch.add(completion.ids, parent: segment, temperature: 0.8)
        rows.append((batch.segments[number].rows, completion.logProbs))
      }
    }
    let trained = try Tape.withoutRecording { try model.logProbs(batch).logProbs.values }
    for (range, sampled) in rows { #expect(zip(trained[range], sampled).allSatisfy { abs($0 - $1) < 1e-4 }) }
  }

  /// Keys and values in bfloat16 alone, weights and products in 32 bits.
  @Test(arguments: GoldenTests.models, [0, 0.8] as [Float])
  func aRoundedCacheIsNearTheExactOne(_ name: String, temperature: Float) throws {
    let model = try Goldens.model(name)
    var options = SamplingOptions()
    (options.temperature, options.seed, options.step) = (temperature, 3, 11)
    var forest = Forest()
    let trunk = try forest.add((0..<30).map { Int32($0 * 37 % 97) })
    let prompts = [try forest.add([9, 33], parent: trunk, offset: 24), try forest.add([71], parent: trunk)]
    func generate(_ prompts: [Int], count: Int, _ cache: CacheStorage) throws -> [[Completion]] {
      try model.generate(
        forest, from: prompts, count: count, maxTokens: 12, options: options, stopIDs: [2], cache: cache)
    }
    let rounded = try generate(prompts, count: 6, .bf16)
    let few = try generate([prompts[0]], count: 2, .bf16)[0]
    for (a, b) in zip(few, rounded[0]) {
      #expect(a.ids == b.ids)
      expectWithin(1e-5, a.logProbs, b.logProbs, "in another batch")
    }
    // As far as both wrote the same they can be compared.
    var (worst, compared) = (Float(0), 0)
    for (a, b) in zip(rounded.joined(), try generate(prompts, count: 6, .f32).joined()) {
      let same = zip(a.ids, b.ids).prefix { $0 == $1 }.count
      // The first token is drawn before the cache is read.
      #expect(same > 0 && abs(a.logProbs[0] - b.logProbs[0]) < 1e-5)
      for (x, y) in zip(a.logProbs, b.logProbs).prefix(same) { worst = max(worst, abs(x - y)) }
      compared += same
    }
    #expect(compared > 60, "\(compared) tokens")
    #expect(worst > 1e-5 && worst < 0.05, "off by \(worst)")

    // All that was written, against a pass that has no cache.
    var batch = forest
    var rows: [(Range<Int>, [Float])] = []
    for (prompt, completion) in zip(prompts, rounded).flatMap({ prompt, all in all.map { (prompt, $0) } }) {
      let number = try batch.add(
        completion.ids, parent: prompt, temperature: temperature == 0 ? 1 : temperature)
      rows.append((batch.segments[number].rows, completion.logProbs))
    }
    let trained = try Tape.withoutRecording { try model.logProbs(batch).logProbs.values }
    for (range, sampled) in rows { expectWithin(0.05, sampled, trained[range], "log-probs") }
    #expect(rows.contains { zip(trained[$0], $1).contains { abs($0 - $1) > 1e-5 } })
  }

  @Test func filtersKeepTheMostProbable() throws {
    let model = try Goldens.model("tiny-llama")
    var forest = Forest()
    let prompt = try forest.add([5, 17, 40])
    let logits = try Tape.withoutRecording { try model.logits(model.hiddenStates(forest)) }.values.suffix(97)
    let ranked = logits.enumerated().sorted { $0.element > $1.element }.map { Int32($0.offset) }
    func drawn(_ change: (inout SamplingOptions) -> Void) throws -> Set<Int32> {
      var options = SamplingOptions()
      change(&options)
      return Set(
        try model.generate(forest, from: [prompt], count: 400, maxTokens: 1, options: options, stopIDs: [])[0]
          .map { $0.ids[0] })
    }
    #expect(try drawn { $0.topK = 3 } == Set(ranked[..<3]))
    #expect(try drawn { $0.topP = 1e-6 } == [ranked[0]])
    #expect(try drawn { $0.minP = 1 } == [ranked[0]])
    #expect(try drawn { $0.temperature = 0 } == [ranked[0]])
    #expect(try drawn { _ in }.count > 40)
    #expect(throws: ModelError.self) { try drawn { $0.topP = 0 } }
    // More completions than anybody can want are refused before they are made.
    #expect(throws: ModelError.self) {
      try model.generate(
        forest, from: [prompt], count: 1 << 40, maxTokens: 8, options: SamplingOptions(), stopIDs: [])
    }
    #expect(throws: ModelError.self) { try drawn { $0.temperature = -1 } }
  }
}
