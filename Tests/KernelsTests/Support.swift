// What the kernel tests share: numbers that are the same in every run, and comparison.
import Testing

/// Pseudo-random numbers from a seed (SplitMix64).
struct Random: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func floats(_ count: Int, in range: ClosedRange<Float> = -1...1) -> [Float] {
    (0..<count).map { _ in Float.random(in: range, using: &self) }
  }
}

/// Expects values within a tolerance times the larger of 1 and the largest expected one.
func expectClose(
  _ actual: [Float], _ expected: [Double], _ tolerance: Double, _ what: @autoclosure () -> String,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.count == expected.count else {
    Issue.record(
      "\(what()): \(actual.count) values, expected \(expected.count)", sourceLocation: sourceLocation)
    return
  }
  let scale = expected.reduce(1) { $1.isFinite ? max($0, abs($1)) : $0 }
  for (i, (a, b)) in zip(actual, expected).enumerated() {
    if Double(a) == b || (a.isNaN && b.isNaN) || abs(Double(a) - b) <= tolerance * scale { continue }
    Issue.record("\(what()): element \(i) is \(a), expected \(b)", sourceLocation: sourceLocation)
    return
  }
}
