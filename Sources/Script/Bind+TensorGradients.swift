// Gradients: the way back over the tape, rules that are Lua functions, and changes in place.
import CLua
import Tensor

extension Registry {
  /// `mid.no_grad` and `mid.with_gradient`.
  func addGradientFunctions() {
    scopedFunction(
      "no_grad", "Calls a function without recording operations for `backward`, and returns what it returns.",
      [
        Parameter("f", "fun(...): ...", "what to run"),
        Parameter("...", "any", "its arguments", optional: true),
      ],
      returns: "any", example: "reference = mid.no_grad(function() return model:logprobs(batch) end)",
      Scope {
        defer { Tape.isRecording = false }
        return Tape.isRecording ? 1 : 0
      } leave: { _, before in
        Tape.isRecording = before != 0
      })

    function(
      "with_gradient",
      """
      A tensor with the values of `result` whose gradient goes to `inputs` as a function says: it gets the gradient of \
      the result and returns one for each input, of its shape, or nil for none. See mid.custom.
      """,
      [
        Parameter("result", "Tensor"), Parameter("inputs", "Tensor[]"),
        Parameter("rule", "fun(gradient: Tensor): Tensor?, ..."),
      ], returns: "Tensor",
      example: "y = mid.with_gradient(x:detach():round(), { x }, function(dy) return dy end)"
    ) { call in
      let result = try call[1].object(Tensor.self)
      let inputs = try call[2].tensors()
      let function = try call[3].function()
      return try call.return(
        result.withRule(inputs, isForeign: true) { gradient in
          guard let stack = ForeignRules.stack else {
            throw ScriptError("no Lua thread to run a gradient's rule on")
          }
          return try function.call(on: stack, results: Int32(inputs.count), gradient) { lua, index in
            let tensors = LuaState.of(lua).type(of: Tensor.self)
            return try inputs.indices.map { i in
              let place = index + Int32(i)
              if lua_type(lua, place) == LUA_TNIL { return nil }
              guard let tensor = try tensors.object(lua, place) else {
                throw ScriptError(
                  "the rule of a custom gradient gave \(describeValue(lua, place)) for input \(i + 1), not a Tensor or nil"
                )
              }
              return tensor
            }
          }
        })
    }
  }

  func addGradients(to type: LuaType<Tensor>) {
    type.method(
      "detach", "The same values, through which no gradient flows.", returns: "Tensor",
      example: "baseline = rewards:mean():detach()"
    ) { tensor, call in
      try call.return(tensor.detached())
    }
    type.longMethod(
      "backward",
      """
      Adds the gradient of this scalar to the `grad` of all that it was computed from. What was recorded for it is \
      used up.
      """, example: "loss:backward()"
    ) { tensor, _ in
      { try ForeignRules.walk(BackwardPass(of: tensor)) { _ in .none }() }
    }
    type.longMethod(
      "gradients",
      """
      The gradients of this scalar for some tensors that require one, as a list, zeros where it does not depend on \
      them. No `grad` is changed. What was recorded is used up.
      """, [Parameter("inputs", "Tensor[]")], returns: "Tensor[]",
      example: "g = (x * x):sum():gradients({ x })[1]"
    ) { tensor, call in
      let inputs = try call[1].tensors()
      if let wrong = inputs.firstIndex(where: { !$0.requiresGradient }) {
        throw call[1].error(
          "tensor \(wrong + 1) does not require a gradient; set requires_grad before it is used")
      }
      return {
        let pass = try BackwardPass(of: tensor)
        pass.setGradientsAside()
        return try ForeignRules.walk(pass) { stack in
          let found = zip(inputs, pass.takeGradients(of: inputs))
          return try stack.return(found.map { $1 ?? Tensor(repeating: 0, shape: $0.shape) })
        }()
      }
    }
    type.property(
      "grad", "Tensor?", "The gradient that `backward` added up; nil if there is none. Can be set to nil."
    ) {
      try $1.return($0.gradient)
    } set: { tensor, value in
      guard value.isNil else { throw value.mismatch("nil, which forgets the gradient") }
      tensor.zeroGradient()
    }
    type.property(
      "requires_grad", "boolean",
      "Whether `backward` leaves a gradient here. Only for tensors of floats that no operation made."
    ) {
      try $1.return($0.requiresGradient)
    } set: { tensor, value in
      let isWanted = try value.boolean()
      guard tensor.isLeaf else {
        throw value.error(
          "an operation made this tensor; only its inputs can require a gradient (or use detach())")
      }
      guard !isWanted || tensor.dtype == .f32 else {
        throw value.error("only f32 has gradients, this is a tensor of \(tensor.dtype.rawValue)")
      }
      tensor.requiresGradient = isWanted
    }
  }

