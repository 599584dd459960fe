// One function per benchmark; each prints its figures.
import Glibc
import Kernels
import Model
import Tensor
import Train

/// Runs the benchmark of a name; false if there is none.
func run(_ name: String, model: String?) throws -> Bool {
  switch name {
  case "products": products()
  case "attention": try attention()
  case "decode": try decode(load(model))
  case "train": try train(load(model))
  case "step": try step(load(model))
  default: return false
  }
  return true
}

private func load(_ path: String?) throws -> CausalLM {
  guard let path else {
    print("this benchmark needs a model: a folder, a GGUF file, or a name in the model cache")
    exit(2)
  }
  return try LanguageModel.load(path).network
}

private func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// The shortest of some runs: other work on the machine only ever adds.
private func best(of runs: Int = 3, _ body: () throws -> Void) rethrows -> Double {
  var best = Double.infinity
  for _ in 0..<runs {
    let start = seconds()
    try body()
    best = min(best, seconds() - start)
  }
  return best
}

private func fixed(_ value: Double, _ digits: Int = 1) -> String {
  let scale = pow(10, Double(digits))
  return "\((value * scale).rounded() / scale)"
}

/// Token ids that repeat from run to run and are spread over the vocabulary.
private func tokens(_ count: Int, _ model: CausalLM, salt: Int = 0) -> [Int32] {
  (0..<count).map { Int32(($0 * 7919 + salt * 31 + 1000) % model.config.vocabSize) }
}

private func products() {
  for (N, K) in [(576, 576), (1536, 576), (576, 1536), (49152, 576)] {
    // Enough copies of the weights that they come from memory and not from cache.
    let weights = (0..<max(1, 24_000_000 / (N * K))).map { _ in Tensor(repeating: 0.5, shape: [N, K]) }
    for M in [1, 8, 16, 32] {
      let (x, y) = (Tensor(repeating: 1, shape: [M, K]), Tensor(uninitialized: [M, N]))
      let rows = Matrix(x.pointer, rows: M, columns: K)
      let out = Matrix(y.pointer, rows: M, columns: N)
      let scratch = Storage(count: SkinnyGEMM.scratchCount(rows: M, inner: K))
      let ours = best {
        for w in weights { SkinnyGEMM.multiply(rows, weight: w.pointer, into: out, scratch: scratch.pointer) }
      }
      let theirs = best {
        for w in weights { BLAS.multiply(rows, Matrix(w.pointer, rows: N, columns: K).transposed, into: out) }
      }
      let (flops, bytes) = (2e-9 * Double(M * N * K * weights.count), 4e-9 * Double(N * K * weights.count))
      print(
        "\(M)×\(N)×\(K): ours \(fixed(flops / ours)) GFLOPS, \(fixed(bytes / ours)) GB/s · "
          + "OpenBLAS \(fixed(flops / theirs)) GFLOPS · ratio \(fixed(theirs / ours, 2))")
    }
  }
}

private func decode(_ model: CausalLM) throws {
  for batch in [1, 8, 32] {
    var forest = Forest()
    let prompt = try forest.add(tokens(256, model))
    func run(_ count: Int) throws -> Double {
      try best {
        _ = try model.generate(
          forest, from: [prompt], count: batch, maxTokens: count, options: SamplingOptions(), stopIDs: [])
      }
    }
    let (one, many) = (try run(1), try run(25))
    print(
      "batch \(batch): prefill \(fixed(256 / one)) tokens/s · decode \(fixed(Double(batch * 24) / (many - one))) tokens/s"
    )
  }
}

private func train(_ model: CausalLM) throws {
  let optimizer = AdamW(parameters: model.parameters)
  var forest = Forest()
  for salt in 0..<4 { try forest.add(tokens(512, model, salt: salt)) }
  let time = try best {
    optimizer.zeroGradients()
    try model.logProbs(forest).logProbs.mean().negated().backward()
  }
  print("forward and backward: \(fixed(Double(forest.count) / time)) rows/s")
}

private func step(_ model: CausalLM) throws {
  let optimizer = AdamW(parameters: model.parameters)
  func lap(_ name: String, _ start: inout Double) -> Double {
    let time = seconds() - start
    start = seconds()
    print("  \(name) \(fixed(time, 2)) s")
    return time
  }
  for round in 1...2 {
    print(round == 1 ? "first step, memory still cold:" : "second step:")
    var (total, start) = (0.0, seconds())
    let document = tokens(384, model)
    _ = try model.entropy(document)
    total += lap("entropy", &start)
    var forest = Forest()
    let trunk = try forest.add(document)
    let places = try [192, 256, 320, 383].map {
      try forest.add([100], parent: trunk, offset: $0, isScored: false)
    }
    var options = SamplingOptions()
    options.temperature = 0.8
    let groups = try model.generate(
      forest, from: places, count: 8, maxTokens: 64, options: options, stopIDs: [])
    total += lap("rollouts of \(4 * 8 * 64) tokens", &start)
    for (place, group) in zip(places, groups) {
      for completion in group { try forest.add(completion.ids, parent: place, temperature: 0.8) }
    }
    try model.logProbs(forest).logProbs.mean().negated().backward()
    total += lap("dual forward and backward on \(forest.count) rows", &start)
    _ = optimizer.step(maxGradNorm: 1)
    optimizer.zeroGradients()
    total += lap("optimiser", &start)
    var usage = rusage()
    getrusage(RUSAGE_SELF.rawValue, &usage)
    print("  total \(fixed(total, 2)) s · peak memory \(fixed(Double(usage.ru_maxrss) / 1e6, 2)) GB")
  }
}
