// Matrix products, large ones of training and those of few rows, as shares of what the machine can do.
import Kernels
import Tensor

/// Training's products through `BLAS.multiply`, then the forward products of few rows through `Tensor.linear`, with
/// weights in 32 bits and packed ones.
func products(_ report: Report, _ options: Options) throws {
  let machine = Machine(report)
  for (rows, outputs, inputs) in [(2432, 1536, 576), (2432, 576, 1536), (2432, 576, 576), (512, 49152, 576)] {
    largeProducts(report, machine, rows: rows, outputs: outputs, inputs: inputs)
    if options.isQuick { break }
  }
  for (outputs, inputs) in [(576, 576), (1536, 576), (576, 1536), (49152, 576)] {
    try fewRows(
      report, machine, .f32, outputs, inputs, rows: options.isQuick ? [1, 8, 32] : [1, 4, 8, 16, 32, 64])
    if options.isQuick { break }
  }
  for format in [WeightFormat.bf16, .q8_0, .q4_0, .q4_1] {
    for (outputs, inputs) in options.isQuick ? [(576, 576)] : [(1536, 576), (49152, 576)] {
      try fewRows(
        report, machine, format, outputs, inputs, rows: options.isQuick ? [1, 32] : [1, 8, 32, 64, 128])
    }
  }
}

private func largeProducts(_ report: Report, _ machine: Machine, rows: Int, outputs: Int, inputs: Int) {
  let (x, y, w) = (
    Tensor.some([rows, inputs]), Tensor.some([rows, outputs]), Tensor.some([outputs, inputs])
  )
  withExtendedLifetime((x, y, w)) {
    let xs = Matrix(x.pointer, rows: rows, columns: inputs)
    let ys = Matrix(y.pointer, rows: rows, columns: outputs)
    let ws = Matrix(w.pointer, rows: outputs, columns: inputs)
    // The gradients first: they read y, and the forward product overwrites it.
    let all: [(String, Matrix, Matrix, Matrix)] = [
      ("dx = dy·w", ys, ws, xs), ("dw = dyᵀ·x", ys.transposed, xs, ws), ("y = x·wᵀ", xs, ws.transposed, ys),
    ]
    for (name, a, b, c) in all {
      let flops = 2e-9 * Double(rows * outputs * inputs)
      // In turns, so that a slow moment of the machine meets both.
      var (ours, theirs) = (Double.infinity, Double.infinity)
      for _ in 0..<(rows * outputs > 10_000_000 ? 3 : 6) {
        ours = min(ours, awake { BLAS.multiply(a, b, into: c) })
        theirs = min(theirs, withAllBLASThreads { awake { plainProduct(a, b, into: c) } })
      }
      report.add(
        "\(name), \(rows)×\(outputs)×\(inputs)", flops / ours, "GFLOPS",
        note: "\(percent(flops / ours / machine.peak)) of peak", against: [("OpenBLAS", flops / theirs)])
    }
  }
}

/// Seconds that something takes once the threads are at work.
private func awake(_ body: () -> Void) -> Double {
  body()
  return time(body)
}

/// Products of few rows, beside OpenBLAS, for which packed weights have to be expanded first.
private func fewRows(
  _ report: Report, _ machine: Machine, _ format: WeightFormat, _ outputs: Int, _ inputs: Int, rows: [Int]
) throws {
  // Enough copies of the weights that they come from memory and not from cache.
  let bytes = Double(outputs * format.rowBytes(inputs))
  let weights = (0..<max(1, Int(96_000_000 / bytes))).map { _ in
    format == .f32 ? Weight(Tensor.some([outputs, inputs])) : Weight.some([outputs, inputs], format)
  }
  for rows in rows {
    let (x, y) = (Tensor.some([rows, inputs]), Tensor(uninitialized: [rows, outputs]))
    var (ours, theirs) = (Double.infinity, Double.infinity)
    for _ in 0..<3 {
      ours = min(
        ours, try Tape.withoutRecording { try time { for w in weights { _ = try x.linear(w) } } })
      theirs = min(
        theirs,
        withAllBLASThreads {
          time {
            for w in weights {
              let floats = w.tensor ?? w.expanded()
              plainProduct(
                Matrix(x.pointer, rows: rows, columns: inputs),
                Matrix(floats.pointer, rows: outputs, columns: inputs).transposed,
                into: Matrix(y.pointer, rows: rows, columns: outputs))
            }
          }
        })
    }
    withExtendedLifetime((x, y)) {}
    let flops = 2e-9 * Double(rows * outputs * inputs * weights.count)
    let speed = 1e-9 * bytes * Double(weights.count) / ours
    report.add(
      "\(format == .f32 ? "" : format.name + ", ")\(rows) × \(outputs) × \(inputs)", flops / ours, "GFLOPS",
      note: "\(percent(flops / ours / machine.peak)) of peak, \(Report.format(speed)) GB/s = "
        + "\(percent(speed / machine.bandwidth)) of memory",
      against: [("OpenBLAS", flops / theirs)])
  }
}
