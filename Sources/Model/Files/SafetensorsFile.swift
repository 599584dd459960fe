// Reading one .safetensors file: u64 header length, JSON header, raw data, all little-endian.

import Foundation
import Kernels

/// A memory-mapped safetensors file whose header was checked against its size.
public final class SafetensorsFile: WeightSource {
  /// Where a tensor lies.
  public struct Entry: Sendable {
    /// The type in the file.
    public let elementType: ElementType
    /// Dimensions, rows first; empty for a scalar.
    public let shape: [Int]
    /// From the beginning of the file.
    let offset: Int
    let byteCount: Int
  }

  /// All names, sorted.
  public let names: [String]
  /// The strings of `__metadata__`.
  public let metadata: [String: String]
  private let file: MappedFile
  private let entries: [String: Entry]

  /// The path as it was given.
  public var path: String { file.path }

  /// Maps `path` and reads its header. Throws `ModelError` when the header does not describe the file.
  public init(path: String) throws {
    file = try MappedFile(path: path)
    let prefix = try file.slice(at: 0, count: 8, what: "the header length")
    let announced = UInt64(littleEndian: prefix.loadUnaligned(as: UInt64.self))
    guard announced <= UInt64(file.count - 8) else {
      throw ModelError(
        "\(path): claims a header of \(announced) bytes, but only \(file.count - 8) follow; "
          + "it is damaged, incomplete or no safetensors file")
    }
    let dataStart = 8 + Int(announced)
    let header = try JSONValue(
      parsing: try file.slice(at: 8, count: Int(announced), what: "the header"), file: "\(path): header")
    guard let members = header.object else { throw ModelError("\(path): header is not a JSON object") }

    var entries: [String: Entry] = [:]
    var metadata: [String: String] = [:]
    for (name, member) in members {
      if name == "__metadata__" {
        metadata = member.object?.compactMapValues(\.string) ?? [:]
      } else {
        entries[name] = try Self.entry(member, name: name, dataStart: dataStart, file: file)
      }
    }
    try Self.checkCoverage(entries, dataStart: dataStart, file: file)
    self.entries = entries
    self.metadata = metadata
    names = entries.keys.sorted()
  }

  private static func entry(_ value: JSONValue, name: String, dataStart: Int, file: MappedFile) throws
    -> Entry
  {
    func fail(_ problem: String) -> ModelError { ModelError("\(file.path): tensor \(name): \(problem)") }
    guard let dtype = value.object?["dtype"]?.string, let type = ElementType(rawValue: dtype) else {
      throw fail(
        "\"dtype\" is \(value.object?["dtype"]?.summary ?? "missing"), expected one of "
          + ElementType.allCases.map(\.rawValue).joined(separator: ", "))
    }
    guard let dimensions = value.object?["shape"]?.array, dimensions.count <= 16,
      let shape = Optional(dimensions.compactMap(\.integer)), shape.count == dimensions.count,
      let size = elementCount(shape + [type.size])
    else {
      throw fail(
        "\"shape\" is \(value.object?["shape"]?.serialized().prefix(80) ?? "missing"), "
          + "expected a list of dimensions whose product fits the file")
    }
    guard let offsets = value.object?["data_offsets"]?.array, offsets.count == 2,
      let begin = offsets[0].integer, let end = offsets[1].integer,
      begin >= 0, begin <= end, end <= file.count - dataStart
    else {
      throw fail(
        "\"data_offsets\" is \(value.object?["data_offsets"]?.serialized().prefix(80) ?? "missing"), "
          + "expected [begin, end] within the \(file.count - dataStart) bytes of data in the file")
    }
    guard end - begin == size else {
      throw fail("\(dtype) \(shape) takes \(size) bytes, but \"data_offsets\" covers \(end - begin)")
    }
    return Entry(elementType: type, shape: shape, offset: dataStart + begin, byteCount: size)
  }

  /// The format allows neither holes nor overlaps: either means that the header is not this data's.
  private static func checkCoverage(_ entries: [String: Entry], dataStart: Int, file: MappedFile) throws {
    var end = dataStart
    let ordered = entries.sorted {
      ($0.value.offset, $0.value.byteCount) < ($1.value.offset, $1.value.byteCount)
    }
    for (name, entry) in ordered {
      guard entry.offset == end else {
        throw ModelError(
          "\(file.path): tensor \(name) begins at data offset \(entry.offset - dataStart), "
            + "expected \(end - dataStart), where the tensor before it ends")
      }
      end += entry.byteCount
    }
    guard end == file.count else {
      throw ModelError(
        "\(file.path): has \(file.count) bytes, but its header describes \(end); it is damaged or incomplete")
    }
  }

  /// Type, shape and place of `name`. Throws `ModelError` when there is no such tensor.
  public func entry(_ name: String) throws -> Entry {
    guard let entry = entries[name] else { throw ModelError("\(path): has no tensor \(name)") }
    return entry
  }

  /// The shape of `name`. Throws `ModelError` when there is no such tensor.
  public func shape(of name: String) throws -> [Int] { try entry(name).shape }

  /// Calls `body` with the raw little-endian bytes of `name`; they may be unaligned.
  public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws
    -> Result
  {
    let entry = try entry(name)
    let bytes = try file.slice(at: entry.offset, count: entry.byteCount, what: name)
    return try withExtendedLifetime(file) { try body(bytes) }
  }

  /// Reads rows of `name`, which must be F32, F16 or BF16; see `WeightSource`.
  public func read(_ name: String, rows: Range<Int>, into buffer: UnsafeMutableBufferPointer<Float>) throws {
    let entry = try entry(name)
    _ = try format(of: name)
    let length = try rowLength(name, shape: entry.shape, rows: rows, buffer: buffer.count)
    guard !buffer.isEmpty else { return }
    try withBytes(of: name) { bytes in
      let start = rows.lowerBound * length * entry.elementType.size
      entry.elementType.decode(bytes.baseAddress! + start, into: buffer)
    }
  }

  /// How the elements of `name` are stored, which must be F32, F16 or BF16; see `WeightSource`.
  public func format(of name: String) throws -> WeightFormat {
    let type = try entry(name).elementType
    guard let format = type.format else {
      throw ModelError("\(path): tensor \(name) is \(type.rawValue), expected F32, F16 or BF16")
    }
    return format
  }

  /// Copies the elements of `name` as they are; see `WeightSource`.
  public func readStored(_ name: String, into target: UnsafeMutableRawPointer) throws {
    try withBytes(of: name) { bytes in
      if let base = bytes.baseAddress { target.copyMemory(from: base, byteCount: bytes.count) }
    }
  }
}
