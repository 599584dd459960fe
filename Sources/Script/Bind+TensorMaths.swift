// Functions of each element, comparisons, and products of matrices.
import Kernels
import Tensor

extension Registry {
  func addElementwise(to type: LuaType<Tensor>) {
    func function(_ name: String, _ doc: String, _ body: @escaping (Tensor) throws -> Tensor) {
      type.method(name, doc, returns: "Tensor", example: "u = t:\(name)()") { tensor, call in
        try call.give { try body(tensor) }
      }
    }
    function("exp", "e to the power of each element.") { $0.exp() }
    function("expm1", "e^x − 1 for each element, exact near 0.") { $0.expm1() }
    function("log", "The natural logarithm of each element.") { $0.log() }
    function("log1p", "log(1 + x) for each element, exact near 0.") { $0.log1p() }
    function("sqrt", "The square root of each element.") { $0.sqrt() }
    function("rsqrt", "1 / √x for each element.") { try Tensor(1).divided(by: $0.sqrt()) }
    function("reciprocal", "1 / x for each element.") { try Tensor(1).divided(by: $0) }
    function("square", "Each element times itself.") { $0.squared() }
    function("abs", "The absolute value of each element; its derivative at 0 is 0.") { $0.absolute() }
    function("sin", "The sine of each element, an angle in radians.") { $0.sin() }
    function("cos", "The cosine of each element, an angle in radians.") { $0.cos() }
    function("tanh", "The hyperbolic tangent of each element.") { $0.tanh() }
    function("erf", "The error function of each element.") { $0.erf() }
    function("sigmoid", "1 / (1 + e^-x) for each element.") { $0.sigmoid() }
    function("relu", "The larger of each element and 0; its derivative at 0 is 0.") { $0.relu() }
    function("silu", "x · sigmoid(x) for each element.") { $0.silu() }
    function("softplus", "log(1 + e^x) for each element, without overflow.") { try $0.softplus() }
    function("logsigmoid", "log sigmoid(x) for each element, without overflow.") {
      try $0.negated().softplus().negated()
    }
    type.method(
      "gelu", "x · Φ(x) for each element, with the normal distribution's Φ or its approximation by tanh.",
      [Parameter("approximate", "boolean", default: .boolean(false))], returns: "Tensor",
      example: "u = t:gelu(true)"
    ) { tensor, call in
      let approximate = try call[1].boolean()
      return try call.give { tensor.gelu(approximate: approximate) }
    }
    func step(_ name: String, _ doc: String, _ function: StepFunction) {
      type.method(name, doc + " Without gradient.", returns: "Tensor", example: "u = t:\(name)()") {
        tensor, call in
        try call.give { tensor.stepped(function) }
      }
    }
    step("floor", "The largest whole number up to each element.", .floor)
    step("ceil", "The smallest whole number from each element on.", .ceil)
    step("round", "The nearest whole number to each element, the even one of two.", .round)
    step("sign", "-1, 0 or 1 for each element; NaN stays NaN.", .sign)

    type.method(
      "clamp",
      """
      Each element moved to the nearest number from `low` to `high`, nil for no bound. The gradient passes inside and \
      at the bounds.
      """,
      [Parameter("low", "number", optional: true), Parameter("high", "number", optional: true)],
      returns: "Tensor",
      example: "ratio = (logp - old):exp():clamp(0.8, 1.2)"
    ) { tensor, call in
      let low = Float(try call[1].optional?.number() ?? -.infinity)
      let high = Float(try call[2].optional?.number() ?? .infinity)
      return try call.give { tensor.clamped(low, high) }
    }
  }

  func addComparisons(to type: LuaType<Tensor>) {
    func pair(_ name: String, _ doc: String, _ body: @escaping (Tensor, Tensor) throws -> Tensor) {
      type.method(
        name, doc + " Shapes are broadcast.", [Parameter("other", "Tensor|number")], returns: "Tensor",
        example: "u = t:\(name)(0)"
      ) { tensor, call in
        let other = try call[1].operand()
        return try call.give { try body(tensor, other) }
      }
    }
    pair("pow", "Each element to the power of the other's, as `^`.") { try $0.power($1) }
    pair("minimum", "The smaller of each pair; a tie splits the gradient.") { try $0.minimum($1) }
    pair("maximum", "The larger of each pair; a tie splits the gradient.") { try $0.maximum($1) }
    pair("gt", "Where it is greater: bools.") { try $0.greater(than: $1) }
    pair("ge", "Where it is greater or equal: bools.") { try $0.greaterOrEqual(to: $1) }
    pair("lt", "Where it is less: bools.") { try $0.less(than: $1) }
    pair("le", "Where it is less or equal: bools.") { try $0.lessOrEqual(to: $1) }
    pair("eq", "Where it is equal: bools. (`==` asks whether both are the same object.)") {
      try $0.equal(to: $1)
    }
    pair("ne", "Where it is not equal: bools.") { try $0.notEqual(to: $1) }

    func test(_ name: String, _ doc: String, _ body: @escaping (Tensor) throws -> Tensor) {
      type.method(name, doc, returns: "Tensor", example: "mask = t:\(name)()") { tensor, call in
        try call.give { try body(tensor) }
      }
    }
    test("isnan", "Where an element is NaN: bools.") { $0.isNaN }
    test("isfinite", "Where an element is neither infinite nor NaN: bools.") { $0.isFinite }
    test("isinf", "Where an element is infinite: bools.") { $0.absolute().equal(to: .infinity) }

    let condition = Parameter("condition", "Tensor", "bools, or numbers other than 0")
    type.method(
      "where",
      "Its own elements where `condition` holds, elsewhere those of `other`. Shapes are broadcast.",
      [condition, Parameter("other", "Tensor|number")], returns: "Tensor",
      example: "positive = t:where(t:gt(0), 0)"
    ) { tensor, call in
      let (condition, other) = (try call[1].object(Tensor.self), try call[2].operand())
      return try call.give { try tensor.selected(where: condition, else: other) }
    }
    type.method(
      "masked_fill", "`value` where `mask` holds, elsewhere its own elements. Shapes are broadcast.",
      [Parameter("mask", "Tensor"), Parameter("value", "Tensor|number")], returns: "Tensor",
      example: "scores = t:masked_fill(t:lt(2), -math.huge)"
    ) { tensor, call in
      let (mask, value) = (try call[1].object(Tensor.self), try call[2].operand())
      return try call.give { try value.selected(where: mask, else: tensor) }
    }
  }

