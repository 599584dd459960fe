// Writing safetensors: one file, or the shards and index of a model folder.

import Foundation

/// Writes safetensors files, tensor by tensor: no second copy of the model is made in memory.
public struct SafetensorsWriter {
  /// Receives the elements of the tensor that is being written, in one piece or in several, in order.
  public typealias Sink = (UnsafeBufferPointer<Float>) throws -> Void
  /// Passes the elements of the named tensor to the sink.
  public typealias Provider = (_ name: String, _ sink: Sink) throws -> Void

  /// F32, F16 or BF16; halves are rounded to nearest even.
  public let elementType: ElementType
  /// Shards of a model hold at most so many bytes of tensors, unless a single tensor is larger.
  public let maximumShardSize: Int

  /// A writer of `elementType`s. Throws `ModelError` for a type that weights cannot have.
  public init(elementType: ElementType = .f32, maximumShardSize: Int = 5_000_000_000) throws {
    guard elementType.isWeight else {
      throw ModelError("weights cannot be saved as \(elementType.rawValue), expected F32, F16 or BF16")
    }
    guard maximumShardSize > 0 else {
      throw ModelError("the maximum shard size is \(maximumShardSize), expected a positive number of bytes")
    }
    self.elementType = elementType
    self.maximumShardSize = maximumShardSize
  }

  // MARK: - Folders

  /// Writes `model.safetensors`, or shards and their index, into the existing `folder`.
  ///
  /// Files take their names when all are complete; weights that the folder held before are replaced. The files
  /// in the folder may be those that `provider` reads from.
  public func write(_ tensors: [WeightInfo], toFolder folder: String, from provider: Provider) throws {
    let shards = shards(of: tensors)
    let names = shards.indices.map { Self.shardName($0, of: shards.count) }
    var files: [OutputFile] = []
    for (name, shard) in zip(names, shards) {
      files.append(try writeFile(shard, to: "\(folder)/\(name)", from: provider))
    }
    for file in files { try file.commit() }
    if shards.count > 1 {
      var map: [String: JSONValue] = [:]
      for (name, shard) in zip(names, shards) {
        for tensor in shard { map[tensor.name] = .string(name) }
      }
      let size = shards.joined().reduce(0) { $0 + byteCount($1) }
      let index = JSONValue.object([
        "metadata": .object(["total_size": .integer(size)]), "weight_map": .object(map),
      ])
      try OutputFile.write(
        Array((index.serialized(indented: true) + "\n").utf8), to: "\(folder)/\(SafetensorsFolder.indexName)")
    }
    try OutputFile.synchronize(folder: folder)
    try removeOthers(in: folder, than: names)
  }

  /// Old weights go last: until then the folder holds a complete model, old or new.
  private func removeOthers(in folder: String, than names: [String]) throws {
    let isShard = /model-\d{5}-of-\d{5}\.safetensors/
    for name in try FileManager.default.contentsOfDirectory(atPath: folder) where !names.contains(name) {
      let isIndex = name == SafetensorsFolder.indexName && names.count == 1
      if name == SafetensorsFolder.singleName || isIndex || name.wholeMatch(of: isShard) != nil {
        guard unlink("\(folder)/\(name)") == 0 else {
          throw ModelError("\(folder)/\(name): cannot remove old weights: \(lastSystemError())")
        }
      }
    }
  }

  private func byteCount(_ tensor: WeightInfo) -> Int { tensor.shape.reduce(elementType.size, *) }

  private func shards(of tensors: [WeightInfo]) -> [[WeightInfo]] {
    var shards: [[WeightInfo]] = [[]]
    var size = 0
    for tensor in tensors {
      if size + byteCount(tensor) > maximumShardSize, !shards[shards.count - 1].isEmpty {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1].append(tensor)
      size += byteCount(tensor)
    }
    return shards
  }

