// Allocations of a steady state, as counts: the one topic that can fail, because counts do not depend on how busy the
// machine is. A model of the tests is enough, since the number of blocks depends on layers and not on their sizes.
import CAllocations
import Foundation
import Model
import Tensor
import Train

/// Blocks taken from the system, and calls of malloc, per training step and per rollout, against
/// `Benchmarks/thresholds.json`.
func allocations(_ report: Report, _ options: Options) throws {
  guard let data = try? Data(contentsOf: URL(fileURLWithPath: options.thresholds)) else {
    throw BenchError("\(options.thresholds) cannot be read")
  }
  let thresholds = try JSONDecoder().decode([String: Double].self, from: data)
  let model = try options.loadModel().network
  let optimizer = AdamW(parameters: model.parameters)
  var unused = thresholds

  /// - Parameter body: gets the number of the round.
  func count(_ name: String, _ body: (Int) throws -> Void) throws {
    let rounds = 16
    for round in 0..<rounds { try body(round) }
    let before = (blocks: BufferPool.shared.statistics.systemAllocations, calls: allocation_calls())
    for round in 0..<rounds { try body(round) }
    let after = (blocks: BufferPool.shared.statistics.systemAllocations, calls: allocation_calls())
    for (what, value) in [
      ("\(name): blocks of the pool", Double(after.blocks - before.blocks) / Double(rounds)),
      ("\(name): calls of malloc", Double(after.calls - before.calls) / Double(rounds)),
    ] {
      guard let limit = unused.removeValue(forKey: what) else {
        throw BenchError("\(options.thresholds) has no threshold for '\(what)', which is \(value)")
      }
      report.add(what, value, "", targets: [.atMost(limit)], isGate: true)
    }
  }

  var forest = Forest()
  let trunk = try forest.add(model.someTokens(24))
  for salt in 1...4 { try forest.add(model.someTokens(8, salt: salt), parent: trunk) }
  func learn(_ forest: Forest) throws {
    try model.logProbs(forest).logProbs.mean().negated().backward()
    _ = optimizer.step(maxGradNorm: 1)
    optimizer.zeroGradients()
  }
  func sample(_ count: Int, _ tokens: Int) throws -> (Forest, Int, [Completion]) {
    var forest = Forest()
    let trunk = try forest.add(model.someTokens(24))
    let group = try model.generate(
      forest, from: [trunk], count: count, maxTokens: tokens, options: SamplingOptions(), stopIDs: [])
    return (forest, trunk, group[0])
  }

  try count("training step") { _ in try learn(forest) }
  try count("4 rollouts of 8 tokens") { _ in _ = try sample(4, 8) }
  // As a run has it: lengths differ from step to step, and come again.
  try count("step of varying length") { round in
    var (forest, trunk, group) = try sample(4, 4 + round * 5 % 16)
    for completion in group { try forest.add(completion.ids, parent: trunk) }
    try learn(forest)
  }
  if let name = unused.keys.min() { throw BenchError("\(options.thresholds): nothing is called '\(name)'") }
}
