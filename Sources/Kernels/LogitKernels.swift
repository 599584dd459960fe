// Row-wise kernels over logits: log-probability and entropy of a token, their gradient, softmax.
import Glibc

/// Kernels that read one row of V logits at a time.
public enum LogitKernels {
  /// For each row: the log-probability of its target, the logarithm of the sum of exponentials, and the entropy in
  /// nats, all of softmax(logits / temperature).
  ///
  /// - Parameters:
  ///   - logits: (N, V), overwritten. `targets`, `inverseTemperatures` and the three results: (N).
  public static func logProbabilities(
    _ logits: UnsafeMutablePointer<Float>, targets: UnsafePointer<Int32>,
    inverseTemperatures: UnsafePointer<Float>, logProbabilities: UnsafeMutablePointer<Float>,
    logSums: UnsafeMutablePointer<Float>, entropies: UnsafeMutablePointer<Float>?, rows N: Int, columns V: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: 1) { rows in
      for n in rows {
        let row = logits + n * V
        let inverse = inverseTemperatures[n]
        if inverse != 1 { VectorKernels.scale(row, by: inverse, V) }
        let target = row[Int(targets[n])]
        let peak = VectorKernels.maximum(row, V)
        var weighted: Float = 0
        let shift = Vector(repeating: peak)
        let sum: Float
        if entropies == nil {
          sum = sumVector(
            V, { exponential(row.vector($0) - shift) },
            { exponential(row.partial($0, $1, fill: -.infinity) - shift) })
        } else {
          // Σ e^(z−m)·(z−m), with what lies out of range giving 0 and not 0·∞.
          sum = sumVector(
            V, { exponential(row.vector($0) - shift) },
            { exponential(row.partial($0, $1, fill: -.infinity) - shift) })
          weighted = sumVector(
            V,
            { i in
              let z = row.vector(i) - shift
              return exponential(z) * z.replacing(with: -100, where: z .< -100)
            },
            { i, count in
              let z = row.partial(i, count, fill: -.infinity) - shift
              return exponential(z) * z.replacing(with: -100, where: z .< -100)
            })
        }
        let logSum = Glibc.log(sum)
        logProbabilities[n] = target - peak - logSum
        logSums[n] = peak + logSum
        entropies?[n] = logSum - weighted / sum
      }
    }
  }

  /// Replaces logits by their gradient: with z = logits / T, p = softmax(z) and H its entropy,
  /// d/dlogits = (g_lp · (1[target] − p) − g_H · p · (log p + H)) / T.
  public static func logProbabilitiesBackward(
    _ logits: UnsafeMutablePointer<Float>, targets: UnsafePointer<Int32>,
    inverseTemperatures: UnsafePointer<Float>, logSums: UnsafePointer<Float>,
    entropies: UnsafePointer<Float>?,
    dlogProbabilities: UnsafePointer<Float>, dentropies: UnsafePointer<Float>?, rows N: Int, columns V: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: 1) { rows in
      for n in rows {
        let row = logits + n * V
        let inverse = Vector(repeating: inverseTemperatures[n])
        let shift = Vector(repeating: logSums[n])
        let g = dlogProbabilities[n]
        let slope = Vector(repeating: -g * inverseTemperatures[n])
        if let dentropies, let entropies, dentropies[n] != 0 {
          let pull = Vector(repeating: dentropies[n] * inverseTemperatures[n])
          let entropy = entropies[n]
          mapVector(UnsafePointer(row), row, V) { logit in
            let logp = logit * inverse - shift
            let p = exponential(logp)
            return p * (slope - pull * (logp.replacing(with: -100, where: logp .< -100) + entropy))
          }
        } else {
          mapVector(UnsafePointer(row), row, V) { logit in exponential(logit * inverse - shift) * slope }
        }
        row[Int(targets[n])] += g * inverseTemperatures[n]
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
}
