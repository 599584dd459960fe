// Memory of tensors: aligned blocks of floats, recycled by size.

/// A block of floats that goes back to the pool when nobody holds it any more.
public final class Storage: @unchecked Sendable {
  /// The first float, aligned to a cache line.
  public let pointer: UnsafeMutablePointer<Float>
  /// Elements asked for; the block may be larger.
  public let count: Int
  private let block: BufferPool.Block
  /// Counts writes in place, so that what was made of the values can tell that it is out of date.
  public internal(set) var version = 0
  /// What a tensor has whose values nobody needs.
  static let empty = Storage(count: 0)

  /// Uninitialised memory for `count` floats.
  ///
  /// - Parameter isLasting: whether it will be held for long, as gradients are: then no much larger block is used.
  public init(count: Int, isLasting: Bool = false) {
    self.count = count
    block = BufferPool.shared.take(bytes: count * MemoryLayout<Float>.stride, isLasting: isLasting)
    pointer = block.start.assumingMemoryBound(to: Float.self)
  }

  deinit { BufferPool.shared.give(block) }
}
