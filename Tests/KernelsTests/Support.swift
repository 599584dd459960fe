// What the kernel tests share: comparison.
import Testing

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
