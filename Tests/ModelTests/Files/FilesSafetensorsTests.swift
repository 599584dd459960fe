// Safetensors out and in again: every type, single and sharded, and what happens when writing fails.

import Foundation
import Model
import Testing

@Suite struct FilesSafetensorsTests {
  /// Numbers at the edges of the half types, with what each must become (IEEE 754, to nearest even).
  private static let edges: [(value: Float, f16: UInt16, bf16: UInt16)] = [
    (0, 0x0000, 0x0000), (-0.0, 0x8000, 0x8000), (1, 0x3c00, 0x3f80), (-2, 0xc000, 0xc000),
    (65504, 0x7bff, 0x4780), (65519, 0x7bff, 0x4780), (5.9604645e-08, 0x0001, 0x3380),
    (1e-10, 0x0000, 0x2edc),
    (1.0009766, 0x3c01, 0x3f80), (1.0004883, 0x3c00, 0x3f80), (1.0014648, 0x3c02, 0x3f80),
    (1.00390625, 0x3c04, 0x3f80), (1.01171875, 0x3c0c, 0x3f82), (1.0039064, 0x3c04, 0x3f81),
    (.infinity, 0x7c00, 0x7f80), (-.infinity, 0xfc00, 0xff80),
  ]

  @Test(arguments: [ElementType.f32, .f16, .bf16])
  func roundTrips(type: ElementType) throws {
    let matrix = (0..<600_000).map { Float(sin(Double($0))) }
    let tensors: [String: [Float]] = [
      "edges": Self.edges.map(\.value), "matrix": matrix, "scalar": [3], "none": [],
    ]
    let infos = [
      WeightInfo(name: "edges", shape: [Self.edges.count]), WeightInfo(name: "matrix", shape: [600, 1000]),
      WeightInfo(name: "scalar", shape: []), WeightInfo(name: "none", shape: [0, 5]),
    ]
    try withScratchFolder { folder throws in
      let path = "\(folder)/x.safetensors"
      try SafetensorsWriter(elementType: type).write(infos, to: path) { name, sink in
        // In two pieces, as a converter that works row by row would.
        let values = tensors[name]!
        try values[..<(values.count / 2)].withUnsafeBufferPointer(sink)
        try values[(values.count / 2)...].withUnsafeBufferPointer(sink)
      }
      let headerLength = try read(path)[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
      #expect(headerLength % 8 == 0)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["x.safetensors"])

      let file = try SafetensorsFile(path: path)
      #expect(file.metadata == ["format": "pt"] && file.names == ["edges", "matrix", "none", "scalar"])
      for info in infos { #expect(try file.shape(of: info.name) == info.shape) }
      #expect(try file.read("scalar") == [3] && file.read("none").isEmpty)
      let relative: Float = type == .f32 ? 0 : type == .f16 ? 0x1p-11 : 0x1p-8
      let worst = zip(try file.read("matrix"), matrix).map { abs($0 - $1) / max(abs($1), 0x1p-14) }.max()!
      #expect(worst <= relative)
      try file.withBytes(of: "edges") { bytes in
        guard type != .f32 else { return }
        for (i, edge) in Self.edges.enumerated() {
          let stored = bytes.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self)
          #expect(stored == (type == .f16 ? edge.f16 : edge.bf16), "\(edge.value)")
        }
      }
      // What is read is what is stored: writing it again changes nothing.
      let again = "\(folder)/again.safetensors"
      try SafetensorsWriter(elementType: type).write(infos, to: again) { name, sink in
        try file.read(name).withUnsafeBufferPointer(sink)
      }
      #expect(try read(again) == read(path))
    }
  }

  @Test func savesModels() throws {
    for name in [
      "tiny-llama", "tiny-qwen2", "tiny-qwen3", "tiny-mistral", "tiny-gpt2", "tiny-neox", "tiny-llama.gguf",
      "tiny-qwen2.gguf", "tiny-qwen3.gguf", "tiny-gpt2.gguf", "tiny-neox.gguf",
    ] {
      try withScratchFolder { folder throws in
        let model = try ModelFiles(path: "\(goldens)/\(name)")
        // First in shards, then over them in one file that is read from the shards, then the other way round.
        var source = model
        for limit in [20_000, 1 << 30, 5_000] {
          try source.config.save(toFolder: folder, with: SafetensorsWriter(maximumShardSize: limit)) {
            name, sink in
            try source.weights.read(name).withUnsafeBufferPointer(sink)
          }
          let files = try FileManager.default.contentsOfDirectory(atPath: folder)
          #expect(files.contains("model.safetensors") == (limit == 1 << 30))
          #expect(files.contains("model.safetensors.index.json") == (limit < 1 << 30))
          #expect(files.count == (limit == 1 << 30 ? 3 : files.filter { $0.hasPrefix("model-") }.count + 3))
          source = try ModelFiles(path: folder)
          #expect(source.weights.names.count == model.config.weights.count)
          for name in source.weights.names {
            #expect(try source.weights.read(name) == model.weights.read(name))
          }
        }
        #expect(source.config.weights == model.config.weights)
        #expect(source.config.eosTokenIDs == model.config.eosTokenIDs)
      }
    }
  }

  @Test func failedWritesLeaveNothing() throws {
    try withScratchFolder { folder throws in
      let path = "\(folder)/x.safetensors"
      let info = [WeightInfo(name: "a", shape: [2])]
      let large = modelError {
        try SafetensorsWriter(elementType: .f16).write(info, to: path) { _, sink in
          try [1, 70_000].withUnsafeBufferPointer(sink)
        }
      }
      #expect(large.contains("x.safetensors: a has values too large for F16"))
      let count = modelError {
        try SafetensorsWriter().write(info, to: path) { _, sink in try [1].withUnsafeBufferPointer(sink) }
      }
      #expect(count.contains("a [2] has 2 elements, got 1"))
      #expect(
        modelError { try SafetensorsWriter().write(info + info, to: path) { _, _ in } }.contains("twice"))
      #expect(modelError { _ = try SafetensorsWriter(elementType: .i64) }.contains("saved as I64"))
      #expect(
        modelError { try SafetensorsWriter().write(info, to: "\(folder)/no/x") { _, _ in } }.contains("no/x"))
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  @Test func damageIsNamed() throws {
    try withScratchFolder { folder throws in
      let path = "\(folder)/bad.safetensors"
      func message(_ header: String, data: Int = 8, length: UInt64? = nil) throws -> String {
        let length = length ?? UInt64(header.utf8.count)
        try write(
          withUnsafeBytes(of: length) { Array($0) } + Array(header.utf8) + [UInt8](repeating: 0, count: data),
          to: path)
        let message = modelError { _ = try SafetensorsFile(path: path) }
        #expect(message.hasPrefix(path))
        return message
      }
      func entry(_ dtype: String, _ shape: String, _ offsets: String) -> String {
        "{\"a\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":\(offsets)}}"
      }
      #expect(try message("{}", length: .max).contains("claims a header of 18446744073709551615 bytes"))
      #expect(try message("{}", length: 11).contains("claims a header of 11"))
      #expect(try message("{\"a\":").contains("not valid JSON"))
      #expect(try message("[]", data: 0).contains("not a JSON object"))
      #expect(try message(String(repeating: "[", count: 100_000)).contains("Too many nested"))
      #expect(try message(entry("F33", "[2]", "[0,8]")).contains("\"dtype\" is \"F33\", expected one of F64"))
      #expect(try message(entry("F32", "[3]", "[0,8]")).contains("tensor a: F32 [3] takes 12 bytes"))
      #expect(try message(entry("F32", "[-2]", "[0,8]")).contains("\"shape\" is [-2]"))
      #expect(try message(entry("F32", "[4294967296,4294967296]", "[0,8]")).contains("\"shape\""))
      #expect(try message(entry("F32", "[0,4294967296,4294967296]", "[0,0]")).contains("\"shape\""))
      #expect(try message(entry("F32", "[2]", "[0,9]")).contains("within the 8 bytes"))
      #expect(try message(entry("F32", "[1]", "[4,8]")).contains("begins at data offset 4, expected 0"))
      #expect(try message(entry("F32", "[1]", "[0,4]")).contains("damaged or incomplete"))
      let spaces = String(repeating: " ", count: 32 << 20)
      #expect(try message(spaces + "{}").contains("expected at most 33554432"))
      #expect(modelError { _ = try SafetensorsFile(path: folder) }.contains("is a folder"))
      #expect(modelError { _ = try SafetensorsFile(path: "\(folder)/none") }.contains("No such file"))
    }
  }

  @Test func indexStaysInItsFolder() throws {
    try withScratchFolder { folder throws in
      let file = "\(goldens)/tiny-llama/model.safetensors"
      for target in [file, "../x.safetensors", "x.bin", ""] {
        try write(
          Array("{\"weight_map\":{\"lm_head.weight\":\"\(target)\"}}".utf8),
          to: "\(folder)/model.safetensors.index.json")
        let message = modelError { _ = try SafetensorsFolder(folder: folder) }
        #expect(message.contains("lm_head.weight is said to be in") && message.contains("in the same folder"))
      }
    }
  }
}
