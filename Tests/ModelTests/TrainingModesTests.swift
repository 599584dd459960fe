// Computing again, and computing in parts, gives what computing once gives.
import Foundation
import Kernels
import Tensor
import TestSupport
import Testing

import Model

@Suite struct TrainingModesTests {
  /// A tiny model, and what is done to it.
  struct Subject: CustomTestStringConvertible, Sendable {
    let name: String
    var adapters = false
    var dropout = 0.0
    var storage = WeightStorage.f32
    var testDescription: String {
      name + (adapters ? ", adapters on \(storage)" : "") + (dropout > 0 ? ", dropout" : "")
    }

    func model() throws -> CausalLM {
      let model = try CausalLM(ModelFiles(path: Places.golden(name).path), storage: storage)
      if adapters { try model.addRandomAdapters(dropout: dropout) }
      return model
    }
  }

  static let subjects =
    GoldenTests.models.map { Subject(name: $0) } + [
      Subject(name: "tiny-llama", adapters: true, storage: .int8),
      Subject(name: "tiny-qwen2", adapters: true, dropout: 0.3),
      Subject(name: "tiny-qwen3", adapters: true, dropout: 0.3, storage: .bf16),
    ]

  private func options(
    _ checkpointing: Checkpointing, maxRows: Int? = nil, step: UInt64 = 3
  ) -> CausalLM.TrainingOptions {
    var options = CausalLM.TrainingOptions()
    (options.checkpointing, options.maxRows, options.step) = (checkpointing, maxRows, step)
    return options
  }

  @Test(arguments: subjects) func everyWayGivesTheSame(_ subject: Subject) throws {
    let model = try subject.model()
    var random = Random(21)
    for round in 0..<6 {
      let (forest, _) = try randomForest(&random, isVaried: true)
      let expected = try StepResult(model, forest, options(.off))
      for mode in Checkpointing.allCases {
        for maxRows in [nil, 1, 5, 12, 30] as [Int?] {
          let actual = try StepResult(model, forest, options(mode, maxRows: maxRows))
          actual.expectEqual(expected, "round \(round), \(mode), \(maxRows ?? 0) rows")
        }
      }
    }
  }

  /// More rows than go through a feed-forward layer at a time.
  @Test(arguments: [subjects[0], subjects[5], subjects[7]]) func manyRows(_ subject: Subject) throws {
    let model = try subject.model()
    var (random, forest) = (Random(22), Forest())
    for _ in 0..<11 {
      let ids = (0..<48).map { _ in Int32.random(in: 0..<97, using: &random) }
      let trunk = try forest.add(ids)
      try forest.add(Array(ids[..<9]), parent: trunk, offset: 20)
    }
    #expect(forest.count > 600)
    let expected = try StepResult(model, forest, options(.off))
    for mode in Checkpointing.allCases {
      for maxRows in [nil, 200, 620] as [Int?] {
        let actual = try StepResult(model, forest, options(mode, maxRows: maxRows))
        actual.expectEqual(expected, "\(mode), \(maxRows ?? 0) rows")
      }
    }
  }

  @Test func dropoutGoesByTheStepAndTheTape() throws {
    let model = try Subject(name: "tiny-llama", adapters: true, dropout: 0.5).model()
    var random = Random(24)
    let (forest, _) = try randomForest(&random, depth: 2)
    let plain = try Subject(name: "tiny-llama", adapters: true).model()
    let expected = try plain.logProbs(forest).logProbs.values

    let first = try model.logProbs(forest, options: options(.off, step: 1)).logProbs.values
    #expect(try model.logProbs(forest, options: options(.off, step: 1)).logProbs.values == first)
    let second = try model.logProbs(forest, options: options(.off, step: 2)).logProbs.values
    #expect(first != second && first != expected)
    // Without a tape nothing is dropped, in one piece and in parts.
    for maxRows in [nil, 8] as [Int?] {
      let silent = try Tape.withoutRecording {
        try model.logProbs(forest, options: options(.off, maxRows: maxRows)).logProbs.values
      }
      expectNear(silent, expected, 1e-5, "without recording")
    }
    #expect(try model.score([5, 6, 7]) == plain.score([5, 6, 7]))
  }

