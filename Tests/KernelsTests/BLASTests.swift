// OpenBLAS after its repair, and products in all transpositions.
import Glibc
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
    let sizes = [
      (1, 1, 1), (1, 17, 5), (7, 1, 3), (13, 9, 21), (64, 48, 33), (130, 70, 65), (3, 4, 0), (9, 11, 385),
      (5, 3, 1023),
      // Large ones: rests of rows, columns and inner sizes, more columns or a longer inner size than is packed at a time.
      (130, 150, 70), (205, 77, 401), (12, 96, 1024), (3, 4100, 800),
    ]
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

  /// A product inside a parallel region runs on its calling thread.
  @Test func bitsDoNotDependOnTheNumberOfThreads() {
    var random = Random(2)
    for inner in [300, 384, 385, 450, 500, 512, 769, 1000, 1500] {
      for (isTransposedA, isTransposedB) in [(false, true), (false, false), (true, false)] {
        let (m, n) = (Int.random(in: 60...300, using: &random), Int.random(in: 60...300, using: &random))
        var (a, b) = (random.floats(m * inner), random.floats(n * inner))
        var results = [[Float]](repeating: [Float](repeating: .nan, count: m * n), count: 2)
        func multiply(_ c: UnsafeMutablePointer<Float>) {
          a.withUnsafeMutableBufferPointer { a in
            b.withUnsafeMutableBufferPointer { b in
              let x = Matrix(
                a.baseAddress!, rows: isTransposedA ? inner : m, columns: isTransposedA ? m : inner)
              let y = Matrix(
                b.baseAddress!, rows: isTransposedB ? n : inner, columns: isTransposedB ? inner : n)
              BLAS.multiply(
                isTransposedA ? x.transposed : x, isTransposedB ? y.transposed : y,
                into: Matrix(c, rows: m, columns: n))
            }
          }
        }
        multiply(&results[0])
        results[1].withUnsafeMutableBufferPointer { c in
          let c = c.baseAddress!
          // Two pieces make a region; the first one has the product.
          ThreadPool.shared.forEach(count: 2, grain: 1) { if $0.lowerBound == 0 { multiply(c) } }
        }
        #expect(results[0] == results[1], "\(m)×\(n)×\(inner)")
      }
    }
  }

  /// As threads would have it: their number decides how small the pieces are, and the rows who packs them.
  @Test(arguments: PanelGEMM.registers, [false, true])
  func bitsDoNotDependOnTheCut(registers: PanelGEMM.Registers, isTransposed: Bool) {
    var random = Random(3)
    let (few, n, k) = (211, 333, 1000)
    let many = few + 1024 * ThreadPool.shared.threadCount
    let (a, b) = (random.floats(many * k), random.floats(k * n))
    let rows = [few, many].map { m in
      let results = [1, 8, 64, 1000].map { pieces in
        // The first rows of `a` or, transposed, numbers of their own.
        Self.product(
          Array(a.prefix(m * k)), b, m, n, k, isTransposed: isTransposed, with: registers, pieces: pieces)
      }
      #expect(results[0].allSatisfy { $0.isFinite })
      for result in results { #expect(result == results[0]) }
      return Array(results[0].prefix(few * n))
    }
    if !isTransposed { #expect(rows[0] == rows[1]) }
  }

  /// Matrix registers multiply numbers of 8 bits: the parts that floats are split into must give what floats give.
  @Test(.enabled(if: PanelGEMM.registers.contains(.matrices)), arguments: [false, true])
  func matrixRegistersAreAsExactAsVectors(isTransposed: Bool) {
    var random = Random(4)
    let (m, n, k) = (96, 130, 1100)
    // Of one magnitude, and of very different ones, where a part that is lost would show.
    for spread in [Float(0), 20] {
      let a = zip(random.floats(m * k), random.floats(m * k)).map { $0 * exp2f(spread * $1) }
      let b = zip(random.floats(k * n), random.floats(k * n)).map { $0 * exp2f(spread * $1) }
      var (exact, size) = ([Double](), [Double]())
      for i in 0..<m {
        for j in 0..<n {
          var (sum, magnitude) = (0.0, 0.0)
          for p in 0..<k {
            let term = Double(isTransposed ? a[p * m + i] : a[i * k + p]) * Double(b[p * n + j])
            sum += term
            magnitude += abs(term)
          }
          exact.append(sum)
          size.append(magnitude)
        }
      }
      /// The largest and the mean error, as a part of what the terms' magnitudes add up to.
      func errors(_ registers: PanelGEMM.Registers) -> (largest: Double, mean: Double) {
        let values = Self.product(a, b, m, n, k, isTransposed: isTransposed, with: registers)
        let errors = values.indices.map { abs(Double(values[$0]) - exact[$0]) / size[$0] }
        return (errors.max()!, errors.reduce(0, +) / Double(errors.count))
      }
      let (vectors, matrices) = (errors(.vectors), errors(.matrices))
      #expect(matrices.mean <= 1.1 * vectors.mean, "\(matrices), vectors \(vectors)")
      #expect(matrices.largest <= 1.5 * vectors.largest, "\(matrices), vectors \(vectors)")
    }
  }

  /// What is not a number shows in all results that it is part of, and in no other.
  @Test(arguments: PanelGEMM.registers, [Float.nan, .infinity, -Float(bitPattern: 0x7fff_ffff)])
  func productsOfWhatIsNotFinite(registers: PanelGEMM.Registers, value: Float) {
    var random = Random(5)
    let (m, n, k) = (70, 60, 100)
    var a = random.floats(m * k)
    a[37 * k + 41] = value
    let result = Self.product(a, random.floats(k * n), m, n, k, isTransposed: false, with: registers)
    for i in 0..<m {
      for j in 0..<n { #expect(result[i * n + j].isFinite == (i != 37), "\(i), \(j)") }
    }
  }

  /// `a · b` in whole tiles, a (m, k) or transposed from (k, m).
  private static func product(
    _ a: [Float], _ b: [Float], _ m: Int, _ n: Int, _ k: Int, isTransposed: Bool,
    with registers: PanelGEMM.Registers, pieces: Int = 4
  ) -> [Float] {
    var (a, b, c) = (a, b, [Float](repeating: .nan, count: m * n))
    a.withUnsafeMutableBufferPointer { a in
      b.withUnsafeMutableBufferPointer { b in
        c.withUnsafeMutableBufferPointer { c in
          let x = Matrix(a.baseAddress!, rows: isTransposed ? k : m, columns: isTransposed ? m : k)
          PanelGEMM.multiply(
            isTransposed ? x.transposed : x, Matrix(b.baseAddress!, rows: k, columns: n),
            into: Matrix(c.baseAddress!, rows: m, columns: n), alpha: 1, beta: 0, with: registers,
            pieces: pieces)
        }
      }
    }
    return c
  }

  @Test func productsOfEmptyMatricesDoNothing() {
    var (a, b, c): (Float, Float, Float) = (1, 1, 5)
    BLAS.multiply(
      Matrix(&a, rows: 0, columns: 3), Matrix(&b, rows: 3, columns: 0), into: Matrix(&c, rows: 0, columns: 0))
    #expect(c == 5)
  }
}
