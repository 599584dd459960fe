// Products with weights in every storage format, few rows and many, against sums in 64 bits over the expanded values.
import TestSupport
import Testing

import Kernels

/// A weight matrix of random blocks, and its values.
struct RandomWeight {
  let format: WeightFormat
  let rows: Int
  let columns: Int
  let bytes: [UInt8]
  let values: [Float]

  init(_ format: WeightFormat, rows: Int, columns: Int, _ random: inout Random) {
    (self.format, self.rows, self.columns) = (format, rows, columns)
    var bytes: [UInt8] = []
    for _ in 0..<rows * columns / format.blockLength {
      switch format {
      case .f32, .bf16:
        // The upper half of a number in 32 bits is one in bfloat16.
        let bits = Float.random(in: -1...1, using: &random).bitPattern
        bytes += (format == .f32 ? [0, 8, 16, 24] : [16, 24]).map { UInt8(truncatingIfNeeded: bits >> $0) }
      case .f16: bytes += Self.half(Float16.random(in: -1...1, using: &random))
      default:
        var block = (0..<format.blockSize).map { _ in UInt8.random(in: 0...255, using: &random) }
        // Random bytes as a scale would often be infinite.
        for place in Self.scales(format) {
          block.replaceSubrange(
            place..<place + 2, with: Self.half(Float16.random(in: -0.01...0.01, using: &random)))
        }
        bytes += block
      }
    }
    self.bytes = bytes
    var values = [Float](repeating: .nan, count: rows * columns)
    format.expand(bytes, into: &values, count: values.count)
    self.values = values
  }

  private static func half(_ value: Float16) -> [UInt8] {
    [UInt8(truncatingIfNeeded: value.bitPattern), UInt8(truncatingIfNeeded: value.bitPattern >> 8)]
  }

  /// Where a block's half-precision numbers are.
  private static func scales(_ format: WeightFormat) -> [Int] {
    switch format {
    case .f32, .f16, .bf16: []
    case .q4_0, .q5_0, .q8_0: [0]
    case .q4_1, .q5_1, .q4_K, .q5_K: [0, 2]
    case .q6_K: [208]
    }
  }

  /// Calls `body` with the matrix and scratch memory for products of so many rows, filled with NaN: what a product
  /// reads there it must have written.
  func withRows<Result>(
    for count: Int, backward: Bool = false,
    _ body: (WeightRows, UnsafeMutablePointer<Float>) -> Result
  ) -> Result {
    bytes.withUnsafeBytes { bytes in
      let weight = WeightRows(bytes.baseAddress!, format: format, rows: rows, columns: columns)
      let size = LinearKernels.scratchCount(rows: count, weight: weight, backward: backward)
      var scratch = [Float](repeating: .nan, count: size + 1)
      return scratch.withUnsafeMutableBufferPointer { body(weight, $0.baseAddress!) }
    }
  }

  /// x·Wᵀ for x (M, K) with rows `xStride` apart, in rows `yStride` apart.
  func product(_ x: [Float], _ M: Int, xStride: Int? = nil, yStride: Int? = nil) -> [Float] {
    var (x, y) = (x, [Float](repeating: .nan, count: M * (yStride ?? rows)))
    x.withUnsafeMutableBufferPointer { x in
      y.withUnsafeMutableBufferPointer { y in
        withRows(for: M) { weight, scratch in
          LinearKernels.multiply(
            Matrix(x.baseAddress!, rows: M, columns: columns, stride: xStride), weight,
            into: Matrix(y.baseAddress!, rows: M, columns: rows, stride: yStride), scratch: scratch)
        }
      }
    }
    return y
  }

  /// dy·W + beta·dx for dy (M, N).
  func productBack(_ dy: [Float], _ M: Int, _ dx: [Float], beta: Float) -> [Float] {
    var (dy, dx) = (dy, dx)
    dy.withUnsafeMutableBufferPointer { dy in
      dx.withUnsafeMutableBufferPointer { dx in
        withRows(for: M, backward: true) { weight, scratch in
          LinearKernels.multiplyBack(
            Matrix(dy.baseAddress!, rows: M, columns: rows), weight,
            into: Matrix(dx.baseAddress!, rows: M, columns: columns), beta: beta, scratch: scratch)
        }
      }
    }
    return dx
  }

  /// x·Wᵀ in 64 bits.
  func expected(_ x: [Float], _ M: Int) -> [Double] {
    (0..<M * rows).map { place in
      let (m, n) = (place / rows, place % rows)
      return (0..<columns).reduce(0.0) {
        $0 + Double(x[m * columns + $1]) * Double(values[n * columns + $1])
      }
    }
  }

  /// dy·W + beta·dx in 64 bits.
  func expectedBack(_ dy: [Float], _ M: Int, _ dx: [Float], beta: Float) -> [Double] {
    var sums = dx.map { beta == 0 ? 0 : Double(beta) * Double($0) }
    for m in 0..<M {
      for n in 0..<rows {
        let factor = Double(dy[m * rows + n])
        for k in 0..<columns { sums[m * columns + k] += factor * Double(values[n * columns + k]) }
      }
    }
    return sums
  }
}

