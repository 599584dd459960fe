// Attention over random forests of segments against a loop in Double that knows only who sees whom.
import Foundation
import TestSupport
import Testing

import Kernels

/// Arrays of one attention layer, and the kernels on them.
private struct Layer {
  let (plan, shape): (AttentionPlan, AttentionShape)
  let (q, k, v, dout): ([Float], [Float], [Float], [Float])

  struct Forward: Equatable {
    var (out, logSums): ([Float], [Float])
  }

  struct Gradients: Equatable {
    var (dq, dk, dv): ([Float], [Float], [Float])
  }

  func forward(pool: ThreadPool = .shared, k: [UInt16]? = nil, v: [UInt16]? = nil) -> Forward {
    var result = Forward(
      out: Array(repeating: .nan, count: q.count),
      logSums: Array(repeating: .nan, count: q.count / shape.headSize))
    var scratch = [Float](
      repeating: .nan, count: AttentionKernels.forwardScratch(plan, shape, pool: pool))
    func run(_ k: KeyValueRows, _ v: KeyValueRows) {
      AttentionKernels.forward(
        q: q, k: k, v: v, out: &result.out, logSums: &result.logSums, scratch: &scratch, plan: plan,
        shape: shape, pool: pool)
    }
    if let k, let v {
      k.withUnsafeBufferPointer { k in
        v.withUnsafeBufferPointer { v in run(.bfloat16(k.baseAddress!), .bfloat16(v.baseAddress!)) }
      }
    } else {
      var (floatK, floatV) = (self.k, self.v)
      floatK.withUnsafeMutableBufferPointer { k in
        floatV.withUnsafeMutableBufferPointer { v in run(.float(k.baseAddress!), .float(v.baseAddress!)) }
      }
    }
    return result
  }

  /// Adds to gradients of keys and values, and to those of queries if `beta` is 1.
  func backward(
    _ forward: Forward, to gradients: Gradients, beta: Float, pool: ThreadPool = .shared
  ) -> Gradients {
    var (result, k, v) = (gradients, k, v)
    var scratch = [Float](
      repeating: .nan, count: AttentionKernels.backwardScratch(plan, shape, pool: pool))
    AttentionKernels.backward(
      dout: dout, q: q, k: &k, v: &v, out: forward.out, logSums: forward.logSums, dq: &result.dq, beta: beta,
      dk: &result.dk, dv: &result.dv, scratch: &scratch, plan: plan, shape: shape, pool: pool)
    return result
  }

