// The whole step of reinforcement mid-training, as the peer's script has it.
import Glibc
import Model
import Tensor
import Train

/// Sizes of a step.
struct StepSizes {
  var document = 384
  var positions = 4
  var rollouts = 8
  var tokens = 64
}

/// Two steps in a row. The first meets memory that was never touched and makes the optimiser's state, as the peer's only
/// one does; a later one does not.
func step(_ report: Report, _ options: Options) throws {
  let model = try options.loadModel().network
  let sizes = options.isQuick ? StepSizes(document: 128, positions: 2, rollouts: 4, tokens: 8) : StepSizes()
  let optimizer = AdamW(parameters: model.parameters)
  for round in ["first step", "later step"] {
    let laps = try Laps(model, optimizer, sizes, options.checkpointing)
    let isFirst = round == "first step"
    report.add("\(round): entropy", laps.entropy, "s")
    report.add(
      "\(round): rollouts", laps.rollouts, "s",
      note:
        "\(sizes.positions)×\(sizes.rollouts)×\(sizes.tokens) tokens, \(Report.format(laps.rolloutRate)) tokens/s"
    )
    report.add(
      "\(round): forward and backward", laps.backward, "s",
      note: "\(laps.rows) rows, checkpointing \(options.checkpointing.rawValue)")
    report.add("\(round): optimiser", laps.optimiser, "s")
    report.add("\(round): total", laps.total, "s", targets: isFirst ? [.times(5, than: "PyTorch")] : [])
  }
  report.add(
    "peak memory of the step", peakMemory(), "GB", note: "after both steps",
    targets: [.times(4, than: "PyTorch")])
}

/// Seconds of the parts of one step.
private struct Laps {
  private(set) var entropy = 0.0
  private(set) var rollouts = 0.0
  private(set) var rolloutRate = 0.0
  private(set) var backward = 0.0
  private(set) var optimiser = 0.0
  private(set) var rows = 0

  var total: Double { entropy + rollouts + backward + optimiser }

  init(_ model: CausalLM, _ optimizer: AdamW, _ sizes: StepSizes, _ checkpointing: Checkpointing) throws {
    let document = model.someTokens(sizes.document)
    entropy = try time { _ = try model.entropy(document) }

    var forest = Forest()
    let trunk = try forest.add(document)
    let (low, high) = (sizes.document / 2, sizes.document - 1)
    let places = try (0..<sizes.positions).map { index in
      // One token stands for the closing prompt.
      try forest.add(
        [100], parent: trunk, offset: low + (high - low) * index / max(1, sizes.positions - 1),
        isScored: false)
    }
    var options = SamplingOptions()
    options.temperature = 0.8
    var groups: [[Completion]] = []
    rollouts = try time {
      groups = try model.generate(
        forest, from: places, count: sizes.rollouts, maxTokens: sizes.tokens, options: options, stopIDs: [])
    }
    rolloutRate = Double(sizes.positions * sizes.rollouts * sizes.tokens) / rollouts

    backward = try time {
      // The dual loss: advantages on rollouts, λ on the document.
      var weights = [Float](repeating: 0.1 / Float(sizes.document), count: forest.count)
      for (place, group) in zip(places, groups) {
        for (index, completion) in group.enumerated() {
          try forest.add(completion.ids, parent: place, temperature: 0.8)
          let advantage: Float = index % 2 == 0 ? 1 : -1
          let share = advantage / Float(sizes.positions * sizes.rollouts * sizes.tokens)
          weights += [Float](repeating: share, count: completion.ids.count)
        }
      }
      rows = forest.count
      var options = CausalLM.TrainingOptions()
      options.checkpointing = checkpointing
      let logProbs = try model.logProbs(forest, options: options).logProbs
      try logProbs.multiplied(by: Tensor(weights, shape: [rows])).sum().negated().backward()
    }
    optimiser = time {
      _ = optimizer.step(maxGradNorm: 1)
      optimizer.zeroGradients(keepingMemory: checkpointing == .off)
    }
  }
}