  func addProducts(to type: LuaType<Tensor>) {
    let other = Parameter("other", "Tensor")
    func product(_ name: String, _ doc: String, _ example: String, rank: Int? = nil) {
      type.method(name, doc, [other], returns: "Tensor", example: example) { tensor, call in
        let other = try call[1].object(Tensor.self)
        try checkRanks(tensor.shape, other.shape, rank)
        return try call.give { try tensor.product(other) }
      }
    }
    product(
      "matmul",
      """
      The matrix product (…, N, K) · (…, K, M) → (…, N, M), leading dimensions broadcast. A vector is a row on the \
      left and a column on the right.
      """, "y = t:matmul(t:transpose())")
    product("mm", "The product of two matrices, (N, K) · (K, M) → (N, M).", "y = t:mm(t)", rank: 2)
    product(
      "bmm", "The products of two stacks of matrices, (B, N, K) · (B, K, M) → (B, N, M).",
      "y = mid.ones { 2, 3, 4 }:bmm(mid.ones { 2, 4, 5 })", rank: 3)
    product("dot", "The sum of the products of two vectors' elements.", "y = t[1]:dot(t[2])", rank: 1)
    type.method(
      "linear",
      "x · weightᵀ + bias over the last dimension: (…, K) with a weight (M, K), perhaps packed, and a bias (M) → (…, M).",
      [Parameter("weight", "Tensor|Packed"), Parameter("bias", "Tensor", optional: true)], returns: "Tensor",
      example: "y = t:linear(mid.ones { 3, 2 })"
    ) { tensor, call in
      let weight = try call[1].ifObject(Weight.self) ?? Weight(call[1].object(Tensor.self))
      let bias = try call[2].optional?.object(Tensor.self)
      guard let K = tensor.shape.last else {
        throw ScriptError("expected at least one dimension, got a scalar")
      }
      return try call.give {
        let rows = try tensor.rank == 2 ? tensor : tensor.reshaped([K == 0 ? 0 : tensor.count / K, K])
        let result = try rows.linear(weight, bias: bias)
        return try tensor.rank == 2 ? result : result.reshaped(tensor.shape.dropLast() + [result.shape[1]])
      }
    }
    type.method(
      "rms_norm", "weight · x / √(mean(x²) + epsilon) over the last dimension (arXiv:1910.07467).",
      [Parameter("weight", "Tensor", "(C)"), Parameter("epsilon", "number", default: .number(1e-6))],
      returns: "Tensor", example: "y = t:rms_norm(mid.ones(2))"
    ) { tensor, call in
      let (weight, epsilon) = (try call[1].object(Tensor.self), Float(try call[2].number(min: 0)))
      return try call.give { try tensor.rmsNorm(weight, epsilon: epsilon) }
    }
    type.method(
      "swiglu", "silu(x) · up (arXiv:2002.05202).", [Parameter("up", "Tensor")], returns: "Tensor",
      example: "y = t:swiglu(t)"
    ) { tensor, call in
      let up = try call[1].object(Tensor.self)
      return try call.give { try tensor.swiglu(up) }
    }
    function(
      "einsum",
      """
      Products of tensors, summed over the letters that the result does not have: `"bqd,bkd->bqk"`. A letter twice in \
      one operand is its diagonal, `...` stands for leading dimensions.
      """,
      [Parameter("equation", "string"), Parameter("...", "Tensor")], returns: "Tensor",
      example: "outer = mid.einsum(\"i,j->ij\", mid.ones(2), mid.ones(3))"
    ) { call in
      let equation = try call[1].string()
      guard call.count >= 2 else { throw call[2].mismatch("Tensor") }
      let operands = try (2...call.count).map { try call[$0].object(Tensor.self) }
      return try call.give { try Tensor.einsum(equation, operands) }
    }
  }
}

/// Throws if one of two factors has another number of dimensions than a product wants.
func checkRanks(_ a: [Int], _ b: [Int], _ rank: Int?) throws {
  guard let rank, a.count != rank || b.count != rank else { return }
  throw ScriptError("expected two tensors of \(rank) dimensions, got \(a) and \(b)")
}
