// Special values, the rules where a function has no derivative, and errors.
import Foundation
import Testing

import Tensor

@Suite struct ValueTests {
  private static let specials: [Float] = [
    0, -0.0, 1, -1, 0.5, -0.5, .infinity, -.infinity, .nan, 1e-30, 1e30, -1e30, 88.5, 88.72, 89, -87, -89,
    -200,
  ]

  private func gradient(_ values: [Float], _ body: (Tensor) throws -> Tensor) throws -> [Float] {
    let x = try Tensor(values, shape: [values.count])
    x.requiresGradient = true
    try body(x).sum().backward()
    return x.gradient?.values ?? []
  }

  /// More than one piece, with equal elements, both zeros and NaN, against the standard library.
  @Test func manyAreSorted() throws {
    var values = (0..<700_000).map { Float(($0 &* 7919) % 100_003 - 50_000) / 8 }
    for (i, special) in [Float.nan, -0.0, 0, .infinity, -.infinity, -.nan, 1e-30, -1e-30].enumerated() {
      values[i * 80_001 + 5] = special
    }
    let x = try Tensor(values, shape: [values.count])
    func precedes(_ a: Int, _ b: Int) -> Bool {
      let (x, y) = (values[a], values[b])
      if x == y || (x.isNaN && y.isNaN) { return a < b }
      return y.isNaN || x < y
    }
    let rising = values.indices.sorted(by: precedes)
    let (ordered, places) = try x.sorted(dim: 0)
    #expect(places.values.map { Int($0) } == rising)
    #expect(
      zip(ordered.values, rising).allSatisfy {
        $0 == values[$1] || $0.isNaN && values[$1].isNaN
      })
    // Equal ones keep their order in either direction, which leaves only the order of different ones to look at.
    let falling = try x.sorted(dim: 0, descending: true)
    for (value, next) in zip(
      zip(falling.values.values, falling.places.values),
      zip(falling.values.values, falling.places.values).dropFirst())
    {
      let isEqual = value.0 == next.0 || value.0.isNaN && next.0.isNaN
      #expect(isEqual ? value.1 < next.1 : value.0.isNaN || value.0 > next.0)
    }
    let few = try x.sorted(dim: 0, count: 10)
    #expect(few.places.values.map { Int($0) } == Array(rising.prefix(10)))
  }

  @Test func functionsOfSpecialValues() throws {
    let x = try Tensor(Self.specials, shape: [Self.specials.count])
    let results: [(String, Tensor, (Float) -> Float)] = [
      ("exp", x.exp(), { Foundation.exp($0) }), ("log", x.log(), { Foundation.log($0) }),
      ("sqrt", x.sqrt(), { $0.squareRoot() }), ("square", x.squared(), { $0 * $0 }),
      ("abs", x.absolute(), { Swift.abs($0) }), ("negate", x.negated(), { -$0 }),
      ("tanh", x.tanh(), { Foundation.tanh($0) }),
      ("sigmoid", x.sigmoid(), { 1 / (1 + Foundation.exp(-$0)) }),
      ("silu", x.silu(), { $0 / (1 + Foundation.exp(-$0)) }),
      ("clamp", x.clamped(-0.5, 2), { $0.isNaN ? $0 : min(max($0, -0.5), 2) }),
    ]
    for (name, result, function) in results {
      for (value, actual) in zip(Self.specials, result.values) {
        let expected = function(value)
        // Numbers below the normal range become 0; -∞ · 0 is NaN where the limit would be 0.
        let isSame =
          actual == expected || (actual.isNaN && expected.isNaN)
          || abs(actual - expected) <= max(3e-7 * abs(expected), .leastNormalMagnitude)
        #expect(isSame, "\(name)(\(value)) is \(actual), expected \(expected)")
      }
    }
  }

  @Test func pairsOfSpecialValues() throws {
    let values = Self.specials
    let column = try Tensor(values, shape: [values.count, 1])
    let row = try Tensor(values, shape: [values.count])
    func check(_ name: String, _ result: Tensor, _ function: (Float, Float) -> Float) {
      for (i, actual) in result.values.enumerated() {
        let (a, b) = (values[i / values.count], values[i % values.count])
        let expected = function(a, b)
        #expect(
          actual == expected || (actual.isNaN && expected.isNaN),
          "\(name)(\(a), \(b)) is \(actual), expected \(expected)")
      }
    }
    check("add", try column.adding(row)) { $0 + $1 }
    check("multiply", try column.multiplied(by: row)) { $0 * $1 }
    check("divide", try column.divided(by: row)) { $0 / $1 }
    check("power", try column.power(row)) { Foundation.pow($0, $1) }
    check("minimum", try column.minimum(row)) { $0.isNaN || $1.isNaN ? .nan : Swift.min($0, $1) }
    check("maximum", try column.maximum(row)) { $0.isNaN || $1.isNaN ? .nan : Swift.max($0, $1) }
    check("gt", try column.greater(than: row)) { $0 > $1 ? 1 : 0 }
    check("ge", try column.greaterOrEqual(to: row)) { $0 >= $1 ? 1 : 0 }
    check("lt", try column.less(than: row)) { $0 < $1 ? 1 : 0 }
    check("le", try column.lessOrEqual(to: row)) { $0 <= $1 ? 1 : 0 }
    check("eq", try column.equal(to: row)) { $0 == $1 ? 1 : 0 }
  }

  @Test func extremesMeetNaN() throws {
    let x = try Tensor([1, .nan, 3, 2, 5, 4], shape: [2, 3])
    #expect(try x.max().item().isNaN)
    #expect(try x.min().item().isNaN)
    #expect(try x.max(dim: 1).values[0].isNaN)
    #expect(try x.max(dim: 1).values[1] == 5)
    #expect(try Tensor([-.infinity, -.infinity], shape: [2]).max().item() == -.infinity)
  }

  @Test func softmaxOfExtremeLogits() throws {
    let x = try Tensor([1000, 999, -.infinity, -1000], shape: [4])
    let p = Float(1 / (1 + Foundation.exp(-1.0)))
    expectClose(try x.softmax(dim: 0).values, [p, 1 - p, 0, 0], 1e-6, "softmax")
    let logs = try x.logSoftmax(dim: 0).values
    expectClose(Array(logs[..<2]), [Foundation.log(p), Foundation.log(p) - 1], 1e-6, "log_softmax")
    #expect(logs[2] == -.infinity)
    #expect(abs(logs[3] + 2000.3133) < 1e-3)
    #expect(try Tensor([0, .nan], shape: [2]).softmax(dim: 0).values.allSatisfy(\.isNaN))
    let gradient = try gradient([1000, 999, -.infinity]) { try $0.softmax(dim: 0).sliced(dim: 0, 0..<1) }
    expectClose(gradient, [p * (1 - p), -p * (1 - p), 0], 1e-6, "gradient")
  }

  @Test func sumsAreExactBeyondSinglePrecision() throws {
    // 2²⁴ + 1 ones do not fit a float that counts them one by one.
    let ones = Tensor(repeating: 1, shape: [1 << 25])
    #expect(try ones.sum().item() == Float(1 << 25))
    #expect(try ones.mean().item() == 1)
  }

  @Test func subgradients() throws {
    #expect(try gradient([-1, 0, -0.0, 2]) { $0.absolute() } == [-1, 0, 0, 1])
    #expect(try gradient([-2, -1, 0, 1, 2]) { $0.clamped(-1, 1) } == [0, 1, 1, 1, 0])
    #expect(try gradient([1, 2, 3]) { $0.minimum(2) } == [1, 0.5, 0])
    #expect(try gradient([1, 2, 3]) { $0.maximum(2) } == [0, 0.5, 1])
    #expect(try gradient([0, 2, -3]) { $0.power(0) } == [0, 0, 0])
    #expect(try gradient([0, 2, -3]) { $0.power(2) } == [0, 4, -6])
    #expect(try gradient([0, 1]) { try Tensor([0, 0], shape: [2]).power($0) } == [0, 0])
    #expect(try gradient([0, 4]) { $0.sqrt() } == [.infinity, 0.25])
    // All largest elements share the gradient of a full maximum; along a dimension the first one has it.
    #expect(try gradient([3, 1, 3, 3]) { try $0.max().multiplied(by: 6) } == [2, 0, 2, 2])
    #expect(try gradient([3, 1, 3, 1]) { try $0.max(dim: 0) } == [1, 0, 0, 0])
    #expect(try gradient([3, 1, 3, 1]) { try $0.min(dim: 0) } == [0, 1, 0, 0])
    #expect(try gradient([1, .nan, .nan]) { try $0.max() } == [0, 0.5, 0.5])
  }

  @Test func whatWasNotSelectedSendsNothingBack() throws {
    // The branch that was not taken has an infinite slope; 0 · ∞ must not reach the other one.
    let gradient = try gradient([0, 4]) { try $0.sqrt().selected(where: $0.greater(than: 1), else: 7) }
    #expect(gradient[1] == 0.25)
    let x = try Tensor([1, 2], shape: [2])
    x.requiresGradient = true
    let infinite = try Tensor([.nan, 3], shape: [2])
    try x.selected(where: Tensor([1, 0], shape: [2]), else: infinite).sum().backward()
    #expect(x.gradient?.values == [1, 0])
  }

  @Test func aResultThatNoMemoryHoldsIsRefused() throws {
    let vector = Tensor(repeating: 0, shape: [1 << 20])
    let column = try vector.reshaped([1 << 20, 1])
    #expect {
      try vector.adding(column)
    } throws: { error in
      "\(error)".hasPrefix("add: a result of shape [1048576, 1048576] would take 4398.0 GB, more than half")
    }
    #expect(throws: TensorError.self) { try column.matmul(vector.reshaped([1, 1 << 20])) }
    #expect(throws: TensorError.self) { try vector.greater(than: column) }
    #expect(throws: TensorError.self) { try vector.selected(where: column, else: vector) }
  }

  @Test func errorsNameTheOperationAndBothShapes() throws {
    let (a, b) = (Tensor(repeating: 0, shape: [2, 3]), Tensor(repeating: 0, shape: [4]))
    func message(_ body: () throws -> Tensor) -> String {
      do {
        _ = try body()
        return "no error"
      } catch {
        return "\(error)"
      }
    }
    let messages: [(String, String, [String])] = [
      ("add", message { try a.adding(b) }, ["[2, 3]", "[4]"]),
      ("where", message { try a.selected(where: b, else: a) }, ["[2, 3]", "[4]"]),
      ("gt", message { try a.greater(than: b) }, ["[2, 3]", "[4]"]),
      ("matmul", message { try a.matmul(a) }, ["[2, 3]"]),
      ("matmul", message { try a.matmul(b) }, ["[2, 3]", "[4]"]),
      ("linear", message { try a.linear(b) }, ["[2, 3]", "[4]"]),
      ("reshape", message { try a.reshaped([4, -1]) }, ["[2, 3]", "[4, -1]"]),
      ("reshape", message { try a.reshaped([7]) }, ["[2, 3]", "[7]"]),
      ("reshape", message { try a.reshaped([-1, -1]) }, ["[-1, -1]"]),
      ("reshape", message { try a.reshaped([1 << 40, 1 << 40]) }, ["not a shape"]),
      ("permute", message { try a.permuted([0, 0]) }, ["[2, 3]", "[0, 0]"]),
      ("transpose", message { try b.transposed() }, ["[4]"]),
      ("slice", message { try a.sliced(dim: 1, 2..<4) }, ["[2, 3]", "2..<4"]),
      ("slice", message { try a.sliced(dim: 2, 0..<1) }, ["[2, 3]", "dimension 2"]),
      ("expand", message { try a.expanded(to: [3, 3]) }, ["[2, 3]", "[3, 3]"]),
      ("expand", message { try a.expanded(to: [3]) }, ["[2, 3]", "[3]"]),
      ("concatenate", message { try Tensor.concatenated([a, b], dim: 0) }, ["[2, 3]", "[4]"]),
      ("concatenate", message { try Tensor.concatenated([], dim: 0) }, ["at least one"]),
      ("gather", message { try a.gathered(dim: 1, [0, 3]) }, ["index 3", "[2, 3]"]),
      ("gather", message { try a.gathered(dim: 1, [0]) }, ["[2, 3]", "multiple of 2"]),
      ("sum", message { try a.sum(dim: -3) }, ["[2, 3]", "-3"]),
      ("max", message { try Tensor([], shape: [0]).max() }, ["[0]"]),
      ("softmax", message { try Tensor(1).softmax(dim: 0) }, ["scalar"]),
      ("tensor", message { try Tensor([1, 2], shape: [3]) }, ["[3]"]),
    ]
    for (operation, message, parts) in messages {
      #expect(message.hasPrefix("\(operation): "), "\(message)")
      for part in parts { #expect(message.contains(part), "\(message)") }
    }
  }
}
