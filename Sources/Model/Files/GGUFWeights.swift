// A GGUF file's tensors under Hugging Face names, in Hugging Face's row order.
import Kernels

/// The weights of a GGUF model as the transformers checkpoint would hold them.
package struct GGUFWeights: WeightSource {
  /// How the rows of a matrix, or the elements of a bias, lie in the file.
  private enum Order {
    case same
    /// Each head's two rotary halves as neighbouring pairs.
    case pairs(heads: Int)
    /// All queries, then all keys, then all values, where the checkpoint has the three of a head together.
    case parts(heads: Int)

    /// What the number of rows must be a multiple of.
    var divisor: Int {
      switch self {
      case .same: 1
      case .pairs(let heads): 2 * heads
      case .parts(let heads): 3 * heads
      }
    }

    /// Where row `row` of a matrix with `total` rows lies.
    func stored(_ row: Int, of total: Int) -> Int {
      switch self {
      case .same:
        return row
      case .pairs(let heads):
        let (head, inHead) = row.quotientAndRemainder(dividingBy: total / heads)
        let (half, index) = inHead.quotientAndRemainder(dividingBy: total / heads / 2)
        return head * (total / heads) + 2 * index + half
      case .parts(let heads):
        let headDim = total / heads / 3
        let (head, inHead) = row.quotientAndRemainder(dividingBy: 3 * headDim)
        let (part, index) = inHead.quotientAndRemainder(dividingBy: headDim)
        return (part * heads + head) * headDim + index
      }
    }
  }

  /// A GGUF tensor, and the order of its rows.
  private struct Entry {
    let tensor: GGUFFile.Tensor
    let order: Order
  }

  package let names: [String]
  private let file: GGUFFile
  private let entries: [String: Entry]

  package var path: String { file.path }

  /// Names the tensors of `file`. One that has no Hugging Face name keeps its own.
  package init(_ file: GGUFFile, config: ModelConfig) {
    self.file = file
    let known = Self.huggingFaceNames(config.names)
    var entries: [String: Entry] = [:]
    for tensor in file.tensors.values where tensor.name != GGUFFile.ropeFactorsName {  // the config has them
      var name = tensor.name
      var order = Order.same
      let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
      if parts.count == 2, let stem = known.global[parts[0]] {
        name = "\(stem).\(parts[1])"
      } else if parts.count == 4, parts[0] == "blk", let stem = known.layer[parts[2]] {
        name = "\(config.names.layers)\(parts[1]).\(stem).\(parts[3])"
        order = Self.order(of: parts[2], config)
      }
      entries[name] = Entry(tensor: tensor, order: order)
    }
    self.entries = entries
    names = entries.keys.sorted()
  }

  /// `attn_q` → `self_attn.q_proj`, for what stands in a layer and elsewhere.
  private static func huggingFaceNames(
    _ names: ModuleNames
  ) -> (global: [String: String], layer: [String: String]) {
    var global = ["token_embd": names.embedding, "output_norm": names.norm, "output": names.head]
    global["position_embd"] = names.positions
    var layer = [
      "attn_norm": names.inputNorm, "attn_output": names.attentionOutput, "ffn_norm": names.postAttentionNorm,
      "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    ]
    let projections = names.projections.count == 1 ? ["attn_qkv"] : ["attn_q", "attn_k", "attn_v"]
    for (own, name) in zip(projections, names.projections) { layer[own] = name }
    for (own, name) in zip(
      ["ffn_gate", "ffn_up", "ffn_down"].suffix(names.feedForward.count), names.feedForward)
    {
      layer[own] = name
    }
    return (global, layer)
  }

  /// llama.cpp turns rotary halves into neighbouring pairs for the llama architecture, and only for it.
  private static func order(of name: String, _ config: ModelConfig) -> Order {
    switch (config.architecture, name) {
    case (.llama, "attn_q"): .pairs(heads: config.numAttentionHeads)
    case (.llama, "attn_k"): .pairs(heads: config.numKeyValueHeads)
    case (.gptNeoX, "attn_qkv"): .parts(heads: config.numAttentionHeads)
    default: .same
    }
  }

  private func entry(_ name: String) throws -> Entry {
    guard let entry = entries[name] else { throw ModelError("\(path): has no tensor \(name)") }
    return entry
  }

  package func shape(of name: String) throws -> [Int] { try entry(name).tensor.shape }

  package func read(_ name: String, rows: Range<Int>, into buffer: UnsafeMutableBufferPointer<Float>) throws {
    let entry = try entry(name)
    let tensor = entry.tensor
    let length = try rowLength(name, shape: tensor.shape, rows: rows, buffer: buffer.count)
    guard let output = buffer.baseAddress, !buffer.isEmpty else { return }
    try file.withBytes(of: tensor) { bytes in
      let base = bytes.baseAddress!
      let rowBytes = tensor.type.rowBytes(length)
      if case .same = entry.order {
        tensor.type.expand(base + rows.lowerBound * rowBytes, into: output, count: buffer.count)
        return
      }
      let total = tensor.shape[0]
      try check(entry.order, total, name)
      if tensor.shape.count == 1 {
        // A bias: its elements are ordered like the rows of its matrix.
        var stored = [Float](repeating: 0, count: total)
        tensor.type.expand(base, into: &stored, count: total)
        for i in 0..<total { buffer[i] = stored[entry.order.stored(i, of: total)] }
        return
      }
      for row in rows {
        let start = (row - rows.lowerBound) * length
        tensor.type.expand(
          base + entry.order.stored(row, of: total) * rowBytes, into: output + start, count: length)
      }
    }
  }

  package func format(of name: String) throws -> WeightFormat { try entry(name).tensor.type }

  package func readStored(_ name: String, into target: UnsafeMutableRawPointer) throws {
    let entry = try entry(name)
    let tensor = entry.tensor
    let (total, rowBytes) = (tensor.shape[0], tensor.type.rowBytes(tensor.rowLength))
    try file.withBytes(of: tensor) { bytes in
      guard let base = bytes.baseAddress else { return }
      if case .same = entry.order {
        target.copyMemory(from: base, byteCount: bytes.count)
        return
      }
      try check(entry.order, total, name)
      for row in 0..<total {
        let stored = entry.order.stored(row, of: total)
        (target + row * rowBytes).copyMemory(from: base + stored * rowBytes, byteCount: rowBytes)
      }
    }
  }

  private func check(_ order: Order, _ rows: Int, _ name: String) throws {
    guard rows % order.divisor == 0 else {
      throw ModelError("\(path): \(name) has \(rows) rows, expected a multiple of \(order.divisor)")
    }
  }
}
