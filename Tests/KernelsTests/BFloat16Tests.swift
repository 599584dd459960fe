// bfloat16 against its definition, value by value.
import TestSupport
import Testing

import Kernels

@Suite struct BFloat16Tests {
  private func encoded(_ values: [Float]) -> [UInt16] {
    var result = [UInt16](repeating: 0, count: values.count)
    BFloat16Kernels.encode(values, into: &result, values.count)
    return result
  }

  private func expanded(_ values: [UInt16]) -> [Float] {
    var result = [Float](repeating: 0, count: values.count)
    BFloat16Kernels.expand(values, into: &result, values.count)
    return result
  }

  @Test func everyValueSurvives() {
    let all = (0...UInt16.max).map { $0 }
    let floats = expanded(all)
    #expect(floats.map(\.bitPattern) == all.map { UInt32($0) << 16 })
    for (before, after) in zip(all, encoded(floats)) {
      // NaN becomes quiet, everything else stays as it is.
      let isNaN = Float(bitPattern: UInt32(before) << 16).isNaN
      #expect(after == (isNaN ? before | 0x40 : before))
    }
  }

  @Test func roundsToTheNearestAndTiesToEven() {
    var random = Random(3)
    let special: [UInt32] = [
      0x3f80_8000, 0x3f81_8000, 0x3f80_7fff, 0x3f80_8001, 0xbf80_8000, 0x0000_8000, 0x0001_8000, 0x7f7f_ffff,
      0xff7f_ffff, 0x7f80_0001, 0xffff_ffff, 0x7f80_0000,
    ]
    let bits = special + (0..<4001).map { _ in UInt32(truncatingIfNeeded: random.next()) }
    for (bits, result) in zip(bits, encoded(bits.map(Float.init(bitPattern:)))) {
      let value = Float(bitPattern: bits)
      let (below, rest) = (UInt16(bits >> 16), bits & 0xffff)
      if value.isNaN {
        #expect(result == below | 0x40)
      } else {
        let up = rest > 0x8000 || (rest == 0x8000 && below & 1 == 1)
        #expect(result == (up ? below + 1 : below), "\(value)")
      }
    }
  }

  @Test(arguments: [0, 1, 15, 16, 17, 40])
  func anyLength(count: Int) {
    let values = (0..<count).map { Float($0) - 7 }
    #expect(expanded(encoded(values)) == values)
  }
}