  /// What is dropped and what is kept balance: over many steps an adapter adds what it adds without dropout.
  @Test func dropoutKeepsTheMean() throws {
    let model = try Subject(name: "tiny-llama").model()
    // A small product with one module, so that what follows is nearly linear in it.
    try model.addAdapters(AdapterConfig(rank: 4, alpha: 1, dropout: 0.25, targetModules: ["down_proj"]))
    for (name, tensor) in model.parameters where name.contains("lora_B") {
      tensor.pointer.update(repeating: 0.02, count: tensor.count)
      tensor.markWritten()
    }
    var forest = Forest()
    try forest.add([5, 17, 40, 3, 22, 61, 8, 90])
    let base = try Subject(name: "tiny-llama").model().score(Array(forest.tokens))
    let whole = try model.score(Array(forest.tokens))
    var mean = [Double](repeating: 0, count: 8)
    for step in 0..<400 {
      let values = try model.logProbs(forest, options: options(.off, step: UInt64(step))).logProbs.values
      for i in values.indices { mean[i] += Double(values[i]) / 400 }
    }
    // Compared along what the adapter changes without dropout.
    var (along, size) = (0.0, 0.0)
    for i in whole.indices {
      let change = Double(whole[i] - base[i])
      along += change * (mean[i + 1] - Double(base[i]))
      size += change * change
    }
    #expect(size > 0 && abs(along / size - 1) < 0.1, "\(along / size)")
  }

  /// Ctrl-C during a backward pass that computes parts again: it is finished first.
  @Test func aWishToStopComesAfterTheBackwardPass() throws {
    let model = try Subject(name: "tiny-llama").model()
    for (_, tensor) in model.parameters { tensor.requiresGradient = true }
    var random = Random(24)
    let (forest, _) = try randomForest(&random, depth: 2)
    let thread = UInt(pthread_self())
    for mode in Checkpointing.allCases {
      let loss = try model.logProbs(forest, options: options(mode, maxRows: 8)).logProbs.sum()
      try Cancellation.polling({ UInt(pthread_self()) == thread }) {
        #expect(throws: Cancellation.Cancelled.self) { try model.score([1, 2, 3]) }
        try loss.backward()
      }
      #expect(model.parameters.allSatisfy { $0.tensor.gradient != nil })
    }
  }

  // MARK: Splitting

  @Test func partsScoreEveryTokenOnce() throws {
    var random = Random(23)
    for _ in 0..<300 {
      let (forest, branches) = try randomForest(&random, isVaried: true)
      let maxRows = Int.random(in: 1...forest.count + 2, using: &random)
      let parts = try forest.split(maxRows: maxRows)
      #expect(!parts.isEmpty)
      var seen: [Int] = []
      for part in parts {
        #expect(part.forest.count <= max(maxRows, forest.longestBranch))
        #expect(part.origins.count == part.forest.count)
        #expect(part.forest.tokens == part.origins.map { forest.tokens[Int($0)] })
        #expect(part.forest.positions == part.origins.map { forest.positions[Int($0)] })
        var scored: [Int] = []
        for (number, segment) in part.forest.segments.enumerated()
        where segment.isScored && !segment.rows.isEmpty {
          scored += Array(segment.rows)
          // The same history, and the same temperature.
          let first = Int(part.origins[segment.rows.lowerBound])
          let original = forest.segments.firstIndex { $0.rows.contains(first) }!
          #expect(segment.rows.count == forest.segments[original].rows.count)
          #expect(segment.temperature == forest.segments[original].temperature)
          let history = part.forest.spans(before: number, offset: segment.rows.count).flatMap { span in
            part.forest.tokens[span.start..<span.start + span.count]
          }
          #expect(history == branches[original])
        }
        #expect(part.rows.map(\.own) == scored)
        #expect(part.rows.map(\.whole) == scored.map { Int(part.origins[$0]) })
        seen += part.rows.map(\.whole)
      }
      let expected = forest.segments.filter(\.isScored).flatMap(\.rows)
      #expect(seen.sorted() == expected)
    }
  }

  /// A long trunk is not repeated beyond where a branch leaves it, and not at all for what nobody scores.
  @Test func partsHoldWhatTheyNeedOnly() throws {
    var forest = Forest()
    let trunk = try forest.add((0..<60).map { Int32($0) }, isScored: false)
    for _ in 0..<4 { try forest.add([1, 2, 3, 4], parent: trunk, offset: 10) }
    try forest.add([5, 6], parent: trunk, isScored: false)
    #expect(forest.longestBranch == 62)
    #expect(try forest.split(maxRows: 18).map(\.forest.count) == [18, 18])
    #expect(try forest.split(maxRows: 17).map(\.forest.count) == [14, 14, 14, 14])
    #expect(try forest.split(maxRows: 100).map(\.forest.count) == [26])
    // Nothing to score is one part without rows.
    var silent = Forest()
    try silent.add([1, 2, 3], isScored: false)
    #expect(try silent.split(maxRows: 1).map(\.forest.count) == [0])
  }
}
