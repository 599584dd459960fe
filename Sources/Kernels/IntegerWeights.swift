// Block-quantised weights laid out for products of whole numbers.
//
// Sixteen rows lie side by side, one in each element of a vector: a block of 32 columns is eight vectors, each with four
// neighbouring columns of every row, so that one instruction adds 64 products and the block's scales are one vector.
// Numbers of four bits share bytes: vector v has the four columns from 4·v on in its low halves and those from 16 + 4·v
// on in its high ones.

/// A weight matrix (N, K) of integer blocks in memory that somebody else owns, sixteen rows side by side.
public struct IntegerWeights {
  /// Rows that lie side by side.
  static let group = 16
  /// Columns that share a scale.
  static let block = 32

  /// How a format's blocks become whole numbers from 0 on: weight = scale · (number - offset) + minimum.
  struct Coding {
    /// Bits of a number as they are laid out, 4 or 8.
    let bits: Int
    /// What the format takes off each number.
    let offset: Int32
    /// Whether blocks have a minimum.
    let hasMinimum: Bool

    /// Bytes of one block of all rows of a group: numbers, then scales, then minima.
    var blockBytes: Int { group * (block * bits / 8 + (hasMinimum ? 4 : 2)) }
  }

  let base: UnsafeMutableRawPointer
  let coding: Coding
  /// Number of outputs N.
  let rows: Int
  /// Number of inputs K, a multiple of 32.
  let columns: Int

  var groups: Int { (rows + Self.group - 1) / Self.group }
  var groupBytes: Int { columns / Self.block * coding.blockBytes }

  /// Bytes of a matrix; nil where its format has no whole numbers with one scale for 32 columns.
  public static func byteCount(_ format: WeightFormat, rows: Int, columns: Int) -> Int? {
    guard let coding = coding(of: format) else { return nil }
    return (rows + group - 1) / group * (columns / block) * coding.blockBytes
  }

  private static func coding(of format: WeightFormat) -> Coding? {
    switch format {
    case .q4_0: Coding(bits: 4, offset: 8, hasMinimum: false)
    case .q4_1: Coding(bits: 4, offset: 0, hasMinimum: true)
    case .q5_0: Coding(bits: 8, offset: 16, hasMinimum: false)
    case .q5_1: Coding(bits: 8, offset: 0, hasMinimum: true)
    case .q8_0: Coding(bits: 8, offset: 128, hasMinimum: false)
    default: nil
    }
  }

  /// What `fill` wrote at `base` of a matrix in a format for which there is a `byteCount`.
  public init(_ base: UnsafeMutableRawPointer, format: WeightFormat, rows: Int, columns: Int) {
    (self.base, self.rows, self.columns) = (base, rows, columns)
    coding = Self.coding(of: format)!
  }

  /// Lays out a matrix of the same shape and format, on all threads.
  public func fill(from weight: WeightRows) {
    precondition(weight.rows == rows && weight.columns == columns)
    ThreadPool.shared.forEach(count: groups, grain: 4) { range in
      for group in range {
        for lane in 0..<Self.group { fill(group, lane, from: weight) }
      }
    }
  }

  private func fill(_ group: Int, _ lane: Int, from weight: WeightRows) {
    let n = group * Self.group + lane
    let numberBytes = Self.group * Self.block * coding.bits / 8
    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.block) { buffer in
      let numbers = buffer.baseAddress!
      for b in 0..<columns / Self.block {
        let target = (base + group * groupBytes + b * coding.blockBytes)
        let bytes = target.assumingMemoryBound(to: UInt8.self)
        let scales = (target + numberBytes).assumingMemoryBound(to: UInt16.self)
        guard n < rows else {
          // Rows that only fill up the last group are zero.
          numbers.initialize(repeating: UInt8(coding.offset), count: Self.block)
          store(numbers, lane, bytes)
          scales[lane] = 0
          if coding.hasMinimum { scales[Self.group + lane] = 0 }
          continue
        }
        let source = weight.row(n) + b * weight.format.blockSize
        weight.format.numbers(of: source, into: numbers)
        store(numbers, lane, bytes)
        scales[lane] = source.loadUnaligned(as: UInt16.self)
        if coding.hasMinimum {
          scales[Self.group + lane] = source.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        }
      }
    }
  }

  private func store(
    _ numbers: UnsafePointer<UInt8>, _ lane: Int, _ bytes: UnsafeMutablePointer<UInt8>
  ) {
    let (quads, target) = (UnsafeRawPointer(numbers), UnsafeMutableRawPointer(bytes + 4 * lane))
    func quad(_ i: Int) -> UInt32 { quads.loadUnaligned(fromByteOffset: 4 &* i, as: UInt32.self) }
    if coding.bits == 4 {
      for i in 0..<4 {
        target.storeBytes(of: quad(i) | quad(i &+ 4) << 4, toByteOffset: 64 &* i, as: UInt32.self)
      }
    } else {
      for i in 0..<8 { target.storeBytes(of: quad(i), toByteOffset: 64 &* i, as: UInt32.self) }
    }
  }
}

extension WeightFormat {
  /// The 32 numbers of a block, counted from 0, for `IntegerWeights`.
  fileprivate func numbers(of block: UnsafeRawPointer, into output: UnsafeMutablePointer<UInt8>) {
    let bytes = block.assumingMemoryBound(to: UInt8.self)
    let quants = bytes + (blockSize - (self == .q8_0 ? 32 : 16))
    if self == .q8_0 {
      for j in 0..<32 { output[j] = quants[j] &+ 128 }
      return
    }
    for j in 0..<16 {
      output[j] = quants[j] & 15
      output[j + 16] = quants[j] >> 4
    }
    if self == .q5_0 || self == .q5_1 {
      let high = Self.fifthBits(quants - 4)
      for j in 0..<32 { output[j] |= UInt8(truncatingIfNeeded: high >> UInt32(j) & 1) << 4 }
    }
  }
}
