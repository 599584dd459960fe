// Order: sorting, the largest few, quantiles. Values are gathered by their places, so gradients flow to them.
import Kernels

extension Tensor {
  /// The elements along `dim` in order, and where they were, counted from 0. Equal ones keep their order; NaN is larger
  /// than all numbers.
  ///
  /// - Parameter count: how many of them; all for nil.
  public func sorted(
    dim: Int, descending: Bool = false, count: Int? = nil
  ) throws(TensorError) -> (values: Tensor, places: Tensor) {
    let operation = count == nil ? "sort" : "topk"
    let index = try dimension(dim, for: operation).index
    var order = Array(shape.indices)
    order.swapAt(index, rank - 1)
    let x = try permuted(order)
    let n = shape[index]
    let k = count ?? n
    guard k >= 0, k <= n else {
      throw TensorError(
        "\(operation): there are no \(k) elements along a dimension of size \(n), shape \(shape)")
    }
    let source = x.contiguousCopyIfNeeded()
    var places: [Int32] = []
    places.reserveCapacity(n == 0 ? 0 : source.count / n * k)
    for start in stride(from: 0, to: source.count, by: Swift.max(1, n)) {
      let row = source.pointer + start
      func precedes(_ a: Int32, _ b: Int32) -> Bool {
        let (x, y) = (row[Int(a)], row[Int(b)])
        if x == y || (x.isNaN && y.isNaN) { return a < b }
        let isLess = y.isNaN || x < y
        return x.isNaN ? descending : isLess != descending
      }
      places += Self.first(k, of: n, by: precedes)
    }
    let values = try x.gathered(dim: rank - 1, places)
    let found = try Tensor(places.map(Float.init), shape: values.shape).typed(.i32)
    return (try values.permuted(order), try found.permuted(order))
  }

  /// The first `k` of the numbers below `n` in an order.
  static func first(_ k: Int, of n: Int, by precedes: (Int32, Int32) -> Bool) -> [Int32] {
    // A few of many are kept in order while the others go by.
    guard k < n / 16 else { return Array((0..<Int32(n)).sorted(by: precedes).prefix(k)) }
    var best: [Int32] = []
    for i in 0..<Int32(n) where best.count < k || (k > 0 && precedes(i, best[k - 1])) {
      let place = best.firstIndex { precedes(i, $0) } ?? best.count
      best.insert(i, at: place)
      if best.count > k { best.removeLast() }
    }
    return best
  }

  /// The values below which the shares `q` of the elements along `dim` lie, interpolated linearly between neighbours;
  /// one result for each, stacked as a first dimension. NaN where there is one.
  public func quantiles(_ q: [Float], dim: Int) throws(TensorError) -> Tensor {
    let place = try dimension(dim, for: "quantile")
    guard place.size > 0 else {
      throw TensorError(
        "quantile: expected at least one element along the dimension, got shape \(shape)")
    }
    let ordered = try sorted(dim: dim).values
    func element(_ i: Int) throws(TensorError) -> Tensor {
      try ordered.indexed(Array(repeating: .all, count: place.index) + [.place(i)])
    }
    let isUndefined = try element(place.size - 1).isNaN
    var results: [Tensor] = []
    for share in q {
      guard share >= 0, share <= 1 else {
        throw TensorError("quantile: expected shares from 0 to 1, got \(share)")
      }
      let position = Double(share) * Double(place.size - 1)
      let below = Int(position)
      let weight = Float(position - Double(below))
      var value = try element(below)
      if weight > 0 {
        value = try value.adding(element(below + 1).subtracting(value).multiplied(by: weight))
      }
      results.append(try Tensor(.nan).selected(where: isUndefined, else: value))
    }
    return try Tensor.stacked(results, dim: 0)
  }
}