  // MARK: Changes in place

  func addWriting(to type: LuaType<Tensor>) {
    func writing(
      _ name: String, _ doc: String, _ parameters: [Parameter], _ example: String,
      _ value: @escaping (Tensor, Call) throws -> Tensor
    ) {
      type.method(
        name,
        doc
          + " In place: other views of the memory see it; `backward` refuses what was computed from it before.",
        parameters, returns: "Tensor", example: example
      ) { tensor, call in
        let value = try call.compute {
          try tensor.inPlace {
            let value = try Tape.withoutRecording { try value(tensor, call) }
            try value.checkIntegers(name)
            return value
          }
        }
        try call.compute { try tensor.write(value) }
        return try call.return(tensor)
      }
    }
    let other = Parameter("other", "Tensor|number")
    writing(
      "copy_", "Takes over the values of another tensor, broadcast.", [other], "t:copy_(mid.zeros { 2, 2 })"
    ) {
      try $1[1].operand().fitting($0)
    }
    writing("fill_", "Takes one value everywhere.", [Parameter("value", "number")], "t:fill_(0)") {
      try $1[1].operand().fitting($0)
    }
    writing(
      "add_", "Adds `other` times `scale`.", [other, Parameter("scale", "number", default: .integer(1))],
      "t:add_(mid.ones { 2, 2 }, 0.1)"
    ) {
      let (other, scale) = (try $1[1].operand(), $1[2])
      return try $0.adding(scale.number() == 1 ? other : other.multiplied(by: scale.operand()))
    }
    writing("mul_", "Multiplies with another tensor or a number.", [other], "t:mul_(0.5)") {
      try $0.multiplied(by: $1[1].operand())
    }
  }
}

extension Tensor {
  /// What is to be written here. If that is an integer beyond what this tensor holds, the error says so.
  func inPlace(_ value: () throws -> Tensor) throws -> Tensor {
    let limit = ScriptError(
      "in place a tensor of i32 takes integers below 2^24 only; operations that make new tensors have larger ones"
    )
    do {
      let value = try value()
      if dtype == .i32, value.dtype == .f32, value.values.contains(where: { abs($0) > DType.integerLimit }) {
        throw limit
      }
      return value
    } catch let error as TensorError where error.isBeyondIntegers { throw limit }
  }
}

/// Rules for gradients that are Lua functions. They run on the Lua thread while the rest of a walk back runs wherever
/// long operations do.
private enum ForeignRules {
  /// Where they run just now; only the Lua thread touches this.
  nonisolated(unsafe) private(set) static var stack: Stack?

  /// Goes on with a walk to its end, in pieces, and then completes.
  static func walk(_ pass: BackwardPass, then completion: @escaping Completion) -> Work {
    {
      try pass.advance()
      guard pass.isUnfinished else { return completion }
      return { stack in
        let before = Self.stack
        Self.stack = stack
        defer { Self.stack = before }
        try pass.runForeignRule()
        return Results(count: 0, next: walk(pass, then: completion))
      }
    }
  }
}