@Suite struct LinearKernelsTests {
  private static let counts = Array(1...9) + [31, 32, 63, 64, 65, 200, 515]

  private static func widths(_ format: WeightFormat) -> [Int] {
    switch format.blockLength {
    case 1: [1, 15, 17, 33, 64]
    case 32: [32, 96, 544]
    default: [256, 512]
    }
  }

  @Test(arguments: WeightFormat.allCases) func forward(_ format: WeightFormat) {
    var random = Random(UInt64(format.rawValue) + 10)
    for N in [1, 5, 6, 7, 50] {
      for K in Self.widths(format) {
        let weight = RandomWeight(format, rows: N, columns: K, &random)
        #expect(weight.values.allSatisfy { $0.isFinite })
        for M in Self.counts {
          let x = random.floats(M * K)
          expectClose(weight.product(x, M), weight.expected(x, M), 1e-5, "\(format) M \(M) N \(N) K \(K)")
        }
      }
    }
  }

  @Test(arguments: WeightFormat.allCases) func backward(_ format: WeightFormat) {
    var random = Random(UInt64(format.rawValue) + 50)
    for N in [1, 5, 6, 7, 50] {
      for K in Self.widths(format) {
        let weight = RandomWeight(format, rows: N, columns: K, &random)
        for M in Self.counts {
          let dy = random.floats(M * N)
          for beta in [0, 1] as [Float] {
            // What beta = 0 overwrites must not be read: it may be NaN.
            let dx = beta == 0 ? [Float](repeating: .nan, count: M * K) : random.floats(M * K)
            expectClose(
              weight.productBack(dy, M, dx, beta: beta), weight.expectedBack(dy, M, dx, beta: beta), 1e-5,
              "\(format) M \(M) N \(N) K \(K) beta \(beta)")
          }
        }
      }
    }
  }

  /// More rows of a packed matrix than are expanded at a time.
  @Test(arguments: [WeightFormat.f32, .bf16, .q8_0, .q4_0]) func severalPanels(_ format: WeightFormat) {
    var random = Random(7)
    for N in [767, 768, 769, 1600] {
      let weight = RandomWeight(format, rows: N, columns: 32, &random)
      for M in [3, 64, 65] {
        let (x, dy, dx) = (random.floats(M * 32), random.floats(M * N), random.floats(M * 32))
        expectClose(weight.product(x, M), weight.expected(x, M), 1e-5, "\(format) M \(M) N \(N)")
        for beta in [0, 1] as [Float] {
          expectClose(
            weight.productBack(dy, M, dx, beta: beta), weight.expectedBack(dy, M, dx, beta: beta), 1e-5,
            "\(format) M \(M) N \(N) beta \(beta)")
        }
      }
    }
  }

  @Test(arguments: [WeightFormat.f32, .q8_0]) func rowsWithGaps(_ format: WeightFormat) {
    var random = Random(8)
    let (N, K) = (13, 64)
    let weight = RandomWeight(format, rows: N, columns: K, &random)
    for M in [1, 5, 64, 65] {
      let x = random.floats(M * K)
      var spaced = [Float](repeating: .nan, count: M * (K + 3))
      for m in 0..<M { spaced.replaceSubrange(m * (K + 3)..<m * (K + 3) + K, with: x[m * K..<(m + 1) * K]) }
      let y = weight.product(spaced, M, xStride: K + 3, yStride: N + 2)
      let expected = weight.expected(x, M)
      for m in 0..<M {
        expectClose(
          Array(y[m * (N + 2)..<m * (N + 2) + N]), Array(expected[m * N..<(m + 1) * N]), 1e-5, "row \(m)")
        #expect(y[m * (N + 2) + N].isNaN && y[m * (N + 2) + N + 1].isNaN)
      }
    }
  }

  @Test func noRowsDoNothing() {
    var random = Random(9)
    for format in [WeightFormat.f32, .q8_0] {
      let weight = RandomWeight(format, rows: 6, columns: 32, &random)
      #expect(weight.product([0], 0) == [])
    }
  }

  /// A sample depends neither on what else is in its batch nor on who else computes.
  @Test(arguments: WeightFormat.allCases) func aRowDoesNotDependOnItsBatch(_ format: WeightFormat) {
    var random = Random(11)
    for N in [1, 6, 50, 200] {
      for K in Self.widths(format) {
        let weight = RandomWeight(format, rows: N, columns: K, &random)
        let counts = Self.counts.filter { $0 <= TiledGEMM.maximumRows }
        let x = random.floats(counts.max()! * K)
        let alone = (0..<counts.max()!).map { m in
          weight.product(Array(x[m * K..<(m + 1) * K]), 1).map(\.bitPattern)
        }
        for M in counts {
          let rows = Array(x[..<(M * K)])
          let together = weight.product(rows, M)
          let serial = ThreadPool.serially { weight.product(rows, M) }
          #expect(together.map(\.bitPattern) == Array(alone[..<M].joined()), "\(format) M \(M) N \(N) K \(K)")
          #expect(serial.map(\.bitPattern) == together.map(\.bitPattern), "\(format) M \(M) N \(N) K \(K)")
        }
      }
    }
  }
}
