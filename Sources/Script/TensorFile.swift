// Files of tensors of different types: safetensors, and NumPy's .npy.
import Foundation
import Kernels
import Model
import Tensor
import Text

/// Reads and writes files of tensors.
enum TensorFile {
  /// What is in a file: to be computed with, or kept as it is.
  enum Entry: LuaPushable {
    case tensor(Tensor)
    case stored(StoredTensor)

    var shape: [Int] {
      switch self {
      case .tensor(let tensor): tensor.shape
      case .stored(let stored): stored.shape
      }
    }

    /// How it is written.
    fileprivate func elementType(floats: ElementType) -> ElementType {
      switch self {
      case .tensor(let tensor):
        switch tensor.dtype {
        case .f32: floats
        case .i32: .i32
        case .bool: .bool
        }
      case .stored(let stored):
        switch stored.elements {
        case .bf16: .bf16
        case .integers(_, .i64): .i64
        case .integers(_, .i32): .i32
        }
      }
    }

    func push(on stack: Stack) throws {
      switch self {
      case .tensor(let tensor): try tensor.push(on: stack)
      case .stored(let stored): try stored.push(on: stack)
      }
    }
  }

  // MARK: safetensors

  static func write(_ tensors: [(name: String, tensor: Entry)], floats: ElementType, to path: String) throws {
    var header = JSON.Object([("__metadata__", .object(.init([("format", .string("pt"))])))])
    var data: [UInt8] = []
    for (name, tensor) in tensors {
      let type = tensor.elementType(floats: floats)
      let start = data.count
      data += bytes(of: tensor, as: type)
      let place: [JSON] = [.int(Int64(start)), .int(Int64(data.count))]
      header.append(
        name,
        .object(
          .init([
            ("dtype", .string(type.rawValue)), ("shape", .array(tensor.shape.map { .int(Int64($0)) })),
            ("data_offsets", .array(place)),
          ])))
    }
    var json = try JSON.object(header).serialised()
    json += [UInt8](repeating: UInt8(ascii: " "), count: (8 - json.count % 8) % 8)
    let length = withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) }
    try OutputFile.write(length + json + data, to: path)
  }

  /// - Parameter keepsTypes: whether BF16 stays what it is.
  static func read(_ path: String, keepsTypes: Bool) throws -> [(name: String, tensor: Entry)] {
    let file = try SafetensorsFile(path: path)
    return try file.names.map { name in
      let entry = try file.entry(name)
      return (
        name,
        try file.withBytes(of: name) {
          try tensor($0, entry.elementType, entry.shape, keepsTypes, "\(path): tensor \(name)")
        }
      )
    }
  }

  // MARK: .npy (numpy.lib.format, version 1.0)

  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  static func writeNumPy(_ tensor: Entry, to path: String) throws {
    let type = tensor.elementType(floats: .f32)
    let descriptors: [ElementType: String] = [.f32: "<f4", .i32: "<i4", .i64: "<i8", .bool: "|b1"]
    guard let descriptor = descriptors[type] else {
      throw ScriptError("a .npy file cannot hold \(type.rawValue); use to(\"f32\"), or mid.save_tensors")
    }
    let shape = tensor.shape.map { "\($0)," }.joined(separator: " ")
    var header = Array("{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(shape)), }".utf8)
    // The data begins at a multiple of 64; a line feed ends the header.
    header += [UInt8](repeating: UInt8(ascii: " "), count: (64 - (10 + header.count + 1) % 64) % 64) + [10]
    let length = withUnsafeBytes(of: UInt16(header.count).littleEndian) { Array($0) }
    try OutputFile.write(magic + [1, 0] + length + header + bytes(of: tensor, as: type), to: path)
  }

  static func readNumPy(_ path: String, keepsTypes: Bool) throws -> Entry {
    func fail(_ problem: String) -> ScriptError { ScriptError("\(path): \(problem)") }
    guard let data = FileManager.default.contents(atPath: path) else { throw fail("cannot be read") }
    let bytes = [UInt8](data)
    guard bytes.count >= 12, Array(bytes.prefix(6)) == magic, bytes[6] == 1 || bytes[6] == 2 else {
      throw fail("is no .npy file of version 1 or 2")
    }
    let lengthBytes = bytes[6] == 1 ? 2 : 4
    let length = (0..<lengthBytes).reduce(0) { $0 | Int(bytes[8 + $1]) << (8 * $1) }
    let start = 8 + lengthBytes + length
    guard start <= bytes.count else { throw fail("its header ends after the file") }
    let header = String(decoding: bytes[(8 + lengthBytes)..<start], as: UTF8.self)
    guard let kind = header.firstMatch(of: /'descr': *'([^']*)'/)?.1,
      let dimensions = header.firstMatch(of: /'shape': *\(([0-9, ]*)\)/)?.1
    else { throw fail("its header names no type and shape: \(header.prefix(80))") }
    guard header.contains("'fortran_order': False") else {
      throw fail("is in Fortran's order; save it in C order")
    }
    let types: [String: ElementType] = [
      "<f4": .f32, "<f8": .f64, "<f2": .f16, "|b1": .bool, "<i8": .i64, "<i4": .i32, "<i2": .i16, "|i1": .i8,
      "<u8": .u64, "<u4": .u32, "<u2": .u16, "|u1": .u8,
    ]
    guard let type = types[String(kind)] else {
      throw fail("has elements '\(kind)'; expected one of \(types.keys.sorted().joined(separator: ", "))")
    }
    let shape = dimensions.split(separator: ",").compactMap { Int($0.filter { $0 != " " }) }
    guard shape.reduce(Double(type.size), { $0 * Double($1) }) == Double(bytes.count - start) else {
      throw fail("has \(bytes.count - start) bytes of data, which do not fill \(shape) of '\(kind)'")
    }
    return try bytes[start...].withUnsafeBytes { try tensor($0, type, shape, keepsTypes, path) }
  }

  // MARK: Elements

  private static func bytes(of entry: Entry, as type: ElementType) -> [UInt8] {
    let values: [Float]
    switch entry {
    case .tensor(let tensor): values = tensor.values
    case .stored(let stored):
      switch stored.elements {
      case .bf16(let halves): return halves.withUnsafeBytes { Array($0) }
      case .integers(let whole, .i64): return whole.withUnsafeBytes { Array($0) }
      case .integers(let whole, .i32): return whole.map(Int32.init).withUnsafeBytes { Array($0) }
      }
    }
    switch type {
    case .i32: return values.map(Int32.init).withUnsafeBytes { Array($0) }
    case .bool: return values.map { $0 != 0 ? 1 : 0 }
    case .bf16:
      var halves = [UInt16](repeating: 0, count: values.count)
      BFloat16Kernels.encode(values, into: &halves, values.count)
      return halves.withUnsafeBytes { Array($0) }
    default: return values.withUnsafeBytes { Array($0) }
    }
  }

  private static func tensor(
    _ bytes: UnsafeRawBufferPointer, _ type: ElementType, _ shape: [Int], _ keepsTypes: Bool, _ what: String
  ) throws -> Entry {
    let count = shape.reduce(1, *)
    func values<Number, Value>(_: Number.Type, _ convert: (Number) -> Value) -> [Value] {
      (0..<count).map {
        convert(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: Number.self))
      }
    }
    if type == .bf16, keepsTypes {
      return .stored(StoredTensor(.bf16(values(UInt16.self) { $0 }), shape: shape))
    }
    let whole: [Int64]? =
      switch type {
      case .i64: values(Int64.self) { $0 }
      case .u64:
        try values(UInt64.self) { $0 }.map {
          guard let value = Int64(exactly: $0) else {
            throw ScriptError("\(what): \($0) is too large for i64")
          }
          return value
        }
      case .i32: values(Int32.self, Int64.init)
      case .u32: values(UInt32.self, Int64.init)
      case .i16: values(Int16.self, Int64.init)
      case .u16: values(UInt16.self, Int64.init)
      case .i8: values(Int8.self, Int64.init)
      case .u8: values(UInt8.self, Int64.init)
      default: nil
      }
    if let whole {
      // Shorter integers are i32 if they fit, as those of 32 bits without sign need not.
      let isShort = type != .i64 && type != .u64 && whole.allSatisfy { Int32(exactly: $0) != nil }
      let stored = StoredTensor(Integers(whole, shape: shape, width: isShort ? .i32 : .i64))
      return if isShort, let narrow = try? stored.widened() { .tensor(narrow) } else { .stored(stored) }
    }
    let (floats, dtype): ([Float], DType) =
      switch type {
      case .f32: (values(Float.self) { $0 }, .f32)
      case .f64: (values(Double.self) { Float($0) }, .f32)
      case .f16: (values(UInt16.self) { Float(Float16(bitPattern: $0)) }, .f32)
      case .bf16: (values(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }, .f32)
      case .bool: (values(UInt8.self) { $0 == 0 ? 0 : 1 }, .bool)
      default:
        throw ScriptError("\(what) has elements of 8-bit floats (\(type.rawValue)), which are not read")
      }
    do {
      return .tensor(try Tensor(floats, shape: shape).converted(to: dtype))
    } catch {
      throw ScriptError("\(what): \(error)")
    }
  }
}
