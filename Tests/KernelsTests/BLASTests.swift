// OpenBLAS after its repair, and products in all transpositions.
import TestSupport
import Testing

import Kernels

@Suite struct BLASTests {
  @Test func theCoreFitsTheProcessor() {
    let status = BLAS.prepare()
    #expect(status.isVerified)
    #expect(status.version.hasPrefix("0."))
    #expect(!status.core.isEmpty && status.core != status.replacedCore)
    if Processor.hasAVX512 { #expect(["SkylakeX", "Cooperlake", "SapphireRapids"].contains(status.core)) }
    if Processor.hasAVX2 { #expect(status.core != "Prescott") }
  }

  @Test(arguments: [false, true], [false, true])
  func productsWithStrides(transposeA: Bool, transposeB: Bool) {
    BLAS.prepare()
    var random = Random(1)
    let sizes = [(1, 1, 1), (1, 17, 5), (7, 1, 3), (13, 9, 21), (64, 48, 33), (130, 70, 65), (3, 4, 0)]
    for (m, n, k) in sizes {
      for gap in [0, 5] {
        for (alpha, beta) in [(Float(1), Float(0)), (0.5, 1), (-2, 0.25)] {
          let (rowsA, columnsA) = transposeA ? (k, m) : (m, k)
          let (rowsB, columnsB) = transposeB ? (n, k) : (k, n)
          var a = random.floats(rowsA * (columnsA + gap) + 1)
          var b = random.floats(rowsB * (columnsB + gap) + 1)
          // What beta = 0 overwrites must not be read: it may be NaN.
          var c = beta == 0 ? [Float](repeating: .nan, count: m * (n + gap)) : random.floats(m * (n + gap))
          let before = c
          a.withUnsafeMutableBufferPointer { a in
            b.withUnsafeMutableBufferPointer { b in
              c.withUnsafeMutableBufferPointer { c in
                let x = Matrix(a.baseAddress!, rows: rowsA, columns: columnsA, stride: columnsA + gap)
                let y = Matrix(b.baseAddress!, rows: rowsB, columns: columnsB, stride: columnsB + gap)
                BLAS.multiply(
                  transposeA ? x.transposed : x, transposeB ? y.transposed : y,
                  into: Matrix(c.baseAddress!, rows: m, columns: n, stride: n + gap), alpha: alpha, beta: beta
                )
              }
            }
          }
          var expected = before.map(Double.init)
          for i in 0..<m {
            for j in 0..<n {
              var sum = 0.0
              for p in 0..<k {
                let x = transposeA ? a[p * (columnsA + gap) + i] : a[i * (columnsA + gap) + p]
                let y = transposeB ? b[j * (columnsB + gap) + p] : b[p * (columnsB + gap) + j]
                sum += Double(x) * Double(y)
              }
              let place = i * (n + gap) + j
              expected[place] = Double(alpha) * sum + (beta == 0 ? 0 : Double(beta) * Double(before[place]))
            }
          }
          expectClose(c, expected, 1e-5, "\(m)×\(n)×\(k), gap \(gap), alpha \(alpha), beta \(beta)")
        }
      }
    }
  }

  @Test func productsOfEmptyMatricesDoNothing() {
    var (a, b, c): (Float, Float, Float) = (1, 1, 5)
    BLAS.multiply(
      Matrix(&a, rows: 0, columns: 3), Matrix(&b, rows: 3, columns: 0), into: Matrix(&c, rows: 0, columns: 0))
    #expect(c == 5)
  }
}
