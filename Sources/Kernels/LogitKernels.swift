// Row-wise kernels over logits: log-probability and entropy of a token, their gradient, softmax.
import CIntrinsics
import Glibc

/// What is known of softmax(logits / temperature) for one row whose logits come part by part. Here z are logits times the
/// inverse temperature.
public struct LogitSums {
  /// The largest z.
  private var peak = -Float.infinity
  /// Σ e^(z − peak).
  private var exponentials: Float = 0
  /// Σ e^(z − peak)·(z − peak), where entropies are wanted.
  private var weighted: Float = 0
  /// z of the target.
  fileprivate var target: Float = 0

  /// Before the first part.
  public init() {}

  /// The logarithm of the sum of exponentials.
  public var logSum: Float { peak + Glibc.log(exponentials) }

  /// The logarithm of the target's probability.
  public var logProbability: Float { target - peak - Glibc.log(exponentials) }

  /// The entropy in nats.
  public var entropy: Float { Glibc.log(exponentials) - weighted / exponentials }

  /// Takes one block of logits into account.
  @inline(__always)
  fileprivate mutating func add(_ logits: UnsafePointer<Float>, _ count: Int, _ inverse: Float, entropy: Bool)
  {
    let peak = VectorKernels.maximum(logits, count) * inverse
    // Logits of -infinity alone add nothing.
    if peak == -.infinity { return }
    var block = LogitSums()
    block.peak = peak
    if entropy {
      (block.exponentials, block.weighted) = LogitKernels.entropySums(logits, inverse, -peak, count)
    } else {
      block.exponentials = VectorKernels.sumOfExponentials(logits, times: inverse, plus: -peak, count)
    }
    if exponentials == 0 {
      (self.peak, exponentials, weighted) = (peak, block.exponentials, block.weighted)
    } else {
      let highest = max(self.peak, peak)
      rescale(to: highest)
      block.rescale(to: highest)
      exponentials += block.exponentials
      weighted += block.weighted
    }
  }

  /// Expresses the sums by a peak that is at least as high.
  @inline(__always)
  private mutating func rescale(to highest: Float) {
    let shift = peak - highest
    if shift == 0 { return }
    let factor = Glibc.exp(shift)
    weighted = factor * (weighted + shift * exponentials)
    exponentials *= factor
    peak = highest
  }
}

/// Kernels that read one row of V logits at a time.
public enum LogitKernels {
  /// Logits of a row that are looked at together: a token is then searched for in one block only, and parts of a
  /// vocabulary that begin at multiples of it give the same sums however many they are.
  public static let block = 256

  /// Takes logits of some tokens into account, for each row.
  ///
  /// - Parameters:
  ///   - logits: (N, any number of tokens).
  ///   - first: the token of the first column, a multiple of `block`.
  ///   - targets, inverseTemperatures: N tokens of the whole vocabulary, and N positive factors.
  ///   - sums: (N).
  public static func add(
    _ logits: Matrix, first: Int, targets: [Int32], inverseTemperatures: [Float],
    to sums: UnsafeMutablePointer<LogitSums>, entropy: Bool
  ) {
    ThreadPool.shared.forEach(count: logits.rows, grain: 1) { rows in
      for n in rows {
        let row = UnsafePointer(logits.pointer + n * logits.stride)
        let (inverse, target) = (inverseTemperatures[n], Int(targets[n]) - first)
        if target >= 0, target < logits.columns { sums[n].target = row[target] * inverse }
        for start in stride(from: 0, to: logits.columns, by: block) {
          sums[n].add(row + start, min(block, logits.columns - start), inverse, entropy: entropy)
        }
      }
    }
  }

