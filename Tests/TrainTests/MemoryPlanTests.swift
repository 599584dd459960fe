// What a step is said to take, and what it takes.
import Foundation
import Kernels
import Model
import Tensor
import TestSupport
import Testing
import Train

@Suite struct MemoryPlanTests {
  private func tiny() throws -> CausalLM {
    try CausalLM(ModelFiles(path: Places.golden("tiny-llama").path))
  }

  @Test func growsWithRowsAndShrinksWithRecomputation() throws {
    let model = try RandomModel().model()
    for mode in Checkpointing.allCases {
      var before = 0
      for rows in stride(from: 1, to: 6000, by: 97) {
        let plan = MemoryPlan(model, rows: rows, checkpointing: mode)
        #expect(plan.total > before, "\(mode), \(rows) rows")
        #expect(
          plan.total == plan.weights + plan.gradients + plan.optimizer + plan.activations + plan.temporary)
        #expect(plan.maxRows == rows && plan.checkpointing == mode)
        before = plan.total
      }
    }
    for rows in [1000, 4000] {
      let totals = Checkpointing.allCases.map { MemoryPlan(model, rows: rows, checkpointing: $0).total }
      #expect(totals[0] > totals[1] && totals[1] > totals[2], "\(totals)")
    }
    let plan = MemoryPlan(model, rows: 100, checkpointing: .off)
    #expect(plan.weights == 4 * model.parameterCount && plan.gradients == plan.weights)
    #expect(plan.optimizer == 2 * plan.weights)
    let some = MemoryPlan(model, rows: 100, checkpointing: .off, trained: 1000)
    #expect(some.gradients == 4000 && some.optimizer == 8000 && some.activations == plan.activations)
    #expect(plan.summary.hasPrefix("memory ") && plan.summary.contains("checkpointing off"))
  }

  @Test func takesTheCheapestThatFits() throws {
    let (model, rows, longest) = (try RandomModel().model(), 6000, 300)
    let inUse = MemoryPlan(model, rows: 1, checkpointing: .block).weights
    func fitting(_ total: Int, _ mode: Checkpointing? = nil) throws -> MemoryPlan {
      try MemoryPlan.fitting(
        model, rows: rows, longestBranch: longest, available: total - inUse, inUse: inUse, checkpointing: mode
      )
    }
    let totals = Checkpointing.allCases.map { MemoryPlan(model, rows: rows, checkpointing: $0).total }
    #expect(totals == totals.sorted(by: >))
    for (mode, total) in zip(Checkpointing.allCases, totals) {
      let plan = try fitting(total)
      #expect(plan.checkpointing == mode && plan.maxRows == rows)
      #expect(try fitting(total, mode).maxRows == rows)
    }
    // Nothing whole fits any more: parts that shrink with memory, never below the longest branch.
    var before = rows
    let smallest = Checkpointing.allCases.map { MemoryPlan(model, rows: longest, checkpointing: $0).total }
      .min()!
    for total in stride(from: totals[2] - 1, to: smallest, by: -9_000_000) {
      let plan = try fitting(total)
      #expect(plan.total <= total && plan.maxRows < rows && plan.maxRows >= longest)
      #expect(try plan.maxRows == rows - 1 || fitting(total, plan.checkpointing).maxRows == plan.maxRows)
      let larger = MemoryPlan(model, rows: plan.maxRows + 1, checkpointing: plan.checkpointing)
      #expect(larger.total > total)
      if plan.checkpointing == .block { before = min(before, plan.maxRows) }
    }
    #expect(before < rows)
    #expect(try fitting(smallest).maxRows >= longest)
    let error = #expect(throws: ModelError.self) { try fitting(smallest - 1) }
    #expect(
      "\(error!)".contains("300 tokens") && "\(error!)".contains("MB") && "\(error!)".contains("adapter"))
    #expect(throws: ModelError.self) { try fitting(totals[1] / 4, .off) }
  }

  // These run in processes of their own, because the pool counts what all tests use.

  @Test func theEstimateIsHonest() async {
    await #expect(processExitsWith: .success) {
      let model = try RandomModel().model()
      for mode in Checkpointing.allCases {
        for maxRows in [nil, 600] as [Int?] { try compare(model, mode, maxRows: maxRows) }
      }
    }
  }

  @Test func theEstimateOfAdaptersIsHonest() async {
    await #expect(processExitsWith: .success) {
      let model = try RandomModel().model().copy(.int8)
      for dropout in [0, 0.1] {
        try model.addAdapters(
          AdapterConfig(rank: 8, alpha: 16, dropout: dropout, targetModules: AdapterConfig.allLinear))
        for mode in Checkpointing.allCases { try compare(model, mode) }
        model.removeAdapters()
      }
    }
  }
}

/// Takes a step on 1500 rows and compares the most memory that it had with the estimate.
private func compare(_ model: CausalLM, _ mode: Checkpointing, maxRows: Int? = nil) throws {
  let optimizer = AdamW(parameters: model.parameters)
  func step(rows: Int) throws {
    let forest = try RandomModel().forest(rows: rows)
    optimizer.zeroGradients()
    let options = CausalLM.TrainingOptions(mode, maxRows: maxRows)
    try model.logProbs(forest, entropy: true, options: options).logProbs.mean().negated().backward()
    _ = optimizer.step(maxGradNorm: 1)
  }
  // Moments are made by the first step.
  try step(rows: 10)
  BufferPool.shared.resetPeakInUse()
  try step(rows: 1500)
  optimizer.zeroGradients()
  let peak = BufferPool.shared.statistics.peakInUse
  let plan = MemoryPlan(model, rows: maxRows ?? 1500, checkpointing: mode)
  #expect((0.75...1.35).contains(Double(plan.total) / Double(peak)), "estimated \(plan), used \(peak)")
}
