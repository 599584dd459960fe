// Random tensors. There is no hidden state: every draw names a seed, or a generator that counts its draws.
import Glibc
import Model
import Tensor

/// Counts draws from a seed. Each draw's numbers are a function of the seed, the number of the draw, and the place in
/// it, so a generator's state is two numbers that a script can save and set.
package final class Generator: LuaObject {
  let seed: Int
  var draws = 0
  init(seed: Int) { self.seed = seed }
}

/// The random numbers of one draw.
private struct Draw {
  let seed: UInt64
  let number: Int

  /// A number in [0, 1) for each place.
  func uniform(_ place: Int) -> Double {
    CounterRandom.uniform(seed: seed, step: UInt64(number), prompt: 0, sample: 0, token: place)
  }

  /// Box and Muller: two uniform numbers give two normal ones.
  func normal(_ place: Int) -> Double {
    let first = place & ~1
    let radius = (-2 * log(1 - uniform(first))).squareRoot()
    let angle = 2 * Double.pi * uniform(first + 1)
    return radius * (place == first ? cos(angle) : sin(angle))
  }

  /// A random order of the numbers below `count` (Fisher and Yates).
  func order(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, Int(uniform(i) * Double(i + 1))) }
    return order
  }
}

extension Argument {
  /// The next draw of a generator, or the first one of a seed.
  fileprivate func draw() throws -> Draw {
    if isInteger { return Draw(seed: UInt64(bitPattern: Int64(try integer())), number: 0) }
    guard let generator = try ifObject(Generator.self) else {
      throw mismatch("Generator (mid.generator(seed)) or a whole number as a seed")
    }
    defer { generator.draws += 1 }
    return Draw(seed: UInt64(bitPattern: Int64(generator.seed)), number: generator.draws)
  }
}

extension Registry {
  private var source: Parameter { Parameter("generator", "Generator|integer", "or a seed") }

  /// `mid.generator`, `mid.rand`, `mid.randn`, `mid.randint`, `mid.randperm` and the type `Generator`.
  func addRandomTensors() {
    type(Generator.self, "Generator") { type in
      type.describe = { "Generator with seed \($0.seed) after \($0.draws) draws" }
      type.property("seed", "integer", "What its numbers are made from.") { try $1.return($0.seed) }
      type.property(
        "draws", "integer", "How many draws it has made; set it to go back, or on after a restart."
      ) {
        try $1.return($0.draws)
      } set: { generator, value in
        generator.draws = try value.integer(min: 0)
      }
    }
    function(
      "generator",
      "What random tensors are drawn with. Equal seeds give equal draws in equal order, whatever else is drawn elsewhere.",
      [Parameter("seed", "integer")], returns: "Generator", example: "g = mid.generator(1)"
    ) { call in
      try call.return(Generator(seed: call[1].integer()))
    }

    let shape = Parameter("shape", "integer|integer[]", "sizes; a number for a vector")
    func filled(_ name: String, _ doc: String, _ value: @escaping (Draw, Int) -> Double) {
      function(
        name, doc, [shape, source], returns: "Tensor", example: "x = mid.\(name)({ 2, 3 }, mid.generator(1))"
      ) {
        call in
        let result = try Tensor.filled(0, call[1].shape(), for: name)
        let draw = try call[2].draw()
        for i in 0..<result.count { result.pointer[i] = Float(value(draw, i)) }
        return try call.return(result)
      }
    }
    // A double just below 1 would be rounded up to it.
    filled("rand", "Numbers from 0 up to but not including 1, all equally likely.") {
      min($0.uniform($1), 1 - 0x1p-24)
    }
    filled("randn", "Numbers of the normal distribution.") { $0.normal($1) }
    function(
      "randint", "Whole numbers from `low` to `high`, all equally likely.",
      [Parameter("low", "integer"), Parameter("high", "integer"), shape, source], returns: "Tensor",
      example: "dice = mid.randint(1, 6, { 10 }, mid.generator(1))"
    ) { call in
      let limit = Int(DType.integerLimit)
      let low = try call[1].integer(min: -limit, max: limit)
      let high = try call[2].integer(min: low, max: limit)
      let result = try Tensor.filled(0, call[3].shape(), for: "randint")
      let draw = try call[4].draw()
      for i in 0..<result.count {
        result.pointer[i] = Float(low + Int(draw.uniform(i) * Double(high - low + 1)))
      }
      return try call.give { try result.converted(to: .i32) }
    }
    function(
      "randperm", "The numbers from 1 to `count` in random order.", [Parameter("count", "integer"), source],
      returns: "Tensor", example: "order = mid.randperm(5, mid.generator(1))"
    ) { call in
      let count = try call[1].integer(min: 0, max: Int(DType.integerLimit))
      let order = try call[2].draw().order(count)
      return try call.give { try Tensor(order.map { Float($0 + 1) }, shape: [count]).converted(to: .i32) }
    }
  }

  func addSampling(to type: LuaType<Tensor>) {
    type.method(
      "multinomial",
      "`count` places drawn from each row of weights, which need not add up to 1, with replacement: (…, V) → (…, count).",
      [Parameter("count", "integer"), source], returns: "Tensor",
      example: "tokens = t:softmax():multinomial(1, mid.generator(1))"
    ) { tensor, call in
      let count = try call[1].integer(min: 0)
      let draw = try call[2].draw()
      guard let V = tensor.shape.last, V > 0 else {
        throw ScriptError("expected rows of weights, got \(tensor.shape)")
      }
      let weights = tensor.values
      let rows = weights.count / V
      let result = try Tensor.filled(0, tensor.shape.dropLast() + [count], for: "multinomial")
      for row in 0..<rows {
        let row = (start: row * V, number: row)
        let all = weights[row.start..<row.start + V]
        let total = all.reduce(0.0) { $0 + Double($1) }
        guard all.allSatisfy({ $0 >= 0 }), total > 0, total.isFinite else {
          throw ScriptError(
            "expected weights ≥ 0 with a positive sum, got row \(row.number + 1): \(all.prefix(8))")
        }
        for i in 0..<count {
          var (left, last) = (draw.uniform(row.number * count + i) * total, 0)
          for (v, weight) in all.enumerated() where weight > 0 {
            last = v
            left -= Double(weight)
            if left < 0 { break }
          }
          result.pointer[row.number * count + i] = Float(last + 1)
        }
      }
      return try call.give { try result.converted(to: .i32) }
    }
    type.method(
      "dropout", "Each element 0 with probability p, else divided by 1 − p.",
      [Parameter("p", "number"), source], returns: "Tensor", example: "u = t:dropout(0.1, mid.generator(1))"
    ) { tensor, call in
      let p = try call[1].number(min: 0, max: 1)
      let draw = try call[2].draw()
      return try call.give {
        let mask = Tensor(repeating: 0, shape: tensor.shape)
        for i in 0..<mask.count where draw.uniform(i) >= p { mask.pointer[i] = Float(1 / (1 - p)) }
        return try tensor.multiplied(by: mask)
      }
    }
  }
}