  /// Σ e^z and Σ e^z·z with z = row · factor + offset.
  fileprivate static func entropySums(
    _ row: UnsafePointer<Float>, _ factor: Float, _ offset: Float, _ V: Int
  ) -> (exponentials: Float, weighted: Float) {
    let (factor, offset) = (Vector(repeating: factor), Vector(repeating: offset))
    var (s0, s1, w0, w1) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
    @inline(__always) func take(_ logits: Vector, _ s: inout Vector, _ w: inout Vector) {
      let z = multiplyAdd(logits, factor, offset)
      let e = boundedExponential(z)
      s += e
      w = multiplyAdd(e, bounded(z), w)
    }
    var i = 0
    while i + 32 <= V {
      take(row.vector(i), &s0, &w0)
      take(row.vector(i + 16), &s1, &w1)
      i += 32
    }
    if i + 16 <= V {
      take(row.vector(i), &s0, &w0)
      i += 16
    }
    if i < V { take(row.partial(i, V - i, fill: -.infinity), &s1, &w1) }
    return (horizontalSum(s0 + s1), horizontalSum(w0 + w1))
  }

  /// A logarithm of a probability, -100 for those of 0, so that their product is 0 and not 0·∞.
  @inline(__always)
  private static func bounded(_ z: Vector) -> Vector { mt_larger(Vector(repeating: -100), z) }

  /// Replaces logits by their gradient: with z = logits / T, p = softmax(z) and H its entropy,
  /// d/dlogits = (g_lp · (1[target] − p) − g_H · p · (log p + H)) / T. Parameters are those of `add`.
  public static func logProbabilitiesBackward(
    _ logits: Matrix, first: Int, targets: [Int32], inverseTemperatures: [Float],
    logSums: UnsafePointer<Float>, entropies: UnsafePointer<Float>?, dlogProbabilities: UnsafePointer<Float>,
    dentropies: UnsafePointer<Float>?
  ) {
    let V = logits.columns
    ThreadPool.shared.forEach(count: logits.rows, grain: 1) { rows in
      for n in rows {
        let row = logits.pointer + n * logits.stride
        let factor = inverseTemperatures[n]
        let (inverse, shift) = (Vector(repeating: factor), Vector(repeating: logSums[n]))
        let g = dlogProbabilities[n]
        let slope = Vector(repeating: -g * factor)
        if let dentropies, let entropies, dentropies[n] != 0 {
          let pull = Vector(repeating: dentropies[n] * factor)
          let entropy = entropies[n]
          for (i, n) in steps(V) {
            let logp = row.load(i, n) * inverse - shift
            let d = boundedExponential(logp) * (slope - pull * (bounded(logp) + entropy))
            row.store(d, i, n)
          }
        } else {
          for (i, n) in steps(V) {
            row.store(boundedExponential(row.load(i, n) * inverse - shift) * slope, i, n)
          }
        }
        let target = Int(targets[n]) - first
        if target >= 0, target < V { row[target] += g * factor }
      }
    }
  }

