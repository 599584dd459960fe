// The cases of every operation. The switch has no default: the compiler refuses an operation without cases.
import Kernels

import Tensor

extension Op {
  /// What the gradients of this operation are checked on.
  var samples: [Sample] {
    switch self {
    case .add: Self.binary { try $0.adding($1) } + [.one("float", [[3]]) { $0[0].adding(1.5) }]
    case .subtract: Self.binary { try $0.subtracting($1) } + [.one("float", [[3]]) { $0[0].subtracting(1.5) }]
    case .multiply:
      Self.binary { try $0.multiplied(by: $1) } + [.one("float", [[3]]) { $0[0].multiplied(by: 3) }]
    case .divide:
      Self.binary(in: 0.5...3) { try $0.divided(by: $1) } + [.one("float", [[3]]) { $0[0].divided(by: 3) }]
    case .power:
      Self.binary(in: 0.5...2) { try $0.power($1) } + [
        .one("cube of any sign", [[7]]) { $0[0].power(3) },
        .one("square of any sign", [[7]]) { $0[0].power(2) },
      ]
    case .minimum: Self.binary { try $0.minimum($1) } + [.one("float", [[9]]) { $0[0].minimum(0.1) }]
    case .maximum: Self.binary { try $0.maximum($1) } + [.one("float", [[9]]) { $0[0].maximum(0.1) }]
    case .select:
      Self.binary { a, b in
        let shape = naiveBroadcast(a.shape, b.shape) ?? []
        let mask = try Tensor((0..<shape.reduce(1, *)).map { $0 % 3 == 0 ? 1 : 0 }, shape: shape)
        return try a.selected(where: mask, else: b)
      } + [
        .one("mask larger than both", [[3], [1]]) {
          try $0[0].selected(where: Tensor([1, 0, 0, 1, 1, 0], shape: [2, 3]), else: $0[1])
        }
      ]
    case .negate: Self.unary { $0.negated() }
    case .exp: Self.unary { $0.exp() }
    case .log: Self.unary(in: 0.5...3) { $0.log() }
    case .sqrt: Self.unary(in: 0.5...3) { $0.sqrt() }
    case .square: Self.unary { $0.squared() }
    case .abs: Self.unary { $0.absolute() }
    case .clamp: Self.unary { $0.clamped(-9, 0) } + Self.unary { $0.clamped(0, 9) }
    case .sigmoid: Self.unary { $0.sigmoid() }
    case .silu: Self.unary { $0.silu() }
    case .gelu: Self.unary { $0.gelu() } + Self.unary { $0.gelu(approximate: true) }
    case .tanh: Self.unary { $0.tanh() }
    case .relu: Self.unary { $0.relu() }
    case .sin: Self.unary { $0.sin() }
    case .cos: Self.unary { $0.cos() }
    case .erf: Self.unary { $0.erf() }
    case .expm1: Self.unary { $0.expm1() }
    case .log1p: Self.unary(in: -0.5...3) { $0.log1p() }
    case .sum: Self.unary { $0.sum() } + Self.alongDimensions { try $0.sum(dim: $1, keepDim: $2) }
    case .mean: Self.unary { $0.mean() } + Self.alongDimensions { try $0.mean(dim: $1, keepDim: $2) }
    case .max:
      Self.nonEmptyShapes.map { shape in .one("all of \(shape)", [shape]) { try $0[0].max() } }
        + Self.alongDimensions { try $0.max(dim: $1, keepDim: $2) }
    case .min:
      Self.nonEmptyShapes.map { shape in .one("all of \(shape)", [shape]) { try $0[0].min() } }
        + Self.alongDimensions { try $0.min(dim: $1, keepDim: $2) }
    case .prod:
      Self.nonEmptyShapes.map { shape in .one("all of \(shape)", [shape]) { try $0[0].product(dims: nil) } }
        + Self.alongDimensions { try $0.product(dims: [$1], keepDim: $2) }
    case .cumsum: Self.alongDimensions { x, dim, _ in try x.cumulativeSum(dim: dim) }
    case .reshape:
      Self.unary { try $0.reshaped([-1]) } + [
        .one("split", [[4, 6]]) { try $0[0].reshaped([2, 2, -1, 3]) },
        .one("merge", [[2, 3, 4]]) { try $0[0].reshaped([6, 4]) },
        .one("across", [[4, 6]]) { try $0[0].reshaped([3, 8]) },
      ]
    case .permute:
      [
        .one("three", [[2, 3, 4]]) { try $0[0].permuted([2, 0, 1]) },
        .one("transposed", [[2, 3, 4]]) { try $0[0].transposed() },
        .one("scalar", [[]]) { try $0[0].permuted([]) },
        .one("empty", [[0, 3]]) { try $0[0].permuted([1, 0]) },
      ]
    case .slice:
      [
        .one("rows", [[5, 3]]) { try $0[0].sliced(dim: 0, 1..<4) },
        .one("columns", [[5, 4]]) { try $0[0].sliced(dim: -1, 1..<3) },
        .one("middle", [[2, 5, 3]]) { try $0[0].sliced(dim: 1, 2..<4) },
        .one("nothing", [[5, 3]]) { try $0[0].sliced(dim: 0, 2..<2) },
        .one("every second row", [[5, 3]]) { try $0[0].sliced(dim: 0, 0..<5, by: 2) },
        .one("every third of the middle", [[2, 8, 2]]) { try $0[0].sliced(dim: 1, 1..<7, by: 3) },
        .one("overlapping", [[6]]) {
          try $0[0].sliced(dim: 0, 0..<4).multiplied(by: $0[0].sliced(dim: 0, 2..<6))
        },
      ]
    case .expand:
      [
        .one("rows", [[1, 3]]) { try $0[0].expanded(to: [4, 3]) },
        .one("new dimensions", [[2, 1]]) { try $0[0].expanded(to: [3, 2, 5]) },
        .one("scalar", [[]]) { try $0[0].expanded(to: [2, 2]) },
        .one("to nothing", [[1]]) { try $0[0].expanded(to: [0]) },
        .one("same", [[2, 2]]) { try $0[0].expanded(to: [2, 2]) },
      ]
    case .concatenate:
      [
        .one("rows", [[2, 3], [1, 3], [0, 3]]) { try Tensor.concatenated($0, dim: 0) },
        .one("columns", [[2, 3], [2, 1]]) { try Tensor.concatenated($0, dim: 1) },
        .one("middle", [[2, 1, 3], [2, 2, 3]]) { try Tensor.concatenated($0, dim: -2) },
        .one("twice the same", [[3]]) { try Tensor.concatenated([$0[0], $0[0]], dim: 0) },
      ]
    case .gather:
      [
        .one("one of each row", [[3, 4]]) { try $0[0].gathered(dim: 1, [3, 0, 0]) },
        .one("several, repeated", [[2, 4]]) { try $0[0].gathered(dim: 1, [1, 1, 2, 0, 0, 0]) },
        .one("first dimension", [[3, 2]]) { try $0[0].gathered(dim: 0, [2, 0, 1, 1]) },
        .one("middle", [[2, 3, 2]]) { try $0[0].gathered(dim: 1, [2, 0, 1, 1]) },
        .one("nothing", [[3, 4]]) { try $0[0].gathered(dim: 1, []) },
      ]
    case .scatterAdd:
      [
        .one("one of each row", [[3, 4], [3, 1]]) { try $0[0].scatterAdded(dim: 1, [3, 0, 0], $0[1]) },
        .one("several to one", [[2, 4], [2, 3]]) {
          try $0[0].scatterAdded(dim: 1, [1, 1, 2, 0, 0, 0], $0[1])
        },
        .one("first dimension", [[3, 2], [2, 2]]) { try $0[0].scatterAdded(dim: 0, [2, 0, 1, 1], $0[1]) },
        .one("middle", [[2, 3, 2], [2, 1, 2]]) { try $0[0].scatterAdded(dim: 1, [2, 0, 1, 1], $0[1]) },
        .one("nothing", [[3, 4], [3, 0]]) { try $0[0].scatterAdded(dim: 1, [], $0[1]) },
        .one("itself", [[4]]) { try $0[0].scatterAdded(dim: 0, [1, 1, 3, 0], $0[0]) },
      ]
    case .indexSelect:
      [
        .one("rows, repeated", [[3, 4]]) { try $0[0].taken(dim: 0, [2, 0, 2]) },
        .one("columns", [[3, 4]]) { try $0[0].taken(dim: -1, [3, 1]) },
        .one("middle", [[2, 3, 2]]) { try $0[0].taken(dim: 1, [1, 1, 0, 2]) },
        .one("nothing", [[3, 4]]) { try $0[0].taken(dim: 0, []) },
      ]
    case .matmul:
      [
        [[3, 4], [4, 2]], [[1, 1], [1, 1]], [[2, 3, 4], [2, 4, 2]], [[2, 1, 3, 2], [3, 2, 3]],
        [[3, 2], [2, 2, 3]],
        [[0, 3], [3, 2]], [[2, 0], [0, 3]], [[2, 3], [3, 0]],
      ].map { shapes in .one("\(shapes)", shapes) { try $0[0].matmul($0[1]) } } + [
        .one("with its transpose", [[3, 4]]) { try $0[0].matmul($0[0].transposed()) }
      ]
    case .softmax:
      Self.alongDimensions { try $1 == 0 && $2 ? $0.softmax(dim: -1) : $0.softmax(dim: $1) }
    case .logSoftmax:
      Self.alongDimensions { try $1 == 0 && $2 ? $0.logSoftmax(dim: -1) : $0.logSoftmax(dim: $1) }
    case .linear:
      // Few rows, some more, and many take different ways.
      [1, 5, 20, 70].map { rows in
        .fused(
          "\(rows) rows and a bias", [[rows, 21], [19, 21], [19]],
          definition: { try $0[0].composedLinear($0[1], bias: $0[2]) }
        ) { try $0[0].linear($0[1], bias: $0[2]) }
      }
        + [[1, 4, 6], [0, 4, 6], [3, 1, 1], [3, 0, 2], [70, 0, 2]].map { sizes in
          .fused(
            "\(sizes), no bias", [[sizes[0], sizes[1]], [sizes[2], sizes[1]]],
            definition: { try $0[0].composedLinear($0[1]) }
          ) { try $0[0].linear($0[1]) }
        } + [
          .fused("a square with itself", [[6, 6]], definition: { try $0[0].composedLinear($0[0]) }) {
            try $0[0].linear($0[0])
          }
        ]
    case .embedding:
      [[4, 0, 0, 2], [], [1]].map { indices in
        .fused("\(indices)", [[5, 3]], definition: { try $0[0].composedEmbedding(indices) }) {
          try $0[0].embedding(indices)
        }
      }
    case .rmsNorm:
      [[4, 7], [2, 3, 20], [33], [3, 1], [0, 5], [70, 64]].map { shape in
        .fused(
          "\(shape)", [shape, [shape[shape.count - 1]]],
          definition: { try $0[0].composedRMSNorm($0[1], epsilon: 1e-5) }
        ) { try $0[0].rmsNorm($0[1], epsilon: 1e-5) }
      }
    case .rope:
      [[1, 1, 2], [3, 2, 8], [20, 3, 20], [0, 1, 4]].map { sizes in
        let frequencies = (0..<sizes[2] / 2).map { 1 / Float(1 + $0 * $0) }
        let table = RotaryTable(
          positions: (0..<sizes[0]).map { $0 * 7 + 1 }, frequencies: frequencies)
        return .fused(
          "\(sizes)", [[sizes[0], sizes[1] * sizes[2]]], definition: { try $0[0].composedRope(table) }
        ) { try $0[0].rope(table) }
      }
    case .swiglu:
      [[3, 5], [2, 3, 17], [0], []].map { shape in
        .fused("\(shape)", [shape, shape], definition: { try $0[0].composedSwiGLU($0[1]) }) {
          try $0[0].swiglu($0[1])
        }
      } + [
        .fused("the same twice", [[9]], definition: { try $0[0].composedSwiGLU($0[0]) }) {
          try $0[0].swiglu($0[0])
        }
      ]
    case .attention: Self.attention
    case .checkpoint:
      [1, 5, 17].flatMap { rows in
        [nil, 4, 17].map { chunk in
          .fused(
            "\(rows) rows, \(chunk ?? rows) at a time", [[rows, 6], [6, 6]],
            definition: { try $0[0].linear($0[1]).tanh().adding($0[0]) }
          ) { inputs in
            try inputs[0].checkpointed(rowsAtATime: chunk) { x, isValueNeeded in
              try x.linear(inputs[1]).tanh().adding(x)
            }
          }
        }
      }
    case .custom:
      [[3, 4], [], [0]].map { shape in
        .fused("product, \(shape)", [shape, shape], definition: { try $0[0].multiplied(by: $0[1]) }) {
          inputs in
          let (a, b) = (inputs[0].detached(), inputs[1].detached())
          return try a.multiplied(by: b).withRule(inputs) { dy in
            [try dy.multiplied(by: b), try dy.multiplied(by: a)]
          }
        }
      }
    case .tokenLogProbs:
      [(1, 3, 5), (4, 6, 7), (9, 2, 40)].flatMap { rows, width, vocabulary in
        [false, true].map { entropy in
          let targets = (0..<rows).map { Int32($0 * 3 % vocabulary) }
          let inverses = (0..<rows).map { 1 / (1 + Float($0 % 3) * 0.4) }
          return .fused(
            "\(rows) of \(vocabulary), entropy \(entropy)", [[rows, width], [vocabulary, width]],
            definition: {
              try $0[0].composedTokenLogProbs(
                $0[1], targets: targets, inverseTemperatures: inverses, entropy: entropy)
            }
          ) {
            try $0[0].tokenLogProbs(
              $0[1], targets: targets, inverseTemperatures: inverses, entropy: entropy)
          }
        }
      } + [
        .fused(
          "rows as their own table", [[4, 3]],
          definition: {
            try $0[0].composedTokenLogProbs(
              $0[0], targets: [0, 2, 2, 1], inverseTemperatures: [1, 1, 1, 1])
          }
        ) {
          try $0[0].tokenLogProbs($0[0], targets: [0, 2, 2, 1], inverseTemperatures: [1, 1, 1, 1])
        }
      ]
    }
  }

