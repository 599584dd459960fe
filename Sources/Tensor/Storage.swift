// Memory of tensors: aligned blocks of floats, recycled by size.
import Glibc
import Synchronization

/// A block of floats that goes back to the pool when nobody holds it any more.
public final class Storage: @unchecked Sendable {
  /// The first float, aligned to a cache line.
  public let pointer: UnsafeMutablePointer<Float>
  /// Elements asked for; the block may be a little larger.
  public let count: Int

  /// Uninitialised memory for `count` floats.
  public init(count: Int) {
    self.count = count
    pointer = BufferPool.shared.take(bytes: count * MemoryLayout<Float>.stride)
      .assumingMemoryBound(to: Float.self)
  }

  deinit { BufferPool.shared.give(pointer, bytes: count * MemoryLayout<Float>.stride) }
}

/// Recycles memory blocks by size class, so that a training step allocates nothing once the first one is done.
public final class BufferPool: @unchecked Sendable {
  /// The pool of the process.
  public static let shared = BufferPool()

  /// How memory is used.
  public struct Statistics: Sendable {
    /// Bytes handed out now.
    public var inUse = 0
    /// Bytes kept for reuse.
    public var cached = 0
    /// The highest sum of both so far.
    public var peak = 0
    /// Blocks taken from the system so far.
    public var systemAllocations = 0
  }

  private var lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var free: [Int: [UnsafeMutableRawPointer]] = [:]
  private var numbers = Statistics()
  /// Whether returned blocks are filled with NaN at once: shows who reads memory that is no longer his.
  private let poisons = Atomic(false)

  package init() { pthread_mutex_init(lock, nil) }

  /// How memory is used at this moment.
  public var statistics: Statistics { locked { numbers } }

  /// Gives all kept blocks back to the system.
  public func trim() {
    locked {
      for blocks in free.values { for block in blocks { Glibc.free(block) } }
      free = [:]
      numbers.cached = 0
    }
  }

  /// Fills returned blocks with NaN while `body` runs.
  package func poisoningReturnedBlocks<Result>(_ body: () throws -> Result) rethrows -> Result {
    poisons.store(true, ordering: .relaxed)
    defer { poisons.store(false, ordering: .relaxed) }
    return try body()
  }

  package func take(bytes: Int) -> UnsafeMutableRawPointer {
    let size = Self.sizeClass(bytes)
    return locked {
      numbers.inUse += size
      if let block = free[size]?.popLast() {
        numbers.cached -= size
        return block
      }
      var block: UnsafeMutableRawPointer?
      if posix_memalign(&block, 64, size) != 0 {
        // What is kept for reuse in other sizes may be what is missing.
        for blocks in free.values { for block in blocks { Glibc.free(block) } }
        free = [:]
        numbers.cached = 0
        precondition(posix_memalign(&block, 64, size) == 0, "out of memory: \(size) bytes wanted")
      }
      numbers.systemAllocations += 1
      numbers.peak = max(numbers.peak, numbers.inUse + numbers.cached)
      return block!
    }
  }

  package func give(_ block: UnsafeMutableRawPointer, bytes: Int) {
    let size = Self.sizeClass(bytes)
    if poisons.load(ordering: .relaxed) { memset(block, 0xff, size) }
    locked {
      numbers.inUse -= size
      numbers.cached += size
      free[size, default: []].append(block)
    }
  }

  /// Sizes in steps of an eighth of the power of two below: at most 12.5 % of a block is unused.
  private static func sizeClass(_ bytes: Int) -> Int {
    let bytes = max(bytes, 64)
    let step = max(64, 1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount - 3))
    return (bytes + step - 1) / step * step
  }

  private func locked<Result>(_ body: () -> Result) -> Result {
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    return body()
  }
}
