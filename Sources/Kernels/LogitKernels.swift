// Row-wise kernels over logits: log-probability and entropy of a token, their gradient, softmax.
import CIntrinsics
import Glibc

/// Kernels that read one row of V logits at a time.
public enum LogitKernels {
  /// For each row: the log-probability of its target, the logarithm of the sum of exponentials, and the entropy in
  /// nats, all of softmax(logits / temperature).
  ///
  /// - Parameters:
  ///   - logits: (N, V).
  ///   - targets, inverseTemperatures: N values, slices of the rows' places in a longer list; factors are positive.
  ///   - logProbabilities, logSums, entropies: (N).
  public static func logProbabilities(
    _ logits: Matrix, targets: ArraySlice<Int32>, inverseTemperatures: ArraySlice<Float>,
    logProbabilities: UnsafeMutablePointer<Float>, logSums: UnsafeMutablePointer<Float>,
    entropies: UnsafeMutablePointer<Float>?
  ) {
    let V = logits.columns
    ThreadPool.shared.forEach(count: logits.rows, grain: 1) { rows in
      for n in rows {
        let row = UnsafePointer(logits.pointer + n * logits.stride)
        let inverse = inverseTemperatures[inverseTemperatures.startIndex + n]
        let target = row[Int(targets[targets.startIndex + n])] * inverse
        let peak = VectorKernels.maximum(row, V) * inverse
        let sum: Float
        if let entropies {
          let (exponentials, weighted) = entropySums(row, inverse, -peak, V)
          sum = exponentials
          entropies[n] = Glibc.log(sum) - weighted / sum
        } else {
          sum = VectorKernels.sumOfExponentials(row, times: inverse, plus: -peak, V)
        }
        let logSum = Glibc.log(sum)
        logProbabilities[n] = target - peak - logSum
        logSums[n] = peak + logSum
      }
    }
  }

  /// Σ e^z and Σ e^z·z with z = row · factor + offset.
  private static func entropySums(
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
  /// d/dlogits = (g_lp · (1[target] − p) − g_H · p · (log p + H)) / T.
  public static func logProbabilitiesBackward(
    _ logits: Matrix, targets: ArraySlice<Int32>, inverseTemperatures: ArraySlice<Float>,
    logSums: UnsafePointer<Float>, entropies: UnsafePointer<Float>?, dlogProbabilities: UnsafePointer<Float>,
    dentropies: UnsafePointer<Float>?
  ) {
    let V = logits.columns
    ThreadPool.shared.forEach(count: logits.rows, grain: 1) { rows in
      for n in rows {
        let row = logits.pointer + n * logits.stride
        let factor = inverseTemperatures[inverseTemperatures.startIndex + n]
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
        row[Int(targets[targets.startIndex + n])] += g * factor
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

  /// Logits that are looked at together; a token is then searched for in one block only.
  private static let block = 256

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
