// Recycled memory.
//
// Steps differ in their number of rows, so a block is also used for up to half its size, if not for long, and where the
// pool would grow beyond what was once in use and a sixteenth more, it gives back what it keeps in sizes that nobody asks
// for: a process's memory follows its largest step, not the sum of all sizes that there ever were. The sixteenth is for sizes
// that take turns: the system clears each page that it gives, which took 5 % of a training step.
import Glibc
import Synchronization

/// Recycles memory blocks, so that a training step allocates nothing once one like it is done.
public final class BufferPool: @unchecked Sendable {
  /// The pool of the process.
  public static let shared = BufferPool()

  /// Memory that was handed out.
  package struct Block: @unchecked Sendable {
    package let start: UnsafeMutableRawPointer
    /// At least what was asked for.
    package let bytes: Int
  }

  /// How memory is used.
  public struct Statistics: Sendable {
    /// Bytes handed out now.
    public var inUse = 0
    /// Bytes kept for reuse.
    public var cached = 0
    /// The highest sum of both so far.
    public var peak = 0
    /// The highest number of bytes handed out, so far or since `resetPeakInUse()`.
    public var peakInUse = 0
    /// Blocks taken from the system so far.
    public var systemAllocations = 0
  }

  /// From here on blocks lie on huge pages: a tenth of the page faults and of the address translations.
  private static let hugePage = 2 << 20

