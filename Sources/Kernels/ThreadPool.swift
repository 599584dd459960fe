// The pool that runs everything: products, attention, row-wise kernels, sampling.
//
// Threads spin for some ten microseconds after a region, because the next one usually follows at once, and then park.
// Work is handed out in pieces whose bounds depend on the size of the problem alone, never on the number of threads, so
// that results do not depend on it either.
import Glibc
import Synchronization

/// A fixed set of threads that run one parallel region at a time.
public final class ThreadPool: @unchecked Sendable {
  /// The pool of the process.
  public static let shared = ThreadPool(threadCount: Processor.defaultThreadCount)

  /// Threads that take part in a region, the calling one included.
  public let threadCount: Int

  private let regionLock: UnsafeMutablePointer<pthread_mutex_t>
  private let parkLock: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>
  private let done: UnsafeMutablePointer<pthread_cond_t>
  /// The number of the region in the upper half, how many of its pieces nobody has taken in the lower one. Taking a
  /// piece is one compare-and-exchange on both, so a thread that comes late finds none left, or another region.
  private let ticket = Atomic<UInt64>(0)
  private let piecesDone = Atomic<Int>(0)
  private let parked = Atomic<Int>(0)
  private let isCallerParked = Atomic<Bool>(false)
  // Written by the caller of a region before it publishes the ticket; read only by who has taken a piece, and a
  // region does not end before each piece that was taken is done.
  private var body: ((Int, Int) -> Void)?
  private var pieces = 0

  private static let spins = 30_000

  package init(threadCount: Int) {
    self.threadCount = threadCount
    regionLock = .allocate(capacity: 1)
    parkLock = .allocate(capacity: 1)
    wake = .allocate(capacity: 1)
    done = .allocate(capacity: 1)
    pthread_mutex_init(regionLock, nil)
    pthread_mutex_init(parkLock, nil)
    pthread_cond_init(wake, nil)
    pthread_cond_init(done, nil)
    for slot in 1..<max(1, threadCount) {
      var thread = pthread_t()
      // The pool lives as long as the process, so a thread need not give its start back before it ends.
      let start = Unmanaged.passRetained(WorkerStart(pool: self, slot: slot)).toOpaque()
      let status = pthread_create(
        &thread, nil,
        { start in
          let start = Unmanaged<WorkerStart>.fromOpaque(start!).takeRetainedValue()
          start.pool.work(slot: start.slot)
          return nil
        }, start)
      precondition(status == 0, "cannot start a thread: \(String(cString: strerror(status)))")
      pthread_detach(thread)
    }
  }

  private static let serialKey: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  private static var isSerial: Bool { pthread_getspecific(serialKey) != nil }

  /// Runs `body` with all regions that it begins on this thread alone. For small computations beside a large one on
  /// another thread, which then keeps the pool.
  public static func serially<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let before = pthread_getspecific(serialKey)
    pthread_setspecific(serialKey, UnsafeRawPointer(bitPattern: 1))
    defer { pthread_setspecific(serialKey, before) }
    return try body()
  }

  /// Calls `body` once for each piece of `0..<count`, pieces being `grain` long but for the last, on all threads.
  /// A region inside a region, or beside one on another thread, runs on its calling thread.
  public func forEach(count: Int, grain: Int, _ body: (Range<Int>) -> Void) {
    forEach(count: count, grain: grain) { range, _ in body(range) }
  }

  /// The same; `body` also gets a number below `threadCount` that no other thread of the region has at that time,
  /// to choose its scratch memory by.
  public func forEach(count: Int, grain: Int, _ body: (Range<Int>, Int) -> Void) {
    let grain = max(1, grain)
    let pieces = (count + grain - 1) / grain
    func run(_ piece: Int, _ slot: Int) { body(piece * grain..<min(count, (piece + 1) * grain), slot) }
    guard pieces > 1, threadCount > 1, !Self.isSerial, pthread_mutex_trylock(regionLock) == 0 else {
      for piece in 0..<pieces { run(piece, 0) }
      return
    }
    defer { pthread_mutex_unlock(regionLock) }
    withoutActuallyEscaping(run) { run in
      self.body = run
      self.pieces = pieces
      piecesDone.store(0, ordering: .relaxed)
      let region = ((ticket.load(ordering: .relaxed) >> 32) + 1) & 0xFFFF_FFFF
      ticket.store(region << 32 | UInt64(pieces), ordering: .sequentiallyConsistent)
      if parked.load(ordering: .sequentiallyConsistent) > 0 {
        pthread_mutex_lock(parkLock)
        pthread_cond_broadcast(wake)
        pthread_mutex_unlock(parkLock)
      }
      takePieces(of: region, slot: 0)
      waitForPieces()
      self.body = nil
    }
  }

  /// Runs pieces of a region until none is left.
  private func takePieces(of region: UInt64, slot: Int) {
    while true {
      let current = ticket.load(ordering: .acquiring)
      let remaining = Int(current & 0xFFFF_FFFF)
      guard current >> 32 == region, remaining > 0 else { return }
      guard
        ticket.compareExchange(expected: current, desired: current - 1, ordering: .acquiringAndReleasing)
          .exchanged
      else { continue }
      // Once the last piece is done these belong to the next region.
      let total = pieces
      body!(total - remaining, slot)
      let done = piecesDone.add(1, ordering: .sequentiallyConsistent).newValue
      if done == total, isCallerParked.load(ordering: .sequentiallyConsistent) {
        pthread_mutex_lock(parkLock)
        pthread_cond_signal(self.done)
        pthread_mutex_unlock(parkLock)
      }
    }
  }

  /// Waits for the pieces that others have taken. Yielding instead of parking would give a slice of time away to whoever
  /// else computes on the machine, long after the pieces are done.
  private func waitForPieces() {
    var turns = 0
    while piecesDone.load(ordering: .acquiring) < pieces {
      turns += 1
      guard turns > 8 * Self.spins else { continue }
      pthread_mutex_lock(parkLock)
      isCallerParked.store(true, ordering: .sequentiallyConsistent)
      while piecesDone.load(ordering: .sequentiallyConsistent) < pieces { pthread_cond_wait(done, parkLock) }
      isCallerParked.store(false, ordering: .sequentiallyConsistent)
      pthread_mutex_unlock(parkLock)
    }
  }

  private func work(slot: Int) {
    var seen: UInt64 = 0
    while true {
      var turns = 0
      while ticket.load(ordering: .acquiring) >> 32 == seen {
        turns += 1
        if turns > Self.spins { park(after: seen) }
      }
      seen = ticket.load(ordering: .acquiring) >> 32
      takePieces(of: seen, slot: slot)
    }
  }

  private func park(after seen: UInt64) {
    pthread_mutex_lock(parkLock)
    parked.add(1, ordering: .sequentiallyConsistent)
    while ticket.load(ordering: .sequentiallyConsistent) >> 32 == seen { pthread_cond_wait(wake, parkLock) }
    parked.subtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(parkLock)
  }
}

private final class WorkerStart {
  let pool: ThreadPool
  let slot: Int

  init(pool: ThreadPool, slot: Int) {
    self.pool = pool
    self.slot = slot
  }
}
