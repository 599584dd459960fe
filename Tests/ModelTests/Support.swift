// What the tests of whole models share: forests of random shape, and all that a training step makes of one.
import Kernels
import Tensor
import TestSupport
import Testing

import Model

/// A forest of random shape, and for each segment the tokens of its whole branch: one root or several, bushes and
/// chains, segments without tokens, branches that share nothing of their parent. No branch is longer than 64 tokens,
/// the shortest context of the tiny models.
///
/// - Parameters:
///   - depth: most segments before one.
///   - isVaried: whether segments also have temperatures, or are not scored.
func randomForest(
  _ random: inout Random, depth: Int = 8, isVaried: Bool = false
) throws -> (Forest, [[Int32]]) {
  var (forest, branches, levels) = (Forest(), [[Int32]](), [Int]())
  let isChain = Int.random(in: 0..<3, using: &random) == 0
  let moreRoots = [0, 0, 4].randomElement(using: &random)!
  let longest = [3, 7, 7, 20].randomElement(using: &random)!
  for number in 0..<Int.random(in: 2...12, using: &random) {
    let isRoot = number == 0 || Int.random(in: 0..<12, using: &random) < moreRoots
    let candidates = isRoot ? [] : branches.indices.filter { levels[$0] < depth }
    let parent = isChain ? candidates.last : candidates.randomElement(using: &random)
    let own = parent.map { forest.segments[$0].rows.count } ?? 0
    // Often everything, and nothing more often than it would be by chance.
    let offset = [0, own, own, Int.random(in: 0...own, using: &random)].randomElement(using: &random)!
    let history = parent.map { branches[$0].dropLast(own - offset) } ?? []
    let isEmpty = number > 0 && Int.random(in: 0..<8, using: &random) == 0
    let count = isEmpty ? 0 : min(Int.random(in: 1...longest, using: &random), 64 - history.count)
    let ids = randomTokens(count, &random)
    try forest.add(
      ids, parent: parent, offset: parent == nil ? nil : offset,
      temperature: isVaried ? Float.random(in: 0.5...2, using: &random) : 1,
      isScored: !isVaried || Int.random(in: 0..<4, using: &random) > 0)
    branches.append(history + ids)
    levels.append(parent.map { levels[$0] + 1 } ?? 0)
  }
  return (forest, branches)
}

/// A trunk with ragged branches, and a branch of one of them: more queries at one place than attention takes at a time,
/// cut inside of segments; before and among them more keys than it takes at a time, if the context has room for those.
func longForest(_ random: inout Random, context: Int) throws -> (Forest, [[Int32]]) {
  var (forest, branches) = (Forest(), [[Int32]]())
  func add(_ count: Int, _ parent: Int? = nil, _ offset: Int = 0) throws {
    let history = parent.map { branches[$0].dropLast(forest.segments[$0].rows.count - offset) } ?? []
    let ids = randomTokens(count, &random)
    try forest.add(
      ids, parent: parent, offset: parent == nil ? nil : offset,
      temperature: Float.random(in: 0.5...2, using: &random))
    branches.append(history + ids)
  }
  let isLong = context >= 400
  let (trunk, crowded) = isLong ? (300, 257) : (30, 21)
  try add(trunk)
  while forest.count < trunk + 8 * AttentionPlan.blockRows {
    try add(Int.random(in: isLong ? 1...90 : 1...30, using: &random), 0, crowded)
  }
  try add(7, 1, forest.segments[1].rows.count)
  for offset in isLong ? [0, 1, 63, 64, 65, 255, 256, 300] : [0, 1, 30] {
    try add(Int.random(in: 1...9, using: &random), 0, offset)
  }
  return (forest, branches)
}

/// Tokens of the tiny models' vocabulary.
func randomTokens(_ count: Int, _ random: inout Random) -> [Int32] {
  (0..<count).map { _ in Int32.random(in: 0..<97, using: &random) }
}

/// What a training step sees: values, and gradients of a weighted sum of all of them.
struct StepResult {
  var logProbs: [Float]
  var entropies: [Float]
  var gradients: [(name: String, values: [Float])]

  init(_ model: CausalLM, _ forest: Forest, _ options: CausalLM.TrainingOptions = .init()) throws {
    for (_, tensor) in model.parameters {
      tensor.requiresGradient = true
      tensor.zeroGradient()
    }
    let (logProbs, entropy) = try model.logProbs(forest, entropy: true, options: options)
    var random = Random(77)
    let weights = try (0..<2).map { _ in try Tensor(random.floats(forest.count), shape: [forest.count]) }
    try logProbs.multiplied(by: weights[0]).sum().adding(entropy!.multiplied(by: weights[1]).sum()).backward()
    (self.logProbs, entropies) = (logProbs.values, entropy!.values)
    gradients = model.parameters.map { ($0.name, $0.tensor.gradient?.values ?? []) }
    for (_, tensor) in model.parameters { tensor.zeroGradient() }
  }

  /// Expects the same up to `tolerance` times the largest value of the same kind.
  func expectEqual(
    _ expected: StepResult, _ what: String, _ tolerance: Float = 1e-5,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectNear(logProbs, expected.logProbs, tolerance, "\(what): log-probs", sourceLocation: sourceLocation)
    expectNear(entropies, expected.entropies, tolerance, "\(what): entropies", sourceLocation: sourceLocation)
    #expect(gradients.map(\.name) == expected.gradients.map(\.name), sourceLocation: sourceLocation)
    // Rounding goes by what was added up: a sum of large gradients may be small.
    let scale = expected.gradients.flatMap(\.values).reduce(0) { max($0, abs($1)) }
    for (a, b) in zip(gradients, expected.gradients) {
      expectNear(
        a.values, b.values, tolerance, scale: scale / 10, "\(what): \(a.name)", sourceLocation: sourceLocation
      )
    }
  }
}

/// Expects values within a tolerance times the largest expected one, or `scale` if that is larger.
func expectNear(
  _ actual: [Float], _ expected: [Float], _ tolerance: Float, scale: Float = 0, _ what: String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.count == expected.count else {
    Issue.record(
      "\(what): \(actual.count) values, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  let allowed = tolerance * expected.reduce(scale) { max($0, abs($1)) }
  let worst = zip(actual, expected).reduce(0) { $1.0 == $1.1 ? $0 : max($0, abs($1.0 - $1.1)) }
  let isFinite = actual.allSatisfy { $0.isFinite }
  guard isFinite, worst <= allowed else {
    Issue.record("\(what): off by \(worst), allowed \(allowed)", sourceLocation: sourceLocation)
    return
  }
}

extension CausalLM {
  /// Adapters whose both matrices are random, so that they change what the model computes.
  func addRandomAdapters(
    rank: Int = 4, dropout: Double = 0, modules: [String] = AdapterConfig.allLinear, seed: UInt64 = 1
  ) throws {
    try addAdapters(
      AdapterConfig(rank: rank, alpha: 8, dropout: dropout, targetModules: modules, seed: seed))
    var random = Random(seed)
    for (_, tensor) in parameters {
      let values = random.floats(tensor.count, in: -0.3...0.3)
      tensor.pointer.update(from: values, count: values.count)
      tensor.markWritten()
    }
  }
}
