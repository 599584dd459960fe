// Choosing the next token from logits.
import Kernels

/// How tokens are drawn.
public struct SamplingOptions: Sendable {
  /// Divides the logits; 0 takes the most probable token.
  public var temperature: Float = 1
  /// Keeps the k most probable tokens; 0 keeps all.
  public var topK = 0
  /// Keeps the fewest most probable tokens whose probabilities reach this sum; 1 keeps all.
  public var topP: Float = 1
  /// Keeps tokens at least this share as probable as the most probable one; 0 keeps all.
  public var minP: Float = 0
  /// What random numbers are made from, together with the place of the token: see `CounterRandom`.
  public var seed: UInt64 = 0
  /// Mixed into the seed, so that the steps of a run differ.
  public var step: UInt64 = 0

  /// Plain sampling at temperature 1.
  public init() {}

  /// Throws with the name of a value that is out of range.
  public func validate() throws(ModelError) {
    func check(_ isValid: Bool, _ message: @autoclosure () -> String) throws(ModelError) {
      if !isValid { throw ModelError(message()) }
    }
    try check(
      temperature >= 0 && temperature.isFinite, "temperature: expected a number ≥ 0, got \(temperature)")
    try check(topK >= 0, "top_k: expected 0 (off) or a positive count, got \(topK)")
    try check(topP > 0 && topP <= 1, "top_p: expected a number above 0 and at most 1, got \(topP)")
    try check(minP >= 0 && minP <= 1, "min_p: expected a number from 0 to 1, got \(minP)")
  }
}

/// Random numbers as a function of where they are used, so that a sample depends neither on what else is in its
/// batch nor on the number of threads.
public enum CounterRandom {
  /// A number in [0, 1) for one token of one sample.
  public static func uniform(seed: UInt64, step: UInt64, prompt: Int, sample: Int, token: Int) -> Double {
    var state = mix(seed &+ 0x9E37_79B9_7F4A_7C15)
    for part in [step, UInt64(prompt), UInt64(sample), UInt64(token)] {
      state = mix(state ^ mix(part &+ 0x9E37_79B9_7F4A_7C15))
    }
    return Double(state >> 11) / Double(1 << 53)
  }

  /// The finaliser of SplitMix64 (Steele, Lea and Flood, 2014).
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}

/// Draws tokens from rows of logits.
struct Sampler {
  let options: SamplingOptions

  /// A token, and its log-probability in softmax(logits / temperature) before any token is excluded: what a training
  /// pass computes for it. At temperature 0 it is taken at temperature 1.
  func draw(_ logits: UnsafePointer<Float>, count V: Int, uniform: Double) -> (id: Int32, logProb: Float) {
    if options.temperature == 0 {
      let best = LogitKernels.argmax(logits, V)
      return (Int32(best), LogitKernels.logProb(of: best, logits, inverseTemperature: 1, V))
    }
    let inverse = 1 / options.temperature
    if options.topK == 0, options.topP >= 1, options.minP == 0 {
      let (id, logProb) = LogitKernels.sample(logits, inverseTemperature: inverse, uniform: uniform, V)
      return (Int32(id), logProb)
    }
    let id = drawFiltered(logits, inverse, V, uniform)
    return (Int32(id), LogitKernels.logProb(of: id, logits, inverseTemperature: inverse, V))
  }

  private func drawFiltered(_ logits: UnsafePointer<Float>, _ inverse: Float, _ V: Int, _ uniform: Double)
    -> Int
  {
    var kept = LogitKernels.candidates(
      logits, inverseTemperature: inverse, minimumShare: options.minP,
      tail: options.topP < 1 ? (1 - options.topP) / Float(V) : 0, V)
    // Most probable first; of equals the lower id, so that ties have one outcome.
    kept.sort { $0.probability != $1.probability ? $0.probability > $1.probability : $0.id < $1.id }
    if options.topK > 0, kept.count > options.topK { kept.removeLast(kept.count - options.topK) }
    if options.topP < 1 {
      let total = options.topK > 0 ? kept.reduce(0) { $0 + Double($1.probability) } : 1
      var sum = 0.0
      let needed = kept.firstIndex { candidate in
        sum += Double(candidate.probability)
        return sum >= Double(options.topP) * total
      }
      if let needed { kept.removeLast(kept.count - needed - 1) }
    }
    let target = uniform * kept.reduce(0) { $0 + Double($1.probability) }
    var sum = 0.0
    for candidate in kept {
      sum += Double(candidate.probability)
      if sum > target { return candidate.id }
    }
    // Nothing is kept of logits that are not numbers: any token will do, its log-probability is not finite either.
    return kept.last?.id ?? 0
  }
}
