// Looking at text with a model: log-probabilities and entropies, without gradients.
import Kernels
import Tensor

extension CausalLM {
  /// Log-probabilities of ids[1...], each given all ids before it.
  public func score(_ ids: [Int32]) throws -> [Float] {
    try Tape.withoutRecording {
      var forest = Forest()
      try forest.add(ids)
      return Array(try logProbs(forest).logProbs.values.dropFirst())
    }
  }

  /// Entropy in nats of the next-token distribution after each of the tokens.
  ///
  /// - Parameter topK: take the renormalised k most probable tokens only, as Reinforcement Pre-Training does with
  ///   16 (arXiv:2506.08007); nil for the whole vocabulary.
  public func entropy(_ ids: [Int32], topK: Int? = nil) throws -> [Float] {
    guard !ids.isEmpty else { return [] }
    if let topK, topK < 1 { throw ModelError("entropy: expected top_k of at least 1, got \(topK)") }
    return try Tape.withoutRecording {
      var forest = Forest()
      try forest.add(ids)
      let hidden = try hiddenStates(forest)
      let entropies = Tensor(uninitialized: [ids.count])
      guard let topK else {
        let both = try hidden.tokenLogProbs(
          head, targets: ids, inverseTemperatures: ids.map { _ in 1 }, entropy: true)
        return try both.sliced(dim: 0, 1..<2).values
      }
      let chunk = 128
      for start in stride(from: 0, to: ids.count, by: chunk) {
        let logits = try logits(hidden.sliced(dim: 0, start..<min(ids.count, start + chunk)))
        let (V, out, rows) = (logits.shape[1], entropies.pointer + start, logits.pointer)
        ThreadPool.shared.forEach(count: logits.shape[0], grain: 1) { range in
          for n in range { out[n] = LogitKernels.topEntropy(rows + n * V, count: min(topK, V), V) }
        }
      }
      return entropies.values
    }
  }
}
