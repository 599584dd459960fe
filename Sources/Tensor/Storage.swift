// Memory of tensors: aligned blocks of floats, recycled by size.

/// A block of floats that goes back to the pool when nobody holds it any more.
public final class Storage: @unchecked Sendable {
  /// The first float, aligned to a cache line.
  public let pointer: UnsafeMutablePointer<Float>
  /// Elements asked for; the block may be larger.
  public let count: Int
  private let block: BufferPool.Block
  /// What a tensor has whose values nobody needs.
  static let empty = Storage(count: 0)

  /// Uninitialised memory for `count` floats.
  public init(count: Int) {
    self.count = count
    block = BufferPool.shared.take(bytes: count * MemoryLayout<Float>.stride)
    pointer = block.start.assumingMemoryBound(to: Float.self)
  }

  deinit { BufferPool.shared.give(block) }
}
