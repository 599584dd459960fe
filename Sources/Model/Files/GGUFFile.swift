// Reading GGUF files (versions 2 and 3): metadata, tensor descriptions, and tensors as Float.

import Foundation
import Kernels

/// A memory-mapped GGUF file whose header was checked against its size.
public final class GGUFFile: Sendable {
  /// A tensor as the file describes it.
  public struct Tensor: Sendable {
    /// The name in the file: `blk.0.attn_q.weight`.
    public let name: String
    /// Rows first: the reverse of the order in the file.
    public let shape: [Int]
    /// The block format.
    public let type: WeightFormat
    /// From the beginning of the file.
    let offset: Int
    let byteCount: Int

    /// Elements of a row; a vector is one row.
    var rowLength: Int { shape.last ?? 1 }
  }

  /// All metadata by key, `tokenizer.ggml.*` included.
  public let metadata: [String: GGUFValue]
  /// All tensors by their GGUF names.
  public let tensors: [String: Tensor]
  private let file: MappedFile

  /// The path as it was given.
  public var path: String { file.path }

  /// Maps `path` and reads its header. Throws `ModelError` when the header does not describe the file.
  public init(path: String) throws {
    file = try MappedFile(path: path)
    var cursor = GGUFCursor(file: file, offset: 0)
    guard try cursor.next(UInt32.self, what: "the magic") == 0x4655_4747 else {
      throw ModelError("\(path): does not begin with \"GGUF\": it is no GGUF file")
    }
    let version = try cursor.next(UInt32.self, what: "the version")
    guard version == 2 || version == 3 else {
      let hint = version & 0xffff == 0 ? " (it is big-endian)" : ""
      throw ModelError("\(path): is GGUF version \(version)\(hint), expected little-endian version 2 or 3")
    }
    // A tensor description takes 24 bytes at least, a key with its value 13.
    let tensorCount = try cursor.count(of: 24, what: "the number of tensors")
    let metadataCount = try cursor.count(of: 13, what: "the number of metadata entries")

    var metadata: [String: GGUFValue] = [:]
    for index in 0..<metadataCount {
      let key = try cursor.name(of: "metadata entry \(index)")
      let value = try cursor.value(try cursor.valueType(key: key), key: key)
      guard metadata.updateValue(value, forKey: key) == nil else {
        throw ModelError("\(path): metadata \(key) appears twice")
      }
    }
    self.metadata = metadata

    var descriptions: [Tensor] = []
    for index in 0..<tensorCount { descriptions.append(try Self.tensor(index, &cursor)) }
    let alignment = try Self.alignment(metadata, path: path)
    let (padded, overflow) = cursor.offset.addingReportingOverflow(alignment - 1)
    guard !overflow else { throw ModelError("\(path): is too large") }
    tensors = try Self.place(descriptions, dataStart: padded / alignment * alignment, alignment, file: file)
  }

  private static func alignment(_ metadata: [String: GGUFValue], path: String) throws -> Int {
    guard let value = metadata["general.alignment"] else { return 32 }
    guard case .integer(let alignment) = value, (1...(1 << 20)).contains(alignment),
      alignment & (alignment - 1) == 0
    else {
      throw ModelError("\(path): general.alignment is \(value), expected a power of two up to 2^20")
    }
    return alignment
  }

  /// Reads a description; its `offset` is still relative to the data.
  private static func tensor(_ index: Int, _ cursor: inout GGUFCursor) throws -> Tensor {
    let name = try cursor.name(of: "tensor \(index)")
    let path = cursor.file.path
    let rank = try cursor.next(UInt32.self, what: "the rank of tensor \(name)")
    guard rank <= 4 else {
      throw ModelError("\(path): tensor \(name) has \(rank) dimensions, expected at most 4")
    }
    var dimensions: [UInt64] = []
    for _ in 0..<rank { dimensions.append(try cursor.next(UInt64.self, what: "the shape of tensor \(name)")) }
    let code = try cursor.next(UInt32.self, what: "the type of tensor \(name)")
    guard let type = WeightFormat(rawValue: code) else {
      throw ModelError(
        "\(path): tensor \(name) has type \(code), expected one of "
          + WeightFormat.allCases.map { "\($0.rawValue) (\($0.name))" }.joined(separator: ", "))
    }
    let offset = try cursor.next(UInt64.self, what: "the offset of tensor \(name)")

    let shape = dimensions.reversed().compactMap { Int(exactly: $0) }
    guard shape.count == dimensions.count, let count = elementCount(shape),
      (shape.last ?? 1) % type.blockLength == 0,
      count / type.blockLength <= cursor.file.count / type.blockSize,
      let start = Int(exactly: offset)
    else {
      throw ModelError(
        "\(path): tensor \(name) is \(type.name) \(Array(dimensions.reversed())) at offset \(offset), expected "
          + "rows of a multiple of \(type.blockLength) elements that fit the file's \(cursor.file.count) bytes"
      )
    }
    let byteCount = count / type.blockLength * type.blockSize
    return Tensor(name: name, shape: shape, type: type, offset: start, byteCount: byteCount)
  }

  /// Makes offsets absolute, and makes sure that tensors lie in the file, aligned and apart from each other.
  private static func place(
    _ descriptions: [Tensor], dataStart: Int, _ alignment: Int, file: MappedFile
  ) throws -> [String: Tensor] {
    var tensors: [String: Tensor] = [:]
    var end = 0
    for tensor in descriptions.sorted(by: { ($0.offset, $0.byteCount) < ($1.offset, $1.byteCount) }) {
      let available = max(0, file.count - dataStart)
      guard tensor.offset % alignment == 0, tensor.offset >= end, tensor.offset <= available,
        tensor.byteCount <= available - tensor.offset
      else {
        throw ModelError(
          "\(file.path): tensor \(tensor.name) takes \(tensor.byteCount) bytes at data offset \(tensor.offset), "
            + "expected a multiple of \(alignment) from \(end) on, within \(available) bytes of data")
      }
      end = tensor.offset + tensor.byteCount
      let placed = Tensor(
        name: tensor.name, shape: tensor.shape, type: tensor.type, offset: dataStart + tensor.offset,
        byteCount: tensor.byteCount)
      guard tensors.updateValue(placed, forKey: tensor.name) == nil else {
        throw ModelError("\(file.path): tensor \(tensor.name) appears twice")
      }
    }
    return tensors
  }

  /// Calls `body` with the raw blocks of `tensor`.
  public func withBytes<Result>(
    of tensor: Tensor, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    let bytes = try file.slice(at: tensor.offset, count: tensor.byteCount, what: "tensor \(tensor.name)")
    return try withExtendedLifetime(file) { try body(bytes) }
  }
}
