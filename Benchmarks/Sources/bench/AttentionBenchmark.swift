// Attention alone, at the sizes of SmolLM2: 9 query heads, 3 key heads of 64.
import Kernels
import Tensor

/// Times of one layer's attention: forward and backward on a training forest and on one long text, and a decoding step.
func attention(_ report: Report, _ options: Options) throws {
  let chain = AttentionCase(lengths: [2048])
  let forest = AttentionCase(trunk: 384, places: [193, 257, 321, 384], branches: 8, length: 64)
  for (name, sample) in [("forest", forest), ("chain of 2048", chain)] {
    let (q, k, v) = (sample.random(heads: 9), sample.random(heads: 3), sample.random(heads: 3))
    for tensor in [q, k, v] { tensor.requiresGradient = true }
    let (forward, backward) = try sample.times(q, k, v)
    let scratch = 4e-6 * Double(AttentionKernels.backwardScratch(sample.plan, AttentionCase.shape))
    report.add("\(name), \(sample.rows) rows: forward", 1e3 * forward, "ms")
    report.add(
      "\(name), \(sample.rows) rows: backward", 1e3 * backward, "ms",
      note: "\(Report.format(scratch)) MB of scratch memory")
  }
  for branches in [1, 8, 32] {
    // After the prefix each branch has room for 64 keys of its own, and writes the last of them.
    var plan = AttentionPlan()
    plan.add(
      spans: [.init(start: 0, count: 256)],
      parts: (0..<branches).map {
        .init(queryStart: $0, queryCount: 1, keyStart: 256 + 64 * $0, keyOffset: 63)
      })
    let q = AttentionCase.random(rows: branches, heads: 9)
    let rows = 256 + 64 * branches
    let (k, v) = (AttentionCase.random(rows: rows, heads: 3), AttentionCase.random(rows: rows, heads: 3))
    func time(_ k: KeyValueRows, _ v: KeyValueRows) throws -> Double {
      try best(of: 20) {
        for _ in 0..<50 {
          _ = try Tensor.attention(q, keys: k, values: v, plan: plan, shape: AttentionCase.shape)
        }
      } / 50
    }
    let float = try time(.float(k.pointer), .float(v.pointer))
    let (shortK, shortV) = (Storage(count: (k.count + 1) / 2), Storage(count: (v.count + 1) / 2))
    let half = try shortK.pointer.withMemoryRebound(to: UInt16.self, capacity: k.count) { halfK in
      try shortV.pointer.withMemoryRebound(to: UInt16.self, capacity: v.count) { halfV in
        BFloat16Kernels.encode(k.pointer, into: halfK, k.count)
        BFloat16Kernels.encode(v.pointer, into: halfV, v.count)
        return try time(.bfloat16(halfK), .bfloat16(halfV))
      }
    }
    report.add("decoding \(branches) branches", 1e3 * float, "ms")
    report.add("decoding \(branches) branches, bfloat16 cache", 1e3 * half, "ms")
  }
}

/// A plan and how many rows it is for.
private struct AttentionCase {
  static let shape = AttentionShape(heads: 9, keyHeads: 3, headSize: 64)

  var plan = AttentionPlan()
  var rows = 0

  /// Texts that do not see each other.
  init(lengths: [Int]) {
    for length in lengths { add(spans: [], count: 1, length: length) }
  }

  /// A trunk with some branches of one length at each place.
  init(trunk: Int, places: [Int], branches: Int, length: Int) {
    add(spans: [], count: 1, length: trunk)
    for place in places { add(spans: [.init(start: 0, count: place)], count: branches, length: length) }
  }

  private mutating func add(spans: [AttentionPlan.Span], count: Int, length: Int) {
    let start = rows
    plan.add(
      spans: spans,
      parts: (0..<count).map {
        .init(
          queryStart: start + $0 * length, queryCount: length, keyStart: start + $0 * length, keyOffset: 0)
      })
    rows += count * length
  }

  /// Values that repeat from run to run.
  static func random(rows: Int, heads: Int) -> Tensor {
    let tensor = Tensor(uninitialized: [rows, heads * shape.headSize])
    var state: UInt32 = 1
    for i in 0..<tensor.count {
      state = state &* 1_664_525 &+ 1_013_904_223
      tensor.pointer[i] = Float(state >> 8) / Float(1 << 23) - 1
    }
    return tensor
  }

  func random(heads: Int) -> Tensor { Self.random(rows: rows, heads: heads) }

  /// The shortest forward and the shortest backward pass.
  func times(_ q: Tensor, _ k: Tensor, _ v: Tensor) throws -> (forward: Double, backward: Double) {
    var (forward, backward) = (Double.infinity, Double.infinity)
    for _ in 0..<15 {
      let start = seconds()
      let result = try Tensor.attention(q, k, v, plan: plan, shape: Self.shape)
      forward = min(forward, seconds() - start)
      let sum = try result.multiplied(by: result).sum()
      let half = seconds()
      try sum.backward()
      backward = min(backward, seconds() - half)
    }
    return (forward, backward)
  }
}
