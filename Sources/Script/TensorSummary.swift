// How a tensor prints: its shape, its values as far as they fit, and what the rest is like.
import Glibc
import Tensor

extension Tensor {
  /// `Tensor [2, 3] f32` and rows of values. Where there are many, the middle is left out and a line says between what
  /// bounds the values lie.
  package var summary: String {
    let values = self.values
    let marks = requiresGradient ? ", requires_grad" : isLeaf ? "" : ", recorded"
    return TensorSummary(shape: shape, kind: dtype.rawValue, marks: marks, values: values) { [dtype] place in
      let value = values[place]
      return dtype == .bool
        ? (value != 0 ? "true" : "false") : dtype == .i32 ? "\(Int(value))" : digits(value)
    }.text
  }
}

extension StoredTensor {
  /// As that of a tensor that can be computed with.
  package var summary: String {
    let values = floats().values
    return TensorSummary(
      shape: shape, kind: typeName, marks: typeName == "bf16" ? ", stored" : "", values: values
    ) {
      [elements] place in
      if case .integers(let whole, _) = elements { "\(whole[place])" } else { digits(values[place]) }
    }.text
  }
}

private struct TensorSummary {
  let shape: [Int]
  let kind: String
  let marks: String
  let values: [Float]
  let short: (Int) -> String

  var text: String {
    guard let columns = shape.last else {
      return "Tensor \(short(0))\(kind == "f32" ? "" : " " + kind)\(marks)"
    }
    let title = "Tensor \(shape) \(kind)\(marks)"
    if values.isEmpty { return title }
    let rows = values.count / columns
    let (rowPlaces, columnPlaces) = (visible(rows, limit: 8), visible(columns, limit: 8))
    let cells = rowPlaces.map { row in
      columnPlaces.map { column in row.flatMap { r in column.map { short(r * columns + $0) } } ?? "…" }
    }
    let width = cells.joined().map(\.count).max() ?? 0
    let lines = zip(rowPlaces, cells).map { row, cells in
      row == nil
        ? "  …"
        : "  " + cells.map { String(repeating: " ", count: width - $0.count) + $0 }.joined(separator: "  ")
    }
    let isWhole = rowPlaces.count == rows && columnPlaces.count == columns
    return ([title + (isWhole ? "" : "  " + statistics)] + lines).joined(separator: "\n")
  }

  /// Places that are shown, with nil for those left out in the middle.
  private func visible(_ count: Int, limit: Int) -> [Int?] {
    guard count > limit else { return Array(0..<count) }
    return Array(0..<limit / 2) + [nil] + Array(count - limit / 2..<count)
  }

  private var statistics: String {
    let finite = values.filter(\.isFinite)
    guard let low = finite.min(), let high = finite.max() else { return "no finite value" }
    let mean = finite.reduce(0.0) { $0 + Double($1) } / Double(finite.count)
    let others = values.count - finite.count
    return "\(digits(low)) to \(digits(high)), mean \(digits(Float(mean)))"
      + (others > 0 ? ", \(others) not finite" : "")
  }
}

/// Five digits, as `%.5g` writes them.
private func digits(_ value: Float) -> String {
  withVaList([Double(value)]) { arguments in
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { buffer in
      vsnprintf(buffer.baseAddress, buffer.count, "%.5g", arguments)
      return String(cString: buffer.baseAddress!)
    }
  }
}
