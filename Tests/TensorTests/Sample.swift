// The harness for gradients: what a case of an operation is, and the two ways to check one.
import Kernels
import TestSupport
import Testing

import Tensor

extension Random {
  mutating func tensor(_ shape: [Int], in range: ClosedRange<Float> = -1...1) -> Tensor {
    try! Tensor(floats(shape.reduce(1, *), in: range), shape: shape)
  }
}

/// One case of an operation: inputs, and the results that it makes of them.
struct Sample {
  typealias Body = ([Tensor]) throws -> [Tensor]

  var name: String
  var shapes: [[Int]]
  /// Where the values of the inputs lie. All of them are far enough from each other for finite differences to meet
  /// no tie, and from 0 if it is inside the range.
  var range: ClosedRange<Float> = -2...2
  var body: Body
  /// The same from elementary operations. Nil for those themselves: they are held to finite differences.
  var definition: Body?
  /// Allowed error, absolute and relative to the largest value of the same tensor.
  var tolerance: Float = 2e-5

  init(
    _ name: String, _ shapes: [[Int]], in range: ClosedRange<Float> = -2...2, tolerance: Float = 2e-5,
    definition: Body? = nil, _ body: @escaping Body
  ) {
    (self.name, self.shapes, self.range, self.tolerance) = (name, shapes, range, tolerance)
    (self.definition, self.body) = (definition, body)
  }

  /// A case with one result.
  static func one(
    _ name: String, _ shapes: [[Int]], in range: ClosedRange<Float> = -2...2,
    _ body: @escaping ([Tensor]) throws -> Tensor
  ) -> Sample {
    Sample(name, shapes, in: range) { [try body($0)] }
  }

  /// A fused operation with one result beside its definition.
  static func fused(
    _ name: String, _ shapes: [[Int]], in range: ClosedRange<Float> = -2...2, tolerance: Float = 2e-5,
    definition: @escaping ([Tensor]) throws -> Tensor, _ body: @escaping ([Tensor]) throws -> Tensor
  ) -> Sample {
    Sample(
      name, shapes, in: range, tolerance: tolerance, definition: { [try definition($0)] },
      { [try body($0)] })
  }
}

/// How the values of an input lie in memory.
enum MemoryLayout: CaseIterable {
  /// Row-major.
  case plain
  /// Dimensions in reverse order, as after a transposition.
  case reversed
  /// With a gap after each element, beginning inside the storage.
  case spaced

  /// A leaf with these values.
  func tensor(_ values: [Float], _ shape: [Int]) -> Tensor {
    let plain = try! Tensor(values, shape: shape)
    let strides: [Int]
    let offset: Int
    switch self {
    case .plain: return plain
    case .reversed:
      strides = rowMajorStrides(shape.reversed()).reversed()
      offset = 0
    case .spaced:
      strides = rowMajorStrides(shape).map { $0 * 3 }
      offset = 7
    }
    let storage = Storage(count: values.count * 3 + 10)
    storage.pointer.update(repeating: .nan, count: storage.count)
    let tensor = Tensor(storage: storage, shape: shape, strides: strides, offset: offset)
    plain.forEachIndex { index, i in
      storage.pointer[offset + zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }] = values[i]
    }
    return tensor
  }
}

/// Strides of a row-major array.
func rowMajorStrides(_ shape: [Int]) -> [Int] {
  shape.indices.map { shape[($0 + 1)...].reduce(1, *) }
}

/// The shape that NumPy broadcasts two shapes to; nil if they do not fit.
func naiveBroadcast(_ a: [Int], _ b: [Int]) -> [Int]? {
  let rank = max(a.count, b.count)
  var shape: [Int] = []
  for d in 0..<rank {
    let x = d + a.count < rank ? 1 : a[d + a.count - rank]
    let y = d + b.count < rank ? 1 : b[d + b.count - rank]
    if x != y, x != 1, y != 1 { return nil }
    shape.append(x == 1 ? y : x)
  }
  return shape
}

extension Tensor {
  /// Calls `body` with every multi-index and its row-major number.
  func forEachIndex(_ body: (_ index: [Int], _ number: Int) -> Void) {
    for number in 0..<count {
      var (rest, index) = (number, [Int](repeating: 0, count: rank))
      for d in (0..<rank).reversed() {
        index[d] = rest % shape[d]
        rest /= shape[d]
      }
      body(index, number)
    }
  }
}

extension Sample {
  /// Values for the inputs: points of a jittered grid over the range, in random order.
  func inputs(seed: UInt64 = 1) -> [[Float]] {
    var random = Random(seed)
    let counts = shapes.map { $0.reduce(1, *) }
    let total = counts.reduce(0, +)
    let step = (range.upperBound - range.lowerBound) / Float(max(total, 1))
    var values = (0..<total).map { i in
      range.lowerBound + step * (Float(i) + Float.random(in: 0.35...0.65, using: &random))
    }
    // A value that is too close to 0 moves outward.
    let margin = min(step, 0.1)
    values = values.map { abs($0) < margin ? ($0 < 0 ? -margin : margin) * 0.9 + $0 * 0.1 : $0 }
    values.shuffle(using: &random)
    var start = 0
    return counts.map { count in
      defer { start += count }
      return Array(values[start..<start + count])
    }
  }

