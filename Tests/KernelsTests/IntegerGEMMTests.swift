// Products of integer blocks with rounded inputs, against sums in 64 bits over inputs rounded by plain arithmetic.
import TestSupport
import Testing

import Kernels

@Suite struct IntegerGEMMTests {
  static let formats: [WeightFormat] = [.q4_0, .q4_1, .q5_0, .q5_1, .q8_0]

  private func product(_ weight: RandomWeight, _ x: [Float], _ M: Int, gap: Int = 0) -> [Float] {
    let (N, K) = (weight.rows, weight.columns)
    var (x, y) = (x, [Float](repeating: .nan, count: M * (N + gap)))
    var scratch = [Float](repeating: .nan, count: IntegerGEMM.scratchCount(rows: M, columns: K) + 1)
    let count = IntegerWeights.byteCount(weight.format, rows: N, columns: K)!
    // A byte of all ones in what is not written would show.
    var layout = [UInt8](repeating: 255, count: count)
    weight.bytes.withUnsafeBytes { bytes in
      layout.withUnsafeMutableBytes { layout in
        let integers = IntegerWeights(layout.baseAddress!, format: weight.format, rows: N, columns: K)
        integers.fill(from: WeightRows(bytes.baseAddress!, format: weight.format, rows: N, columns: K))
        x.withUnsafeMutableBufferPointer { x in
          y.withUnsafeMutableBufferPointer { y in
            scratch.withUnsafeMutableBufferPointer { scratch in
              IntegerGEMM.multiply(
                Matrix(x.baseAddress!, rows: M, columns: K, stride: K + gap), integers,
                into: Matrix(y.baseAddress!, rows: M, columns: N, stride: N + gap),
                scratch: scratch.baseAddress!)
            }
          }
        }
      }
    }
    return y
  }

  /// Blocks of 32 become multiples of max |x| / 127.
  private func rounded(_ x: [Float]) -> [Double] {
    stride(from: 0, to: x.count, by: 32).flatMap { start -> [Double] in
      let block = x[start..<start + 32]
      let scale = Double(block.map(abs).max()! / 127)
      return block.map { scale == 0 ? 0 : (Double($0) / scale).rounded(.toNearestOrEven) * scale }
    }
  }

  private func expected(_ weight: RandomWeight, _ x: [Double], _ M: Int) -> (sums: [Double], sizes: [Double])
  {
    let K = weight.columns
    let terms = (0..<M * weight.rows).map { place in
      let (m, n) = (place / weight.rows, place % weight.rows)
      return (0..<K).map { x[m * K + $0] * Double(weight.values[n * K + $0]) }
    }
    return (terms.map { $0.reduce(0, +) }, terms.map { $0.reduce(0) { $0 + abs($1) } })
  }

