// How a model's matrices are stored, and reading them from a checkpoint into that form.
import Kernels
import Tensor

/// Storage of a model's matrices. Vectors, such as the weights of norms, are 32-bit floats always, and so is all
/// arithmetic.
public enum WeightStorage: String, Sendable, CaseIterable {
  /// 32-bit floats, which can be trained.
  case f32
  /// bfloat16: half the memory, frozen unless an optimiser asks for master copies.
  case bf16
  /// Eight bits and a scale for each 32 elements (ggml's Q8_0), frozen.
  case int8
  /// As the checkpoint has them: blocks of a GGUF file stay as they are.
  case auto

  /// The format of matrices; nil for that of the checkpoint.
  var format: WeightFormat? {
    switch self {
    case .f32: .f32
    case .bf16: .bf16
    case .int8: .q8_0
    case .auto: nil
    }
  }
}

extension Weight {
  /// Reads a weight of a checkpoint. A matrix whose rows are no whole blocks of the format becomes 32-bit floats.
  convenience init(reading info: WeightInfo, of source: any WeightSource, storage: WeightStorage) throws {
    let (name, shape) = (info.name, info.shape)
    let stored = try source.format(of: name)
    let format = storage.format ?? stored
    guard format != .f32, format.holds(shape) else {
      let tensor = Tensor(uninitialized: shape)
      try source.read(name, into: UnsafeMutableBufferPointer(start: tensor.pointer, count: tensor.count))
      self.init(tensor)
      return
    }
    try self.init(shape: shape, format: format) { target in
      if format == stored { return try source.readStored(name, into: target) }
      let (K, bytes) = (shape[1], format.rowBytes(shape[1]))
      let row = Storage(count: K)
      for n in 0..<shape[0] {
        try source.read(name, rows: n..<n + 1, into: UnsafeMutableBufferPointer(start: row.pointer, count: K))
        format.pack(row.pointer, into: target + n * bytes, count: K)
      }
    }
  }
}

extension CausalLM {
  /// Gives everything that is trained the values that it has in a folder: one of `save`, or of `saveAdapters` for a model
  /// with adapters.
  ///
  /// - Throws: if the folder is damaged or holds another model; then nothing was changed.
  public func restore(from folder: String) throws {
    let hasAdapters = adapterConfig != nil
    let source: any WeightSource =
      hasAdapters
      ? try SafetensorsFile(path: "\(folder)/\(AdapterConfig.weightsName)")
      : try ModelFiles(path: folder).weights
    let parameters = parameters
    for (name, tensor) in parameters {
      let shape = try source.shape(of: name)
      guard shape == tensor.shape else {
        throw ModelError("\(folder): \(name) has shape \(shape), this model's has \(tensor.shape)")
      }
    }
    for (name, tensor) in parameters {
      try source.read(name, into: UnsafeMutableBufferPointer(start: tensor.pointer, count: tensor.count))
      tensor.markWritten()
    }
  }
}