  func expectExact(
    visible: [[Int]], _ random: inout Random, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    let exact = NaiveAttention(q: q, k: k, v: v, dout: dout, visible: visible, shape)
    let result = forward()
    expectClose(result.out, exact.out, 1e-5, "output", sourceLocation: sourceLocation)
    expectClose(result.logSums, exact.logSums, 1e-5, "sums", sourceLocation: sourceLocation)
    // Gradients of keys and values add to what is there; those of queries replace it or add.
    for beta in [Float(0), 1] {
      let old = Gradients(
        dq: random.floats(q.count), dk: random.floats(k.count), dv: random.floats(v.count))
      var start = old
      if beta == 0 { start.dq = Array(repeating: .nan, count: q.count) }
      let new = backward(result, to: start, beta: beta)
      func expected(_ beta: Float, _ old: [Float], _ exact: [Double]) -> [Double] {
        zip(old, exact).map { Double(beta * $0) + $1 }
      }
      expectClose(new.dk, expected(1, old.dk, exact.dk), 2e-5, "dk", sourceLocation: sourceLocation)
      expectClose(new.dv, expected(1, old.dv, exact.dv), 2e-5, "dv", sourceLocation: sourceLocation)
      expectClose(new.dq, expected(beta, old.dq, exact.dq), 2e-5, "dq", sourceLocation: sourceLocation)
    }
  }
}

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

  /// Segments of these lengths, each hanging off an earlier one after some of its rows, or off none.
  init(_ segments: [(count: Int, parent: Int?, offset: Int)]) {
    for (count, parent, offset) in segments {
      self.segments.append(Segment(start: rowCount, count: count, parent: parent, offset: offset))
      rowCount += count
    }
  }

  /// Random values for it.
  func layer(
    _ shape: AttentionShape, _ random: inout Random, queries: ClosedRange<Float> = -2...2
  ) -> Layer {
    let (queryCount, keyCount) = (
      rowCount * shape.heads * shape.headSize, rowCount * shape.keyHeads * shape.headSize
    )
    return Layer(
      plan: plan, shape: shape, q: random.floats(queryCount, in: queries),
      k: random.floats(keyCount, in: -2...2), v: random.floats(keyCount), dout: random.floats(queryCount))
  }

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
    forest.layer(shape, &random).expectExact(visible: forest.visible, &random)
  }

  /// Forests whose keys fill several tiles: one long text; shared spans of several tiles, with branches and branches of
  /// branches whose own keys end inside a tile, at its end, and one after it.
  private static let longForests = [
    Forest([(1100, nil, 0)]),
    Forest([(600, nil, 0), (300, 0, 530), (20, 1, 270), (1, 1, 270), (70, 0, 530), (5, 0, 512)]),
    Forest([(256, nil, 0), (256, 0, 256), (257, 0, 256), (1, 1, 256), (3, 2, 257), (40, nil, 0)]),
  ]

  @Test(arguments: longForests.indices, [(2, 1), (3, 3), (4, 2)])
  func severalTiles(number: Int, heads: (Int, Int)) {
    var random = Random(UInt64(number))
    let shape = AttentionShape(heads: heads.0, keyHeads: heads.1, headSize: 8)
    let forest = Self.longForests[number]
    forest.layer(shape, &random).expectExact(visible: forest.visible, &random)
  }

  /// Scores of ±80 and beyond, the largest early in some rows and late in others, so that sums are corrected often.
  @Test(arguments: 0..<3)
  func largeScores(seed: Int) {
    var random = Random(UInt64(seed))
    let (forest, shape) = (Self.longForests[seed], AttentionShape(heads: 2, keyHeads: 1, headSize: 8))
    let layer = forest.layer(shape, &random, queries: -40...40)
    let exact = NaiveAttention(
      q: layer.q, k: layer.k, v: layer.v, dout: layer.dout, visible: forest.visible, shape)
    #expect(exact.logSums.max()! > 80)
    let result = layer.forward()
    expectClose(result.out, exact.out, 5e-5, "output")
    expectClose(result.logSums, exact.logSums, 1e-5, "sums")
    let zero = Layer.Gradients(
      dq: layer.q.map { _ in 0 }, dk: layer.k.map { _ in 0 }, dv: layer.k.map { _ in 0 })
    let gradients = layer.backward(result, to: zero, beta: 0)
    expectClose(gradients.dq, exact.dq, 2e-4, "dq")
    expectClose(gradients.dk, exact.dk, 2e-4, "dk")
    expectClose(gradients.dv, exact.dv, 2e-4, "dv")
  }

  /// All scores far below 0 in the first tile and far above in the last one, and the other way round.
  @Test(arguments: [Float(-1), 1])
  func scoresThatRiseOrFall(direction: Float) {
    let (shape, count) = (AttentionShape(heads: 1, keyHeads: 1, headSize: 4), 700)
    var random = Random(1)
    let slope = (0..<count).map { direction * 80 * (2 * Float($0) / Float(count - 1) - 1) }
    let forest = Forest([(count, nil, 0)])
    let layer = Layer(
      plan: forest.plan, shape: shape, q: Array(repeating: 0.5, count: 4 * count),
      k: slope.flatMap { [Float](repeating: $0, count: 4) }, v: random.floats(4 * count),
      dout: random.floats(4 * count))
    layer.expectExact(visible: forest.visible, &random)
  }

  /// Large enough for several slices of blocks.
  private static let wide = Forest(
    [(384, nil, 0)] + [193, 257, 384].flatMap { offset in (0..<5).map { _ in (64, 0, offset) } })

  @Test func resultsDoNotDependOnTheNumberOfThreads() {
    var random = Random(9)
    let layer = Self.wide.layer(AttentionShape(heads: 9, keyHeads: 3, headSize: 64), &random)
    let old = Layer.Gradients(
      dq: random.floats(layer.q.count), dk: random.floats(layer.k.count), dv: random.floats(layer.v.count))
    let forward = layer.forward()
    let gradients = layer.backward(forward, to: old, beta: 1)
    for threads in [1, 2, 3, 8] {
      let pool = ThreadPool(threadCount: threads)
      #expect(layer.forward(pool: pool) == forward, "\(threads) threads")
      #expect(layer.backward(forward, to: old, beta: 1, pool: pool) == gradients, "\(threads) threads")
    }
    ThreadPool.serially {
      #expect(layer.forward() == forward)
      #expect(layer.backward(forward, to: old, beta: 1) == gradients)
    }
  }

  @Test func severalSlices() {
    var random = Random(4)
    Self.wide.layer(AttentionShape(heads: 2, keyHeads: 1, headSize: 8), &random)
      .expectExact(visible: Self.wide.visible, &random)
  }

  @Test(arguments: longForests.indices)
  func halfPrecisionKeysAreThoseRoundedKeys(number: Int) {
    var random = Random(UInt64(number))
    let shape = AttentionShape(heads: 6, keyHeads: 2, headSize: 20)
    let layer = Self.longForests[number].layer(shape, &random)
    func encoded(_ values: [Float]) -> [UInt16] {
      var result = [UInt16](repeating: 0, count: values.count)
      BFloat16Kernels.encode(values, into: &result, values.count)
      return result
    }
    func rounded(_ values: [Float]) -> [Float] {
      encoded(values).map { Float(bitPattern: UInt32($0) << 16) }
    }
    let same = Layer(
      plan: layer.plan, shape: shape, q: layer.q, k: rounded(layer.k), v: rounded(layer.v), dout: layer.dout)
    #expect(same.k != layer.k)
    let (half, float) = (layer.forward(k: encoded(layer.k), v: encoded(layer.v)), same.forward())
    expectClose(half.out, float.out.map(Double.init), 1e-6, "output")
    expectClose(half.logSums, float.logSums.map(Double.init), 1e-6, "sums")
  }

  /// A decoding step: one new row per sequence, keys elsewhere, as the cache has them.
  @Test func decodingStepsEqualTheForwardPass() {
    var random = Random(5)
    let (shape, length) = (AttentionShape(heads: 4, keyHeads: 2, headSize: 16), 30)
    let whole = Forest([(length, nil, 0)]).layer(shape, &random)
    let expected = whole.forward().out
    for row in 0..<length {
      var step = AttentionPlan()
      // The first 10 rows as a shared prefix, where there are so many.
      let shared = min(10, row)
      step.add(
        spans: shared > 0 ? [.init(start: 0, count: shared)] : [],
        parts: [.init(queryStart: 0, queryCount: 1, keyStart: shared, keyOffset: row - shared)])
      let range = row * 64..<(row + 1) * 64
      let layer = Layer(
        plan: step, shape: shape, q: Array(whole.q[range]), k: whole.k, v: whole.v, dout: [])
      expectClose(layer.forward().out, expected[range].map(Double.init), 1e-5, "row \(row)")
    }
  }

  /// What a branch attends to on its own is not touched by the branches beside it.
  @Test func aBranchDoesNotDependOnItsNeighbours() {
    var random = Random(6)
    let (shape, keys) = (AttentionShape(heads: 9, keyHeads: 3, headSize: 64), 40)
    let branches = 12
    let (q, k, v) = (
      random.floats(branches * 576), random.floats(branches * keys * 192),
      random.floats(branches * keys * 192)
    )
    func attend(_ chosen: [Int]) -> [Float] {
      var plan = AttentionPlan()
      plan.add(
        spans: [],
        parts: chosen.enumerated().map { place, branch in
          .init(
            queryStart: place, queryCount: 1, keyStart: branch * keys, keyOffset: 1 + branch * 3)
        })
      let queries = chosen.flatMap { q[$0 * 576..<($0 + 1) * 576] }
      return Layer(plan: plan, shape: shape, q: queries, k: k, v: v, dout: []).forward().out
    }
    let together = attend(Array(0..<branches))
    for branch in 0..<branches {
      #expect(attend([branch]) == Array(together[branch * 576..<(branch + 1) * 576]), "branch \(branch)")
    }
  }

  @Test func aPlanWithoutQueriesDoesNothing() {
    let layer = Layer(
      plan: AttentionPlan(), shape: AttentionShape(heads: 2, keyHeads: 1, headSize: 4), q: [], k: [1], v: [1],
      dout: [])
    let old = Layer.Gradients(dq: [], dk: [1], dv: [1])
    #expect(layer.backward(layer.forward(), to: old, beta: 0) == old)
  }
}
