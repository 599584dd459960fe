// Order: sorting, the largest few, quantiles. Values are gathered by their places, so gradients flow to them.
import Kernels

extension Tensor {
  /// The elements along `dim` in order, and where they were, counted from 0. Equal ones keep their order; NaN is larger
  /// than all numbers.
  ///
  /// - Parameter count: how many of them; all for nil.
  public func sorted(
    dim: Int, descending: Bool = false, count: Int? = nil
  ) throws -> (values: Tensor, places: Tensor) {
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
      places += try Self.first(k, of: n) { descending ? ~Self.sortKey(row[$0]) : Self.sortKey(row[$0]) }
    }
    let values = try x.gathered(dim: rank - 1, places)
    let found = try Tensor(places.map(Float.init), shape: values.shape).typed(.i32)
    return (try values.permuted(order), try found.permuted(order))
  }

  /// A number in the order of the floats: the bits, made to count up from the negative ones. Both zeros are equal, and NaN
  /// comes last.
  private static func sortKey(_ x: Float) -> UInt32 {
    if x.isNaN { return .max }
    let bits = x == 0 ? 0 : x.bitPattern
    return bits >> 31 == 0 ? bits | 1 << 31 : ~bits
  }

  /// Which of the numbers below `n` have the `k` smallest keys, in their order; equal ones keep theirs.
  ///
  /// - Throws: `Cancelled` if nobody wants them any more: millions take seconds.
  static func first<Key: Comparable>(_ k: Int, of n: Int, by key: (Int) -> Key) throws -> [Int32] {
    func ranked(_ i: Int) -> Ranked<Key> { Ranked(key: key(i), place: Int32(i)) }
    // A few of many are kept in order while the others go by.
    guard k < n / 16 else { return try sorted((0..<n).map(ranked)).prefix(k).map(\.place) }
    var best: [Ranked<Key>] = []
    for i in 0..<n {
      let next = ranked(i)
      guard best.count < k || (k > 0 && next < best[k - 1]) else { continue }
      let place = best.firstIndex { next < $0 } ?? best.count
      best.insert(next, at: place)
      if best.count > k { best.removeLast() }
    }
    return best.map(\.place)
  }

  /// In pieces that are merged, so that somebody can stop it between them; comparisons that ask would take four times as
  /// long.
  private static func sorted<Item: Comparable>(_ items: [Item]) throws -> [Item] {
    var (items, width) = (items, 1 << 18)
    for start in stride(from: 0, to: items.count, by: width) {
      try Cancellation.check()
      items[start..<Swift.min(start + width, items.count)].sort()
    }
    while width < items.count {
      var merged: [Item] = []
      merged.reserveCapacity(items.count)
      for start in stride(from: 0, to: items.count, by: 2 * width) {
        try Cancellation.check()
        let (middle, end) = (Swift.min(start + width, items.count), Swift.min(start + 2 * width, items.count))
        var (left, right) = (start, middle)
        while left < middle, right < end {
          if items[right] < items[left] {
            merged.append(items[right])
            right += 1
          } else {
            merged.append(items[left])
            left += 1
          }
        }
        merged += items[left..<middle]
        merged += items[right..<end]
      }
      items = merged
      width *= 2
    }
    return items
  }

  /// The values below which the shares `q` of the elements along `dim` lie, interpolated linearly between neighbours;
  /// one result for each, stacked as a first dimension. NaN where there is one.
  public func quantiles(_ q: [Float], dim: Int) throws -> Tensor {
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

/// A key and where it was, which decides between equal ones.
private struct Ranked<Key: Comparable>: Comparable {
  let key: Key
  let place: Int32

  static func < (a: Self, b: Self) -> Bool { a.key == b.key ? a.place < b.place : a.key < b.key }
}
