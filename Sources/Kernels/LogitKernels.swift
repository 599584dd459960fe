// Row-wise kernels over logits: log-probability and entropy of a token, their gradient, softmax.
import Glibc

/// Kernels that read one row of V logits at a time.
public enum LogitKernels {
  /// For each row: the log-probability of its target, the logarithm of the sum of exponentials, and the entropy in
  /// nats, all of softmax(logits / temperature).
  ///
  /// - Parameters:
  ///   - logits: (N, V), overwritten.
  ///   - targets, inverseTemperatures: N values, slices of the rows' places in a longer list.
  ///   - logProbabilities, logSums, entropies: (N).
  public static func logProbabilities(
    _ logits: Matrix, targets: ArraySlice<Int32>, inverseTemperatures: ArraySlice<Float>,
    logProbabilities: UnsafeMutablePointer<Float>, logSums: UnsafeMutablePointer<Float>,
    entropies: UnsafeMutablePointer<Float>?
  ) {
    let V = logits.columns
    ThreadPool.shared.forEach(count: logits.rows, grain: 1) { rows in
      for n in rows {
        let row = logits.pointer + n * logits.stride
        let inverse = inverseTemperatures[inverseTemperatures.startIndex + n]
        if inverse != 1 { VectorKernels.scale(row, by: inverse, V) }
        let target = row[Int(targets[targets.startIndex + n])]
        let peak = VectorKernels.maximum(row, V)
        let shift = Vector(repeating: peak)
        let sum = sumVector(
          V, { exponential(row.vector($0) - shift) },
          { exponential(row.partial($0, $1, fill: -.infinity) - shift) })
        let logSum = Glibc.log(sum)
        logProbabilities[n] = target - peak - logSum
        logSums[n] = peak + logSum
        if let entropies {
          // Σ e^(z−m)·(z−m), with what lies out of range giving 0 and not 0·∞.
          @inline(__always) func weigh(_ z: Vector) -> Vector {
            exponential(z) * z.replacing(with: -100, where: z .< -100)
          }
          let weighted = sumVector(
            V, { weigh(row.vector($0) - shift) }, { weigh(row.partial($0, $1, fill: -.infinity) - shift) })
          entropies[n] = logSum - weighted / sum
        }
      }
    }
  }

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
          mapVector(UnsafePointer(row), row, V) { logit in
            let logp = logit * inverse - shift
            let p = exponential(logp)
            return p * (slope - pull * (logp.replacing(with: -100, where: logp .< -100) + entropy))
          }
        } else {
          mapVector(UnsafePointer(row), row, V) { logit in exponential(logit * inverse - shift) * slope }
        }
        row[Int(targets[targets.startIndex + n])] += g * factor
      }
    }
  }

  /// Softmax of each row, in place. `inverseTemperature` multiplies the logits first.
  public static func softmax(
    _ logits: UnsafeMutablePointer<Float>, inverseTemperature: Float = 1, rows N: Int, columns V: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: 1) { rows in
      for n in rows {
        let row = logits + n * V
        if inverseTemperature != 1 { VectorKernels.scale(row, by: inverseTemperature, V) }
        let sum = VectorKernels.expSum(row, shift: VectorKernels.maximum(row, V), V)
        VectorKernels.scale(row, by: 1 / sum, V)
      }
    }
  }

  // MARK: Choosing a token

  /// The first of the largest logits.
  public static func argmax(_ logits: UnsafePointer<Float>, _ V: Int) -> Int {
    let peak = VectorKernels.maximum(logits, V)
    return (0..<V).first { logits[$0] == peak } ?? 0
  }

  /// log softmax(logits · inverseTemperature)[index].
  public static func logProb(
    of index: Int, _ logits: UnsafePointer<Float>, inverseTemperature: Float, _ V: Int
  ) -> Float {
    let (inverse, peak) = (
      Vector(repeating: inverseTemperature), VectorKernels.maximum(logits, V) * inverseTemperature
    )
    let shift = Vector(repeating: peak)
    let sum = sumVector(
      V, { exponential(logits.vector($0) * inverse - shift) },
      { exponential(logits.partial($0, $1, fill: -.infinity) * inverse - shift) })
    return logits[index] * inverseTemperature - peak - Glibc.log(sum)
  }

  /// Draws an index from softmax(logits · inverseTemperature) by inverting its distribution function at `uniform`.
  ///
  /// - Returns: the index and its log-probability.
  public static func sample(
    _ logits: UnsafePointer<Float>, inverseTemperature: Float, uniform: Double, _ V: Int
  ) -> (index: Int, logProb: Float) {
    let (inverse, peak) = (
      Vector(repeating: inverseTemperature), VectorKernels.maximum(logits, V) * inverseTemperature
    )
    let shift = Vector(repeating: peak)
    func weights(_ i: Int) -> Vector {
      exponential(
        (i + 16 <= V ? logits.vector(i) : logits.partial(i, V - i, fill: -.infinity)) * inverse - shift)
    }
    var total = 0.0
    for i in stride(from: 0, to: V, by: 16) { total += Double(weights(i).sum()) }
    let target = uniform * total
    var (sum, chosen) = (0.0, -1)
    search: for i in stride(from: 0, to: V, by: 16) {
      let block = weights(i)
      let after = sum + Double(block.sum())
      if after > target {
        var inside = sum
        for j in 0..<min(16, V - i) where block[j] > 0 {
          chosen = i + j
          inside += Double(block[j])
          if inside > target { break search }
        }
        // Rounding within the block may fall short of its sum: its last possible token it is.
        break search
      }
      sum = after
    }
    if chosen < 0 { chosen = argmax(logits, V) }
    return (chosen, logits[chosen] * inverseTemperature - peak - Float(Glibc.log(total)))
  }

  /// Tokens with their probabilities in softmax(logits · inverseTemperature), without those below `tail` and those
  /// less probable than `minimumShare` times the most probable one.
  public static func candidates(
    _ logits: UnsafePointer<Float>, inverseTemperature: Float, minimumShare: Float, tail: Float, _ V: Int
  ) -> [(id: Int, probability: Float)] {
    var probabilities = [Float](repeating: 0, count: V)
    return probabilities.withUnsafeMutableBufferPointer { buffer in
      let p = buffer.baseAddress!
      mapVector(logits, p, V) { $0 * inverseTemperature }
      let sum = VectorKernels.expSum(p, shift: VectorKernels.maximum(p, V), V)
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
