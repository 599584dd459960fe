// Cost against the number of branches, the length of the context, and the number of threads.
import Foundation
import Glibc
import Kernels
import Model
import Tensor

/// One group of rollouts after one prefix, sampled and then trained on: doubling its rollouts should cost less than
/// twice as much, because the prefix is computed once.
func branches(_ report: Report, _ options: Options) throws {
  let model = try trainable(options)
  let (prefix, tokens) = options.isQuick ? (64, 8) : (256, 32)
  var before: Double?
  for count in options.isQuick ? [1, 2, 4] : [1, 2, 4, 8, 16, 32] {
    var sampling = 0.0
    let whole = try best(of: count > 8 ? 1 : 2) {
      var forest = Forest()
      let trunk = try forest.add(model.someTokens(prefix))
      var group: [Completion] = []
      sampling = try time {
        group = try model.generate(
          forest, from: [trunk], count: count, maxTokens: tokens, options: SamplingOptions(), stopIDs: [])[0]
      }
      for completion in group { try forest.add(completion.ids, parent: trunk) }
      try model.logProbs(forest).logProbs.mean().negated().backward()
    }
    report.add(
      "group of \(count), \(prefix) + \(tokens) tokens", whole, "s",
      note: "sampling \(Report.format(sampling)) s"
        + (before.map { String(format: ", ×%.2f", whole / $0) } ?? ""))
    if let before {
      report.add("doubling to \(count)", whole / before, "times", targets: [.atMost(2)])
    }
    before = whole
  }
}

/// Decoding and training after contexts of growing length.
func context(_ report: Report, _ options: Options) throws {
  let model = try trainable(options)
  for length in options.isQuick ? [128, 256] : [128, 256, 512, 1024, 2048] {
    let decoding = try Decoding(model, prefix: length, batch: 8, tokens: options.isQuick ? 8 : 16, runs: 2)
    report.add("prefill, context \(length)", decoding.prefill, "tokens/s")
    report.add("decode, batch 8, context \(length)", decoding.decode, "tokens/s")
    report.add(
      "forward and backward, 1×\(length)", try trainingRate(model, length: length, runs: 1), "rows/s")
  }
}

/// The same work with 1, 2, 4, … threads, each in a process of its own: the number is fixed at the start.
func threads(_ report: Report, _ options: Options) throws {
  var counts = Array(sequence(first: 1) { $0 * 2 }.prefix { $0 < Processor.count })
  counts.append(Processor.count)
  var alone: [String: Double] = [:]
  for count in counts {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("bench-\(UUID().uuidString)")
      .path
    defer { unlink(file) }
    var words =
      ["thread-work", "--results", file, "--dtype", options.dtype.rawValue]
      + (options.isQuick ? ["--quick"] : [])
    if let model = options.model { words += ["--model", model] }
    _ = try output(of: "/proc/self/exe", words, environment: ["MIDTRAIN_THREADS": "\(count)"])
    for (name, value, unit) in try Report.figures(in: file) {
      let speedUp = alone[name].map { String(format: "×%.2f", value / $0) }
      alone[name] = alone[name] ?? value
      report.add("\(name), \(count) thread\(count == 1 ? "" : "s")", value, unit, note: speedUp)
    }
  }
}

/// What `threads` runs with each number of threads.
func threadWork(_ report: Report, _ options: Options) throws {
  let model = try trainable(options)
  let (length, tokens) = options.isQuick ? (64, 4) : (512, 16)
  let decoding = try Decoding(model, prefix: 256, batch: 8, tokens: tokens, runs: 2)
  report.add("prefill", decoding.prefill, "tokens/s")
  report.add("decode, batch 8", decoding.decode, "tokens/s")
  report.add("forward and backward, 1×\(length)", try trainingRate(model, length: length, runs: 2), "rows/s")
}

private func trainable(_ options: Options) throws -> CausalLM {
  let model = try options.loadModel().network
  for parameter in model.parameters { parameter.tensor.requiresGradient = true }
  return model
}

private func trainingRate(_ model: CausalLM, length: Int, runs: Int) throws -> Double {
  var forest = Forest()
  try forest.add(model.someTokens(length))
  let seconds = try best(of: runs) {
    for parameter in model.parameters { parameter.tensor.zeroGradient() }
    try model.logProbs(forest).logProbs.mean().negated().backward()
  }
  return Double(length) / seconds
}
