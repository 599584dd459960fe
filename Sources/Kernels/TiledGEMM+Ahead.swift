// What a tile's multiplications leave time for: bringing the next tile's weights, from memory or out of their blocks.
import CIntrinsics

extension TiledGEMM {
  /// Work that is done in small steps, one for sixteen columns of a pass through a tile.
  protocol Ahead {
    mutating func step()
  }

  struct Nothing: Ahead {
    @inline(__always)
    func step() {}
  }

  /// Asks for the memory of coming tiles, evenly over the passes through this one: rows are too short for the processor
  /// to see a pattern, and only so many requests can be under way at a time.
  struct Prefetch: Ahead {
    private var next: UnsafePointer<Float>
    private let end: UnsafePointer<Float>
    private let passes: Int
    private let tileCount: Int

    init(_ start: UnsafePointer<Float>, passes: Int, tileCount: Int) {
      (next, end, self.passes, self.tileCount) = (start, start + tileCount, passes, tileCount)
    }

    /// The part that belongs to sixteen columns of a pass.
    @inline(__always)
    mutating func step() {
      guard next < end else { return }
      let line = next
      if passes == 1 {
        // A lone pass has too little time for one tile, and a request may be dropped when many are under way.
        for j in 0..<tile {
          mt_prefetch(line + 16 &* j)
          mt_prefetch(line + (tileCount &+ 16 &* j))
        }
        next = line + 16 &* tile
      } else {
        mt_prefetch(line)
        if passes < tile { mt_prefetch(line + 16) }
        if passes < tile / 2 { mt_prefetch(line + 32) }
        next = line + (passes < tile / 2 ? 48 : passes < tile ? 32 : 16)
      }
    }
  }

  /// Expands the blocks of the next tile. Multiply-adds keep two of the processor's units busy; blocks need the others.
  struct Expansion<Block: BlockOf32>: Ahead {
    private var source: UnsafePointer<UInt8>
    private var output: UnsafeMutablePointer<Float>
    private let end: UnsafeMutablePointer<Float>
    private let interval: Int
    private var wait = 0
    /// With few passes a step has more than one block to expand.
    private let isHurried: Bool

    /// - Parameters:
    ///   - source: So many whole blocks.
    ///   - passes: How often the present tile is gone through: with many, not every step has a block to expand.
    init(_ source: UnsafeRawPointer, into output: UnsafeMutablePointer<Float>, blocks: Int, passes: Int) {
      self.source = source.assumingMemoryBound(to: UInt8.self)
      (self.output, end, interval) = (output, output + 32 * blocks, max(1, passes * 2 / tile))
      isHurried = passes < tile / 2
    }

    @inline(__always)
    mutating func step() {
      wait &-= 1
      guard wait < 0, output < end else { return }
      wait = interval &- 1
      expandOne()
      if isHurried, output < end { expandOne() }
    }

    /// Expands what is left.
    mutating func finish() {
      while output < end { expandOne() }
    }

    @inline(__always)
    private mutating func expandOne() {
      let (low, high) = Block.weights(source)
      output.store(low, 0)
      output.store(high, 16)
      source += Block.size
      output += 32
    }
  }
}

/// A storage format in blocks of 32 elements.
protocol BlockOf32 {
  /// Bytes of a block.
  static var size: Int { get }
  /// Its elements.
  static func weights(_ block: UnsafePointer<UInt8>) -> (low: Vector, high: Vector)
}

enum Q4_0: BlockOf32 {
  @inline(__always) static var size: Int { 18 }
  @inline(__always)
  static func weights(_ block: UnsafePointer<UInt8>) -> (low: Vector, high: Vector) {
    WeightFormat.q4_0(block)
  }
}

enum Q4_1: BlockOf32 {
  @inline(__always) static var size: Int { 20 }
  @inline(__always)
  static func weights(_ block: UnsafePointer<UInt8>) -> (low: Vector, high: Vector) {
    WeightFormat.q4_1(block)
  }
}

enum Q8_0: BlockOf32 {
  @inline(__always) static var size: Int { 34 }
  @inline(__always)
  static func weights(_ block: UnsafePointer<UInt8>) -> (low: Vector, high: Vector) {
    WeightFormat.q8_0(block)
  }
}
