// Files of tensors of different types: safetensors, and NumPy's .npy.
import Foundation
import Kernels
import Model
import Tensor
import Text

/// Reads and writes files of tensors.
enum TensorFile {
  // MARK: safetensors

  static func write(_ tensors: [(name: String, tensor: Tensor)], floats: ElementType, to path: String) throws
  {
    var header = JSON.Object([("__metadata__", .object(.init([("format", .string("pt"))])))])
    var data: [UInt8] = []
    for (name, tensor) in tensors {
      let type: ElementType =
        switch tensor.dtype {
        case .f32: floats
        case .i32: .i32
        case .bool: .bool
        }
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

  static func read(_ path: String) throws -> [(name: String, tensor: Tensor)] {
    let file = try SafetensorsFile(path: path)
    return try file.names.map { name in
      let entry = try file.entry(name)
      return (
        name,
        try file.withBytes(of: name) {
          try tensor($0, entry.elementType, entry.shape, "\(path): tensor \(name)")
        }
      )
    }
  }

  // MARK: .npy (numpy.lib.format, version 1.0)

  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  static func writeNumPy(_ tensor: Tensor, to path: String) throws {
    let (descriptor, type): (String, ElementType) =
      switch tensor.dtype {
      case .f32: ("<f4", .f32)
      case .i32: ("<i4", .i32)
      case .bool: ("|b1", .bool)
      }
    let shape = tensor.shape.map { "\($0)," }.joined(separator: " ")
    var header = Array("{'descr': '\(descriptor)', 'fortran_order': False, 'shape': (\(shape)), }".utf8)
    // The data begins at a multiple of 64; a line feed ends the header.
    header += [UInt8](repeating: UInt8(ascii: " "), count: (64 - (10 + header.count + 1) % 64) % 64) + [10]
    let length = withUnsafeBytes(of: UInt16(header.count).littleEndian) { Array($0) }
    try OutputFile.write(magic + [1, 0] + length + header + bytes(of: tensor, as: type), to: path)
  }

  static func readNumPy(_ path: String) throws -> Tensor {
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
      "<f4": .f32, "<f8": .f64, "<f2": .f16, "<i4": .i32, "<i8": .i64, "|b1": .bool, "|u1": .u8, "|i1": .i8,
    ]
    guard let type = types[String(kind)] else {
      throw fail("has elements '\(kind)'; expected one of \(types.keys.sorted().joined(separator: ", "))")
    }
    let shape = dimensions.split(separator: ",").compactMap { Int($0.filter { $0 != " " }) }
    guard shape.reduce(Double(type.size), { $0 * Double($1) }) == Double(bytes.count - start) else {
      throw fail("has \(bytes.count - start) bytes of data, which do not fill \(shape) of '\(kind)'")
    }
    return try bytes[start...].withUnsafeBytes { try tensor($0, type, shape, path) }
  }

  // MARK: Elements

  private static func bytes(of tensor: Tensor, as type: ElementType) -> [UInt8] {
    let values = tensor.values
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
    _ bytes: UnsafeRawBufferPointer, _ type: ElementType, _ shape: [Int], _ what: String
  ) throws -> Tensor {
    let count = shape.reduce(1, *)
    func values<Number>(_: Number.Type, _ convert: (Number) -> Float) -> [Float] {
      (0..<count).map {
        convert(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Number>.size, as: Number.self))
      }
    }
    let (floats, dtype): ([Float], DType) =
      switch type {
      case .f32: (values(Float.self) { $0 }, .f32)
      case .f64: (values(Double.self) { Float($0) }, .f32)
      case .f16: (values(UInt16.self) { Float(Float16(bitPattern: $0)) }, .f32)
      case .bf16: (values(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }, .f32)
      case .i64: (values(Int64.self) { Float($0) }, .i32)
      case .u64: (values(UInt64.self) { Float($0) }, .i32)
      case .i32: (values(Int32.self) { Float($0) }, .i32)
      case .u32: (values(UInt32.self) { Float($0) }, .i32)
      case .i16: (values(Int16.self) { Float($0) }, .i32)
      case .u16: (values(UInt16.self) { Float($0) }, .i32)
      case .i8: (values(Int8.self) { Float($0) }, .i32)
      case .u8: (values(UInt8.self) { Float($0) }, .i32)
      case .bool: (values(UInt8.self) { $0 == 0 ? 0 : 1 }, .bool)
      case .f8e4m3, .f8e5m2:
        throw ScriptError("\(what) has elements of 8-bit floats (\(type.rawValue)), which are not read")
      }
    do {
      return try Tensor(floats, shape: shape).converted(to: dtype)
    } catch {
      throw ScriptError("\(what): \(error)")
    }
  }
}
