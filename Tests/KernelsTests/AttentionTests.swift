// Attention over random forests of segments against a loop in Double that knows only who sees whom.
import Foundation
import TestSupport
import Testing

import Kernels

/// A forest: segments of packed rows, each hanging off its parent after `offset` of its rows.
private struct Forest {
  struct Segment {
    var start: Int
    var count: Int
    var parent: Int?
    var offset: Int
  }

  var segments: [Segment] = []
  var rowCount = 0

  init(_ random: inout Random) {
    var depths: [Int] = []
    for _ in 0..<Int.random(in: 1...9, using: &random) {
      let parents = segments.indices.filter { depths[$0] < 3 }
      let parent = random.next() % 3 == 0 ? nil : parents.randomElement(using: &random)
      let count = [1, 2, 5, 17, 40, 90].randomElement(using: &random)!
      let offset = parent.map { Int.random(in: 0...segments[$0].count, using: &random) } ?? 0
      segments.append(Segment(start: rowCount, count: count, parent: parent, offset: offset))
      depths.append(parent.map { depths[$0] + 1 } ?? 1)
      rowCount += count
    }
  }

  /// The rows that a segment's first row sees of its ancestors.
  func prefix(of segment: Int) -> [AttentionPlan.Span] {
    let (parent, offset) = (segments[segment].parent, segments[segment].offset)
    guard let parent else { return [] }
    let own = AttentionPlan.Span(start: segments[parent].start, count: offset)
    return prefix(of: parent) + (offset > 0 ? [own] : [])
  }

  /// The rows that each row sees, from the definition.
  var visible: [[Int]] {
    var result = [[Int]](repeating: [], count: rowCount)
    for (number, segment) in segments.enumerated() {
      let before = prefix(of: number).flatMap { Array($0.start..<$0.start + $0.count) }
      for i in 0..<segment.count {
        result[segment.start + i] = before + Array(segment.start...segment.start + i)
      }
    }
    return result
  }

  /// Segments with the same prefix share blocks.
  var plan: AttentionPlan {
    var plan = AttentionPlan()
    var groups: [(spans: [AttentionPlan.Span], parts: [AttentionPlan.Part])] = []
    for (number, segment) in segments.enumerated() {
      let part = AttentionPlan.Part(
        queryStart: segment.start, queryCount: segment.count, keyStart: segment.start, keyOffset: 0)
      let spans = prefix(of: number)
      if let place = groups.firstIndex(where: { $0.spans == spans }) {
        groups[place].parts.append(part)
      } else {
        groups.append((spans, [part]))
      }
    }
    for group in groups { plan.add(spans: group.spans, parts: group.parts) }
    return plan
  }
}

/// Attention and its gradients, one pair of rows at a time.
private struct NaiveAttention {
  var out: [Double]
  var logSums: [Double]
  var (dq, dk, dv): ([Double], [Double], [Double])

  init(q: [Float], k: [Float], v: [Float], dout: [Float], visible: [[Int]], _ shape: AttentionShape) {
    let (H, KVH, D) = (shape.heads, shape.keyHeads, shape.headSize)
    out = Array(repeating: 0, count: q.count)
    logSums = Array(repeating: 0, count: visible.count * H)
    (dq, dk, dv) = (out, Array(repeating: 0, count: k.count), Array(repeating: 0, count: v.count))
    let scale = 1 / Double(D).squareRoot()
    for (row, keys) in visible.enumerated() {
      for h in 0..<H {
        let query = (row * H + h) * D
        let places = keys.map { ($0 * KVH + h / (H / KVH)) * D }
        let scores = places.map { key in
          (0..<D).reduce(0) { $0 + Double(q[query + $1]) * Double(k[key + $1]) } * scale
        }
        let peak = scores.max()!
        let sum = scores.reduce(0) { $0 + exp($1 - peak) }
        logSums[row * H + h] = peak + log(sum)
        let p = scores.map { exp($0 - peak) / sum }
        for (weight, key) in zip(p, places) {
          for d in 0..<D {
            out[query + d] += weight * Double(v[key + d])
            dv[key + d] += weight * Double(dout[query + d])
          }
        }
        let dp = places.map { key in
          (0..<D).reduce(0) { $0 + Double(dout[query + $1]) * Double(v[key + $1]) }
        }
        let inner = zip(p, dp).reduce(0) { $0 + $1.0 * $1.1 }
        for (i, key) in places.enumerated() {
          let dscore = p[i] * (dp[i] - inner) * scale
          for d in 0..<D {
            dq[query + d] += dscore * Double(k[key + d])
            dk[key + d] += dscore * Double(q[query + d])
          }
        }
      }
    }
  }
}

