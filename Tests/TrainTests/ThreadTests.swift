// Weights after training, and samples, do not depend on the number of threads.
import Foundation
import Glibc
import Kernels
import Model
import Tensor
import TestSupport
import Testing
import Train

@Suite struct ThreadTests {
  /// Each number of threads in a process of its own: it is fixed when the first thread is started.
  @Test func resultsDoNotDependOnTheNumberOfThreads() async throws {
    var outputs: [String] = []
    for threads in [1, 2, 3] {
      let result = await #expect(processExitsWith: .success, observing: [\.standardOutputContent]) {
        [threads = threads as Int] in
        setenv("MIDTRAIN_THREADS", "\(threads)", 1)
        try #require(ThreadPool.shared.threadCount == threads)
        for line in try fingerprints() { print("#", line) }
      }
      let text = String(decoding: result?.standardOutputContent ?? [], as: UTF8.self)
      let lines = text.split(separator: "\n").filter { $0.hasPrefix("#") }
      #expect(lines.count == 9)
      outputs.append(lines.joined(separator: "\n"))
    }
    #expect(outputs[1] == outputs[0])
    #expect(outputs[2] == outputs[0])
  }
}

/// Numbers that change with any bit of what is computed: weights and adapters after three steps of two models, and
/// samples.
private func fingerprints() throws -> [String] {
  let tiny = try CausalLM(ModelFiles(path: Places.golden("tiny-llama").path))
  var forest = Forest()
  let trunk = try forest.add((0..<40).map { Int32($0 * 7 % 97) })
  for i in 0..<6 {
    try forest.add((0..<9).map { Int32(($0 + i) * 11 % 97) }, parent: trunk, offset: 6 * i + 1)
  }
  var medium = RandomModel()
  (medium.layers, medium.vocabulary) = (2, 1500)
  let packed = try medium.model().copy(.bf16)
  try packed.makeTrainable()
  let adapted = try [medium.model(), medium.model().copy(.int8)]
  for model in adapted {
    try model.addAdapters(
      AdapterConfig(rank: 8, alpha: 16, dropout: 0.2, targetModules: AdapterConfig.allLinear, seed: 6))
  }
  return try train("tiny", tiny, forest) + train("medium", medium.model(), medium.forest(rows: 400))
    + train("medium in bf16", packed, medium.forest(rows: 300))
    + train("adapters", adapted[0], medium.forest(rows: 300))
    + train("adapters on int8", adapted[1], medium.forest(rows: 300))
    + samples("tiny", tiny) + samples("medium", medium.model().copy(.int8).shadow(.auto, activations: .int8))
}

private func train(_ name: String, _ model: CausalLM, _ forest: Forest) throws -> [String] {
  var settings = AdamW.Settings()
  settings.learningRate = 1e-3
  let optimizer = AdamW(parameters: model.parameters, settings: settings)
  var lines: [String] = []
  for (step, mode) in Checkpointing.allCases.enumerated() {
    optimizer.zeroGradients()
    var options = CausalLM.TrainingOptions(mode)
    options.step = UInt64(step)
    let values = try model.logProbs(forest, entropy: true, options: options)
    let loss = try values.logProbs.mean().negated().adding(values.entropy!.mean().multiplied(by: 0.1))
    try loss.backward()
    let report = optimizer.step(maxGradNorm: 1)
    var hash = report.gradNorm.bitPattern
    for (_, tensor) in model.parameters { mix(tensor.values, into: &hash) }
    lines.append("\(name), step \(mode): loss \(try loss.item()), weights \(hash)")
  }
  return name == "medium" ? lines : [lines.last!]
}

private func samples(_ name: String, _ model: CausalLM) throws -> [String] {
  var forest = Forest()
  let trunk = try forest.add((1...20).map { Int32($0) })
  let prompts = [trunk, try forest.add([5, 6], parent: trunk, offset: 9)]
  let all = try model.generate(
    forest, from: prompts, count: 8, maxTokens: 24, options: SamplingOptions(), stopIDs: [])
  var hash: UInt64 = 0
  for completion in all.joined() {
    mix(completion.logProbs, into: &hash)
    mix(completion.ids.map { Float($0) }, into: &hash)
  }
  return ["\(name), samples: \(all[0][0].ids.prefix(6)) \(hash)"]
}

/// FNV-1a over bit patterns.
private func mix(_ values: [Float], into hash: inout UInt64) {
  for value in values { hash = (hash ^ UInt64(value.bitPattern)) &* 0x100_0000_01b3 }
}
