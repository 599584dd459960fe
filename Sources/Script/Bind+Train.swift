// Optimisers.
import Tensor
import Train

extension AdamW: LuaObject {
  package var nativeBytes: Int { stateBytes }
}

extension Registry {
  /// `mid.adamw` and the type `AdamW`.
  package func addTraining() {
    let settings = [
      Parameter("learning_rate", "number", "step size", default: .number(1e-6)),
      Parameter("beta1", "number", "decay of the average gradient", default: .number(0.9)),
      Parameter("beta2", "number", "decay of the average squared gradient", default: .number(0.999)),
      Parameter("epsilon", "number", "added to the denominator", default: .number(1e-8)),
      Parameter("weight_decay", "number", "decoupled decay of all weights", default: .number(0.01)),
    ]
    function(
      "adamw",
      """
      AdamW over all weights of a model, or over its adapters, which then collect gradients; or over those tensors of a \
      table that require a gradient.
      """,
      [Parameter("parameters", "Model|table<string, Tensor>"), .options(settings)], returns: "AdamW",
      example: "opt = mid.adamw(model, { learning_rate = 1e-5 })"
    ) { call in
      let options = try call.options(2)
      var settings = AdamW.Settings()
      settings.learningRate = Float(try options["learning_rate"].number(min: 0))
      settings.beta1 = Float(try options["beta1"].number(min: 0, max: 0.999_999))
      settings.beta2 = Float(try options["beta2"].number(min: 0, max: 0.999_999))
      settings.epsilon = Float(try options["epsilon"].number(above: 0))
      settings.weightDecay = Float(try options["weight_decay"].number(min: 0))
      return try call.return(AdamW(parameters: call[1].trainable(), settings: settings))
    }

    type(AdamW.self, "AdamW") { type in
      type.describe = { "AdamW after \($0.stepCount) steps · learning rate \($0.settings.learningRate)" }
      type.property("learning_rate", "number", "Step size.") { optimizer, stack in
        try stack.return(Double(optimizer.settings.learningRate))
      } set: { optimizer, value in
        optimizer.settings.learningRate = Float(try value.number(min: 0))
      }
      type.property("steps", "integer", "Steps taken.") { optimizer, stack in
        try stack.return(optimizer.stepCount)
      }
      type.method(
        "zero_grad", "Forgets all gradients.",
        [
          .options([
            Parameter(
              "keep_memory", "boolean", "keep their memory for the next ones: faster, and more at a time",
              default: .boolean(false))
          ])
        ], example: "opt:zero_grad()"
      ) { optimizer, call in
        optimizer.zeroGradients(keepingMemory: try call.options(1)["keep_memory"].boolean())
        return .none
      }
      type.longMethod(
        "step",
        "Takes a step along the gradients collected since zero_grad. One that is not finite is skipped: nothing changes.",
        [
          .options([
            Parameter("learning_rate", "number", "from now on", optional: true),
            Parameter(
              "max_grad_norm", "number", "larger gradients are scaled down to this norm", optional: true),
          ])
        ], returns: "{grad_norm: number, skipped: boolean}", example: "opt:step { max_grad_norm = 1 }"
      ) { optimizer, call in
        let options = try call.options(1)
        if let rate = try options["learning_rate"].optional?.number(min: 0) {
          optimizer.settings.learningRate = Float(rate)
        }
        let limit = try options["max_grad_norm"].optional?.number(above: 0)
        return {
          let report = optimizer.step(maxGradNorm: limit)
          return { try $0.return(["grad_norm": report.gradNorm, "skipped": report.isSkipped] as Table) }
        }
      }
      type.longMethod(
        "save", "Writes the optimiser's state into a folder, beside a model.", [Parameter("dir", "string")],
        example: "opt:save \"checkpoints/first\""
      ) { optimizer, call in
        let path = try call[1].path()
        return {
          try optimizer.save(to: path)
          return { _ in .none }
        }
      }
      type.longMethod(
        "load", "Reads the state that `save` wrote.", [Parameter("dir", "string")],
        example: "opt:load \"checkpoints/first\""
      ) { optimizer, call in
        let path = try call[1].path()
        return {
          try optimizer.load(from: path)
          return { _ in .none }
        }
      }
    }
  }
}

extension Argument {
  /// What an optimiser is to train: all that a model can, or the tensors of a table that require a gradient, by name.
  fileprivate func trainable() throws -> [(name: String, tensor: Tensor)] {
    if let model = try ifObject(LanguageModel.self) {
      try model.network.makeTrainable()
      return model.network.parameters
    }
    guard isTable else { throw mismatch("Model, or table of tensors by name") }
    let tensors = try pairs().map { pair in
      (
        name: try pair.key.isInteger ? "\(pair.key.integer())" : pair.key.string(),
        tensor: try pair.value.object(Tensor.self)
      )
    }
    let wanted = tensors.filter { $0.tensor.requiresGradient }.sorted { $0.name < $1.name }
    guard !wanted.isEmpty else { throw error("none of these \(tensors.count) tensors requires a gradient") }
    guard wanted.allSatisfy({ $0.tensor.isContiguous }) else {
      throw error("an optimiser wants tensors whose elements lie side by side; use contiguous()")
    }
    return wanted
  }
}
