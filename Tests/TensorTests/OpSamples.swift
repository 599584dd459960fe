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
    case .tanh: Self.unary { $0.tanh() }
    case .sum: Self.unary { $0.sum() } + Self.alongDimensions { try $0.sum(dim: $1, keepDim: $2) }
    case .mean: Self.unary { $0.mean() } + Self.alongDimensions { try $0.mean(dim: $1, keepDim: $2) }
    case .max:
      Self.nonEmptyShapes.map { shape in .one("all of \(shape)", [shape]) { try $0[0].max() } }
        + Self.alongDimensions { try $0.max(dim: $1, keepDim: $2) }
    case .min:
      Self.nonEmptyShapes.map { shape in .one("all of \(shape)", [shape]) { try $0[0].min() } }
        + Self.alongDimensions { try $0.min(dim: $1, keepDim: $2) }
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
      [
        .fused("bias", [[5, 7], [3, 7], [3]], definition: { try $0[0].composedLinear($0[1], bias: $0[2]) }) {
          try $0[0].linear($0[1], bias: $0[2])
        },
        .fused("no bias", [[1, 4], [6, 4]], definition: { try $0[0].composedLinear($0[1]) }) {
          try $0[0].linear($0[1])
        },
        .fused(
          "no rows", [[0, 4], [6, 4], [6]], definition: { try $0[0].composedLinear($0[1], bias: $0[2]) }
        ) {
          try $0[0].linear($0[1], bias: $0[2])
        },
      ]
    case .embedding, .rmsNorm, .rope, .swiglu, .attention, .tokenLogProbs: []
    }
  }

  /// Whether this operation is defined by others, so that it is held to them and not to finite differences.
  var isFused: Bool {
    switch self {
    case .linear, .embedding, .rmsNorm, .rope, .swiglu, .attention, .tokenLogProbs: true
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