  /// One segment; a trunk with branches at several places and a branch of a branch; keys that no query sees; the
  /// same tensor as queries, keys and values.
  private static var attention: [Sample] {
    var chain = AttentionPlan()
    chain.add(spans: [], parts: [.init(queryStart: 0, queryCount: 70, keyStart: 0, keyOffset: 0)])

    var forest = AttentionPlan()
    forest.add(
      spans: [],
      parts: [
        .init(queryStart: 0, queryCount: 6, keyStart: 0, keyOffset: 0),
        .init(queryStart: 15, queryCount: 2, keyStart: 15, keyOffset: 0),
      ])
    forest.add(
      spans: [.init(start: 0, count: 4)],
      parts: [
        .init(queryStart: 6, queryCount: 3, keyStart: 6, keyOffset: 0),
        .init(queryStart: 9, queryCount: 1, keyStart: 9, keyOffset: 0),
      ])
    forest.add(
      spans: [.init(start: 0, count: 4), .init(start: 6, count: 2)],
      parts: [.init(queryStart: 10, queryCount: 5, keyStart: 10, keyOffset: 0)])

    var step = AttentionPlan()
    step.add(
      spans: [.init(start: 2, count: 3)],
      parts: [.init(queryStart: 0, queryCount: 2, keyStart: 6, keyOffset: 3)])

    func sample(_ name: String, _ plan: AttentionPlan, queries: Int, keys: Int, _ shape: AttentionShape)
      -> Sample
    {
      let (width, keyWidth) = (shape.heads * shape.headSize, shape.keyHeads * shape.headSize)
      return .fused(
        name, [[queries, width], [keys, keyWidth], [keys, keyWidth]],
        definition: { try Tensor.composedAttention($0[0], $0[1], $0[2], plan: plan, shape: shape) }
      ) { try Tensor.attention($0[0], $0[1], $0[2], plan: plan, shape: shape) }
    }
    let (plain, grouped) = (
      AttentionShape(heads: 2, keyHeads: 2, headSize: 4), AttentionShape(heads: 6, keyHeads: 2, headSize: 4)
    )
    return [
      sample("one segment", chain, queries: 70, keys: 70, plain),
      sample("forest", forest, queries: 17, keys: 17, plain),
      sample("forest, grouped heads", forest, queries: 17, keys: 17, grouped),
      sample("new rows with a cache", step, queries: 2, keys: 12, grouped),
      .fused(
        "one tensor for all three", [[17, 8]],
        definition: { try Tensor.composedAttention($0[0], $0[0], $0[0], plan: forest, shape: plain) }
      ) { try Tensor.attention($0[0], $0[0], $0[0], plan: forest, shape: plain) },
    ]
  }

