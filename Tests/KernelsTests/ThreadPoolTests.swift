// The thread pool: every piece once, in any nesting, and results that do not depend on the number of threads.
import Foundation
import Synchronization
import TestSupport
import Testing

import Kernels

@Suite struct ThreadPoolTests {
  @Test(
    arguments: [
      ("max 100000\n", nil), ("200000 100000\n", 2), ("150000 100000", 2), ("50000 100000", 1), ("", nil),
      ("-1 100000", nil), ("1 0", nil), ("nonsense", nil),
    ] as [(String, Int?)])
  func aQuotaIsProcessors(_ text: String, _ expected: Int?) {
    #expect(Processor.processors(ofQuota: text) == expected)
  }

  private static let pools = [1, 2, 3, 8].map(ThreadPool.init(threadCount:))

  /// How often each index was visited by a region.
  private func visits(_ pool: ThreadPool, count: Int, grain: Int) -> [Int] {
    var visits = [Int](repeating: 0, count: count)
    visits.withUnsafeMutableBufferPointer { visits in
      let visits = visits
      pool.forEach(count: count, grain: grain) { range in
        for i in range { visits[i] += 1 }
      }
    }
    return visits
  }

  @Test(arguments: pools.indices)
  func everyPieceRunsOnce(pool: Int) {
    for (count, grain) in [
      (0, 1), (1, 1), (1, 100), (7, 3), (1000, 1), (1000, 7), (1000, 1000), (1000, 999), (5, 0),
    ] {
      let visits = visits(Self.pools[pool], count: count, grain: grain)
      #expect(visits.allSatisfy { $0 == 1 }, "\(count) in pieces of \(grain)")
    }
  }

  @Test(arguments: pools.indices)
  func piecesAreOfTheSameSizeForAnyNumberOfThreads(pool: Int) {
    let pool = Self.pools[pool]
    // A place for each piece: ThreadSanitizer does not see the lock of a `Mutex`.
    var pieces = [(range: Range<Int>, slot: Int)](repeating: (0..<0, -1), count: 11)
    pieces.withUnsafeMutableBufferPointer { pieces in
      pool.forEach(count: 103, grain: 10) { pieces[$0.lowerBound / 10] = ($0, $1) }
    }
    #expect(pieces.map(\.range) == (0..<11).map { $0 * 10..<min(103, $0 * 10 + 10) })
    #expect(pieces.allSatisfy { (0..<pool.threadCount).contains($0.slot) })
  }

  @Test(arguments: pools.indices)
  func aSlotBelongsToOneThreadAtATime(pool: Int) {
    let pool = Self.pools[pool]
    let busy = (0..<pool.threadCount).map { _ in Counter() }
    let clashes = Counter()
    for _ in 0..<200 {
      pool.forEach(count: 64, grain: 1) { _, slot in
        if busy[slot].add(1) != 1 { clashes.add(1) }
        busy[slot].add(-1)
      }
    }
    #expect(clashes.value == 0)
  }

  @Test(arguments: pools.indices)
  func regionsNest(pool: Int) {
    let pool = Self.pools[pool]
    let total = Counter()
    pool.forEach(count: 10, grain: 1) { outer in
      pool.forEach(count: 20, grain: 3) { inner in total.add(outer.count * inner.count) }
    }
    #expect(total.value == 200)
  }

  @Test func regionsRunSideBySide() {
    let pool = Self.pools[2]
    let wrong = Counter()
    DispatchQueue.concurrentPerform(iterations: 6) { thread in
      for round in 0..<300 {
        let count = 50 + (thread * 31 + round) % 100
        if visits(pool, count: count, grain: 4).contains(where: { $0 != 1 }) { wrong.add(1) }
      }
    }
    #expect(wrong.value == 0)
  }

  @Test(arguments: pools.indices)
  func tenThousandRegionsInARow(pool: Int) {
    let pool = Self.pools[pool]
    let total = Counter()
    for _ in 0..<10_000 { pool.forEach(count: 8, grain: 2) { total.add($0.count) } }
    #expect(total.value == 80_000)
  }

  @Test func aPoolThatSleptWakesUp() {
    for _ in 0..<20 {
      #expect(visits(Self.pools[2], count: 100, grain: 5).allSatisfy { $0 == 1 })
      usleep(3_000)
    }
  }

  @Test func sumsAreTheSameForAnyNumberOfThreads() {
    var random = Random(3)
    let values = random.floats(100_003, in: -1000...1000)
    let sums = Self.pools.map { pool in
      let pieces = (values.count + 999) / 1000
      var partials = [Float](repeating: 0, count: pieces)
      partials.withUnsafeMutableBufferPointer { partials in
        let partials = partials
        pool.forEach(count: values.count, grain: 1000) { range in
          partials[range.lowerBound / 1000] = values[range].withUnsafeBufferPointer {
            VectorKernels.sum($0.baseAddress!, $0.count)
          }
        }
      }
      return partials.reduce(0, +)
    }
    #expect(Set(sums.map(\.bitPattern)).count == 1)
  }

  /// Inside a region kernels run on one thread, outside on all: both must agree bit by bit.
  @Test func kernelsDoNotDependOnTheNumberOfThreads() {
    var random = Random(4)
    let values = random.floats(200_000, in: -5...5)
    func results() -> [[Float]] {
      var sums = [Float](repeating: 0, count: 500)
      var rows = [Float](repeating: 0, count: values.count)
      var softmax = [Float](repeating: 0, count: values.count)
      var partials = [Float](repeating: 0, count: OptimizerKernels.partialCount(values.count))
      ReductionKernels.sum(values, into: &sums, outer: 4, n: 400, inner: 125)
      ReductionKernels.logSoftmax(values, into: &rows, rows: 400, columns: 500)
      LogitKernels.softmax(values, into: &softmax, rows: 400, columns: 500)
      OptimizerKernels.squareSums(values, count: values.count, partials: &partials)
      return [[ReductionKernels.sum(values, count: values.count)], sums, rows, softmax, partials]
    }
    let parallel = results()
    var serial: [[Float]] = []
    ThreadPool.shared.forEach(count: 2, grain: 1) { piece in
      if piece.lowerBound == 0 { serial = results() }
    }
    #expect(parallel == serial)
  }
}

/// A count that threads may change.
private final class Counter: Sendable {
  private let count = Atomic(0)

  var value: Int { count.load(ordering: .sequentiallyConsistent) }

  @discardableResult
  func add(_ number: Int) -> Int { count.add(number, ordering: .sequentiallyConsistent).newValue }
}