  @Test(arguments: formats) func equalsSumsOfRoundedInputs(_ format: WeightFormat) {
    var random = Random(UInt64(format.rawValue) + 70)
    for N in [1, 15, 16, 17, 50, 96] {
      for K in [32, 96, 576] {
        let weight = RandomWeight(format, rows: N, columns: K, &random)
        for M in [1, 2, 3, 4, 5, 8, 13] {
          let x = random.floats(M * K)
          let (y, (sums, sizes)) = (product(weight, x, M), expected(weight, rounded(x), M))
          // A number that lies between two may be rounded either way, since 1 / scale is rounded itself: few, by one.
          let slack = 0.5 / 127 / Double(K).squareRoot()
          for i in 0..<M * N {
            #expect(
              abs(Double(y[i]) - sums[i]) <= 1e-5 * sizes[i] + slack * sizes[i], "\(format) \(M) \(N) \(K)")
          }
          let error = zip(y, sums).reduce(0) { $0 + abs(Double($1.0) - $1.1) }
          #expect(error <= 1e-4 * sizes.reduce(0, +), "\(format) M \(M) N \(N) K \(K)")
        }
      }
    }
  }

  /// Inputs that are whole multiples of their block's scale are not rounded: the product is that of floats.
  @Test(arguments: formats) func wholeNumbersAreExact(_ format: WeightFormat) {
    var random = Random(5)
    let (M, N, K) = (6, 40, 64)
    let weight = RandomWeight(format, rows: N, columns: K, &random)
    var x = (0..<M * K).map { _ in Float(Int.random(in: -127...127, using: &random)) }
    for start in stride(from: 0, to: x.count, by: 32) { x[start] = 127 }
    let (sums, sizes) = expected(weight, x.map(Double.init), M)
    for (i, y) in product(weight, x, M).enumerated() { #expect(abs(Double(y) - sums[i]) <= 2e-6 * sizes[i]) }
  }

  @Test(arguments: formats) func rowsDoNotDependOnTheirBatchOrThreads(_ format: WeightFormat) {
    var random = Random(6)
    let (M, N, K) = (11, 200, 96)
    let weight = RandomWeight(format, rows: N, columns: K, &random)
    let x = random.floats(M * K)
    let together = product(weight, x, M).map(\.bitPattern)
    #expect(ThreadPool.serially { product(weight, x, M) }.map(\.bitPattern) == together)
    for m in 0..<M {
      let alone = product(weight, Array(x[m * K..<(m + 1) * K]), 1).map(\.bitPattern)
      #expect(alone == Array(together[m * N..<(m + 1) * N]))
    }
  }

  @Test func extremeInputs() {
    var random = Random(7)
    let (N, K) = (20, 64)
    for format in Self.formats {
      let weight = RandomWeight(format, rows: N, columns: K, &random)
      #expect(product(weight, [Float](repeating: 0, count: K), 1).allSatisfy { $0 == 0 })
      // The inverse of so small a scale is infinite.
      let tiny = [Float](repeating: .leastNonzeroMagnitude * 1000, count: K)
      #expect(product(weight, tiny, 1).allSatisfy { abs($0) < 1e-30 })
      // Two rows, of which one is spoilt.
      for wrong in [Float.nan, .infinity, -.infinity] {
        var x = random.floats(2 * K)
        x[37] = wrong
        let y = product(weight, x, 2)
        #expect(y[..<N].allSatisfy { $0.isNaN } && y[N...].allSatisfy { $0.isFinite }, "\(format) \(wrong)")
      }
      #expect(product(weight, [0], 0) == [])
    }
    // Neither the gaps between rows nor those between results are touched.
    let weight = RandomWeight(.q4_1, rows: N, columns: K, &random)
    let x = random.floats(5 * K)
    var spaced = [Float](repeating: .nan, count: 5 * (K + 3))
    for m in 0..<5 { spaced.replaceSubrange(m * (K + 3)..<m * (K + 3) + K, with: x[m * K..<(m + 1) * K]) }
    let (y, plain) = (product(weight, spaced, 5, gap: 3), product(weight, x, 5))
    for m in 0..<5 {
      #expect(Array(y[m * (N + 3)..<m * (N + 3) + N]) == Array(plain[m * N..<(m + 1) * N]))
      #expect(y[m * (N + 3) + N..<(m + 1) * (N + 3)].allSatisfy { $0.isNaN })
    }
  }

  @Test func otherFormatsHaveNoLayout() {
    for format in WeightFormat.allCases {
      #expect(
        (IntegerWeights.byteCount(format, rows: 16, columns: 256) != nil) == Self.formats.contains(format))
    }
    // As large as the blocks themselves, five bits taking eight.
    #expect(IntegerWeights.byteCount(.q4_0, rows: 32, columns: 64) == 32 * WeightFormat.q4_0.rowBytes(64))
    #expect(IntegerWeights.byteCount(.q8_0, rows: 32, columns: 64) == 32 * WeightFormat.q8_0.rowBytes(64))
  }
}
