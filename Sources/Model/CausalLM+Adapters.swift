// Adding low-rank adapters to a model, and merging them into its matrices.
import Kernels
import Tensor

extension CausalLM {
  /// The last parts of the names of all linear maps.
  var adaptableModules: [String] {
    let names = config.names
    return (names.projections + [names.attentionOutput] + names.feedForward).reduce(into: []) {
      modules, name in
      let last = String(name.split(separator: ".").last!)
      if !modules.contains(last) { modules.append(last) }
    }
  }

  /// Gives linear maps low-rank adapters that change nothing yet: A is drawn uniformly from ±1/√K, as PEFT does, and
  /// B is zero. All other weights are frozen, whatever their storage.
  ///
  /// - Throws: if there are adapters already, or a setting is out of range.
  public func addAdapters(_ config: AdapterConfig) throws(ModelError) {
    let config = try checked(config)
    for (number, linear) in targets(of: config).enumerated() {
      let (outputs, inputs) = (linear.weight.shape[0], linear.weight.shape[1])
      let (a, bound) = (Tensor(uninitialized: [config.rank, inputs]), 1 / Double(inputs).squareRoot())
      for i in 0..<a.count {
        let uniform = CounterRandom.uniform(seed: config.seed, step: 0, prompt: number, sample: 0, token: i)
        a.pointer[i] = Float((2 * uniform - 1) * bound)
      }
      linear.adapter = LowRankAdapter(
        a: a, b: Tensor(repeating: 0, shape: [outputs, config.rank]), scale: config.scale, number: number)
    }
    adapterConfig = config
    freeze()
  }

  /// The settings with all modules named, if there can be such adapters.
  private func checked(_ given: AdapterConfig) throws(ModelError) -> AdapterConfig {
    var config = given
    if config.targetModules == AdapterConfig.allLinear { config.targetModules = adaptableModules }
    guard adapterConfig == nil else {
      throw ModelError("the model has adapters already; merge or remove them first")
    }
    guard AdapterConfig.ranks.contains(config.rank), config.alpha > 0, config.alpha.isFinite,
      (0..<1).contains(config.dropout)
    else {
      throw ModelError(
        "adapters: expected a rank from 1 to \(AdapterConfig.ranks.upperBound), an alpha above 0 and a "
          + "dropout from 0 to below 1, got \(config.rank), \(config.alpha), \(config.dropout)")
    }
    let unknown = config.targetModules.first { target in !linears.contains { $0.isNamed(target) } }
    if let unknown {
      throw ModelError(
        "adapters: there is no module '\(unknown)'; expected some of "
          + adaptableModules.joined(separator: ", "))
    }
    guard !config.targetModules.isEmpty else {
      throw ModelError("adapters: expected at least one target module")
    }
    return config
  }

  /// The maps that the settings name.
  private func targets(of config: AdapterConfig) -> [Linear] {
    linears.filter { config.targetModules.contains(where: $0.isNamed) }
  }

  private func freeze() {
    for (_, weight) in weights { weight.tensor?.requiresGradient = false }
    dropShadows()
  }

  /// Adapters by their modules' names.
  var adapters: [String: LowRankAdapter] {
    Dictionary(
      uniqueKeysWithValues: linears.compactMap { linear in linear.adapter.map { (linear.name, $0) } })
  }

  /// The adapters' weights by PEFT's names.
  package var adapterParameters: [(name: String, tensor: Tensor)] {
    linears.flatMap { linear -> [(name: String, tensor: Tensor)] in
      guard let adapter = linear.adapter else { return [] }
      let prefix = "base_model.model.\(linear.name)"
      return [("\(prefix).lora_A.weight", adapter.a), ("\(prefix).lora_B.weight", adapter.b)]
    }
  }

  /// W + α/r · B·A in 32 bits for every matrix that has an adapter, by its checkpoint name.
  var mergedWeights: [String: Weight] {
    var merged: [String: Weight] = [:]
    for linear in linears where linear.adapter != nil {
      merged[linear.name + ".weight"] = Weight(linear.mergedValues())
    }
    return merged
  }

  /// Passes the values of a weight on in 32 bits, with its adapter's product where there is one.
  package func forEachValue(of name: String, _ sink: SafetensorsWriter.Sink) throws {
    guard let weight = weights.first(where: { $0.name == name })?.weight else {
      throw ModelError("there is no weight \(name)")
    }
    let adapted = linears.first { $0.adapter != nil && $0.name + ".weight" == name }
    // Training works on the master copy where there is one: that is what is saved.
    let values = adapted?.mergedValues() ?? weight.tensor ?? weight.expanded()
    try sink(UnsafeBufferPointer(start: values.pointer, count: values.count))
  }

