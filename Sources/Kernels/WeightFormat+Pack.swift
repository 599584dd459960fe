// Floats into the storage formats that the engine itself writes: a rollout's or a reference model's copy of weights.
import CIntrinsics

extension WeightFormat {
  /// Whether `pack` can write this format.
  public var isPackable: Bool { self == .f32 || self == .bf16 || self == .q8_0 }

  /// Converts `count` floats, whole blocks, rounding to nearest. Only for formats that are `isPackable`.
  public func pack(_ source: UnsafePointer<Float>, into target: UnsafeMutableRawPointer, count: Int) {
    switch self {
    case .f32: target.copyMemory(from: source, byteCount: 4 * count)
    case .bf16: BFloat16Kernels.encode(source, into: target.assumingMemoryBound(to: UInt16.self), count)
    case .q8_0: for b in 0..<count / 32 { Self.packQ8(source + 32 * b, target + 34 * b) }
    default: preconditionFailure("weights are not packed as \(name)")
    }
  }

  /// A block of 32 with the scale max |x| / 127, as ggml makes it. A block with an element that is not finite becomes
  /// NaN as a whole: one scale cannot say which it was, and a model that diverged should show it.
  private static func packQ8(_ source: UnsafePointer<Float>, _ target: UnsafeMutableRawPointer) {
    let (low, high) = (source.vector(0), source.vector(16))
    guard low * 0 + high * 0 == .zero else {
      target.storeBytes(of: Float16.nan, as: Float16.self)
      (target + 2).initializeMemory(as: Int8.self, repeating: 0, count: 32)
      return
    }
    let scale = mt_largest_magnitude(low, high) / 127
    target.storeBytes(of: Float16(scale), as: Float16.self)
    // The inverse of the smallest numbers is infinite; as a half, such a scale is 0 anyway.
    _ = mt_round_to_bytes(low, high, (1 / scale).isFinite ? 1 / scale : 0, target + 2)
  }
}