  /// Memory of the machine, in bytes. Results that are larger are refused before they are made.
  package static let physicalMemory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))

  /// Bytes that can be had without swapping: what the system calls available, less where a control group is nearer to
  /// its limit, and what the pool keeps.
  public var availableMemory: Int {
    let system = Self.number("MemAvailable:", in: "/proc/meminfo").map { $0 * 1024 } ?? Self.physicalMemory
    let group = "/sys/fs/cgroup/memory"
    var available = system
    if let limit = Self.number("", in: group + ".max"), let used = Self.number("", in: group + ".current") {
      available = min(available, max(0, limit - used))
    }
    return available + statistics.cached
  }

  /// The number after `label` in a small file; nil where there is none.
  private static func number(_ label: String, in path: String) -> Int? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = fread(&buffer, 1, buffer.count - 1, file)
    let text = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    for line in text.split(separator: "\n") where line.hasPrefix(label) {
      return line.dropFirst(label.count).split(separator: " ").first.flatMap { Int($0) }
    }
    return nil
  }

  private let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var free: [Int: [UnsafeMutableRawPointer]] = [:]
  private var numbers = Statistics()
  /// The highest number of bytes handed out so far.
  private var mostInUse = 0
  /// Whether returned blocks are filled with NaN at once: shows who reads memory that is no longer his.
  private let poisons = Atomic(false)

  private struct Exhaustion {
    var letGo: (@Sendable () -> Void)?
  }

  private let exhaustion = Mutex(Exhaustion())
  /// What the pool may hold in all; a limit stands in for a full machine in tests.
  private let limit: Int

  /// Called when the system has no memory left, on the thread that wants it: lets go of what nobody needs any more,
  /// such as a script's garbage. Then the request is tried once more.
  package func onExhaustion(_ letGo: (@Sendable () -> Void)?) { exhaustion.withLock { $0.letGo = letGo } }

  package init(limit: Int = .max) {
    self.limit = limit
    pthread_mutex_init(lock, nil)
  }

  /// How memory is used at this moment.
  public var statistics: Statistics { locked { numbers } }

  /// Begins to look for the highest number of bytes handed out from here on.
  package func resetPeakInUse() { locked { numbers.peakInUse = numbers.inUse } }

  /// Gives all kept blocks back to the system.
  public func trim() {
    locked { release(atLeast: .max) }
  }

  /// Fills returned blocks with NaN while `body` runs.
  package func poisoningReturnedBlocks<Result>(_ body: () throws -> Result) rethrows -> Result {
    poisons.store(true, ordering: .relaxed)
    defer { poisons.store(false, ordering: .relaxed) }
    return try body()
  }

  /// - Parameter isLasting: whether the block will be held for long; then it is at most a quarter too large.
  package func take(bytes: Int, isLasting: Bool = false) -> Block {
    let size = Self.sizeClass(bytes)
    if let block = obtain(size, isLasting) { return block }
    exhaustion.withLock { $0 }.letGo?()
    guard let block = obtain(size, isLasting) else {
      preconditionFailure("out of memory: \(size) bytes wanted")
    }
    return block
  }

  private func obtain(_ size: Int, _ isLasting: Bool) -> Block? {
    locked {
      guard let block = reuse(size, upTo: isLasting ? size + size / 4 : 2 * size) ?? allocate(size) else {
        return nil
      }
      numbers.inUse += block.bytes
      numbers.peakInUse = max(numbers.peakInUse, numbers.inUse)
      mostInUse = max(mostInUse, numbers.inUse)
      numbers.peak = max(numbers.peak, numbers.inUse + numbers.cached)
      return block
    }
  }

  package func give(_ block: Block) {
    if poisons.load(ordering: .relaxed) { memset(block.start, 0xff, block.bytes) }
    locked {
      numbers.inUse -= block.bytes
      numbers.cached += block.bytes
      free[block.bytes, default: []].append(block.start)
    }
  }

  /// The smallest kept block that fits and is not larger than `most`.
  private func reuse(_ size: Int, upTo most: Int) -> Block? {
    var candidate = size
    while candidate <= most {
      if let start = free[candidate]?.popLast() {
        numbers.cached -= candidate
        return Block(start: start, bytes: candidate)
      }
      candidate = Self.sizeClass(candidate + 1)
    }
    return nil
  }

  private func allocate(_ size: Int) -> Block? {
    let most = max(mostInUse, numbers.inUse + size)
    let surplus = numbers.inUse + numbers.cached + size - most - most / 16
    if size >= Self.hugePage, surplus > 0 { release(atLeast: surplus) }
    guard size <= limit - numbers.inUse - numbers.cached else { return nil }
    var start = Self.fromSystem(size)
    if start == nil {
      release(atLeast: .max)
      start = Self.fromSystem(size)
    }
    guard let start else { return nil }
    numbers.systemAllocations += 1
    return Block(start: start, bytes: size)
  }

  /// Gives kept blocks back to the system, the largest first, until these are so many bytes or none is left.
  private func release(atLeast bytes: Int) {
    var released = 0
    for size in free.keys.sorted(by: >) {
      while released < bytes, let start = free[size]?.popLast() {
        Self.toSystem(start, size)
        released += size
      }
    }
    numbers.cached -= released
  }

  /// Memory from the system, at least aligned to a cache line; nil if there is none. Large blocks are mappings of their
  /// own: given back they are gone, where the C library would keep the gaps that they leave.
  private static func fromSystem(_ size: Int) -> UnsafeMutableRawPointer? {
    guard size >= hugePage else {
      var start: UnsafeMutableRawPointer?
      return posix_memalign(&start, 64, size) == 0 ? start : nil
    }
    let mapped = mmap(nil, size + hugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    guard let mapped, mapped != MAP_FAILED else { return nil }
    let gap = -Int(bitPattern: mapped) & (hugePage - 1)
    let start = mapped + gap
    if gap > 0 { munmap(mapped, gap) }
    if gap < hugePage { munmap(start + size, hugePage - gap) }
    madvise(start, size, MADV_HUGEPAGE)
    return start
  }

  private static func toSystem(_ start: UnsafeMutableRawPointer, _ size: Int) {
    if size >= hugePage { munmap(start, size) } else { Glibc.free(start) }
  }

  /// Sizes in steps of an eighth of the power of two below: at most 12.5 % of a fresh block is unused.
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
