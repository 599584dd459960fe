// The optimiser's state on disk, beside a model: `optimizer.safetensors`.
import Model
import Tensor

extension AdamW {
  private static let fileName = "optimizer.safetensors"

  /// Writes the step count and both moments of every parameter that has them, by PyTorch's names.
  public func save(to folder: String) throws {
    var tensors = ["step": Tensor(Float(stepCount))]
    for (name, moment) in moments {
      tensors["exp_avg.\(name)"] = moment.first
      tensors["exp_avg_sq.\(name)"] = moment.second
    }
    let list = tensors.keys.sorted().map { WeightInfo(name: $0, shape: tensors[$0]!.shape) }
    try SafetensorsWriter().write(list, to: "\(folder)/\(Self.fileName)") { name, sink in
      let tensor = tensors[name]!
      try sink(UnsafeBufferPointer(start: tensor.pointer, count: tensor.count))
    }
  }

  /// Reads what `save` wrote.
  ///
  /// - Throws: if the file is damaged or belongs to other parameters; then nothing was changed.
  public func load(from folder: String) throws {
    let file = try SafetensorsFile(path: "\(folder)/\(Self.fileName)")
    var loaded: [String: (first: Tensor, second: Tensor)] = [:]
    let names = Set(file.names)
    for (name, parameter) in parameters where names.contains("exp_avg.\(name)") {
      loaded[name] = (
        try file.tensor("exp_avg.\(name)", parameter.shape),
        try file.tensor("exp_avg_sq.\(name)", parameter.shape)
      )
    }
    guard names.count == 2 * loaded.count + 1 else {
      throw ModelError("\(file.path): it holds the state of parameters that this model does not have")
    }
    restore(stepCount: Int(try file.tensor("step", []).item()), moments: loaded)
  }
}
