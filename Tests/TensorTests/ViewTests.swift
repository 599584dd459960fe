// Views: what shares storage, and that any chain of views reads the right elements and sends gradients back there.
import TestSupport
import Testing

import Tensor

@Suite struct ViewTests {
  private let base = try! Tensor((0..<24).map(Float.init), shape: [2, 3, 4])

  @Test func viewsShareStorage() throws {
    #expect(try base.reshaped([4, 6]).storage === base.storage)
    #expect(try base.permuted([2, 0, 1]).storage === base.storage)
    #expect(try base.transposed().storage === base.storage)
    #expect(try base.sliced(dim: 1, 1..<3).storage === base.storage)
    #expect(try base.sliced(dim: 0, 1..<2).expanded(to: [5, 3, 4]).storage === base.storage)
    #expect(base.detached().storage === base.storage)
  }

  @Test func reshapingSharesStorageWhereStridesAllow() throws {
    let slice = try base.sliced(dim: 0, 1..<2)
    #expect(try slice.reshaped([12]).storage === base.storage)
    #expect(try slice.reshaped([12]).values == (12..<24).map(Float.init))
    let columns = try base.sliced(dim: 2, 0..<2)
    #expect(try columns.reshaped([6, 2]).storage === base.storage)
    #expect(try columns.reshaped([2, 3, 2, 1]).storage === base.storage)
    #expect(try columns.reshaped([12]).storage !== base.storage)
    #expect(try columns.reshaped([12]).values == [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21])
    let repeated = try Tensor(7).expanded(to: [4, 6])
    #expect(try repeated.reshaped([2, 12]).storage === repeated.storage)
  }

  @Test func viewsSeeWritesToTheirStorage() throws {
    let tensor = try Tensor([1, 2, 3, 4], shape: [2, 2])
    let view = try tensor.transposed()
    tensor.pointer[1] = 20
    #expect(view.values == [1, 3, 20, 4])
  }

  @Test func operationsNeverWriteToTheirInputs() throws {
    let x = try Tensor([1, 2, 3], shape: [3])
    for result in [x.adding(1), try x.softmax(dim: 0), x.negated(), try x.reshaped([3]).exp()] {
      #expect(result.storage !== x.storage)
    }
    #expect(x.values == [1, 2, 3])
  }

  @Test func emptyAndScalarTensors() throws {
    let empty = try Tensor([], shape: [0, 3])
    #expect(empty.values.isEmpty && empty.isContiguous)
    #expect(try empty.transposed().shape == [3, 0])
    #expect(try empty.reshaped([3, 0, 5]).count == 0)
    #expect(try Tensor(5).reshaped([1, 1]).values == [5])
    #expect(try Tensor(5).reshaped([-1]).shape == [1])
    #expect(try Tensor([4], shape: [1, 1]).reshaped([]).item() == 4)
    #expect(Tensor(5).sum().values == [5])
    #expect(empty.sum().values == [0])
    #expect(empty.mean().values[0].isNaN)
    #expect(try empty.sum(dim: 0).values == [0, 0, 0])
    #expect(try empty.max(dim: 1).shape == [0])
    #expect(try empty.softmax(dim: 0).shape == [0, 3])
    #expect(try Tensor([], shape: [2, 0]).matmul(Tensor([], shape: [0, 2])).values == [0, 0, 0, 0])
  }

  /// A view is an index map: which element of the base is at each place.
  @Test(arguments: 0..<300)
  func anyChainOfViewsIsTheRightIndexMap(seed: Int) throws {
    var random = Random(UInt64(seed))
    var map = IndexMap(shape: (0..<Int.random(in: 0...4, using: &random)).map { _ in random.size() })
    let x = random.tensor(map.shape)
    x.requiresGradient = true
    var view = x
    for _ in 0..<Int.random(in: 1...6, using: &random) {
      let rank = map.shape.count
      let dim = rank == 0 ? 0 : Int.random(in: 0..<rank, using: &random)
      switch Int.random(in: 0..<6, using: &random) {
      case 0:
        let order = Array(0..<rank).shuffled(using: &random)
        (view, map) = (try view.permuted(order), map.permuted(order))
      case 1 where rank > 0:
        let start = Int.random(in: 0...map.shape[dim], using: &random)
        let range = start..<Int.random(in: start...map.shape[dim], using: &random)
        (view, map) = (try view.sliced(dim: dim, range), map.gathered(dim, Array(range)))
      case 2 where map.places.count < 200:
        let shape =
          (random.next() % 2 == 0 ? [2] : [])
          + map.shape.map { $0 == 1 ? Int.random(in: 0...3, using: &random) : $0 }
        (view, map) = (try view.expanded(to: shape), map.expanded(shape))
      case 3:
        // Split a dimension, or put sizes of 1 somewhere, or flatten.
        var shape = map.shape
        if rank > 0, shape[dim] % 2 == 0, shape[dim] > 0 {
          shape.replaceSubrange(dim...dim, with: [2, shape[dim] / 2])
        } else if random.next() % 2 == 0 {
          shape.insert(1, at: dim)
        } else if !map.places.isEmpty {
          shape = [-1]
        }
        view = try view.reshaped(shape)
        map.shape = shape == [-1] ? [map.places.count] : shape
      case 4 where rank > 0 && map.places.count < 200:
        (view, map) = (
          try Tensor.concatenated([view, view], dim: dim),
          map.gathered(dim, Array(0..<map.shape[dim]) + Array(0..<map.shape[dim]))
        )
      case 5 where rank > 1:
        var order = Array(0..<rank)
        order.swapAt(rank - 1, rank - 2)
        (view, map) = (try view.transposed(), map.permuted(order))
      default: break
      }
      #expect(view.shape == map.shape)
    }
    let values = x.values
    #expect(view.values == map.places.map { values[$0] })
    let weights = random.tensor(view.shape)
    try view.multiplied(by: weights).sum().backward()
    var expected = [Float](repeating: 0, count: values.count)
    for (place, weight) in zip(map.places, weights.values) { expected[place] += weight }
    if view === x { return }
    expectClose(x.gradient?.values ?? [], expected, 1e-5, "seed \(seed)")
  }
}

/// For each element in row-major order, its place in the base.
private struct IndexMap {
  var shape: [Int]
  var places: [Int]

  init(shape: [Int]) {
    self.shape = shape
    places = Array(0..<shape.reduce(1, *))
  }

  private func rebuilt(_ newShape: [Int], _ source: ([Int]) -> [Int]) -> IndexMap {
    var result = IndexMap(shape: newShape)
    let strides = rowMajorStrides(shape)
    Tensor(repeating: 0, shape: newShape).forEachIndex { index, number in
      result.places[number] = places[zip(source(index), strides).reduce(0) { $0 + $1.0 * $1.1 }]
    }
    return result
  }

  func permuted(_ order: [Int]) -> IndexMap {
    rebuilt(order.map { shape[$0] }) { index in
      var source = index
      for (i, d) in order.enumerated() { source[d] = index[i] }
      return source
    }
  }

  func gathered(_ dim: Int, _ indices: [Int]) -> IndexMap {
    var newShape = shape
    newShape[dim] = indices.count
    return rebuilt(newShape) { index in
      var source = index
      source[dim] = indices[index[dim]]
      return source
    }
  }

  func expanded(_ newShape: [Int]) -> IndexMap {
    rebuilt(newShape) { index in zip(index.suffix(shape.count), shape).map { $1 == 1 ? 0 : $0 } }
  }
}

extension Random {
  /// A small size, 1 more often than others.
  mutating func size() -> Int { [0, 1, 1, 2, 3, 4, 5].randomElement(using: &self)! }
}
