// The fused parts of a transformer, for networks that scripts put together: what the engine's own models use.
import Glibc
import Kernels
import Tensor

/// Angles by which rotary position embedding turns the rows of one sequence.
package final class Rotary: LuaObject {
  let positions: [Int]
  let frequencies: [Float]
  /// The table for the number of sequences that it was last used with.
  private var last: (sequences: Int, table: RotaryTable)?

  init(positions: [Int], frequencies: [Float]) {
    (self.positions, self.frequencies) = (positions, frequencies)
  }

  /// For so many sequences one after another.
  func table(sequences: Int) -> RotaryTable {
    if let last, last.sequences == sequences { return last.table }
    let rows = (0..<sequences).flatMap { _ in positions }
    let table = RotaryTable(positions: rows, frequencies: frequencies)
    last = (sequences, table)
    return table
  }
}

extension Tensor {
  /// (T, C) or (B, T, C) as B·T rows.
  fileprivate func sequences(_ what: String) throws -> (count: Int, length: Int, rows: Tensor) {
    guard rank == 2 || rank == 3 else {
      throw ScriptError("\(what): expected (T, C) or (B, T, C), got \(shape)")
    }
    if rank == 2 { return (1, shape[0], self) }
    return (shape[0], shape[1], try reshaped([shape[0] * shape[1], shape[2]]))
  }
}

extension Registry {
  /// The type `Rotary` and `mid.rotary`.
  func addRotary() {
    type(Rotary.self, "Rotary") { type in
      type.describe = { "Rotary angles of \($0.positions.count) positions" }
      type.property("length", "integer", "The number of positions.") { try $1.return($0.positions.count) }
    }
    function(
      "rotary",
      "The angles of rotary position embedding (arXiv:2104.09864) for positions first, first + 1, ….",
      [
        Parameter("length", "integer", "number of positions"), Parameter("head_dim", "integer"),
        .options([
          Parameter("theta", "number", "base of the wavelengths", default: .number(10000)),
          Parameter("first", "integer", "the first position", default: .integer(0)),
          Parameter(
            "frequencies", "number[]", "angle a position of each pair; else from theta", optional: true),
        ]),
      ], returns: "Rotary", example: "angles = mid.rotary(2, 2)"
    ) { call in
      let length = try call[1].integer(min: 0, max: 1 << 24)
      let size = try call[2].integer(min: 2, max: 1 << 16)
      let options = try call.options(3)
      let first = try options["first"].integer(min: 0, max: 1 << 40)
      let theta = Float(try options["theta"].number(above: 0))
      guard size.isMultiple(of: 2) else { throw call[2].mismatch("even number") }
      let frequencies =
        try options["frequencies"].optional?.floats()
        ?? (0..<size / 2).map { 1 / pow(theta, Float(2 * $0) / Float(size)) }
      guard frequencies.count == size / 2 else {
        throw options["frequencies"].error(
          "expected \(size / 2) numbers, one for each pair, got \(frequencies.count)")
      }
      return try call.return(Rotary(positions: Array(first..<first + length), frequencies: frequencies))
    }
  }