  /// `out = softmax(logits · inverseTemperature)` for each row of (N, V); both may be the same memory.
  public static func softmax(
    _ logits: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, inverseTemperature: Float = 1,
    rows N: Int, columns V: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: max(1, (1 << 12) / max(1, V))) { rows in
      for n in rows {
        let (row, out) = (logits + n * V, out + n * V)
        let peak = VectorKernels.maximum(row, V) * inverseTemperature
        let sum = VectorKernels.exponentials(of: row, times: inverseTemperature, plus: -peak, into: out, V)
        VectorKernels.scale(out, by: 1 / sum, V)
      }
    }
  }

  // MARK: Choosing a token

  /// The first of the largest logits; 0 where one is NaN.
  public static func argmax(_ logits: UnsafePointer<Float>, _ V: Int) -> Int {
    var (best, start) = (-Float.infinity, 0)
    for b in stride(from: 0, to: V, by: block) {
      let peak = VectorKernels.maximum(logits + b, min(block, V - b))
      if peak.isNaN { return 0 }
      if peak > best { (best, start) = (peak, b) }
    }
    return (start..<min(V, start + block)).first { logits[$0] == best } ?? 0
  }

  /// log softmax(logits · inverseTemperature)[index].
  public static func logProb(
    of index: Int, _ logits: UnsafePointer<Float>, inverseTemperature: Float, _ V: Int
  ) -> Float {
    let peak = VectorKernels.maximum(logits, V) * inverseTemperature
    let sum = VectorKernels.sumOfExponentials(logits, times: inverseTemperature, plus: -peak, V)
    return logits[index] * inverseTemperature - peak - Glibc.log(sum)
  }

  /// Draws an index from softmax(logits · inverseTemperature) by inverting its distribution function at `uniform`.
  ///
  /// - Returns: the index and its log-probability.
  public static func sample(
    _ logits: UnsafePointer<Float>, inverseTemperature: Float, uniform: Double, _ V: Int
  ) -> (index: Int, logProb: Float) {
    let peak = VectorKernels.maximum(logits, V) * inverseTemperature
    let blocks = (V + block - 1) / block
    let (chosen, total) = withUnsafeTemporaryAllocation(of: Float.self, capacity: blocks) { sums in
      var total = 0.0
      for b in 0..<blocks {
        let start = b * block
        sums[b] = VectorKernels.sumOfExponentials(
          logits + start, times: inverseTemperature, plus: -peak, min(block, V - start))
        total += Double(sums[b])
      }
      let target = uniform * total
      var sum = 0.0
      for b in 0..<blocks {
        let after = sum + Double(sums[b])
        if after > target {
          let start = b * block
          let inside = choose(
            logits + start, inverseTemperature, -peak, min(block, V - start), target - sum)
          return (inside.map { start + $0 }, total)
        }
        sum = after
      }
      return (nil, total)
    }
    let index = chosen ?? argmax(logits, V)
    return (index, logits[index] * inverseTemperature - peak - Float(Glibc.log(total)))
  }

  /// The first index up to which the weights e^(row · factor + offset) add up to more than `target`. Rounding may let
  /// all of them fall short of it: then it is the last that is possible at all.
  private static func choose(
    _ row: UnsafePointer<Float>, _ factor: Float, _ offset: Float, _ count: Int, _ target: Double
  ) -> Int? {
    withUnsafeTemporaryAllocation(of: Float.self, capacity: count) { weights in
      _ = VectorKernels.exponentials(
        of: row, times: factor, plus: offset, into: weights.baseAddress!, count)
      var (sum, chosen) = (0.0, Int?.none)
      for i in 0..<count where weights[i] > 0 {
        chosen = i
        sum += Double(weights[i])
        if sum > target { break }
      }
      return chosen
    }
  }

  /// Tokens with their probabilities in softmax(logits · inverseTemperature), without those below `tail` and those
  /// less probable than `minimumShare` times the most probable one.
  public static func candidates(
    _ logits: UnsafePointer<Float>, inverseTemperature: Float, minimumShare: Float, tail: Float, _ V: Int
  ) -> [(id: Int, probability: Float)] {
    var probabilities = [Float](repeating: 0, count: V)
    return probabilities.withUnsafeMutableBufferPointer { buffer in
      let p = buffer.baseAddress!
      let peak = VectorKernels.maximum(logits, V) * inverseTemperature
      let sum = VectorKernels.exponentials(of: logits, times: inverseTemperature, plus: -peak, into: p, V)
      VectorKernels.scale(p, by: 1 / sum, V)
      let least = max(tail, minimumShare / sum)
      return (0..<V).compactMap { p[$0] >= least && p[$0] > 0 ? ($0, p[$0]) : nil }
    }
  }

  /// Entropy in nats of softmax of each row's `count` largest logits.
  public static func topEntropy(_ row: UnsafePointer<Float>, count: Int, _ V: Int) -> Float {
    // The largest so far, ascending; most elements fail the first comparison.
    var top: [Float] = []
    for i in 0..<V {
      let value = row[i]
      if top.count == count, value <= top[0] { continue }
      if top.count == count { top.removeFirst() }
      top.insert(value, at: top.firstIndex { $0 > value } ?? top.count)
    }
    guard let peak = top.last else { return 0 }
    let sum = top.reduce(0) { $0 + Glibc.exp($1 - peak) }
    let weighted = top.reduce(0) { $0 + Glibc.exp($1 - peak) * ($1 - peak) }
    return Glibc.log(sum) - weighted / sum
  }
}