  /// Adds the adapters' products to the matrices and removes the adapters.
  ///
  /// - Throws: if a matrix is packed: its sum would have to be rounded.
  public func mergeAdapters() throws(ModelError) {
    guard adapterConfig != nil else { throw ModelError("the model has no adapters to merge") }
    if let packed = linears.first(where: { $0.adapter != nil && $0.weight.format != .f32 }) {
      throw ModelError(
        "adapters cannot be merged in place: \(packed.name) is stored as \(packed.weight.format.name). Copy the model "
          + "with dtype f32 or bf16, which merges them in the copy")
    }
    for linear in linears {
      guard let adapter = linear.adapter, let tensor = linear.weight.tensor else { continue }
      adapter.addProduct(to: tensor)
      tensor.markWritten()
    }
    removeAdapters()
  }

  /// Takes the adapters away; the matrices are as they were before.
  public func removeAdapters() {
    for linear in linears { linear.adapter = nil }
    adapterConfig = nil
    dropShadows()
  }

  // MARK: Files

  /// Writes `adapter_config.json` and `adapter_model.safetensors` as PEFT does, into an existing folder.
  ///
  /// - Parameter baseModel: what `base_model_name_or_path` is to say.
  public func saveAdapters(to folder: String, baseModel: String) throws {
    guard let config = adapterConfig else { throw ModelError("the model has no adapters to save") }
    let parameters = adapterParameters
    let tensors = Dictionary(uniqueKeysWithValues: parameters.map { ($0.name, $0.tensor) })
    try SafetensorsWriter().write(
      parameters.map { WeightInfo(name: $0.name, shape: $0.tensor.shape) },
      to: "\(folder)/\(AdapterConfig.weightsName)"
    ) { name, sink in
      let tensor = tensors[name]!
      try sink(UnsafeBufferPointer(start: tensor.pointer, count: tensor.count))
    }
    let json =
      config.json(baseModel: baseModel, isTransposed: self.config.architecture == .gpt2).serialized(
        indented: true) + "\n"
    try OutputFile.write(Array(json.utf8), to: "\(folder)/\(AdapterConfig.fileName)")
  }

  /// Gives the model the adapters of a PEFT folder.
  ///
  /// - Throws: if the folder is damaged, has another kind of adapter, or does not fit the model; then nothing changed.
  public func loadAdapters(from folder: String) throws {
    let config = try checked(AdapterConfig(folder: folder))
    let file = try SafetensorsFile(path: "\(folder)/\(AdapterConfig.weightsName)")
    var loaded: [(Linear, LowRankAdapter)] = []
    for (number, linear) in targets(of: config).enumerated() {
      let (prefix, shape) = ("base_model.model.\(linear.name)", linear.weight.shape)
      let a = try file.tensor("\(prefix).lora_A.weight", [config.rank, shape[1]])
      let b = try file.tensor("\(prefix).lora_B.weight", [shape[0], config.rank])
      loaded.append((linear, LowRankAdapter(a: a, b: b, scale: config.scale, number: number)))
    }
    guard file.names.count == 2 * loaded.count else {
      throw ModelError(
        "\(file.path): holds \(file.names.count) tensors, expected \(2 * loaded.count) for the target modules of "
          + "\(AdapterConfig.fileName)")
    }
    for (linear, adapter) in loaded { linear.adapter = adapter }
    adapterConfig = config
    freeze()
  }
}

extension Linear {
  /// W + α/r · B·A in 32 bits, W alone without an adapter.
  fileprivate func mergedValues() -> Tensor {
    let sum = weight.expanded()
    adapter?.addProduct(to: sum)
    return sum
  }
}

extension LowRankAdapter {
  /// `matrix += α/r · B·A`.
  func addProduct(to matrix: Tensor) {
    BLAS.multiply(
      Matrix(b.pointer, rows: b.shape[0], columns: b.shape[1]),
      Matrix(a.pointer, rows: a.shape[0], columns: a.shape[1]),
      into: Matrix(matrix.pointer, rows: matrix.shape[0], columns: matrix.shape[1]), alpha: scale, beta: 1)
  }
}
