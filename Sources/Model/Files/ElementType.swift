// The element types of safetensors, and conversion from and to Float.
import Kernels

/// An element type of a safetensors file, spelled as in its header.
public enum ElementType: String, Sendable, CaseIterable {
  case f64 = "F64"
  case f32 = "F32"
  case f16 = "F16"
  case bf16 = "BF16"
  case f8e5m2 = "F8_E5M2"
  case f8e4m3 = "F8_E4M3"
  case i64 = "I64"
  case u64 = "U64"
  case i32 = "I32"
  case u32 = "U32"
  case i16 = "I16"
  case u16 = "U16"
  case i8 = "I8"
  case u8 = "U8"
  case bool = "BOOL"

  /// Bytes an element takes.
  public var size: Int {
    switch self {
    case .f64, .i64, .u64: 8
    case .f32, .i32, .u32: 4
    case .f16, .bf16, .i16, .u16: 2
    case .f8e5m2, .f8e4m3, .i8, .u8, .bool: 1
    }
  }

  /// The storage format of weights of this type; nil if they cannot be of it.
  public var format: WeightFormat? {
    switch self {
    case .f32: .f32
    case .f16: .f16
    case .bf16: .bf16
    default: nil
    }
  }

  /// Whether weights can be of this type.
  public var isWeight: Bool { format != nil }

  /// The name by which `torch_dtype` in config.json calls it.
  var torchName: String {
    switch self {
    case .f32: "float32"
    case .f16: "float16"
    case .bf16: "bfloat16"
    default: rawValue.lowercased()
    }
  }

  /// Converts `target.count` elements at `source`, which need not be aligned. Only for `isWeight` types.
  func decode(_ source: UnsafeRawPointer, into target: UnsafeMutableBufferPointer<Float>) {
    guard let output = target.baseAddress else { return }
    let count = target.count
    guard let format else { preconditionFailure("\(rawValue) is not a weight type") }
    format.expand(source, into: output, count: count)
  }

  /// Converts `source` to this type, rounding to nearest even. Only for `isWeight` types.
  ///
  /// Returns false when a finite value becomes infinite: it is too large for the type.
  func encode(_ source: UnsafeBufferPointer<Float>, into target: UnsafeMutableRawPointer) -> Bool {
    guard let input = source.baseAddress else { return true }
    let count = source.count
    switch self {
    case .f32:
      target.copyMemory(from: input, byteCount: 4 * count)
      return true
    case .bf16:
      let output = target.assumingMemoryBound(to: UInt16.self)
      var overflows: UInt32 = 0
      for i in 0..<count {
        let bits = input[i].bitPattern
        let magnitude = bits & 0x7fff_ffff
        let rounded = (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16
        // Rounding could carry a NaN's payload away; truncate it and keep it quiet.
        output[i] = UInt16(truncatingIfNeeded: magnitude > 0x7f80_0000 ? (bits >> 16) | 0x40 : rounded)
        overflows |= magnitude >= 0x7f7f_8000 && magnitude < 0x7f80_0000 ? 1 : 0
      }
      return overflows == 0
    case .f16:
      let output = target.assumingMemoryBound(to: Float16.self)
      var overflows: UInt32 = 0
      for i in 0..<count {
        output[i] = Float16(input[i])
        let magnitude = abs(input[i])
        overflows |= magnitude >= 65520 && magnitude < .infinity ? 1 : 0
      }
      return overflows == 0
    default:
      preconditionFailure("\(rawValue) is not a weight type")
    }
  }
}
