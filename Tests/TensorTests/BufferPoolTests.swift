// The memory pool: reuse, its books, and its limits on waste.
import Foundation
import Synchronization
import Testing

import Tensor

@Suite struct BufferPoolTests {
  @Test func blocksAreUsedAgain() {
    let pool = BufferPool()
    let first = pool.take(bytes: 1000)
    pool.give(first)
    #expect(pool.take(bytes: 1000).start == first.start)
    let second = pool.take(bytes: 1000)
    #expect(second.start != first.start)
    #expect(pool.statistics.systemAllocations == 2)
    pool.give(first)
    pool.give(second)
    pool.trim()
  }

  @Test func theBooksBalance() {
    let pool = BufferPool()
    let sizes = [1, 64, 65, 1000, 4096, 100_000, 1 << 20]
    let blocks = sizes.map { pool.take(bytes: $0) }
    let used = pool.statistics.inUse
    #expect(used >= sizes.reduce(0, +) && pool.statistics.cached == 0 && pool.statistics.peak == used)
    for block in blocks { pool.give(block) }
    #expect(pool.statistics.inUse == 0 && pool.statistics.cached == used)
    #expect(pool.statistics.peakInUse == used)
    pool.trim()
    #expect(pool.statistics.cached == 0 && pool.statistics.peak == used)
    pool.resetPeakInUse()
    #expect(pool.statistics.peakInUse == 0)
    let block = pool.take(bytes: 100)
    #expect(pool.statistics.peakInUse == block.bytes)
    pool.give(block)
    pool.trim()
  }

  @Test func blocksAreAlignedAndLittleIsWasted() {
    let pool = BufferPool()
    for bytes in [0, 1, 63, 64, 100, 1023, 1025, 65_537, 1_000_001] {
      let before = pool.statistics.inUse
      let block = pool.take(bytes: bytes)
      let taken = pool.statistics.inUse - before
      #expect(Int(bitPattern: block.start) % 64 == 0)
      #expect(taken >= bytes && taken <= max(bytes + 64, bytes + bytes / 8 + 1), "\(bytes): \(taken)")
      memset(block.start, 1, taken)
      pool.give(block)
    }
    pool.trim()
  }

  @Test func aLargerBlockServesIfItIsNotTwiceAsLarge() {
    let pool = BufferPool()
    let block = pool.take(bytes: 10_000)
    pool.give(block)
    let half = pool.take(bytes: 6_000)
    #expect(half.start == block.start && half.bytes == block.bytes)
    pool.give(half)
    let small = pool.take(bytes: 4_000)
    #expect(small.start != block.start)
    #expect(pool.statistics.inUse == small.bytes && pool.statistics.cached == block.bytes)
    pool.give(small)
    pool.trim()
  }

  @Test func memoryFollowsTheLargestStep() {
    let pool = BufferPool()
    // Steps of growing size: what is kept of one goes back to the system for the next.
    for megabytes in [4, 9, 20, 41, 83] {
      let blocks = (0..<4).map { _ in pool.take(bytes: megabytes << 20) }
      for block in blocks { pool.give(block) }
    }
    #expect(pool.statistics.peak <= 4 * 83 << 20 + 83 << 20)
    pool.trim()
    #expect(pool.statistics.cached == 0)
  }

  @Test func anExhaustedPoolAsksOthersToLetGo() {
    let pool = BufferPool(limit: 10 << 20)
    let garbage = pool.take(bytes: 8 << 20)
    let calls = Mutex(0)
    pool.onExhaustion {
      calls.withLock { $0 += 1 }
      pool.give(garbage)
    }
    let block = pool.take(bytes: 7 << 20)
    #expect(calls.withLock { $0 } == 1)
    #expect(block.start == garbage.start)
    pool.give(block)
    pool.trim()
  }

  @Test func threadsMayShareThePool() {
    let pool = BufferPool()
    DispatchQueue.concurrentPerform(iterations: 8) { thread in
      for round in 0..<500 {
        let bytes = 64 * (1 + (round * 7 + thread) % 20)
        let block = pool.take(bytes: bytes)
        memset(block.start, Int32(thread), bytes)
        let bytesRead = UnsafeRawBufferPointer(start: block.start, count: bytes)
        #expect(bytesRead.allSatisfy { $0 == UInt8(thread) })
        pool.give(block)
      }
    }
    #expect(pool.statistics.inUse == 0)
    pool.trim()
  }

  @Test func tensorsGiveTheirMemoryBack() throws {
    weak var storage: Storage?
    do {
      let tensor = Tensor(repeating: 1, shape: [1000])
      storage = tensor.storage
      #expect(try tensor.reshaped([10, 100]).storage === storage)
    }
    #expect(storage == nil)
  }
}
