// Low-rank adapters (LoRA, Hu et al., arXiv:2106.09685): a frozen matrix W gets a trained product of two thin ones
// beside it, W + α/r · B·A.
import Kernels
import Tensor

/// Settings of a model's adapters, by PEFT's names.
public struct AdapterConfig: Sendable, Equatable {
  /// Rank r, one of `ranks`.
  public var rank: Int
  /// α: adapters are scaled by α / r.
  public var alpha: Double
  /// Share of an adapter's inputs that is dropped in training.
  public var dropout: Double
  /// Last parts of the names of modules that get an adapter, `q_proj`, or whole names.
  public var targetModules: [String]
  /// All linear maps of the layers, as PEFT calls them.
  public static let allLinear = ["all-linear"]
  /// Whether the scale is α / √r instead (rsLoRA, arXiv:2312.03732).
  public var usesRSLoRA: Bool
  /// What initial values and dropout are drawn from.
  public var seed: UInt64

  /// The settings of adapters.
  public init(
    rank: Int, alpha: Double, dropout: Double = 0, targetModules: [String], usesRSLoRA: Bool = false,
    seed: UInt64 = 0
  ) {
    (self.rank, self.alpha, self.dropout) = (rank, alpha, dropout)
    (self.targetModules, self.usesRSLoRA, self.seed) = (targetModules, usesRSLoRA, seed)
  }

  /// Ranks that an adapter may have.
  static let ranks = 1...(1 << 16)

  /// Factor of the adapters' outputs.
  var scale: Float { Float(usesRSLoRA ? alpha / Double(rank).squareRoot() : alpha / Double(rank)) }

  /// What is dropped in one step; nil if nothing is.
  func dropoutKey(step: UInt64) -> DropoutKey? {
    dropout > 0 ? DropoutKey(rate: dropout, seed: seed, step: step) : nil
  }
}

/// Where the random numbers of one step's dropout come from.
struct DropoutKey: Sendable {
  let rate: Double
  let seed: UInt64
  let step: UInt64
  /// The rows' numbers in the whole batch where these are only a part of it: a row loses the same in every part.
  var rows: [Int32]?
}

/// The adapter of one linear map: y += α/r · dropout(x)·Aᵀ·Bᵀ.
final class LowRankAdapter: @unchecked Sendable {
  /// (r, K).
  let a: Tensor
  /// (N, r).
  let b: Tensor
  let scale: Float
  /// Tells the random numbers of different modules apart.
  private let number: Int

  init(a: Tensor, b: Tensor, scale: Float, number: Int) {
    (self.a, self.b, self.scale, self.number) = (a, b, scale, number)
  }

  /// - Parameter dropout: nil, and nothing is dropped.
  func callAsFunction(_ x: Tensor, dropout: DropoutKey?, isValueNeeded: Bool) throws -> Tensor {
    var x = x
    if let dropout { x = try x.multiplied(by: mask(x.shape, dropout)) }
    // Scaled where it is thin: the tape keeps both sides of a product with a number.
    return try x.linear(a).multiplied(by: scale).linear(Weight(b), isValueNeeded: isValueNeeded)
  }

  /// 0 for what is dropped, 1 / (1 - rate) for the rest.
  private func mask(_ shape: [Int], _ key: DropoutKey) -> Tensor {
    let (mask, width, keep) = (Tensor(uninitialized: shape), shape[1], Float(1 / (1 - key.rate)))
    let values = mask.pointer
    ThreadPool.shared.forEach(count: shape[0], grain: 16) { rows in
      for n in rows {
        for k in 0..<width {
          let uniform = CounterRandom.uniform(
            seed: key.seed, step: key.step, prompt: number, sample: key.rows.map { Int($0[n]) } ?? n, token: k
          )
          values[n * width + k] = uniform < key.rate ? 0 : keep
        }
      }
    }
    return mask
  }
}
