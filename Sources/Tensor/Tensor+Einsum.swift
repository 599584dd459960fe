// Einstein's summation: products of tensors whose dimensions have names.
import Kernels

extension Tensor {
  /// Products of `operands`, summed over the dimensions whose letter is not in the result: `"bqd,bkd->bqk"`.
  ///
  /// A letter that stands twice in one operand means its diagonal. `...` stands for leading dimensions, which are
  /// broadcast. Without `->`, the result has the letters that stand once, in alphabetical order, after the `...`.
  ///
  /// - Throws: if the equation does not fit the operands, or sums of integers could leave 32-bit floats on the way.
  public static func einsum(_ equation: String, _ operands: [Tensor]) throws(TensorError) -> Tensor {
    let plan = try Equation(equation, operands)
    if operands.allSatisfy({ $0.dtype != .f32 }) {
      let length = plan.sizes.reduce(1) { plan.output.contains($1.key) ? $0 : $0 * $1.value }
      try checkIntegerProduct(operands, length: length, "einsum")
    }
    var terms: [Term] = []
    for (operand, labels) in zip(operands, plan.inputs) {
      terms.append(try Term(tensor: operand, labels: labels).withoutRepeats().expanded(to: plan.sizes))
    }
    while terms.count > 1 {
      let (a, b) = (terms.removeFirst(), terms.removeFirst())
      let needed = terms.reduce(Set(plan.output)) { $0.union($1.labels) }
      terms.insert(try a.times(b, keeping: needed), at: 0)
    }
    return try terms[0].summed(keeping: Set(plan.output)).ordered(plan.output).tensor
  }
}

/// A tensor whose dimensions have labels: letters, or numbers for those of an ellipsis.
private struct Term {
  let tensor: Tensor
  let labels: [String]

  /// The diagonal for each label that stands twice.
  func withoutRepeats() throws(TensorError) -> Term {
    for (i, label) in labels.enumerated() {
      guard let j = labels[(i + 1)...].firstIndex(of: label) else { continue }
      guard tensor.shape[i] == tensor.shape[j] else {
        throw TensorError("einsum: '\(label)' is both \(tensor.shape[i]) and \(tensor.shape[j])")
      }
      let others = labels.indices.filter { $0 != i && $0 != j }.map { labels[$0] }
      return try Term(tensor: tensor.diagonal(i, j), labels: others + [label]).withoutRepeats()
    }
    return self
  }

  /// With dimensions of size 1 repeated to what the label is elsewhere.
  func expanded(to sizes: [String: Int]) throws(TensorError) -> Term {
    let shape = labels.map { sizes[$0]! }
    return shape == tensor.shape ? self : Term(tensor: try tensor.expanded(to: shape), labels: labels)
  }

  /// Summed over the labels that are not wanted.
  func summed(keeping wanted: Set<String>) throws(TensorError) -> Term {
    let gone = labels.indices.filter { !wanted.contains(labels[$0]) }
    if gone.isEmpty { return self }
    return Term(tensor: try tensor.sum(dims: gone), labels: labels.filter(wanted.contains))
  }

  func ordered(_ order: [String]) throws(TensorError) -> Term {
    if order == labels { return self }
    return Term(tensor: try tensor.permuted(order.map { labels.firstIndex(of: $0)! }), labels: order)
  }

  /// The product, summed over shared labels that nobody needs further on.
  func times(_ other: Term, keeping needed: Set<String>) throws(TensorError) -> Term {
    let a = try summed(keeping: needed.union(other.labels))
    let b = try other.summed(keeping: needed.union(labels))
    let shared = a.labels.filter(b.labels.contains)
    let batch = shared.filter(needed.contains)
    let contracted = shared.filter { !needed.contains($0) }
    let (left, right) = (
      a.labels.filter { !shared.contains($0) }, b.labels.filter { !shared.contains($0) }
    )
    if left.isEmpty, right.isEmpty {
      let product = try a.tensor.multiplied(by: b.ordered(a.labels).tensor)
      return try Term(tensor: product, labels: a.labels).summed(keeping: needed)
    }
    // Matrices (left, contracted) · (contracted, right), one for each place in the batch.
    let (x, y) = (
      try a.ordered(batch + left + contracted).tensor, try b.ordered(batch + contracted + right).tensor
    )
    let (n, k) = (batch.count, contracted.count)
    let lead = Array(x.shape.prefix(n))
    let count = { (shape: ArraySlice<Int>) in shape.reduce(1, *) }
    let depth = count(x.shape.suffix(k))
    let product = try x.reshaped(lead + [count(x.shape[n..<x.rank - k]), depth])
      .matmul(y.reshaped(lead + [depth, count(y.shape[(n + k)...])]))
    let shape = lead + x.shape[n..<x.rank - k] + y.shape[(n + k)...]
    return Term(tensor: try product.reshaped(shape), labels: batch + left + right)
  }
}

/// What an equation says of its operands.
private struct Equation {
  private(set) var inputs: [[String]] = []
  private(set) var output: [String] = []
  private(set) var sizes: [String: Int] = [:]

  init(_ equation: String, _ operands: [Tensor]) throws(TensorError) {
    let text = String(equation.filter { $0 != " " })
    let arrow = text.firstRange(of: "->")
    let terms = text[..<(arrow?.lowerBound ?? text.endIndex)].split(
      separator: ",", omittingEmptySubsequences: false)
    guard terms.count == operands.count else {
      throw TensorError("einsum: '\(equation)' has \(terms.count) operands, got \(operands.count) tensors")
    }
    var widest = 0
    for (term, operand) in zip(terms, operands) {
      let ellipsis = term.contains("...") ? operand.rank - (term.count - 3) : 0
      let labels = try Self.labels(term, ellipsis: Swift.max(0, ellipsis), of: equation)
      widest = Swift.max(widest, ellipsis)
      guard labels.count == operand.rank else {
        throw TensorError(
          "einsum: '\(term)' does not name the \(operand.rank) dimensions of \(operand.shape)")
      }
      for (label, size) in zip(labels, operand.shape) {
        let known = sizes[label] ?? 1
        guard known == size || known == 1 || size == 1 else {
          throw TensorError("einsum: '\(label)' is both \(known) and \(size) in '\(equation)'")
        }
        sizes[label] = known == 1 ? size : known
      }
      inputs.append(labels)
    }
    if let arrow {
      output = try Self.labels(text[arrow.upperBound...], ellipsis: widest, of: equation)
      let unknown = output.first { sizes[$0] == nil }
      guard unknown == nil, Set(output).count == output.count else {
        throw TensorError(
          "einsum: the result of '\(equation)' must name each of its dimensions once, after an operand")
      }
    } else {
      let all = inputs.joined()
      output =
        (0..<widest).reversed().map { "\($0)" }
        + Set(all).filter { label in label.first!.isLetter && all.count { $0 == label } == 1 }.sorted()
    }
  }

  /// A label for each dimension; those of an ellipsis are numbered from its last.
  private static func labels(
    _ term: Substring, ellipsis: Int, of equation: String
  ) throws(TensorError) -> [String] {
    let parts = term.split(separator: "...", maxSplits: 1, omittingEmptySubsequences: false)
    let letters = parts.map { $0.map(String.init) }
    guard letters.joined().allSatisfy({ $0.first!.isASCII && $0.first!.isLetter }) else {
      throw TensorError("einsum: '\(equation)' is no equation like 'ij,jk->ik'")
    }
    return letters.count == 1
      ? letters[0] : letters[0] + (0..<ellipsis).reversed().map { "\($0)" } + letters[1]
  }
}
