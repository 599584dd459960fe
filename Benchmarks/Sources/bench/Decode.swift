// Prefill and decoding after a common prefix.
import Glibc
import Model

/// Sizes that the peers' scripts have too.
struct DecodeSizes {
  /// Tokens before the first one that is sampled.
  let prefix: Int
  /// Tokens of each completion after the first, which belongs to the prefill.
  let tokens: Int

  init(_ options: Options) { (prefix, tokens) = options.isQuick ? (64, 8) : (256, 32) }
}

/// Prefill and decoding at batch 1, 8 and 32.
func decode(_ report: Report, _ options: Options) throws {
  let model = try options.loadModel().network
  let sizes = DecodeSizes(options)
  let note = "\(model.formatName) weights"
  // llama.cpp gets the same file, in whatever form we hold it; transformers has f32, so that is judged against f32.
  let targets: [Int: [Target]] = [
    1: [.times(1, than: "llama.cpp")],
    8: [.times(2, than: "llama.cpp")],
    32: [.times(2.5, than: "llama.cpp"), .times(3.5, than: "transformers")],
  ]
  for batch in [1, 8, 32] {
    let figures = try Decoding(
      model, prefix: sizes.prefix, batch: batch, tokens: sizes.tokens, runs: batch < 32 ? 3 : 2)
    if batch == 1 {
      report.add(
        "prefill, \(sizes.prefix) tokens", figures.prefill, "tokens/s", note: note,
        targets: [.times(1, than: "llama.cpp")])
    }
    report.add("first token, batch \(batch)", figures.firstToken, "s", note: note)
    let judged = targets[batch]!.filter { target in
      if case .times(_, "transformers") = target { options.dtype == .f32 } else { true }
    }
    report.add("decode, batch \(batch)", figures.decode, "tokens/s", note: note, targets: judged)
  }
}

/// Figures of sampling from one prompt.
struct Decoding {
  /// Tokens of the prompt per second.
  let prefill: Double
  /// Seconds until every completion has its first token.
  let firstToken: Double
  /// Tokens per second after the first ones.
  let decode: Double

  init(_ model: CausalLM, prefix: Int, batch: Int, tokens: Int, runs: Int) throws {
    var forest = Forest()
    let prompt = try forest.add(model.someTokens(prefix))
    var (first, rest) = (Double.infinity, Double.infinity)
    for _ in 0..<runs {
      let start = seconds()
      var (firstDone, lastDone) = (0.0, 0.0)
      _ = try model.generate(
        forest, from: [prompt], count: batch, maxTokens: tokens + 1, options: SamplingOptions(), stopIDs: []
      ) { _, ids in
        // Asked once per completion and token.
        if ids.count == 1 { firstDone = seconds() }
        if ids.count == tokens + 1 { lastDone = seconds() }
        return false
      }
      first = min(first, firstDone - start)
      rest = min(rest, lastDone - firstDone)
    }
    (firstToken, prefill) = (first, Double(prefix) / first)
    decode = Double(batch * tokens) / rest
  }
}
