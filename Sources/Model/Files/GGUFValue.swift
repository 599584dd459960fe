// Typed metadata of GGUF files.

/// A metadata value. Integers and floats of all widths are widened.
public enum GGUFValue: Sendable {
  case integer(Int)
  /// Only what no `Int` holds.
  case unsigned(UInt64)
  case float32(Float)
  case float64(Double)
  case bool(Bool)
  case string([UInt8])
  case array(GGUFArray)

  /// The text of a string, or nil; invalid UTF-8 is repaired.
  public var text: String? {
    if case .string(let bytes) = self { String(decoding: bytes, as: UTF8.self) } else { nil }
  }

  /// The value as config.json would have it.
  var json: JSONValue {
    switch self {
    case .integer(let value): .integer(value)
    case .unsigned(let value): .number(Double(value))
    // The shortest decimal that gives this Float: 1e-05, not 9.999999747378752e-06.
    case .float32(let value): .number(Double("\(value)") ?? Double(value))
    case .float64(let value): .number(value)
    case .bool(let value): .bool(value)
    case .string(let bytes): .string(String(decoding: bytes, as: UTF8.self))
    case .array: .array([])
    }
  }
}

/// The type codes of metadata values.
enum GGUFValueType: UInt32 {
  case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// Bytes a value takes at the least; strings and arrays begin with their lengths.
  var minimumSize: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64, .string: 8
    case .array: 12
    }
  }
}

/// An array in a GGUF file's metadata; a vocabulary may have hundreds of thousands of elements, so they are
/// decoded only when asked for.
public struct GGUFArray: Sendable {
  /// The number of elements.
  public let count: Int
  let type: GGUFValueType
  let key: String
  let file: MappedFile
  let offset: Int

  private func elements<Element>(_ wanted: String, _ pick: (GGUFValue) -> Element?) throws -> [Element] {
    var cursor = GGUFCursor(file: file, offset: offset)
    var result: [Element] = []
    result.reserveCapacity(count)  // count elements were walked when the file was opened: they are there
    for _ in 0..<count {
      guard let element = pick(try cursor.value(type, key: key)) else {
        throw ModelError("\(file.path): metadata \(key) is an array of \(type), expected \(wanted)")
      }
      result.append(element)
    }
    return result
  }

  /// The elements as byte strings. Throws `ModelError` when they are something else.
  public func strings() throws -> [[UInt8]] {
    try elements("strings") { if case .string(let bytes) = $0 { bytes } else { nil } }
  }

  /// The elements as integers. Throws `ModelError` when they are something else.
  public func integers() throws -> [Int] {
    try elements("integers") { if case .integer(let value) = $0 { value } else { nil } }
  }

  /// The elements as numbers. Throws `ModelError` when they are something else.
  public func floats() throws -> [Float] {
    try elements("floats") { if case .float32(let value) = $0 { value } else { nil } }
  }
}

/// Reads a GGUF header front to back; every length is checked against the file before it is used.
struct GGUFCursor {
  let file: MappedFile
  var offset: Int

  var remaining: Int { file.count - offset }

  /// The next little-endian integer or float bits.
  mutating func next<Value: FixedWidthInteger>(_ type: Value.Type, what: @autoclosure () -> String) throws
    -> Value
  {
    let size = MemoryLayout<Value>.size
    let bytes = try file.slice(at: offset, count: size, what: what())
    offset += size
    return Value(littleEndian: bytes.loadUnaligned(as: Value.self))
  }

  /// The next u64, as the number of things that take at least `size` bytes each.
  mutating func count(of size: Int, what: @autoclosure () -> String) throws -> Int {
    let value = try next(UInt64.self, what: what())
    guard value <= UInt64(remaining / size) else {
      throw ModelError(
        "\(file.path): \(what()) is \(value), more than the \(remaining) bytes that follow can hold")
    }
    return Int(value)
  }

  /// The next string's bytes, in the mapping.
  mutating func string(what: @autoclosure () -> String) throws -> UnsafeRawBufferPointer {
    let length = try count(of: 1, what: "the length of \(what())")
    defer { offset += length }
    return try file.slice(at: offset, count: length, what: what())
  }

  /// The next string, as the name of a tensor or metadata entry.
  mutating func name(of what: @autoclosure () -> String) throws -> String {
    let bytes = try string(what: "the name of \(what())")
    let limit = 255  // ggml's own is 63
    guard !bytes.isEmpty, bytes.count <= limit, bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
      throw ModelError(
        "\(file.path): the name of \(what()) is not made of 1 to \(limit) printable ASCII characters")
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  mutating func valueType(key: String) throws -> GGUFValueType {
    let code = try next(UInt32.self, what: "the type of metadata \(key)")
    guard let type = GGUFValueType(rawValue: code) else {
      throw ModelError("\(file.path): metadata \(key) has type \(code), expected 0 to 12")
    }
    return type
  }

  mutating func value(_ type: GGUFValueType, key: String, depth: Int = 0) throws -> GGUFValue {
    let what = "metadata \(key)"
    switch type {
    case .uint8: return .integer(Int(try next(UInt8.self, what: what)))
    case .int8: return .integer(Int(try next(Int8.self, what: what)))
    case .uint16: return .integer(Int(try next(UInt16.self, what: what)))
    case .int16: return .integer(Int(try next(Int16.self, what: what)))
    case .uint32: return .integer(Int(try next(UInt32.self, what: what)))
    case .int32: return .integer(Int(try next(Int32.self, what: what)))
    case .int64: return .integer(Int(try next(Int64.self, what: what)))
    case .uint64:
      let value = try next(UInt64.self, what: what)
      return Int(exactly: value).map(GGUFValue.integer) ?? .unsigned(value)
    case .float32: return .float32(Float(bitPattern: try next(UInt32.self, what: what)))
    case .float64: return .float64(Double(bitPattern: try next(UInt64.self, what: what)))
    case .bool: return .bool(try next(UInt8.self, what: what) != 0)
    case .string: return .string(Array(try string(what: what)))
    case .array:
      guard depth < 4 else {
        throw ModelError("\(file.path): metadata \(key) nests arrays more than 4 deep, expected fewer")
      }
      let element = try valueType(key: key)
      let count = try count(of: element.minimumSize, what: "the length of metadata \(key)")
      let array = GGUFArray(count: count, type: element, key: key, file: file, offset: offset)
      switch element {
      case .string: for _ in 0..<count { _ = try string(what: what) }
      case .array: for _ in 0..<count { _ = try value(.array, key: key, depth: depth + 1) }
      default: offset += count * element.minimumSize
      }
      return .array(array)
    }
  }
}