@Suite struct AttentionTests {
  @Test(arguments: 0..<40)
  func randomForests(seed: Int) {
    var random = Random(UInt64(seed))
    let forest = Forest(&random)
    let (heads, keyHeads) = [(1, 1), (4, 2), (3, 3), (9, 3), (4, 1)].randomElement(using: &random)!
    let shape = AttentionShape(
      heads: heads, keyHeads: keyHeads, headSize: [4, 8, 20, 64].randomElement(using: &random)!)
    let (queryCount, keyCount) = (
      forest.rowCount * heads * shape.headSize, forest.rowCount * keyHeads * shape.headSize
    )
    let (q, dout) = (random.floats(queryCount, in: -2...2), random.floats(queryCount))
    var (k, v) = (random.floats(keyCount, in: -2...2), random.floats(keyCount))
    let plan = forest.plan
    let exact = NaiveAttention(q: q, k: k, v: v, dout: dout, visible: forest.visible, shape)

    var out = [Float](repeating: .nan, count: queryCount)
    var logSums = [Float](repeating: .nan, count: forest.rowCount * heads)
    var scratch = [Float](repeating: .nan, count: AttentionKernels.forwardScratch(plan, shape))
    AttentionKernels.forward(
      q: q, k: &k, v: &v, out: &out, logSums: &logSums, scratch: &scratch, plan: plan, shape: shape)
    expectClose(out, exact.out, 1e-5, "output")
    expectClose(logSums, exact.logSums, 1e-5, "sums")

    // Gradients of keys and values add to what is there; those of queries replace it or add.
    let (oldK, oldV, oldQ) = (random.floats(keyCount), random.floats(keyCount), random.floats(queryCount))
    for beta in [Float(0), 1] {
      var (dk, dv, dq) = (oldK, oldV, beta == 0 ? [Float](repeating: .nan, count: queryCount) : oldQ)
      scratch = [Float](repeating: .nan, count: AttentionKernels.backwardScratch(plan, shape))
      AttentionKernels.backward(
        dout: dout, q: q, k: &k, v: &v, out: out, logSums: logSums, dq: &dq, beta: beta, dk: &dk, dv: &dv,
        scratch: &scratch, plan: plan, shape: shape)
      expectClose(dk, zip(oldK, exact.dk).map { Double($0) + $1 }, 2e-5, "dk")
      expectClose(dv, zip(oldV, exact.dv).map { Double($0) + $1 }, 2e-5, "dv")
      expectClose(dq, zip(oldQ, exact.dq).map { Double(beta) * Double($0) + $1 }, 2e-5, "dq")
    }
  }

  /// A decoding step: one new row per sequence, keys elsewhere, as the cache has them.
  @Test func decodingStepsEqualTheForwardPass() {
    var random = Random(5)
    let shape = AttentionShape(heads: 4, keyHeads: 2, headSize: 16)
    let length = 30
    let q = random.floats(length * 4 * 16)
    var (k, v) = (random.floats(length * 2 * 16), random.floats(length * 2 * 16))
    func attend(_ plan: AttentionPlan, _ q: [Float]) -> [Float] {
      var out = [Float](repeating: 0, count: q.count)
      var scratch = [Float](repeating: .nan, count: AttentionKernels.forwardScratch(plan, shape))
      AttentionKernels.forward(
        q: q, k: &k, v: &v, out: &out, logSums: nil, scratch: &scratch, plan: plan, shape: shape)
      return out
    }
    var whole = AttentionPlan()
    whole.add(
      spans: [], parts: [.init(queryStart: 0, queryCount: length, keyStart: 0, keyOffset: 0)])
    let expected = attend(whole, q)
    for row in 0..<length {
      var step = AttentionPlan()
      // The first 10 rows as a shared prefix, where there are so many.
      let shared = min(10, row)
      step.add(
        spans: shared > 0 ? [.init(start: 0, count: shared)] : [],
        parts: [.init(queryStart: 0, queryCount: 1, keyStart: shared, keyOffset: row - shared)])
      let range = row * 64..<(row + 1) * 64
      expectClose(attend(step, Array(q[range])), expected[range].map(Double.init), 1e-5, "row \(row)")
    }
  }

  @Test func largeScoresStayFinite() {
    let shape = AttentionShape(heads: 1, keyHeads: 1, headSize: 4)
    let q = [Float](repeating: 100, count: 8)
    var (k, v): ([Float], [Float]) = (
      [100, 100, 100, 100, -100, -100, -100, -100], [1, 2, 3, 4, 5, 6, 7, 8]
    )
    var plan = AttentionPlan()
    plan.add(spans: [], parts: [.init(queryStart: 0, queryCount: 2, keyStart: 0, keyOffset: 0)])
    var out = [Float](repeating: 0, count: 8)
    var scratch = [Float](repeating: 0, count: AttentionKernels.forwardScratch(plan, shape))
    AttentionKernels.forward(
      q: q, k: &k, v: &v, out: &out, logSums: nil, scratch: &scratch, plan: plan, shape: shape)
    #expect(out == [1, 2, 3, 4, 1, 2, 3, 4])
  }
}
