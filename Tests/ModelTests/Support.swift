// What the tests of whole models share: forests of random shape, and all that a training step makes of one.
import Tensor
import TestSupport
import Testing

import Model

/// A forest of random shape, and for each segment the tokens of its whole branch.
///
/// - Parameter isVaried: whether segments also have temperatures, or nothing of their parent before them, or are not
///   scored.
func randomForest(
  _ random: inout Random, depth: Int, isVaried: Bool = false
) throws -> (Forest, [[Int32]]) {
  var forest = Forest()
  var branches: [[Int32]] = []
  var levels: [Int] = []
  for _ in 0..<Int.random(in: 2...9, using: &random) {
    let ids = (0..<Int.random(in: 1...7, using: &random)).map { _ in Int32.random(in: 0..<97, using: &random)
    }
    let parent =
      branches.isEmpty ? nil : branches.indices.filter { levels[$0] < depth }.randomElement(using: &random)
    let temperature = isVaried ? Float.random(in: 0.5...2, using: &random) : 1
    let isScored = !isVaried || Int.random(in: 0..<4, using: &random) > 0
    if let parent {
      let own = forest.segments[parent].rows.count
      let offset = Int.random(in: (isVaried ? 0 : 1)...own, using: &random)
      try forest.add(ids, parent: parent, offset: offset, temperature: temperature, isScored: isScored)
      branches.append(Array(branches[parent].dropLast(own - offset)) + ids)
      levels.append(levels[parent] + 1)
    } else {
      try forest.add(ids, temperature: temperature, isScored: isScored)
      branches.append(ids)
      levels.append(0)
    }
  }
  return (forest, branches)
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
