// The weights of a Hugging Face folder: model.safetensors, or shards and their index.

import Foundation
import Kernels

/// The safetensors weights of a Hugging Face folder, single or sharded.
package struct SafetensorsFolder: WeightSource {
  /// The file of a model that is not sharded.
  package static let singleName = "model.safetensors"
  /// The file that says which shard holds which tensor.
  package static let indexName = "model.safetensors.index.json"

  package let path: String
  package let names: [String]
  private let files: [String: SafetensorsFile]

  /// Opens `model.safetensors`, or, where there is none, the shards of `model.safetensors.index.json`.
  package init(folder: String) throws {
    path = folder
    let single = folder + "/" + Self.singleName
    let index = folder + "/" + Self.indexName
    if FileManager.default.fileExists(atPath: single) {
      let file = try SafetensorsFile(path: single)
      files = Dictionary(uniqueKeysWithValues: file.names.map { ($0, file) })
    } else if FileManager.default.fileExists(atPath: index) {
      files = try Self.openShards(index: index, folder: folder)
    } else {
      throw ModelError(
        "\(folder): has no weights, expected \(Self.singleName), or \(Self.indexName) with its shards "
          + "(PyTorch's .bin files are not read: convert them to safetensors)")
    }
    names = files.keys.sorted()
  }

  private static func openShards(index: String, folder: String) throws -> [String: SafetensorsFile] {
    let json = try readJSONObject(index)
    guard let map = json["weight_map"]?.object else {
      throw ModelError(
        "\(index): \"weight_map\" is \(json["weight_map"]?.summary ?? "missing"), "
          + "expected an object from tensor names to file names")
    }
    var shards: [String: SafetensorsFile] = [:]
    var files: [String: SafetensorsFile] = [:]
    for (name, value) in map.sorted(by: { $0.key < $1.key }) {
      // The index comes with the download: it may only name files beside it.
      guard let shard = value.string, shard.hasSuffix(".safetensors"), !shard.contains("/"),
        !shard.contains("\0")
      else {
        throw ModelError(
          "\(index): \(name) is said to be in \(value.summary), expected the name of a .safetensors file "
            + "in the same folder")
      }
      let file = try shards[shard] ?? SafetensorsFile(path: folder + "/" + shard)
      shards[shard] = file
      guard (try? file.entry(name)) != nil else {
        throw ModelError("\(index): says that \(name) is in \(shard), which has no such tensor")
      }
      files[name] = file
    }
    return files
  }

  private func file(of name: String) throws -> SafetensorsFile {
    guard let file = files[name] else { throw ModelError("\(path): has no tensor \(name)") }
    return file
  }

  package func shape(of name: String) throws -> [Int] { try file(of: name).shape(of: name) }

  package func read(_ name: String, rows: Range<Int>, into buffer: UnsafeMutableBufferPointer<Float>) throws {
    try file(of: name).read(name, rows: rows, into: buffer)
  }

  package func format(of name: String) throws -> WeightFormat { try file(of: name).format(of: name) }

  package func readStored(_ name: String, into target: UnsafeMutableRawPointer) throws {
    try file(of: name).readStored(name, into: target)
  }
}

/// The JSON object that the file `path` holds. Throws `ModelError` when it holds something else.
func readJSONObject(_ path: String) throws -> [String: JSONValue] {
  let file = try MappedFile(path: path)
  let value = try withExtendedLifetime(file) { try JSONValue(parsing: file.bytes, file: path) }
  guard let object = value.object else {
    throw ModelError("\(path): is \(value.summary), expected a JSON object")
  }
  return object
}
