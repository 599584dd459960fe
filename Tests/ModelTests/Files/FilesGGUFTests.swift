// GGUF against the reference implementation (Tests/Goldens/make_gguf.py).

import Kernels
import Model
import TestSupport
import Testing

@Suite struct FilesGGUFTests {
  @Test(arguments: WeightFormat.allCases)
  func dequantizes(type: WeightFormat) throws {
    let golden = try SafetensorsFile(path: "\(goldens)/gguf_blocks.safetensors")
    let expected = try golden.read("\(type.name).values")
    try golden.withBytes(of: "\(type.name).blocks") { blocks in
      #expect(blocks.count == expected.count / type.blockLength * type.blockSize)
      var values = [Float](repeating: .nan, count: expected.count)
      type.expand(blocks.baseAddress!, into: &values, count: values.count)
      #expect(values.map(\.bitPattern) == expected.map(\.bitPattern))
    }
  }

  @Test(arguments: [WeightFormat.bf16, .q8_0])
  func packsAsTheReferenceDoes(type: WeightFormat) throws {
    let golden = try SafetensorsFile(path: "\(goldens)/gguf_packed.safetensors")
    let values = try golden.read("\(type.name).values")
    var actual = [UInt8](repeating: 0, count: type.rowBytes(values.count))
    actual.withUnsafeMutableBytes { type.pack(values, into: $0.baseAddress!, count: values.count) }
    try golden.withBytes(of: "\(type.name).blocks") { #expect(actual == Array($0)) }
  }

  @Test(arguments: ["llama", "qwen2", "qwen3", "gpt2", "neox"])
  func equalsTheFolder(name: String) throws {
    let gguf = try ModelFiles(path: "\(goldens)/tiny-\(name).gguf")
    let folder = try ModelFiles(path: "\(goldens)/tiny-\(name)")
    let (a, b) = (gguf.config, folder.config)
    #expect(a.architecture == b.architecture && a.weights == b.weights && a.headDim == b.headDim)
    #expect(a.normEps == b.normEps && a.ropeTheta == b.ropeTheta && a.ropeScaling == b.ropeScaling)
    #expect(
      a.rotaryDim == b.rotaryDim && a.activation == b.activation && a.parallelResidual == b.parallelResidual)
    #expect(a.maxPositionEmbeddings == b.maxPositionEmbeddings && a.isContextFixed == b.isContextFixed)
    #expect(a.bosTokenID == b.bosTokenID && a.eosTokenIDs == b.eosTokenIDs)
    for name in folder.weights.names {
      #expect(try gguf.weights.read(name) == folder.weights.read(name), "\(name)")
    }
  }

  @Test func readsRowRanges() throws {
    for path in ["tiny-llama.gguf", "tiny-llama"] {
      let weights = try ModelFiles(path: "\(goldens)/\(path)").weights
      let name = "model.layers.1.self_attn.q_proj.weight"
      let whole = try weights.read(name)
      var rows = [Float](repeating: 0, count: 7 * 32)
      try rows.withUnsafeMutableBufferPointer { try weights.read(name, rows: 5..<12, into: $0) }
      #expect(rows == Array(whole[(5 * 32)..<(12 * 32)]))
      let outside = modelError {
        try rows.withUnsafeMutableBufferPointer { try weights.read(name, rows: 30..<37, into: $0) }
      }
      #expect(outside.contains(path) && outside.contains("rows 30..<37 of \(name)"))
      let short = modelError {
        try rows.withUnsafeMutableBufferPointer { try weights.read(name, rows: 0..<6, into: $0) }
      }
      #expect(short.contains("192 elements") && short.contains("224"))
    }
  }

  /// For what this engine reads, version 2 differs from version 3 in the number only.
  @Test func readsVersion2() throws {
    var bytes = try read("\(goldens)/tiny-llama.gguf")
    bytes[4] = 2
    try withScratchFolder { folder throws in
      try write(bytes, to: "\(folder)/v2.gguf")
      #expect(try ModelFiles(path: "\(folder)/v2.gguf").config.hiddenSize == 32)
    }
  }

  @Test func readsMetadata() throws {
    let file = try GGUFFile(path: "\(goldens)/tiny-llama.gguf")
    #expect(file.metadata["general.architecture"]?.text == "llama")
    guard case .array(let tokens) = file.metadata["tokenizer.ggml.tokens"] else {
      Issue.record("tokens are no array")
      return
    }
    let strings = try tokens.strings()
    #expect(strings.count == 97 && strings[96] == Array("t96".utf8))
    #expect(modelError { _ = try tokens.integers() }.contains("tokenizer.ggml.tokens is an array of string"))
  }

