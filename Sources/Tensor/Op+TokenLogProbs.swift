// The head: log-probabilities of given tokens, without ever holding [rows, vocabulary].
//
// Policy gradient and next-token prediction are both coefficients on these numbers, so one backward pass through
// this operation serves both objectives.
import Kernels

extension Tensor {
  /// Logits that exist at a time, in elements.
  package static let headChunkElements = 1 << 24

  /// Tokens of the vocabulary whose logits exist at a time for so many rows: the head goes through parts of its weights, not
  /// through parts of the rows, so that it reads weights and writes their gradients once.
  public static func headTokens(rows: Int, vocabulary: Int) -> Int {
    let block = LogitKernels.block
    return Swift.min(vocabulary, Swift.max(1, headChunkElements / Swift.max(1, rows) / block) * block)
  }

  /// log softmax(x·weightᵀ / temperature) at each row's target, and the entropy of that distribution.
  ///
  /// - Parameters:
  ///   - weight: (V, C), one row per token. `self`: (N, C).
  ///   - targets: N token ids.
  ///   - inverseTemperatures: N factors on the logits.
  ///   - entropy: whether to compute entropies.
  /// - Returns: (1, N), or (2, N) with entropies in nats as the second row.
  public func tokenLogProbs(
    _ weight: Weight, targets: [Int32], inverseTemperatures: [Float], entropy: Bool = false
  ) throws(TensorError) -> Tensor {
    guard rank == 2, weight.shape.count == 2, shape[1] == weight.shape[1] else {
      throw TensorError(
        .tokenLogProbs, "expected (N, C) and a weight (V, C), got \(shape) and \(weight.shape)")
    }
    let (N, C, V) = (shape[0], shape[1], weight.shape[0])
    guard targets.count == N, inverseTemperatures.count == N else {
      throw TensorError(
        .tokenLogProbs,
        "expected \(N) targets and temperatures, got \(targets.count), \(inverseTemperatures.count)")
    }
    if let wrong = targets.first(where: { $0 < 0 || Int($0) >= V }) {
      throw TensorError(.tokenLogProbs, "target \(wrong) is not in a vocabulary of \(V)")
    }
    let master = try weight.tensor?.distinct(from: self)
    let x = contiguousCopyIfNeeded()
    let (result, logSums) = (Tensor(uninitialized: [entropy ? 2 : 1, N]), Storage(count: N))

    /// Calls `body` with the logits of one part of the vocabulary after another.
    func forEachPart(
      _ body: (
        _ tokens: Range<Int>, _ logits: Matrix, _ weight: WeightRows, _ scratch: UnsafeMutablePointer<Float>
      ) -> Void
    ) {
      let (count, w) = (Self.headTokens(rows: N, vocabulary: V), weight.rows)
      let (logits, largest) = (Storage(count: N * count), w[0..<count])
      let scratch = Storage(
        count: Swift.max(
          LinearKernels.scratchCount(rows: N, weight: largest),
          LinearKernels.scratchCount(rows: N, weight: largest, backward: true)))
      for start in stride(from: 0, to: V, by: count) {
        let tokens = start..<Swift.min(V, start + count)
        let (part, output) = (w[tokens], Matrix(logits.pointer, rows: N, columns: tokens.count))
        LinearKernels.multiply(x.matrix, part, into: output, scratch: scratch.pointer)
        body(tokens, output, part, scratch.pointer)
      }
    }

    var sums = [LogitSums](repeating: LogitSums(), count: N)
    forEachPart { tokens, logits, _, _ in
      LogitKernels.add(
        logits, first: tokens.lowerBound, targets: targets, inverseTemperatures: inverseTemperatures,
        to: &sums, entropy: entropy)
    }
    for (n, sum) in sums.enumerated() {
      (result.pointer[n], logSums.pointer[n]) = (sum.logProbability, sum.logSum)
      if entropy { result.pointer[N + n] = sum.entropy }
    }
    let saved = result.detached()
    return result.recorded(.tokenLogProbs, [self] + (master.map { [$0] } ?? []), savesResult: entropy) { dy in
      self.withGradient { dx, betaX in
        Tensor.withGradient(of: master) { dw, betaW in
          forEachPart { tokens, logits, weight, scratch in
            LogitKernels.logProbabilitiesBackward(
              logits, first: tokens.lowerBound, targets: targets, inverseTemperatures: inverseTemperatures,
              logSums: logSums.pointer, entropies: entropy ? saved.pointer + N : nil,
              dlogProbabilities: dy.pointer, dentropies: entropy ? dy.pointer + N : nil)
            if let dx {
              LinearKernels.multiplyBack(
                logits, weight, into: Matrix(dx, rows: N, columns: C),
                beta: tokens.lowerBound == 0 ? betaX : 1, scratch: scratch)
            }
            if let dw {
              let gradient = Matrix(dw + tokens.lowerBound * C, rows: tokens.count, columns: C)
              BLAS.multiply(logits.transposed, x.matrix, into: gradient, beta: betaW)
            }
          }
        }
      }
    }
  }

  /// The same with a weight that is a tensor.
  package func tokenLogProbs(
    _ weight: Tensor, targets: [Int32], inverseTemperatures: [Float], entropy: Bool = false
  ) throws(TensorError) -> Tensor {
    try tokenLogProbs(
      Weight(weight), targets: targets, inverseTemperatures: inverseTemperatures, entropy: entropy)
  }

  /// What `tokenLogProbs` computes.
  package func composedTokenLogProbs(
    _ weight: Tensor, targets: [Int32], inverseTemperatures: [Float], entropy: Bool = false
  ) throws(TensorError) -> Tensor {
    let N = shape[0]
    let factors = try Tensor(inverseTemperatures, shape: [N, 1])
    let logp = try matmul(weight.transposed()).multiplied(by: factors).logSoftmax(dim: 1)
    let chosen = try logp.gathered(dim: 1, targets).reshaped([1, N])
    guard entropy else { return chosen }
    let entropies = try logp.exp().multiplied(by: logp).sum(dim: 1, keepDim: false).negated().reshaped([1, N])
    return try Tensor.concatenated([chosen, entropies], dim: 0)
  }
}
