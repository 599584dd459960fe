// Softmax, log-probabilities and entropies of rows against Double.
import Foundation
import Testing

import Kernels

@Suite struct LogitTests {
  /// One row in Double: log-probabilities and entropy of softmax(logits · inverse).
  private func reference(_ row: ArraySlice<Float>, _ inverse: Float) -> (logps: [Double], entropy: Double) {
    let z = row.map { Double($0) * Double(inverse) }
    let peak = z.max()!
    let logSum = peak + log(z.reduce(0) { $0 + exp($1 - peak) })
    let logps = z.map { $0 - logSum }
    return (logps, -logps.reduce(0) { $1 == -.infinity ? $0 : $0 + exp($1) * $1 })
  }

  private static let columns = [1, 2, 15, 16, 17, 100, 1000]

  @Test(arguments: columns)
  func softmax(columns: Int) {
    var random = Random(1)
    let logits = random.floats(5 * columns, in: -30...30)
    var result = logits
    LogitKernels.softmax(&result, inverseTemperature: 0.7, rows: 5, columns: columns)
    for n in 0..<5 {
      let (row, range) = (
        reference(logits[n * columns..<(n + 1) * columns], 0.7), n * columns..<(n + 1) * columns
      )
      expectClose(Array(result[range]), row.logps.map { exp($0) }, 1e-6, "\(columns) columns")
    }
  }

  @Test(arguments: columns, [false, true])
  func logProbabilitiesAndTheirGradient(columns: Int, withEntropy: Bool) {
    var random = Random(UInt64(columns))
    let rows = 4
    var logits = random.floats(rows * columns, in: -8...8)
    if columns > 2 { logits[2] = -.infinity }
    let targets = (0..<rows).map { Int32(($0 * 7) % columns == 2 ? 0 : ($0 * 7) % columns) }
    let inverses: [Float] = [1, 0.5, 2, 1.3]
    var (logps, sums, entropies) = (
      [Float](repeating: 0, count: rows), [Float](repeating: 0, count: rows),
      [Float](repeating: 0, count: rows)
    )
    var work = logits
    if withEntropy {
      LogitKernels.logProbabilities(
        &work, targets: targets, inverseTemperatures: inverses, logProbabilities: &logps, logSums: &sums,
        entropies: &entropies, rows: rows, columns: columns)
    } else {
      LogitKernels.logProbabilities(
        &work, targets: targets, inverseTemperatures: inverses, logProbabilities: &logps, logSums: &sums,
        entropies: nil, rows: rows, columns: columns)
    }
    let (dlogps, dentropies) = (random.floats(rows), random.floats(rows))
    var gradient = logits
    if withEntropy {
      LogitKernels.logProbabilitiesBackward(
        &gradient, targets: targets, inverseTemperatures: inverses, logSums: sums, entropies: entropies,
        dlogProbabilities: dlogps, dentropies: dentropies, rows: rows, columns: columns)
    } else {
      LogitKernels.logProbabilitiesBackward(
        &gradient, targets: targets, inverseTemperatures: inverses, logSums: sums, entropies: nil,
        dlogProbabilities: dlogps, dentropies: nil, rows: rows, columns: columns)
    }
    for n in 0..<rows {
      let (exact, inverse) = (
        reference(logits[n * columns..<(n + 1) * columns], inverses[n]), Double(inverses[n])
      )
      expectClose([logps[n]], [exact.logps[Int(targets[n])]], 3e-6, "log-probability")
      if withEntropy { expectClose([entropies[n]], [exact.entropy], 3e-6, "entropy") }
      let expected = exact.logps.enumerated().map { v, logp in
        let p = exp(logp)
        let own = Double(dlogps[n]) * ((v == Int(targets[n]) ? 1 : 0) - p)
        let pull = withEntropy && p > 0 ? Double(dentropies[n]) * p * (logp + exact.entropy) : 0
        return (own - pull) * inverse
      }
      expectClose(Array(gradient[n * columns..<(n + 1) * columns]), expected, 3e-6, "gradient of row \(n)")
    }
  }

  @Test func certainRows() {
    var (logits, logp, sum, entropy): ([Float], Float, Float, Float) = ([500, -500, -.infinity, 0], 0, 0, 9)
    LogitKernels.logProbabilities(
      &logits, targets: [0], inverseTemperatures: [1], logProbabilities: &logp, logSums: &sum,
      entropies: &entropy, rows: 1, columns: 4)
    #expect(logp == 0 && sum == 500 && entropy == 0)
  }
}
