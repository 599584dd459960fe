// Forward and backward pass on packed rows, beside the bare products that it consists of.
import Kernels
import Model
import Tensor
import Train

/// Rows per second of 4 × 512 tokens.
func train(_ report: Report, _ options: Options) throws {
  let model = try options.loadModel().network
  let (sequences, length) = options.isQuick ? (1, 128) : (4, 512)
  let optimizer = AdamW(parameters: model.parameters)
  var forest = Forest()
  for salt in 0..<sequences { try forest.add(model.someTokens(length, salt: salt)) }
  let (rows, scored) = (forest.count, sequences * (length - 1))
  func step() throws {
    optimizer.zeroGradients(keepingMemory: true)
    try model.logProbs(forest).logProbs.mean().negated().backward()
  }
  // The first step's memory is new, and while gradients are allocated some of it goes back.
  try step()
  let peak = peakMemory()
  if !options.isQuick { try step() }
  // In turns, so that a slow moment of the machine meets both.
  let products = BareProducts(model, rows: rows, scored: scored)
  var (whole, bare) = (Double.infinity, Double.infinity)
  for _ in 0..<(options.isQuick ? 1 : 3) {
    whole = min(whole, try time(step))
    bare = min(bare, products.seconds())
  }
  let flops = 1e-9 * productFLOPs(model, rows: rows, scored: scored)
  report.add(
    "forward and backward, \(sequences)×\(length)", Double(rows) / whole, "rows/s",
    note: "\(Report.format(flops / whole)) GFLOPS of products", targets: [.times(1.3, than: "PyTorch")])
  report.add(
    "the same against its bare products", Double(rows) / whole, "rows/s",
    note: "cblas_sgemm alone: \(Report.format(flops / bare)) GFLOPS, \(Report.format(bare)) s",
    against: [("cblas_sgemm", Double(rows) / bare)], targets: [.times(0.8, than: "cblas_sgemm")])
  report.add("peak memory of training", peak, "GB", note: "gradients, but no optimiser's state yet")
}

/// Multiplications and additions of all linear layers (forward, two gradients) and of the head, which computes its
/// logits a second time in the backward pass.
private func productFLOPs(_ model: CausalLM, rows: Int, scored: Int) -> Double {
  let linear = linearShapes(model).reduce(0) { $0 + $1.outputs * $1.inputs } * model.config.numHiddenLayers
  let head = model.config.vocabSize * model.config.hiddenSize
  return 6 * Double(rows) * Double(linear) + 8 * Double(scored) * Double(head)
}

/// Weights of one layer, (outputs, inputs).
private func linearShapes(_ model: CausalLM) -> [(outputs: Int, inputs: Int)] {
  let config = model.config
  let (C, I, D) = (config.hiddenSize, config.intermediateSize, config.headDim)
  let (Q, KV) = (config.numAttentionHeads * D, config.numKeyValueHeads * D)
  return [(Q, C), (KV, C), (KV, C), (C, Q), (I, C), (I, C), (C, I)]
}

/// cblas_sgemm alone for the same multiplications. All layers share their operands' memory, which makes it a little faster
/// than it could be in a network.
private struct BareProducts {
  private typealias Layer = (x: Operand, y: Operand, w: Operand, dx: Operand, dw: Operand)
  private let layers: Int
  private let layer: [Layer]
  private let (vocabulary, part): (Int, Int)
  private let (hidden, logits, head, dhidden, dhead): (Operand, Operand, Operand, Operand, Operand)

  init(_ model: CausalLM, rows: Int, scored: Int) {
    let (C, V) = (model.config.hiddenSize, model.config.vocabSize)
    layers = model.config.numHiddenLayers
    layer = linearShapes(model).map { outputs, inputs in
      (
        x: Operand(rows, inputs), y: Operand(rows, outputs), w: Operand(outputs, inputs),
        dx: Operand(rows, inputs), dw: Operand(outputs, inputs)
      )
    }
    (vocabulary, part) = (V, Tensor.headTokens(rows: scored, vocabulary: V))
    (hidden, logits, head) = (Operand(scored, C), Operand(scored, part), Operand(V, C))
    (dhidden, dhead) = (Operand(scored, C), Operand(V, C))
  }

  func seconds() -> Double { withAllBLASThreads { time(compute) } }

  private func compute() {
    for _ in 0..<layers {
      for l in layer { plainProduct(l.x.matrix, l.w.matrix.transposed, into: l.y.matrix) }
    }
    for start in stride(from: 0, to: vocabulary, by: part) {
      let tokens = start..<min(vocabulary, start + part)
      let (w, dw) = (head.rows(tokens), dhead.rows(tokens))
      let logits = logits.firstColumns(tokens.count)
      plainProduct(hidden.matrix, w.transposed, into: logits)
      plainProduct(hidden.matrix, w.transposed, into: logits)
      plainProduct(logits, w, into: dhidden.matrix, beta: start == 0 ? 0 : 1)
      plainProduct(logits.transposed, hidden.matrix, into: dw)
    }
    for _ in 0..<layers {
      for l in layer {
        plainProduct(l.y.matrix, l.w.matrix, into: l.dx.matrix)
        plainProduct(l.y.matrix.transposed, l.x.matrix, into: l.dw.matrix)
      }
    }
  }
}

/// A matrix with its memory.
private struct Operand {
  private let tensor: Tensor

  init(_ rows: Int, _ columns: Int) { tensor = Tensor.some([rows, columns]) }

  var matrix: Matrix { rows(0..<tensor.shape[0]) }

  func rows(_ range: Range<Int>) -> Matrix {
    let columns = tensor.shape[1]
    return Matrix(tensor.pointer + range.lowerBound * columns, rows: range.count, columns: columns)
  }

  /// As a matrix that has fewer columns, without gaps.
  func firstColumns(_ count: Int) -> Matrix { Matrix(tensor.pointer, rows: tensor.shape[0], columns: count) }
}
