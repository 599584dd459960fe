// Kernels of an optimiser step: gradient norms and AdamW.
import Glibc

/// Kernels over parameters and their gradients.
public enum OptimizerKernels {
  /// Elements that one thread takes at a time; fixed, so that no result depends on the number of threads.
  private static let grain = 1 << 15

  /// Number of partial sums that `squareSums` writes for `count` elements.
  public static func partialCount(_ count: Int) -> Int { (count + grain - 1) / grain }

  /// Writes Σ g² of each piece of a gradient to `partials`; a non-finite element makes its piece non-finite.
  public static func squareSums(
    _ g: UnsafePointer<Float>, count: Int, partials: UnsafeMutablePointer<Float>
  ) {
    ThreadPool.shared.forEach(count: count, grain: grain) { piece in
      let start = g + piece.lowerBound
      partials[piece.lowerBound / grain] = VectorKernels.dot(start, start, piece.count)
    }
  }

  /// Settings of one AdamW step.
  public struct AdamW: Sendable {
    /// Step size.
    public var learningRate: Float
    /// Decay of the average gradient.
    public var beta1: Float
    /// Decay of the average squared gradient.
    public var beta2: Float
    /// Added to the denominator.
    public var epsilon: Float
    /// Decoupled decay, in units of the learning rate.
    public var weightDecay: Float
    /// What gradients are multiplied by first: the clipping coefficient.
    public var gradientScale: Float
    /// 1-based number of this step, for the bias corrections.
    public var step: Int

    /// All settings of one step.
    public init(
      learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, weightDecay: Float,
      gradientScale: Float,
      step: Int
    ) {
      self.learningRate = learningRate
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.weightDecay = weightDecay
      self.gradientScale = gradientScale
      self.step = step
    }
  }

  /// One step of AdamW (Loshchilov and Hutter, arXiv:1711.05101), as PyTorch computes it: decay first, then
  /// w −= lr / (1 − β1ᵗ) · m / (√v / √(1 − β2ᵗ) + ε).
  public static func adamW(
    weights w: UnsafeMutablePointer<Float>, gradient g: UnsafePointer<Float>,
    first m: UnsafeMutablePointer<Float>,
    second v: UnsafeMutablePointer<Float>, count: Int, settings: AdamW
  ) {
    let step = Double(settings.step)
    let correction1 = 1 - pow(Double(settings.beta1), step)
    let correction2 = 1 - pow(Double(settings.beta2), step)
    let rate = Vector(repeating: Float(Double(settings.learningRate) / correction1))
    let decay = Vector(repeating: 1 - settings.learningRate * settings.weightDecay)
    let rootScale = Vector(repeating: Float(1 / correction2.squareRoot()))
    let (scale, epsilon) = (Vector(repeating: settings.gradientScale), Vector(repeating: settings.epsilon))
    let (keep1, keep2) = (Vector(repeating: settings.beta1), Vector(repeating: settings.beta2))
    let (take1, take2) = (Vector(repeating: 1 - settings.beta1), Vector(repeating: 1 - settings.beta2))
    ThreadPool.shared.forEach(count: count, grain: grain) { piece in
      let start = piece.lowerBound
      let (w, g, m, v) = (w + start, g + start, m + start, v + start)
      for (i, n) in steps(piece.count) {
        let gradient = g.load(i, n) * scale
        let first = multiplyAdd(m.load(i, n), keep1, gradient * take1)
        let second = multiplyAdd(v.load(i, n), keep2, gradient * gradient * take2)
        let denominator = multiplyAdd(second.squareRoot(), rootScale, epsilon)
        m.store(first, i, n)
        v.store(second, i, n)
        w.store(w.load(i, n) * decay - rate * first / denominator, i, n)
      }
    }
  }
}
