// Sums, extremes and the like over dimensions; order.
import Tensor

extension Registry {
  private var dim: Parameter {
    Parameter("dim", "integer|integer[]", "which dimensions go away; all of them without it", optional: true)
  }
  private var keepDim: Parameter {
    Parameter("keepdim", "boolean", "keep them with size 1", default: .boolean(false))
  }

  func addReductions(to type: LuaType<Tensor>) {
    func reduction(
      _ name: String, _ doc: String, _ body: @escaping (Tensor, [Int]?, Bool) throws -> Tensor
    ) {
      type.method(name, doc, [dim, keepDim], returns: "Tensor", example: "print(t:\(name)(), t:\(name)(1))") {
        tensor, call in
        let (dims, keep) = (try call[1].dimensions(of: tensor), try call[2].boolean())
        return try call.give { try body(tensor, dims, keep) }
      }
    }
    reduction("sum", "Sums; how many hold, of bools.") { try $0.sum(dims: $1, keepDim: $2) }
    reduction("mean", "Means; NaN of nothing.") { try $0.mean(dims: $1, keepDim: $2) }
    reduction("prod", "Products; 1 of nothing.") { try $0.product(dims: $1, keepDim: $2) }
    reduction("logsumexp", "log Σ e^x, without overflow.") { try $0.logSumExp(dims: $1, keepDim: $2) }
    reduction("all", "Whether no element is 0 or false.") { try $0.all(dims: $1, keepDim: $2) }
    reduction("any", "Whether an element is not 0 or false.") { try $0.any(dims: $1, keepDim: $2) }

    func spread(
      _ name: String, _ doc: String, _ body: @escaping (Tensor, [Int]?, Bool, Float) throws -> Tensor
    ) {
      let correction = Parameter(
        "correction", "number", "what is taken off the count: 1 for samples, 0 for all there is",
        default: .number(1))
      type.method(
        name, doc, [dim, keepDim, correction], returns: "Tensor", example: "print(t:\(name)(2, true, 0))"
      ) {
        tensor, call in
        let (dims, keep) = (try call[1].dimensions(of: tensor), try call[2].boolean())
        let correction = Float(try call[3].number(min: 0))
        return try call.give { try body(tensor, dims, keep, correction) }
      }
    }
    spread("var", "Variances Σ (x − mean)² / (n − correction); NaN where n ≤ correction.") {
      try $0.variance(dims: $1, keepDim: $2, correction: $3)
    }
    spread("std", "Standard deviations, the roots of `var`; the derivative at 0 is taken to be 0.") {
      try $0.standardDeviation(dims: $1, keepDim: $2, correction: $3)
    }
    type.method(
      "norm", "(Σ |x|^p)^(1/p); the largest |x| for p = math.huge. The derivative at 0 is taken to be 0.",
      [Parameter("p", "number", default: .number(2)), dim, keepDim], returns: "Tensor",
      example: "print(t:norm(), t:norm(1, 2))"
    ) { tensor, call in
      let p = Float(try call[1].number(above: 0))
      let (dims, keep) = (try call[2].dimensions(of: tensor), try call[3].boolean())
      return try call.give { try tensor.norm(p, dims: dims, keepDim: keep) }
    }

    func extreme(_ name: String, _ word: String, largest: Bool) {
      type.method(
        name,
        """
        The \(word) elements. Along one dimension also their places there, and the first of equal ones has the \
        gradient; of all elements equal ones share it. NaN counts as \(word).
        """, [dim, keepDim], returns: "Tensor, Tensor?", example: "value, place = t:\(name)(1)"
      ) { tensor, call in
        let (dims, keep) = (try call[1].dimensions(of: tensor), try call[2].boolean())
        if let dims, dims.count == 1 {
          return try call.give { try tensor.extremes(dim: dims[0], keepDim: keep, largest: largest) }
        }
        return try call.give {
          try largest ? tensor.max(dims: dims, keepDim: keep) : tensor.min(dims: dims, keepDim: keep)
        }
      }
      let one = Parameter(
        "dim", "integer", "along which; of all in row-major order without it", optional: true)
      type.method(
        "arg\(name)", "Where the first of the \(word) elements are, counted from 1.", [one, keepDim],
        returns: "Tensor", example: "print(t:arg\(name)(2))"
      ) { tensor, call in
        let dim = try call[1].optional?.dimension(of: tensor)
        let keep = try call[2].boolean()
        return try call.give {
          let flat = try dim == nil ? tensor.reshaped([-1]) : tensor
          return try flat.extremes(dim: dim ?? 0, keepDim: keep, largest: largest).places.adding(
            Tensor.integer(1))
        }
      }
    }
    extreme("max", "largest", largest: true)
    extreme("min", "smallest", largest: false)

    func rows(_ name: String, _ doc: String, _ body: @escaping (Tensor, Int) throws -> Tensor) {
      let dim = Parameter("dim", "integer", default: .integer(-1))
      type.method(name, doc, [dim], returns: "Tensor", example: "p = t:\(name)(1)") { tensor, call in
        let dim = try call[1].dimension(of: tensor)
        return try call.give { try body(tensor, dim) }
      }
    }
    rows("softmax", "e^x / Σ e^x along a dimension, by default the last.") { try $0.softmax(dim: $1) }
    rows("log_softmax", "x - log Σ e^x along a dimension, by default the last.") {
      try $0.logSoftmax(dim: $1)
    }
    rows("cumsum", "Sums up to each place along a dimension, by default the last.") {
      try $0.cumulativeSum(dim: $1)
    }
  }

