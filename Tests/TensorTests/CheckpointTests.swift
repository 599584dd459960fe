// What is computed twice gives what it gives when it is computed once.
import Foundation
import TestSupport
import Testing

import Tensor

@Suite struct CheckpointTests {
  /// Values, the input's gradient and the parameters', of Σ weight · body(x)² + x.
  private func evaluate(
    _ x: Tensor, _ parameters: [Tensor], _ body: (Tensor) throws -> Tensor
  ) throws -> [[Float]] {
    for leaf in [x] + parameters { leaf.requiresGradient = true }
    for leaf in [x] + parameters { leaf.zeroGradient() }
    // The input is used twice, before and after, so that gradients must be added to what is there.
    let y = try body(x.adding(1)).adding(x)
    var random = Random(9)
    try y.squared().multiplied(by: random.tensor(y.shape)).sum().backward()
    return [y.values] + ([x] + parameters).map { $0.gradient?.values ?? [] }
  }

  private func expectSame(_ actual: [[Float]], _ expected: [[Float]], _ what: String) {
    #expect(actual.count == expected.count)
    for (a, b) in zip(actual, expected) { expectClose(a, b, 1e-5, what) }
  }

  @Test func rowsInPiecesAndInOne() throws {
    var random = Random(1)
    let (w1, w2) = (random.tensor([12, 6]), random.tensor([6, 12]))
    func body(_ x: Tensor) throws -> Tensor { try x.adding(x.linear(w1).silu().linear(w2)) }
    for rows in [0, 1, 7, 12] {
      let x = random.tensor([rows, 6])
      let expected = try evaluate(x, [w1, w2], body)
      for rowsAtATime in [nil, 1, 3, 4, 7, 100] {
        let actual = try evaluate(x, [w1, w2]) { x in
          try x.checkpointed(rowsAtATime: rowsAtATime) { x, _ in try body(x) }
        }
        expectSame(actual, expected, "\(rows) rows, \(rowsAtATime ?? 0) at a time")
      }
      // One inside the other: the inner one's values are not wanted when the outer one is computed again.
      var flags: [Bool] = []
      let nested = try evaluate(x, [w1, w2]) { x in
        try x.checkpointed { x, isValueNeeded in
          try x.checkpointed(rowsAtATime: 4, isValueNeeded: isValueNeeded) { x, isValueNeeded in
            flags.append(isValueNeeded)
            return try body(x)
          }
        }
      }
      expectSame(nested, expected, "\(rows) rows, nested")
      if rows > 0 { #expect(flags.first == true && flags.last == false) }
    }
  }

  @Test func anInputThatIsATransposedView() throws {
    var random = Random(2)
    let (x, w) = (random.tensor([6, 9]), random.tensor([6, 6]))
    let expected = try evaluate(x, [w]) { try $0.transposed().linear(w).transposed() }
    let actual = try evaluate(x, [w]) { x in
      try x.transposed().checkpointed(rowsAtATime: 2) { x, _ in try x.linear(w) }.transposed()
    }
    expectSame(actual, expected, "transposed")
  }

  @Test func bodiesThatDoNothing() throws {
    var random = Random(3)
    let x = random.tensor([5, 4])
    let identity = try evaluate(x, []) { try $0.checkpointed { x, _ in x } }
    expectSame(identity, try evaluate(x, []) { $0 }, "identity")
    // A result that does not depend on the input has no gradient for it; memory that was used before is not shown.
    let constant = random.tensor([5, 4])
    let ones = try BufferPool.shared.poisoningReturnedBlocks {
      try evaluate(x, [constant]) { try $0.checkpointed { _, _ in constant.multiplied(by: 2) } }
    }
    expectSame(ones, try evaluate(x, [constant]) { _ in constant.multiplied(by: 2) }, "constant")
  }

  /// The first layer of a frozen model: only what is inside wants a gradient.
  @Test func anInputWithoutAGradient() throws {
    var random = Random(4)
    let (x, w) = (random.tensor([5, 4]), random.tensor([4, 4]))
    w.requiresGradient = true
    try x.linear(w).squared().sum().backward()
    let expected = w.gradient!.values
    w.zeroGradient()
    try x.checkpointed(rowsAtATime: 2) { x, _ in try x.linear(w) }.squared().sum().backward()
    expectClose(w.gradient!.values, expected, 1e-5, "weight")
    #expect(x.gradient == nil)
  }

  @Test func nothingIsRecordedWithoutATape() throws {
    var calls = 0
    let x = Tensor(repeating: 1, shape: [3, 2])
    x.requiresGradient = true
    let y = try Tape.withoutRecording {
      try x.checkpointed { x, _ in
        calls += 1
        return x.multiplied(by: 2)
      }
    }
    #expect(calls == 1 && y.isLeaf && y.values == [2, 2, 2, 2, 2, 2])
  }

  @Test func aVectorFromParts() throws {
    var random = Random(5)
    let w = random.tensor([10])
    w.requiresGradient = true
    let places: [[Int32]] = [[0, 3], [5], [], [7, 1, 2]]
    var calls = [0, 0, 0, 0]
    func part(_ index: Int) throws -> Tensor {
      calls[index] += 1
      return try w.sliced(dim: 0, index..<index + places[index].count).exp()
    }
    let whole = try Tensor.computedInParts(count: 9, places: places, part)
    var expected = [Float](repeating: 0, count: 9)
    var slope = [Float](repeating: 0, count: 10)
    let weights = random.floats(9)
    for (index, places) in places.enumerated() {
      for (i, place) in places.enumerated() {
        expected[Int(place)] = Float.exp(w.values[index + i])
        slope[index + i] += weights[Int(place)] * expected[Int(place)]
      }
    }
    expectClose(whole.values, expected, 1e-6, "values")
    #expect(calls == [1, 1, 1, 1])
    try whole.multiplied(by: Tensor(weights, shape: [9])).sum().backward()
    expectClose(w.gradient!.values, slope, 1e-6, "gradient")
    #expect(calls == [2, 2, 2, 2])
  }
}

extension Float {
  fileprivate static func exp(_ x: Float) -> Float { Float(Foundation.exp(Double(x))) }
}
