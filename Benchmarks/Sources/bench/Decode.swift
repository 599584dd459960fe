// Prefill and decoding after a common prefix.
import Glibc
import Model
import Tensor

/// Sizes that the peers' scripts have too.
struct DecodeSizes {
  /// Tokens before the first one that is sampled.
  let prefix: Int
  /// Tokens of each completion after the first, which belongs to the prefill.
  let tokens: Int

  init(_ options: Options) { (prefix, tokens) = options.isQuick ? (64, 8) : (256, 32) }
}

/// Prefill and decoding at batch 1, 8 and 32: with weights as `--dtype` has them beside transformers, and, where the
/// model is a GGUF file, with the file's own blocks beside llama.cpp.
func decode(_ report: Report, _ options: Options) throws {
  try decode(
    report, options, try options.loadModel().network, targets: [32: [.times(3.5, than: "transformers")]])
  let file = try options.loadModel(.auto)
  guard file.path.hasSuffix(".gguf") else { return }
  // llama.cpp rounds activations to eight bits. That is our second way; the first is exact.
  for (activations, note) in [(Activations.f32, ""), (.int8, ", activations int8")] {
    let stored = try file.network.shadow(.auto, activations: activations)
    try decode(
      report, options, stored, group: "same file, ", note: note, prefill: [.times(1, than: "llama.cpp")],
      targets: [
        1: [.times(1, than: "llama.cpp")], 8: [.times(2, than: "llama.cpp")],
        32: [.times(2.5, than: "llama.cpp")],
      ])
  }
}

/// - Parameters:
///   - group: what the names of figures begin with; peers are found by them.
///   - targets: of decoding, by the size of the batch.
private func decode(
  _ report: Report, _ options: Options, _ model: CausalLM, group: String = "", note: String = "",
  prefill: [Target] = [], targets: [Int: [Target]] = [:]
) throws {
  let sizes = DecodeSizes(options)
  let note = "\(model.formatName) weights\(note)"
  for batch in [1, 8, 32] {
    let figures = try Decoding(
      model, prefix: sizes.prefix, batch: batch, tokens: sizes.tokens, runs: batch < 32 ? 3 : 2)
    report.add(
      "\(group)prefill, batch \(batch)", figures.prefill, "tokens/s", note: note,
      targets: batch == 1 ? prefill : [])
    report.add("\(group)first token, batch \(batch)", figures.firstToken, "s", note: note)
    report.add(
      "\(group)decode, batch \(batch)", figures.decode, "tokens/s", note: note, targets: targets[batch] ?? [])
  }
}

/// Figures of sampling from one prompt.
struct Decoding {
  /// Tokens of the prompts per second, those of one for each completion.
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
    (firstToken, prefill) = (first, Double(batch * prefix) / first)
    decode = Double(batch * tokens) / rest
  }
}
