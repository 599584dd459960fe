// The head: log-probabilities of given tokens, without ever holding [tokens, vocabulary].
//
// Policy gradient and next-token prediction are both coefficients on these numbers, so one backward pass through
// this operation serves both objectives.
import Kernels

extension Tensor {
  /// Logits that exist at a time, in elements: rows go through the head in chunks of this size.
  package static let headChunkElements = 1 << 24

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
    let chunk = Swift.max(1, Swift.min(N, Self.headChunkElements / Swift.max(1, V)))

    /// Calls `body` with the logits of one chunk of rows after another.
    func forEachChunk(
      _ body: (
        _ start: Int, _ rows: Matrix, _ logits: Matrix, _ weight: WeightRows,
        _ scratch: UnsafeMutablePointer<Float>
      ) -> Void
    ) {
      let (logits, w) = (Storage(count: chunk * V), weight.rows)
      // The last chunk may have so few rows that its product is another kernel's.
      let scratch = Storage(
        count: [
          LinearKernels.scratchCount(rows: chunk, weight: w), LinearKernels.scratchCount(rows: 1, weight: w),
          LinearKernels.scratchCount(rows: chunk, weight: w, backward: true),
        ].max()!)
      for start in stride(from: 0, to: N, by: chunk) {
        let rows = Matrix(x.pointer + start * C, rows: Swift.min(chunk, N - start), columns: C)
        let output = Matrix(logits.pointer, rows: rows.rows, columns: V)
        LinearKernels.multiply(rows, w, into: output, scratch: scratch.pointer)
        body(start, rows, output, w, scratch.pointer)
      }
    }

    forEachChunk { start, _, logits, _, _ in
      LogitKernels.logProbabilities(
        logits, targets: targets[start...], inverseTemperatures: inverseTemperatures[start...],
        logProbabilities: result.pointer + start, logSums: logSums.pointer + start,
        entropies: entropy ? result.pointer + N + start : nil)
    }
    let saved = result.detached()
    return result.recorded(.tokenLogProbs, [self] + (master.map { [$0] } ?? []), savesResult: entropy) { dy in
      self.withGradient { dx, betaX in
        Tensor.withGradient(of: master) { dw, betaW in
          if N == 0, betaW == 0 { dw?.update(repeating: 0, count: V * C) }
          forEachChunk { start, rows, logits, weight, scratch in
            LogitKernels.logProbabilitiesBackward(
              logits, targets: targets[start...], inverseTemperatures: inverseTemperatures[start...],
              logSums: logSums.pointer + start, entropies: entropy ? saved.pointer + N + start : nil,
              dlogProbabilities: dy.pointer + start, dentropies: entropy ? dy.pointer + N + start : nil)
            if let dx {
              let gradient = Matrix(dx + start * C, rows: rows.rows, columns: C)
              LinearKernels.multiplyBack(logits, weight, into: gradient, beta: betaX, scratch: scratch)
            }
            if let dw {
              let gradient = Matrix(dw, rows: V, columns: C)
              BLAS.multiply(logits.transposed, rows, into: gradient, beta: start == 0 ? betaW : 1)
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
