// Every operation's gradient: elementary ones against finite differences, fused ones against their definitions.
import TestSupport
import Testing

import Tensor

@Suite struct GradientTests {
  @Test(arguments: Op.allCases.filter { !$0.isFused })
  func elementary(op: Op) throws {
    for sample in op.samples { try sample.checkFiniteDifferences() }
  }

  @Test(arguments: Op.allCases.filter(\.isFused))
  func fused(op: Op) throws {
    for sample in op.samples { try sample.checkDefinition() }
  }

  @Test func everyOperationHasSamples() {
    for op in Op.allCases { #expect(!op.samples.isEmpty, "\(op) has no samples") }
  }

  /// A pointer does not keep its tensor alive: an operation that lets go of one too early reads NaN here.
  @Test(arguments: Op.allCases)
  func noOperationReadsReturnedMemory(op: Op) throws {
    for sample in op.samples {
      for layout in MemoryLayout.allCases {
        let expected = try sample.evaluate(sample.body, sample.inputs(), layout)
        let actual = try BufferPool.shared.poisoningReturnedBlocks {
          try sample.evaluate(sample.body, sample.inputs(), layout)
        }
        for (a, b) in zip(actual.results, expected.results) {
          expectClose(a.values, b.values, 0, sample.name)
        }
        for (a, b) in zip(actual.gradients, expected.gradients) {
          expectClose(a ?? [], b ?? [], 0, "\(sample.name), gradient")
        }
      }
    }
  }

  /// More logits than the head holds at a time, so that it goes through the rows in several chunks.
  @Test func aHeadInChunks() throws {
    let (rows, vocabulary) = (20, 900_001)
    let targets = (0..<rows).map { Int32($0 * 41_234 % vocabulary) }
    let inverses = [Float](repeating: 0.5, count: rows)
    var random = Random(1)
    let (x, weight) = (random.tensor([rows, 1]), random.tensor([vocabulary, 1]))
    let factors = random.tensor([2, rows])
    func gradients(_ body: (Tensor, Tensor) throws -> Tensor) throws -> [[Float]] {
      let inputs = [x.detached(), weight.detached()]
      for input in inputs { input.requiresGradient = true }
      let result = try body(inputs[0], inputs[1])
      try result.multiplied(by: factors).sum().backward()
      return [result.values] + inputs.map { $0.gradient?.values ?? [] }
    }
    let actual = try gradients {
      try $0.tokenLogProbs($1, targets: targets, inverseTemperatures: inverses, entropy: true)
    }
    let expected = try gradients {
      try $0.composedTokenLogProbs($1, targets: targets, inverseTemperatures: inverses, entropy: true)
    }
    for (a, b) in zip(actual, expected) { expectClose(a, b, 3e-5, "chunks") }
  }
}