  func addNetworks(to type: LuaType<Tensor>) {
    type.method(
      "embedding", "Rows of this table (V, C) by place: places (…) → (…, C).",
      [Parameter("places", "table|Tensor", "lists, or a tensor of integers, from 1 to V")], returns: "Tensor",
      example: "x = t:embedding { 2, 1, 1 }"
    ) { tensor, call in
      guard tensor.rank == 2 else { throw ScriptError("expected a table (V, C), got \(tensor.shape)") }
      let (places, shape) = try call[1].places(size: tensor.shape[0])
      return try call.give { try tensor.embedding(places).reshaped(shape + [tensor.shape[1]]) }
    }
    type.method(
      "rope",
      "Turns each head by the angle of its position: (T, H·D) or (B, T, H·D), pairs (i, i + D/2) of a head together.",
      [Parameter("angles", "Rotary")], returns: "Tensor", example: "y = t:rope(mid.rotary(2, 2))"
    ) { tensor, call in
      let angles = try call[1].object(Rotary.self)
      let (count, length, rows) = try tensor.sequences("rope")
      guard length == angles.positions.count else {
        throw call[1].error(
          "has angles for \(angles.positions.count) positions, but there are \(length) rows")
      }
      return try call.give { try rows.rope(angles.table(sequences: count)).reshaped(tensor.shape) }
    }
    type.method(
      "attention",
      """
      Causal softmax attention of these queries (T, H·D) or (B, T, H·D) to keys and values (…, T, KV·D), without \
      holding its weights. Query heads share key heads in groups where these are fewer.
      """,
      [
        Parameter("keys", "Tensor"), Parameter("values", "Tensor"),
        .options(
          [
            Parameter("heads", "integer", "of queries"),
            Parameter("key_value_heads", "integer", "as many if left out", optional: true),
          ], optional: false),
      ], returns: "Tensor", example: "y = t:attention(t, t, { heads = 1 })"
    ) { tensor, call in
      let options = try call.options(3)
      let heads = try options["heads"].integer(min: 1)
      let keyHeads = try options["key_value_heads"].optional?.integer(min: 1) ?? heads
      let (count, length, q) = try tensor.sequences("attention")
      let (k, v) = (
        try call[1].object(Tensor.self).sequences("attention: keys"),
        try call[2].object(Tensor.self).sequences("attention: values")
      )
      let size = q.shape[1] / heads
      let fits = { (x: (count: Int, length: Int, rows: Tensor)) in
        x.count == count && x.length == length && x.rows.shape[1] == keyHeads * size
      }
      guard q.shape[1].isMultiple(of: heads), heads.isMultiple(of: keyHeads), fits(k), fits(v) else {
        throw ScriptError(
          """
          expected queries (…, T, \(heads)·D) and keys and values (…, T, \(keyHeads)·D), got \(tensor.shape), \
          \(try call[1].object(Tensor.self).shape) and \(try call[2].object(Tensor.self).shape)
          """)
      }
      var plan = AttentionPlan()
      for i in 0..<count {
        plan.add(
          spans: [],
          parts: [.init(queryStart: i * length, queryCount: length, keyStart: i * length, keyOffset: 0)])
      }
      let shape = AttentionShape(heads: heads, keyHeads: keyHeads, headSize: size)
      return try call.give { [plan] in
        try Tensor.attention(q, k.rows, v.rows, plan: plan, shape: shape).reshaped(tensor.shape)
      }
    }
    type.method(
      "token_logprobs",
      """
      log softmax(x · weightᵀ / temperature) at one place of each row, without holding all logits: (…, C) with a weight \
      (V, C) and places (…) → (…). With `entropy`, those of the distributions in nats as well.
      """,
      [
        Parameter("weight", "Tensor|Packed"), Parameter("places", "table|Tensor", "from 1 to V"),
        .options([
          Parameter("temperature", "number", "divides the logits", default: .number(1)),
          Parameter("entropy", "boolean", default: .boolean(false)),
        ]),
      ], returns: "Tensor, Tensor?", example: "lp = t:token_logprobs(mid.eye(2), { 1, 2 })"
    ) { tensor, call in
      let weight = try call[1].ifObject(Weight.self) ?? Weight(call[1].object(Tensor.self))
      guard weight.shape.count == 2 else { throw call[1].error("expected (V, C), got \(weight.shape)") }
      let (places, shape) = try call[2].places(size: weight.shape[0])
      let options = try call.options(3)
      let factor = 1 / Float(try options["temperature"].number(above: 0))
      let wantsEntropy = try options["entropy"].boolean()
      guard let C = tensor.shape.last, Array(tensor.shape.dropLast()) == shape else {
        throw call[2].error("expected a place for each row of \(tensor.shape), got \(shape)")
      }
      let results = try call.compute {
        let rows = try tensor.reshaped([places.count, C])
        let both = try rows.tokenLogProbs(
          weight, targets: places, inverseTemperatures: Array(repeating: factor, count: places.count),
          entropy: wantsEntropy)
        return try (0..<both.shape[0]).map { try both.indexed([.place($0)]).reshaped(shape) }
      }
      return try results.count == 2 ? call.return(results[0], results[1]) : call.return(results[0])
    }
  }
}
