// The optimiser: AdamW with global gradient-norm clipping, which refuses to take a step that is not finite.
import Kernels
import Model
import Tensor

/// AdamW (Loshchilov and Hutter, arXiv:1711.05101) over the parameters of a model.
public final class AdamW: @unchecked Sendable {
  /// Settings; each can be changed between steps.
  public struct Settings: Sendable {
    /// Step size.
    public var learningRate: Float = 1e-6
    /// Decay of the average gradient.
    public var beta1: Float = 0.9
    /// Decay of the average squared gradient.
    public var beta2: Float = 0.999
    /// Added to the denominator.
    public var epsilon: Float = 1e-8
    /// Decoupled decay of all parameters, in units of the learning rate.
    public var weightDecay: Float = 0.01

    /// PyTorch's defaults, with the learning rate of mid-training.
    public init() {}
  }

  /// What a step did.
  public struct Report: Sendable {
    /// Norm of all gradients together before clipping.
    public let gradNorm: Double
    /// True if the norm was not finite: then nothing was changed.
    public let isSkipped: Bool
  }

  /// What the next step is taken with.
  public var settings: Settings
  /// Steps taken, skipped ones not counted.
  public private(set) var stepCount = 0
  let parameters: [(name: String, tensor: Tensor)]
  /// Averages of gradients and of their squares, made at a parameter's first step.
  private(set) var moments: [String: (first: Tensor, second: Tensor)] = [:]

  /// An optimiser of `parameters`, which get `requiresGradient`.
  public init(parameters: [(name: String, tensor: Tensor)], settings: Settings = Settings()) {
    self.parameters = parameters
    self.settings = settings
    for (_, tensor) in parameters { tensor.requiresGradient = true }
  }

  /// Bytes of both moments of all parameters, from the first step on.
  public var stateBytes: Int {
    parameters.reduce(0) { $0 + 2 * $1.tensor.count * MemoryLayout<Float>.stride }
  }

  /// Bytes of the moments that exist now.
  public var allocatedBytes: Int {
    moments.values.reduce(0) { $0 + 8 * $1.first.count }
  }

  /// Forgets all gradients.
  ///
  /// - Parameter keepingMemory: whether their memory is kept for the next ones: faster, where there is room for all of it
  ///   beside a step's activations.
  public func zeroGradients(keepingMemory: Bool = false) {
    for (_, tensor) in parameters { tensor.zeroGradient(keepingMemory: keepingMemory) }
  }

  /// Takes a step along the accumulated gradients; parameters without one stay as they are.
  ///
  /// - Parameter maxGradNorm: gradients with a larger norm are scaled down to it; nil for no limit.
  public func step(maxGradNorm: Double? = nil) -> Report {
    let active = parameters.filter { $0.tensor.gradient != nil }
    let norm = active.reduce(0.0) { $0 + Self.squareSum($1.tensor.gradient!) }.squareRoot()
    guard norm.isFinite else { return Report(gradNorm: norm, isSkipped: true) }
    stepCount += 1
    // PyTorch's clip_grad_norm_ adds 1e-6 to the norm.
    let scale = maxGradNorm.map { min(1, $0 / (norm + 1e-6)) } ?? 1
    let settings = OptimizerKernels.AdamW(
      learningRate: settings.learningRate, beta1: settings.beta1, beta2: settings.beta2,
      epsilon: settings.epsilon, weightDecay: settings.weightDecay, gradientScale: Float(scale),
      step: stepCount)
    for (name, tensor) in active {
      let (first, second) = moments(name, tensor)
      OptimizerKernels.adamW(
        weights: tensor.pointer, gradient: tensor.gradient!.pointer, first: first.pointer,
        second: second.pointer,
        count: tensor.count, settings: settings)
      tensor.markWritten()
    }
    return Report(gradNorm: norm, isSkipped: false)
  }

  /// Takes over a state that was saved.
  func restore(stepCount: Int, moments: [String: (first: Tensor, second: Tensor)]) {
    (self.stepCount, self.moments) = (stepCount, moments)
  }

  private func moments(_ name: String, _ tensor: Tensor) -> (first: Tensor, second: Tensor) {
    if let known = moments[name] { return known }
    let fresh = (Tensor(repeating: 0, shape: tensor.shape), Tensor(repeating: 0, shape: tensor.shape))
    moments[name] = fresh
    return fresh
  }

  private static func squareSum(_ gradient: Tensor) -> Double {
    var partials = [Float](repeating: 0, count: OptimizerKernels.partialCount(gradient.count))
    OptimizerKernels.squareSums(gradient.pointer, count: gradient.count, partials: &partials)
    return partials.reduce(0.0) { $0 + Double($1) }
  }
}
