// Elementwise operations, normalisation and softmax through the tensors that Lua sees, without recording.
import Model
import Tensor

/// Billions of elements per second, on tensors that lie in memory and on small ones that stay in cache.
func elementwise(_ report: Report, _ options: Options) throws {
  for (size, rows, columns) in [("2432×1536", 2432, 1536), ("64×1024", 64, 1024)] {
    let (a, b) = (Tensor.some([rows, columns]), Tensor.some([rows, columns]))
    let weight = Tensor.some([columns])
    let operations: [(String, () throws -> Tensor)] = [
      ("add", { try a.adding(b) }),
      ("multiply", { try a.multiplied(by: b) }),
      ("exp", { a.exp() }),
      ("silu", { a.silu() }),
      ("gelu", { a.gelu(approximate: true) }),
      ("silu(a)·b", { try a.swiglu(b) }),
      ("sum", { a.sum() }),
      ("rms norm", { try a.rmsNorm(weight, epsilon: 1e-5) }),
      ("softmax", { try a.softmax(dim: 1) }),
    ]
    for (name, operation) in operations {
      try measure(report, "\(name), \(size)", count: rows * columns, operation)
    }
  }
  let logits = Tensor.some([128, 49152])
  try measure(report, "log softmax, 128×49152", count: logits.count) { try logits.logSoftmax(dim: 1) }
}

private func measure(_ report: Report, _ name: String, count: Int, _ operation: () throws -> Tensor) throws {
  let repeats = max(1, 4_000_000 / count)
  let seconds = try Tape.withoutRecording {
    try best(of: 7) { for _ in 0..<repeats { _ = try operation() } }
  }
  report.add(name, 1e-9 * Double(count * repeats) / seconds, "Gelem/s")
}