  private static func shardName(_ index: Int, of count: Int) -> String {
    func digits(_ number: Int) -> String { String(String(100_000 + number).dropFirst()) }
    return count == 1
      ? SafetensorsFolder.singleName : "model-\(digits(index + 1))-of-\(digits(count)).safetensors"
  }

  // MARK: - Files

  /// Writes one file, which appears at `path` when it is complete.
  public func write(_ tensors: [WeightInfo], to path: String, from provider: Provider) throws {
    let file = try writeFile(tensors, to: path, from: provider)
    try file.commit()
    try OutputFile.synchronize(folder: OutputFile.folder(of: path))
  }

  private func writeFile(_ tensors: [WeightInfo], to path: String, from provider: Provider) throws
    -> OutputFile
  {
    let file = try OutputFile(path: path)
    try header(tensors).withUnsafeBytes { try file.write($0) }
    var staging = [UInt8](repeating: 0, count: 1 << 20)
    for tensor in tensors {
      let expected = tensor.shape.reduce(1, *)
      var count = 0
      try provider(tensor.name) { values in
        count += values.count
        if elementType == .f32 {
          try file.write(UnsafeRawBufferPointer(values))
        } else {
          try writeConverted(values, of: tensor.name, to: file, staging: &staging)
        }
      }
      guard count == expected else {
        throw ModelError("\(path): \(tensor.name) \(tensor.shape) has \(expected) elements, got \(count)")
      }
    }
    try file.finish()
    return file
  }

  /// Converts through `staging`, a megabyte at a time.
  private func writeConverted(
    _ values: UnsafeBufferPointer<Float>, of name: String, to file: OutputFile, staging: inout [UInt8]
  ) throws {
    try staging.withUnsafeMutableBytes { staging in
      let capacity = staging.count / elementType.size
      for start in stride(from: 0, to: values.count, by: capacity) {
        let chunk = UnsafeBufferPointer(rebasing: values[start..<min(start + capacity, values.count)])
        guard elementType.encode(chunk, into: staging.baseAddress!) else {
          throw ModelError(
            "\(file.path): \(name) has values too large for \(elementType.rawValue); save as F32 or BF16")
        }
        try file.write(UnsafeRawBufferPointer(rebasing: staging[..<(chunk.count * elementType.size)]))
      }
    }
  }

  /// Length and JSON, padded with spaces so that the data begins at a multiple of 8.
  private func header(_ tensors: [WeightInfo]) throws -> [UInt8] {
    var members: [String: JSONValue] = ["__metadata__": .object(["format": .string("pt")])]
    var offset = 0
    for tensor in tensors {
      let end = offset + byteCount(tensor)
      let entry = JSONValue.object([
        "dtype": .string(elementType.rawValue), "shape": .array(tensor.shape.map(JSONValue.integer)),
        "data_offsets": .array([.integer(offset), .integer(end)]),
      ])
      guard members.updateValue(entry, forKey: tensor.name) == nil else {
        throw ModelError("tensor \(tensor.name) is to be saved twice")
      }
      offset = end
    }
    var json = Array(JSONValue.object(members).serialized().utf8)
    json += [UInt8](repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json
  }
}

extension ModelConfig {
  /// Writes the weights, `config.json` and `generation_config.json` into the existing `folder`.
  ///
  /// `provider` passes each of `weights` on, as they are asked for by name.
  public func save(
    toFolder folder: String, with writer: SafetensorsWriter,
    from provider: @escaping SafetensorsWriter.Provider
  ) throws {
    let (stored, values) =
      architecture == .gpt2 ? GPT2Weights.turned(weights, provider) : (weights, provider)
    try writer.write(stored, toFolder: folder, from: values)
    for (name, contents) in huggingFaceFiles(elementType: writer.elementType) {
      try OutputFile.write(Array(contents.utf8), to: "\(folder)/\(name)")
    }
    try OutputFile.synchronize(folder: folder)
  }
}
