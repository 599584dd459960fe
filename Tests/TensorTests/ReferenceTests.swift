// Results over random shapes and memory layouts against implementations that only index, in Double.
import Foundation
import TestSupport
import Testing

import Tensor

@Suite struct ReferenceTests {
  typealias Binary = @Sendable (Double, Double) -> Double

  /// Two shapes that broadcast, at random.
  private func shapes(_ random: inout Random) -> ([Int], [Int]) {
    let shape = (0..<Int.random(in: 0...4, using: &random)).map { _ in random.size() }
    func degraded() -> [Int] {
      let drop = Int.random(in: 0...shape.count, using: &random)
      let kept = random.next() % 2 == 0 ? shape : Array(shape.dropFirst(drop))
      return kept.map { random.next() % 3 == 0 ? 1 : $0 }
    }
    return (degraded(), degraded())
  }

  private func element(_ values: [Float], _ shape: [Int], _ index: [Int]) -> Double {
    let own = zip(index.suffix(shape.count), shape).map { $1 == 1 ? 0 : $0 }
    return Double(values[zip(own, rowMajorStrides(shape)).reduce(0) { $0 + $1.0 * $1.1 }])
  }

  @Test(arguments: 0..<300)
  func broadcasting(seed: Int) throws {
    var random = Random(UInt64(seed))
    let (shapeA, shapeB) = shapes(&random)
    let (a, b) = (random.floats(shapeA.reduce(1, *)), random.floats(shapeB.reduce(1, *), in: 0.5...2))
    let (x, y) = (
      MemoryLayout.allCases.randomElement(using: &random)!.tensor(a, shapeA),
      MemoryLayout.allCases.randomElement(using: &random)!.tensor(b, shapeB)
    )
    let shape = try #require(naiveBroadcast(shapeA, shapeB))
    let results: [(String, Tensor, Binary)] = [
      ("add", try x.adding(y), { $0 + $1 }), ("subtract", try x.subtracting(y), { $0 - $1 }),
      ("multiply", try x.multiplied(by: y), { $0 * $1 }), ("divide", try x.divided(by: y), { $0 / $1 }),
      ("power", try y.power(x), { pow($1, $0) }), ("minimum", try x.minimum(y), { min($0, $1) }),
      ("maximum", try x.maximum(y), { max($0, $1) }), ("gt", try x.greater(than: y), { $0 > $1 ? 1 : 0 }),
      ("ge", try x.greaterOrEqual(to: y), { $0 >= $1 ? 1 : 0 }),
      ("lt", try x.less(than: y), { $0 < $1 ? 1 : 0 }),
      ("le", try x.lessOrEqual(to: y), { $0 <= $1 ? 1 : 0 }),
      ("eq", try x.equal(to: y), { $0 == $1 ? 1 : 0 }),
      ("where", try x.selected(where: x.greater(than: 0), else: y), { $0 > 0 ? $0 : $1 }),
    ]
    for (name, result, function) in results {
      #expect(result.shape == shape, "\(name) of \(shapeA) and \(shapeB)")
      var expected: [Float] = []
      result.forEachIndex { index, _ in
        expected.append(Float(function(element(a, shapeA, index), element(b, shapeB, index))))
      }
      expectClose(result.values, expected, 1e-6, "\(name) of \(shapeA) and \(shapeB)")
    }
  }