  /// Results, and the gradients of Σ weight·result for random weights: of all inputs, or of one alone. With two
  /// passes gradients are added to those of the first one.
  func evaluate(
    _ body: Body, _ values: [[Float]], _ layout: MemoryLayout, only wanted: Int? = nil, passes: Int = 1
  ) throws -> (results: [Tensor], gradients: [[Float]?]) {
    let inputs = zip(values, shapes).map { layout.tensor($0, $1) }
    for (i, input) in inputs.enumerated() { input.requiresGradient = wanted == nil || wanted == i }
    var results: [Tensor] = []
    for _ in 0..<passes {
      results = try body(inputs)
      var loss = Tensor(0)
      for (i, result) in results.enumerated() {
        loss = try loss.adding(result.multiplied(by: weights(i, result.shape)).sum())
      }
      try loss.backward()
    }
    return (results.map { $0.detached() }, inputs.map { $0.gradient?.values })
  }

  /// Compares gradients with expected ones: in all memory layouts, for each input alone, and added up.
  private func checkGradients(_ values: [[Float]], _ expected: [[Float]], _ tolerance: Float) throws {
    for layout in MemoryLayout.allCases {
      let (_, gradients) = try evaluate(body, values, layout)
      for (i, gradient) in gradients.enumerated() {
        expectClose(gradient ?? [], expected[i], tolerance, "\(name), \(layout), gradient of input \(i)")
      }
    }
    for i in values.indices {
      let (_, gradients) = try evaluate(body, values, .plain, only: i)
      expectClose(gradients[i] ?? [], expected[i], tolerance, "\(name), gradient of input \(i) alone")
      for j in values.indices where j != i { #expect(gradients[j] == nil, "\(name): input \(j) wants none") }
    }
    let (_, doubled) = try evaluate(body, values, .plain, passes: 2)
    for (i, gradient) in doubled.enumerated() {
      let twice = expected[i].map { 2 * $0 }
      expectClose(gradient ?? [], twice, tolerance, "\(name), gradient of input \(i), added up")
    }
  }

  private func weights(_ result: Int, _ shape: [Int]) -> Tensor {
    var random = Random(UInt64(100 + result))
    return random.tensor(shape)
  }

  /// Compares gradients with central differences, for all memory layouts.
  func checkFiniteDifferences() throws {
    let values = inputs()
    let epsilon: Float = 4e-3
    func loss(_ values: [[Float]]) throws -> Double {
      let results = try Tape.withoutRecording {
        try body(zip(values, shapes).map { try Tensor($0, shape: $1) })
      }
      return results.enumerated().reduce(0) { sum, result in
        zip(result.element.values, weights(result.offset, result.element.shape).values)
          .reduce(sum) { $0 + Double($1.0) * Double($1.1) }
      }
    }
    var expected: [[Float]] = []
    for (i, input) in values.enumerated() {
      expected.append(
        try input.indices.map { j in
          var (above, below) = (values, values)
          above[i][j] += epsilon
          below[i][j] -= epsilon
          return Float(try (loss(above) - loss(below)) / (Double(above[i][j]) - Double(below[i][j])))
        })
    }
    try checkGradients(values, expected, 2e-3)
  }

  /// Compares results and gradients with those of the definition, for all memory layouts.
  func checkDefinition() throws {
    let definition = try #require(definition, "a fused operation needs a definition")
    let values = inputs()
    let expected = try evaluate(definition, values, .plain)
    for layout in MemoryLayout.allCases {
      let actual = try evaluate(body, values, layout)
      #expect(actual.results.map(\.shape) == expected.results.map(\.shape), "\(name)")
      for (i, result) in actual.results.enumerated() {
        expectClose(result.values, expected.results[i].values, tolerance, "\(name), \(layout), result \(i)")
      }
    }
    try checkGradients(values, expected.gradients.map { $0 ?? [] }, tolerance)
  }
}

/// Expects equal counts, and values within a tolerance times the larger of 1 and the largest expected one. NaN
/// equals NaN.
func expectClose(
  _ actual: [Float], _ expected: [Float], _ tolerance: Float, _ what: @autoclosure () -> String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.count == expected.count else {
    Issue.record(
      "\(what()): \(actual.count) values, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  let scale = expected.reduce(1) { $1.isFinite ? max($0, abs($1)) : $0 }
  for (i, (a, b)) in zip(actual, expected).enumerated() {
    if a == b || (a.isNaN && b.isNaN) || abs(a - b) <= tolerance * scale { continue }
    Issue.record("\(what()): element \(i) is \(a), expected \(b)", sourceLocation: sourceLocation)
    return
  }
}