  @Test func llama3FrequenciesBecomeScaling() throws {
    // What llama.cpp's converter computes for head_dim 8, factor 8 and a base of 10^8.
    let factors: [Float] = (0..<4).map { i in
      let wavelength = 2 * Double.pi * (0..<i).reduce(1.0) { product, _ in product * 100 }
      if wavelength < 8192.0 / 4 { return 1 }
      if wavelength > 8192 { return 8 }
      let smooth = (8192 / wavelength - 1) / 3
      return Float(1 / ((1 - smooth) / 8 + smooth))
    }
    var builder = GGUFBuilder(copying: try GGUFFile(path: "\(goldens)/tiny-llama.gguf"))
    builder.metadata.removeAll { $0.key == "llama.rope.freq_base" }
    builder.metadata.append(("llama.rope.freq_base", .float32(1e8)))
    try withScratchFolder { folder throws in
      builder.tensors.append(("rope_freqs.weight", [4], factors))
      try write(builder.bytes, to: "\(folder)/scaled.gguf")
      let model = try ModelFiles(path: "\(folder)/scaled.gguf")
      #expect(
        model.config.ropeScaling
          == .llama3(factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192))
      builder.tensors[builder.tensors.count - 1].values = [1, 3, 3, 8]
      try write(builder.bytes, to: "\(folder)/odd.gguf")
      let message = modelError { _ = try ModelFiles(path: "\(folder)/odd.gguf") }
      #expect(message.contains("odd.gguf: rope_freqs.weight is not Llama 3's"))
    }
  }

  @Test func damageIsNamed() throws {
    let good = try read("\(goldens)/tiny-llama.gguf")
    try withScratchFolder { folder throws in
      let path = "\(folder)/bad.gguf"
      func expect(_ cause: String, _ change: (inout [UInt8]) -> Void) throws {
        var bytes = good
        change(&bytes)
        try write(bytes, to: path)
        let message = modelError { _ = try ModelFiles(path: path) }
        #expect(message.hasPrefix(path) && message.contains(cause), "\(message)")
      }
      try expect("no GGUF file") { $0[0] = 0 }
      try expect("version 9, expected") { $0[4] = 9 }
      try expect("big-endian") { $0[4...7] = [0, 0, 0, 3] }
      try expect("has 0 bytes") { $0.removeAll() }
      try expect("within") { $0.removeLast(100) }
      try expect("the number of tensors is") { $0[8...15] = ArraySlice(repeating: 0xff, count: 8) }
      try expect("the number of metadata entries is") { $0[16...23] = ArraySlice(repeating: 0x7f, count: 8) }
    }
  }
}

/// Writes small GGUF files.
struct GGUFBuilder {
  /// How matrices are stored; integer blocks are random ones, whatever the values.
  var format = WeightFormat.f32
  var metadata: [(key: String, value: GGUFValue)]
  var tensors: [(name: String, shape: [Int], values: [Float])]

  /// Scalars and strings of `file`, and its tensors, which must be F32.
  init(copying file: GGUFFile) {
    metadata = file.metadata.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    tensors = file.tensors.values.sorted { $0.name < $1.name }.map { tensor in
      let values = try? file.withBytes(of: tensor) { bytes in
        (0..<bytes.count / 4).map { bytes.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
      }
      return (tensor.name, tensor.shape, values ?? [])
    }
  }

  var bytes: [UInt8] {
    var random = Random(1)
    return bytes(&random)
  }

  func bytes(_ random: inout Random) -> [UInt8] {
    var entries: [UInt8] = []
    var entryCount = 0
    for (key, value) in metadata {
      let encoded: [UInt8]
      switch value {
      case .integer(let value): encoded = little(UInt32(11)) + little(Int64(value))
      case .float32(let value): encoded = little(UInt32(6)) + little(value.bitPattern)
      case .string(let text): encoded = little(UInt32(8)) + little(UInt64(text.count)) + text
      default: continue
      }
      entries += string(key) + encoded
      entryCount += 1
    }
    var data: [UInt8] = []
    for tensor in tensors {
      entries += string(tensor.name) + little(UInt32(tensor.shape.count))
      for dimension in tensor.shape.reversed() { entries += little(UInt64(dimension)) }
      let format = tensor.shape.count == 2 ? format : .f32
      entries += little(format.rawValue) + little(UInt64(data.count))
      if format.isPackable {
        var packed = [UInt8](repeating: 0, count: format.rowBytes(tensor.values.count))
        packed.withUnsafeMutableBytes {
          format.pack(tensor.values, into: $0.baseAddress!, count: tensor.values.count)
        }
        data += packed
      } else {
        data += Self.randomBlocks(format, count: tensor.values.count / format.blockLength, &random)
      }
      data += [UInt8](repeating: 0, count: (32 - data.count % 32) % 32)
    }
    var result =
      Array("GGUF".utf8) + little(UInt32(3)) + little(UInt64(tensors.count)) + little(UInt64(entryCount))
    result += entries
    result += [UInt8](repeating: 0, count: (32 - result.count % 32) % 32)
    return result + data
  }

  /// Blocks whose values are of the size of weights.
  private static func randomBlocks(_ format: WeightFormat, count: Int, _ random: inout Random) -> [UInt8] {
    let scales = format == .q6_K ? [208] : [.q4_0, .q5_0].contains(format) ? [0] : [0, 2]
    let size: Float16 = format == .q6_K ? 1e-4 : 0.01
    return (0..<count).flatMap { _ in
      var block = (0..<format.blockSize).map { _ in UInt8.random(in: 0...255, using: &random) }
      for place in scales {
        let bits = Float16.random(in: -size...size, using: &random).bitPattern
        (block[place], block[place + 1]) = (UInt8(truncatingIfNeeded: bits), UInt8(bits >> 8))
      }
      return block
    }
  }

  private func string(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }
  private func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }
}
