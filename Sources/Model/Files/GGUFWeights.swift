// A GGUF file's tensors under Hugging Face names, in Hugging Face's row order.
import Kernels

/// The weights of a GGUF model as the transformers checkpoint would hold them.
package struct GGUFWeights: WeightSource {
  /// A GGUF tensor, and the number of attention heads whose rows must be put back in order.
  private struct Entry {
    let tensor: GGUFFile.Tensor
    let interleavedHeads: Int?
  }

  package let names: [String]
  private let file: GGUFFile
  private let entries: [String: Entry]

  package var path: String { file.path }

  private static let globalNames = [
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head",
  ]
  private static let layerNames = [
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj", "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
  ]

  /// Names the tensors of `file`. One that has no Hugging Face name keeps its own.
  package init(_ file: GGUFFile, config: ModelConfig) {
    self.file = file
    var entries: [String: Entry] = [:]
    for tensor in file.tensors.values {
      // llama.cpp turns rotary halves into neighbouring pairs for the llama architecture, and only for it.
      var heads: Int?
      if config.architecture == .llama, tensor.name.hasPrefix("blk.") {
        if tensor.name.contains(".attn_q.") { heads = config.numAttentionHeads }
        if tensor.name.contains(".attn_k.") { heads = config.numKeyValueHeads }
      }
      if tensor.name == GGUFFile.ropeFactorsName { continue }  // the config has them
      entries[Self.huggingFaceName(tensor.name)] = Entry(tensor: tensor, interleavedHeads: heads)
    }
    self.entries = entries
    names = entries.keys.sorted()
  }

  /// `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`
  private static func huggingFaceName(_ name: String) -> String {
    let parts = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    if parts.count == 2, let stem = globalNames[parts[0]] { return "\(stem).\(parts[1])" }
    if parts.count == 4, parts[0] == "blk", let stem = layerNames[parts[2]] {
      return "model.layers.\(parts[1]).\(stem).\(parts[3])"
    }
    return name
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
      guard let heads = entry.interleavedHeads else {
        tensor.type.expand(base + rows.lowerBound * rowBytes, into: output, count: buffer.count)
        return
      }
      let total = tensor.shape[0]
      try check(heads, total, name)
      if tensor.shape.count == 1 {
        // A bias: its elements are ordered like the rows of its matrix.
        var stored = [Float](repeating: 0, count: total)
        tensor.type.expand(base, into: &stored, count: total)
        for i in 0..<total { buffer[i] = stored[Self.storedRow(i, rowsPerHead: total / heads)] }
        return
      }
      for row in rows {
        let stored = Self.storedRow(row, rowsPerHead: total / heads)
        let start = (row - rows.lowerBound) * length
        tensor.type.expand(base + stored * rowBytes, into: output + start, count: length)
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
      guard let heads = entry.interleavedHeads else {
        target.copyMemory(from: base, byteCount: bytes.count)
        return
      }
      try check(heads, total, name)
      for row in 0..<total {
        let stored = Self.storedRow(row, rowsPerHead: total / heads)
        (target + row * rowBytes).copyMemory(from: base + stored * rowBytes, byteCount: rowBytes)
      }
    }
  }

  private func check(_ heads: Int, _ rows: Int, _ name: String) throws {
    guard rows % (2 * heads) == 0 else {
      throw ModelError(
        "\(path): \(name) has \(rows) rows, expected an even number for each of \(heads) heads")
    }
  }

  /// Where row `row` of a head-major matrix lies when each head's halves are interleaved.
  private static func storedRow(_ row: Int, rowsPerHead: Int) -> Int {
    let (head, inHead) = row.quotientAndRemainder(dividingBy: rowsPerHead)
    let (half, index) = inHead.quotientAndRemainder(dividingBy: rowsPerHead / 2)
    return head * rowsPerHead + 2 * index + half
  }
}