  func addOrder(to type: LuaType<Tensor>) {
    let dim = Parameter("dim", "integer", "along which", default: .integer(-1))
    type.method(
      "sort",
      "The elements along a dimension in order, and where they were. Equal ones keep their order, NaN is largest.",
      [dim, Parameter("descending", "boolean", default: .boolean(false))], returns: "Tensor, Tensor",
      example: "values, places = t:sort(2, true)"
    ) { tensor, call in
      let (dim, descending) = (try call[1].dimension(of: tensor), try call[2].boolean())
      return try call.give { try tensor.sorted(dim: dim, descending: descending) }
    }
    type.method(
      "topk",
      "The k largest elements along a dimension, largest first, and where they were; or the k smallest.",
      [
        Parameter("k", "integer"), dim, Parameter("largest", "boolean", default: .boolean(true)),
      ], returns: "Tensor, Tensor", example: "values, places = t:topk(1)"
    ) { tensor, call in
      let (k, dim) = (try call[1].integer(min: 0), try call[2].dimension(of: tensor))
      let largest = try call[3].boolean()
      return try call.give { try tensor.sorted(dim: dim, descending: largest, count: k) }
    }
    type.method(
      "quantile",
      """
      The value below which the share `q` of the elements lies, interpolated linearly: of all elements, or along a \
      dimension. For a list of shares there is one more dimension, the first.
      """,
      [
        Parameter("q", "number|number[]", "from 0 to 1"),
        Parameter("dim", "integer", "which dimension goes away; all of them without it", optional: true),
        keepDim,
      ], returns: "Tensor", example: "median = t:quantile(0.5)"
    ) { tensor, call in
      let isList = call[1].isTable
      let shares = try isList ? call[1].floats() : [Float(call[1].number(min: 0, max: 1))]
      let dim = try call[2].optional?.dimension(of: tensor)
      let keep = try call[3].boolean()
      return try call.give {
        let flat = try dim == nil ? tensor.reshaped([-1]) : tensor
        var result = try flat.quantiles(shares, dim: dim ?? 0)
        if keep {
          let kept = tensor.shape.indices.map { dim == nil || $0 == dim ? 1 : tensor.shape[$0] }
          result = try result.reshaped([shares.count] + kept)
        }
        return try isList ? result : result.indexed([.place(0)])
      }
    }
  }
}