  @Test(arguments: 0..<200)
  func reductions(seed: Int) throws {
    var random = Random(UInt64(seed))
    let shape = (0..<Int.random(in: 1...4, using: &random)).map { _ in random.size() }
    let dim = Int.random(in: 0..<shape.count, using: &random)
    let layout = MemoryLayout.allCases.randomElement(using: &random)!
    let values = random.floats(shape.reduce(1, *))
    let x = layout.tensor(values, shape)
    let named = random.next() % 2 == 0 ? dim : dim - shape.count

    var lines: [[Double]] = Array(
      repeating: [], count: shape.enumerated().reduce(1) { $1.offset == dim ? $0 : $0 * $1.element })
    let kept = rowMajorStrides(shape.enumerated().map { $0.offset == dim ? 1 : $0.element })
    x.forEachIndex { index, number in
      let line = index.enumerated().reduce(0) { $1.offset == dim ? $0 : $0 + $1.element * kept[$1.offset] }
      lines[line].append(Double(values[number]))
    }
    var removed = shape
    removed.remove(at: dim)
    var keptShape = shape
    keptShape[dim] = 1

    let sums = try x.sum(dim: named)
    #expect(sums.shape == removed)
    expectClose(sums.values, lines.map { Float($0.reduce(0, +)) }, 1e-6, "sum \(shape) \(dim)")
    let means = try x.mean(dim: named, keepDim: true)
    #expect(means.shape == keptShape)
    expectClose(means.values, lines.map { Float($0.reduce(0, +) / Double($0.count)) }, 1e-6, "mean")
    expectClose(x.sum().values, [Float(values.reduce(0) { $0 + Double($1) })], 1e-6, "sum of all")
    if shape[dim] > 0 {
      #expect(try x.max(dim: named).values == lines.map { Float($0.max()!) })
      #expect(try x.min(dim: named, keepDim: true).values == lines.map { Float($0.min()!) })
    } else {
      #expect(throws: TensorError.self) { try x.max(dim: named) }
    }
    if let largest = values.max() { #expect(try x.max().item() == largest) }

    // Softmax puts each line back where it was.
    var softmax = [Float](repeating: 0, count: values.count)
    var logSoftmax = softmax
    x.forEachIndex { index, number in
      let line = index.enumerated().reduce(0) { $1.offset == dim ? $0 : $0 + $1.element * kept[$1.offset] }
      let sum = lines[line].reduce(0) { $0 + exp($1) }
      softmax[number] = Float(exp(Double(values[number])) / sum)
      logSoftmax[number] = Float(Double(values[number]) - log(sum))
    }
    expectClose(try x.softmax(dim: named).values, softmax, 1e-6, "softmax \(shape) \(dim)")
    expectClose(try x.logSoftmax(dim: named).values, logSoftmax, 1e-6, "log_softmax \(shape) \(dim)")
  }

  @Test(arguments: 0..<100)
  func matrixProducts(seed: Int) throws {
    var random = Random(UInt64(seed))
    let (leadA, leadB) = shapes(&random)
    let (n, k, m) = (random.size(), random.size(), random.size())
    let (shapeA, shapeB) = (leadA + [n, k], leadB + [k, m])
    let (a, b) = (random.floats(shapeA.reduce(1, *)), random.floats(shapeB.reduce(1, *)))
    let x = MemoryLayout.allCases.randomElement(using: &random)!.tensor(a, shapeA)
    let y = MemoryLayout.allCases.randomElement(using: &random)!.tensor(b, shapeB)
    let product = try x.matmul(y)
    #expect(try product.shape == #require(naiveBroadcast(leadA, leadB)) + [n, m])
    var expected: [Float] = []
    product.forEachIndex { index, _ in
      let (lead, row, column) = (Array(index.dropLast(2)), index[index.count - 2], index[index.count - 1])
      let sum = (0..<k).reduce(0) {
        $0 + element(a, shapeA, lead + [row, $1]) * element(b, shapeB, lead + [$1, column])
      }
      expected.append(Float(sum))
    }
    expectClose(product.values, expected, 1e-6, "\(shapeA) · \(shapeB)")
  }

  @Test func operationsOnMoreElementsThanOnePiece() throws {
    var random = Random(9)
    let (rows, columns) = (700, 130)
    let x = random.tensor([rows, columns])
    let (row, column) = (random.tensor([columns]), random.tensor([rows, 1]))
    let (v, r, c) = (x.values, row.values, column.values)
    let places = 0..<rows * columns
    #expect(try x.adding(x).values == v.map { $0 + $0 })
    #expect(try x.multiplied(by: row).values == places.map { v[$0] * r[$0 % columns] })
    #expect(try x.subtracting(column).values == places.map { v[$0] - c[$0 / columns] })
    #expect(x.squared().values == v.map { $0 * $0 })
    #expect(try x.adding(x.transposed().reshaped([rows, columns])).count == rows * columns)
    for tensor in [x, row, column] { tensor.requiresGradient = true }
    try x.multiplied(by: row).multiplied(by: column).sum().backward()
    var (dRow, dColumn) = ([Double](repeating: 0, count: columns), [Double](repeating: 0, count: rows))
    for i in places {
      dRow[i % columns] += Double(v[i]) * Double(c[i / columns])
      dColumn[i / columns] += Double(v[i]) * Double(r[i % columns])
    }
    expectClose(x.gradient?.values ?? [], places.map { r[$0 % columns] * c[$0 / columns] }, 1e-6, "dx")
    expectClose(row.gradient?.values ?? [], dRow.map(Float.init), 1e-5, "row")
    expectClose(column.gradient?.values ?? [], dColumn.map(Float.init), 1e-5, "column")
  }
}