  /// Whether this operation is defined by others, so that it is held to them and not to finite differences.
  var isFused: Bool {
    switch self {
    case .linear, .embedding, .rmsNorm, .rope, .swiglu, .attention, .tokenLogProbs, .checkpoint, .custom: true
    default: false
    }
  }

  private static let nonEmptyShapes = [[], [1], [17], [3, 5], [2, 3, 4]]

  private static func unary(
    in range: ClosedRange<Float> = -2...2, _ body: @escaping (Tensor) throws -> Tensor
  ) -> [Sample] {
    (nonEmptyShapes + [[0], [2, 0, 3]]).map { shape in
      .one("\(shape)", [shape], in: range) { try body($0[0]) }
    }
  }

  private static func binary(
    in range: ClosedRange<Float> = -2...2, _ body: @escaping (Tensor, Tensor) throws -> Tensor
  ) -> [Sample] {
    let shapes: [[[Int]]] = [
      [[], []], [[17], [17]], [[3, 5], [3, 5]], [[3, 5], []], [[], [4]], [[3, 5], [5]], [[3, 1], [3, 5]],
      [[2, 1, 4], [3, 1]], [[1, 3], [2, 1]], [[1], [1, 1]], [[0], [1]], [[2, 0], [2, 1]], [[0, 3], [0, 3]],
    ]
    let twice = Sample.one("the same twice", [[5]], in: range) { try body($0[0], $0[0]) }
    return shapes.map { shapes in .one("\(shapes)", shapes, in: range) { try body($0[0], $0[1]) } } + [twice]
  }

  private static func alongDimensions(
    _ body: @escaping (Tensor, _ dim: Int, _ keepDim: Bool) throws -> Tensor
  ) -> [Sample] {
    [[1], [9], [3, 5], [2, 3, 4], [0, 2], [1, 3, 1]].flatMap { shape in
      shape.indices.filter { shape[$0] > 0 }.flatMap { dim in
        [true, false].map { keep in
          .one("\(shape) along \(dim), keep \(keep)", [shape]) { try body($0[0], dim, keep) }
        }
      }
    }
  }
}
