// Floats into the storage formats that the engine writes, and back.
import TestSupport
import Testing

import Kernels

@Suite struct PackTests {
  private func packed(_ format: WeightFormat, _ values: [Float]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xAA, count: format.rowBytes(values.count))
    bytes.withUnsafeMutableBytes { format.pack(values, into: $0.baseAddress!, count: values.count) }
    return bytes
  }

  private func expanded(_ format: WeightFormat, _ bytes: [UInt8], count: Int) -> [Float] {
    var values = [Float](repeating: .nan, count: count)
    format.expand(bytes, into: &values, count: count)
    return values
  }

  /// To bfloat16 by the definition: the nearer of the two neighbours, the even one of two equally near.
  private func roundedToBFloat16(_ value: Float) -> Float {
    guard value.isFinite else { return value }
    let below = Float(bitPattern: value.bitPattern & 0xffff_0000)
    let above = Float(bitPattern: (value.bitPattern & 0xffff_0000) &+ 0x1_0000)
    // Beyond the largest number the next one would be 2^128, which only a Double holds.
    let next = above.isFinite ? Double(above) : (value < 0 ? -0x1p128 : 0x1p128)
    let (down, up) = (abs(Double(value) - Double(below)), abs(next - Double(value)))
    if down != up { return down < up ? below : above }
    return below.bitPattern >> 16 & 1 == 0 ? below : above
  }

  @Test func bfloat16RoundsToNearestEven() {
    var values: [Float] = [
      0, -0.0, 1, -1, 1.00390625, 1.01171875, 1.0039063, 65504, .infinity, -.infinity,
      .greatestFiniteMagnitude,
      -.greatestFiniteMagnitude, .leastNormalMagnitude, .leastNonzeroMagnitude, -.leastNonzeroMagnitude,
      Float(bitPattern: 0x7f7f_7fff), Float(bitPattern: 0x7f7f_8000), Float(bitPattern: 0x0000_8000),
      Float(bitPattern: 0x0001_8000), Float(bitPattern: 0x007f_ffff), Float(bitPattern: 0x0000_7fff),
    ]
    var random = Random(1)
    for _ in 0..<20_000 {
      let value = Float(bitPattern: UInt32(truncatingIfNeeded: random.next()))
      if !value.isNaN { values.append(value) }
      // Ties, and what lies just beside them.
      let tie = UInt32(truncatingIfNeeded: random.next()) & 0xffff_0000 | 0x8000
      for bits in [tie - 1, tie, tie + 1] where !Float(bitPattern: bits).isNaN {
        values.append(Float(bitPattern: bits))
      }
    }
    let actual = expanded(.bf16, packed(.bf16, values), count: values.count)
    for (value, result) in zip(values, actual) {
      let expected = roundedToBFloat16(value)
      guard result.bitPattern != expected.bitPattern else { continue }
      Issue.record("\(value) (\(value.bitPattern)) became \(result), expected \(expected)")
      return
    }
  }

  @Test func bfloat16KeepsNaN() {
    // Those whose payload lies in the lower half would become infinite if they were cut off.
    let values = [0x7fc0_0000, 0x7f80_0001, 0xff80_0001, 0x7fff_ffff, 0xffff_ffff, 0x7f80_8000].map {
      Float(bitPattern: $0)
    }
    let actual = expanded(.bf16, packed(.bf16, values), count: values.count)
    #expect(actual.allSatisfy { $0.isNaN })
    #expect(zip(actual, values).allSatisfy { $0.sign == $1.sign })
  }

  @Test func floatsStayAsTheyAre() {
    let values: [Float] = [0, -0.0, 1.5, .infinity, .leastNonzeroMagnitude]
    let actual = expanded(.f32, packed(.f32, values), count: values.count)
    #expect(actual.map(\.bitPattern) == values.map(\.bitPattern))
  }

  /// Half a step from rounding to whole numbers, and what rounding the scale to a half moves 127 steps by.
  @Test func eightBitsAreOffByHalfAStep() {
    var random = Random(2)
    for magnitude in [1e-6, 1e-3, 0.02, 1, 300, 1e5] as [Float] {
      let values = random.floats(32 * 50, in: -magnitude...magnitude)
      let bytes = packed(.q8_0, values)
      let actual = expanded(.q8_0, bytes, count: values.count)
      for block in 0..<50 {
        let range = 32 * block..<32 * (block + 1)
        let peak = values[range].reduce(0) { max($0, abs($1)) }
        let step = Double(peak) / 127
        let stored = Double(
          Float16(bitPattern: UInt16(bytes[34 * block]) | UInt16(bytes[34 * block + 1]) << 8))
        #expect(stored == Double(Float16(peak / 127)))
        // Halves have 11 significant bits, and no more than 2^-24 apart near 0.
        #expect(abs(stored - step) <= max(step * 0x1p-11, 0x1p-25) * 1.0001)
        let allowed = 0.5 * step * 1.0001 + 127 * abs(stored - step)
        for i in range { #expect(abs(Double(actual[i]) - Double(values[i])) <= allowed) }
      }
    }
  }

  @Test func eightBitsAtTheEdges() {
    let zeros = [Float](repeating: 0, count: 64)
    #expect(packed(.q8_0, zeros) == [UInt8](repeating: 0, count: 68))
    // So small that the scale is 0 as a half, and its inverse infinite in 32 bits.
    for tiny in [1e-12, 1e-37, Float(bitPattern: 99), .leastNonzeroMagnitude] as [Float] {
      let values = (0..<32).map { $0 % 2 == 0 ? tiny : -tiny }
      #expect(expanded(.q8_0, packed(.q8_0, values), count: 32).allSatisfy { $0 == 0 })
    }
    // The largest element has 127 steps exactly.
    var one = zeros
    one[5] = -4
    #expect(packed(.q8_0, one)[7] == UInt8(bitPattern: -127))
  }

  /// Weights that diverged must not end the process, and must not look like weights.
  @Test(arguments: [Float.nan, .infinity, -.infinity]) func eightBitsOfWhatIsNotFinite(_ value: Float) {
    var random = Random(3)
    for place in [0, 15, 16, 31] {
      var values = random.floats(96)
      values[32 + place] = value
      let actual = expanded(.q8_0, packed(.q8_0, values), count: 96)
      #expect(actual[32..<64].allSatisfy { $0.isNaN })
      #expect(actual[..<32].allSatisfy { $0.isFinite } && actual[64...].allSatisfy { $0.isFinite })
    }
  }
}
