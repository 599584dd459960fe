// Softmax, log-probabilities and entropies of rows against Double.
import Foundation
import TestSupport
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
    LogitKernels.softmax(logits, into: &result, inverseTemperature: 0.7, rows: 5, columns: columns)
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
    var (work, gradient) = (logits, logits)
    let (dlogps, dentropies) = (random.floats(rows), random.floats(rows))
    var sums = [LogitSums](repeating: LogitSums(), count: rows)
    LogitKernels.add(
      Matrix(&work, rows: rows, columns: columns), first: 0, targets: targets, inverseTemperatures: inverses,
      to: &sums, entropy: withEntropy)
    let (logps, entropies) = (sums.map(\.logProbability), sums.map(\.entropy))
    entropies.withUnsafeBufferPointer { entropies in
      dentropies.withUnsafeBufferPointer { dentropies in
        LogitKernels.logProbabilitiesBackward(
          Matrix(&gradient, rows: rows, columns: columns), first: 0, targets: targets,
          inverseTemperatures: inverses, logSums: sums.map(\.logSum),
          entropies: withEntropy ? entropies.baseAddress : nil, dlogProbabilities: dlogps,
          dentropies: withEntropy ? dentropies.baseAddress : nil)
      }
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

  /// The sums of one row of logits for a target.
  private func sums(_ logits: [Float], _ target: Int32 = 0, _ inverse: Float = 1) -> LogitSums {
    var (work, sums) = (logits, LogitSums())
    LogitKernels.add(
      Matrix(&work, rows: 1, columns: logits.count), first: 0, targets: [target],
      inverseTemperatures: [inverse], to: &sums, entropy: true)
    // The forward pass leaves the logits alone.
    #expect(zip(work, logits).allSatisfy { $0.bitPattern == $1.bitPattern })
    return sums
  }

  @Test func certainRows() {
    let row = sums([500, -500, -.infinity, 0])
    #expect(row.logProbability == 0 && row.logSum == 500 && row.entropy == 0)
  }

  @Test(arguments: [LogitKernels.block - 1, LogitKernels.block, 3 * LogitKernels.block + 7, 5000])
  func partsOfTheVocabulary(columns: Int) {
    var random = Random(UInt64(columns))
    // Whole blocks lie far below and far above others, and one has no possible token.
    var logits = random.floats(columns, in: -8...8)
    for (i, shift) in ([-300, 40, -.infinity, 60] as [Float]).enumerated() {
      for j in i * LogitKernels.block..<(i + 1) * LogitKernels.block where j < columns { logits[j] += shift }
    }
    for target in [0, columns / 2, columns - 1].map(Int32.init) {
      let whole = sums(logits, target, 0.7)
      let exact = reference(logits[...], 0.7)
      expectClose([whole.entropy], [exact.entropy], 1e-5, "entropy")
      expectClose([whole.logProbability], [exact.logps[Int(target)]], 3e-5, "log-probability")
      let dlogp: Float = 0.3
      var all = logits
      LogitKernels.logProbabilitiesBackward(
        Matrix(&all, rows: 1, columns: columns), first: 0, targets: [target], inverseTemperatures: [0.7],
        logSums: [whole.logSum], entropies: nil, dlogProbabilities: [dlogp], dentropies: nil)
      for length in [1, 2, 3].map({ $0 * LogitKernels.block }) {
        var (parts, gradient) = (LogitSums(), [Float]())
        for start in stride(from: 0, to: columns, by: length) {
          var part = Array(logits[start..<min(columns, start + length)])
          part.withUnsafeMutableBufferPointer { part in
            let matrix = Matrix(part.baseAddress!, rows: 1, columns: part.count)
            LogitKernels.add(
              matrix, first: start, targets: [target], inverseTemperatures: [0.7], to: &parts, entropy: true)
            LogitKernels.logProbabilitiesBackward(
              matrix, first: start, targets: [target], inverseTemperatures: [0.7], logSums: [whole.logSum],
              entropies: nil, dlogProbabilities: [dlogp], dentropies: nil)
          }
          gradient += part
        }
        // The same bits, not only the same numbers.
        #expect(parts.logProbability.bitPattern == whole.logProbability.bitPattern)
        #expect(parts.logSum == whole.logSum && parts.entropy == whole.entropy)
        #expect(gradient == all)
      }
    }
  }

  // MARK: Choosing a token

  @Test(arguments: columns)
  func choices(columns: Int) {
    var random = Random(UInt64(columns))
    let logits = random.floats(columns, in: -6...6)
    let inverse: Float = 0.8
    let exact = reference(logits[...], inverse).logps
    #expect(LogitKernels.argmax(logits, columns) == logits.firstIndex(of: logits.max()!))
    for index in [0, columns / 2, columns - 1] {
      let logp = LogitKernels.logProb(of: index, logits, inverseTemperature: inverse, columns)
      expectClose([logp], [exact[index]], 3e-6, "log-probability of \(index)")
    }
    // The index whose share of the distribution function holds the uniform number.
    for step in 0..<200 {
      let uniform = (Double(step) + 0.5) / 200
      let (index, logp) = LogitKernels.sample(logits, inverseTemperature: inverse, uniform: uniform, columns)
      let below = exact[..<index].reduce(0) { $0 + exp($1) }
      #expect(below <= uniform + 1e-6 && uniform <= below + exp(exact[index]) + 1e-6)
      expectClose([logp], [exact[index]], 3e-6, "log-probability of sample \(index)")
    }
    let candidates = LogitKernels.candidates(
      logits, inverseTemperature: inverse, minimumShare: 0.1, tail: 0, columns)
    let peak = exact.max()!
    #expect(candidates.map(\.id) == exact.indices.filter { exact[$0] >= peak + log(0.1) })
    expectClose(candidates.map(\.probability), candidates.map { exp(exact[$0.id]) }, 1e-6, "candidates")
    for count in [1, 3, columns, columns + 5] {
      let top = Array(logits.sorted(by: >).prefix(count))
      let entropy = LogitKernels.topEntropy(logits, count: count, columns)
      expectClose([entropy], [reference(top[...], 1).entropy], 5e-6, "entropy of the first \(count)")
    }
  }

  @Test func samplesNeverTakeImpossibleTokens() {
    let logits: [Float] = [-.infinity, 2, -.infinity, 2, -.infinity]
    for uniform in [0, 0.25, 0.499_999, 0.5, 0.75, 1 - 1e-16] {
      let (index, logp) = LogitKernels.sample(logits, inverseTemperature: 1, uniform: uniform, 5)
      #expect(index == 1 || index == 3)
      #expect(abs(logp + log(2)) < 1e-6)
    }
  }

  // MARK: Edges

  @Test(arguments: Array(1...40))
  func rowsOfEveryLength(columns: Int) {
    var random = Random(UInt64(columns))
    var logits = random.floats(columns, in: -120...20)
    if columns > 3 { logits[columns / 2] = -.infinity }
    let exact = reference(logits[...], 1)
    var (y, softmax) = ([Float](repeating: .nan, count: columns), [Float](repeating: .nan, count: columns))
    ReductionKernels.logSoftmax(logits, into: &y, rows: 1, columns: columns)
    expectClose(y, exact.logps, 1e-6, "log-softmax")
    LogitKernels.softmax(logits, into: &softmax, rows: 1, columns: columns)
    expectClose(softmax, exact.logps.map { exp($0) }, 1e-6, "softmax")
    let row = sums(logits)
    expectClose([row.entropy], [exact.entropy], 2e-6, "entropy of \(columns)")
    let drawn = LogitKernels.logProb(of: 0, logits, inverseTemperature: 1, columns)
    #expect(abs(drawn - row.logProbability) <= 1e-5 * max(1, abs(row.logProbability)))
  }

  @Test func theFirstOfTheLargest() {
    for columns in [1, 2, 255, 256, 257, 700] {
      for place in [0, columns / 2, columns - 1] {
        var logits = [Float](repeating: -1, count: columns)
        logits[place] = 3
        logits[columns - 1] = 3
        #expect(LogitKernels.argmax(logits, columns) == place)
      }
      #expect(LogitKernels.argmax([Float](repeating: -.infinity, count: columns), columns) == 0)
      #expect(LogitKernels.argmax([Float](repeating: -1, count: columns - 1) + [.nan], columns) == 0)
    }
  }

  @Test func whatIsNoNumberIsSeen() {
    for columns in [1, 16, 17, 40, 100, 1500] {
      for bad in [Float.nan, .infinity] {
        var logits = [Float](repeating: 1, count: columns)
        logits[columns - 1] = bad
        let row = sums(logits, 0, 0.5)
        #expect(row.logProbability.isNaN || row.logProbability == -.infinity || columns == 1)
        #expect(row.entropy.isNaN)
        let (index, _) = LogitKernels.sample(logits, inverseTemperature: 1, uniform: 0.5, columns)
        #expect((0..<columns).contains(index))
      }
    }
  }

  @Test(arguments: [1, 255, 256, 257, 512, 1000, 49152])
  func samplesInvertTheDistributionFunction(columns: Int) {
    var random = Random(UInt64(columns))
    var logits = random.floats(columns, in: -10...10)
    for i in stride(from: 3, to: columns, by: 7) { logits[i] = -.infinity }
    for inverse: Float in [0.5, 1, 2.5] {
      let exact = reference(logits[...], inverse).logps
      var below = [0.0]
      for logp in exact { below.append(below[below.count - 1] + exp(logp)) }
      for step in 0..<100 {
        let uniform = step == 0 ? 0 : step == 99 ? 1 - 0x1p-53 : (Double(step) + 0.5) / 100
        let (index, logp) = LogitKernels.sample(
          logits, inverseTemperature: inverse, uniform: uniform, columns)
        #expect(below[index] <= uniform + 2e-6 && uniform <= below[index + 1] + 2e-6)
        #expect(abs(Double(logp) - exact[index]) < 1e-5)
        // The same place of a copy elsewhere in memory, and what training computes.
        let moved = [0] + logits
        moved.withUnsafeBufferPointer {
          let again = LogitKernels.sample(
            $0.baseAddress! + 1, inverseTemperature: inverse, uniform: uniform, columns)
          #expect(again.index == index && again.logProb == logp)
        }
        let scored = LogitKernels.logProb(of: index, logits, inverseTemperature: inverse, columns)
        #expect(abs(scored - logp) < 1e-5)
      }
    }
  }
}
