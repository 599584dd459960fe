// Layers that read a packed weight, against the same layers on a tensor of the values that it stands for.
import Kernels
import TestSupport
import Testing

import Tensor

@Suite struct WeightTests {
  private static let packable: [WeightFormat] = [.bf16, .q8_0]

  /// A frozen weight in any format, of random blocks.
  private func frozen(_ format: WeightFormat, _ rows: Int, _ columns: Int, _ random: inout Random) -> Weight {
    var bytes = (0..<rows * format.rowBytes(columns)).map { _ in UInt8.random(in: 0...255, using: &random) }
    if format == .f32 || format == .bf16 || format == .f16 {
      // Exponents near that of 1: the sign, then 0111 11.
      let size = format.blockSize
      for i in stride(from: size - 1, to: bytes.count, by: size) {
        bytes[i] = bytes[i] & 0x81 | (format == .f16 ? 0x34 : 0x3e)
      }
    } else {
      let scales = format == .q6_K ? [208] : [.q4_0, .q5_0, .q8_0].contains(format) ? [0] : [0, 2]
      for block in stride(from: 0, to: bytes.count, by: format.blockSize) {
        for scale in scales {
          let bits = Float16.random(in: -0.01...0.01, using: &random).bitPattern
          bytes[block + scale] = UInt8(truncatingIfNeeded: bits)
          bytes[block + scale + 1] = UInt8(truncatingIfNeeded: bits >> 8)
        }
      }
    }
    return Weight(shape: [rows, columns], format: format) { target in
      target.copyMemory(from: bytes, byteCount: bytes.count)
    }
  }

  /// What a layer gives, and the gradients of a weighted sum of it.
  private func evaluate(_ leaves: [Tensor?], _ body: () throws -> Tensor) throws -> [[Float]] {
    for leaf in leaves {
      leaf?.requiresGradient = true
      leaf?.zeroGradient()
    }
    let result = try body()
    var random = Random(99)
    try result.multiplied(by: random.tensor(result.shape)).sum().backward()
    return [result.values] + leaves.compactMap { $0?.gradient?.values }
  }

  /// Every layer that reads weights; `x` (M, K).
  private static let layers: [(name: String, body: @Sendable (Tensor, Weight) throws -> Tensor)] = [
    ("linear", { try $0.linear($1) }),
    ("linear with a bias", { try $0.linear($1, bias: Tensor(repeating: 0.5, shape: [$1.shape[0]])) }),
    (
      "embedding",
      { x, w in
        let rows = try w.embedding((0..<Int32(x.shape[0])).map { ($0 * 3) % Int32(w.shape[0]) })
        return try rows.multiplied(by: x)
      }
    ),
    (
      "head",
      { x, w in
        let N = x.shape[0]
        return try x.tokenLogProbs(
          w, targets: (0..<N).map { Int32($0 * 5 % w.shape[0]) },
          inverseTemperatures: (0..<N).map { 0.5 + Float($0 % 3) / 4 }, entropy: true)
      }
    ),
  ]

  @Test(arguments: WeightFormat.allCases) func frozenWeights(_ format: WeightFormat) throws {
    var random = Random(UInt64(format.rawValue) + 1)
    let K = max(format.blockLength, 32)
    for (M, N) in [(1, 7), (5, 50), (64, 13), (65, 50), (70, 800)] {
      let packed = frozen(format, N, K, &random)
      #expect(packed.tensor == nil && packed.format == format)
      let plain = packed.expanded()
      let x = random.tensor([M, K])
      for (name, layer) in Self.layers {
        let actual = try evaluate([x]) { try layer(x, packed) }
        let expected = try evaluate([x]) { try layer(x, Weight(plain)) }
        // Random weights of the K formats are up to 40 large, and panels are added up in another order than the whole.
        for (a, b) in zip(actual, expected) { expectClose(a, b, 5e-5, "\(name), \(format), M \(M) N \(N)") }
      }
    }
  }

  /// Values are those of the packed matrix, gradients go to the master copy, writes are followed.
  @Test(arguments: packable) func masterCopies(_ format: WeightFormat) throws {
    var random = Random(5)
    for (M, N) in [(3, 20), (70, 20)] {
      let (x, master) = (random.tensor([M, 64]), random.tensor([N, 64]))
      let weight = try Weight(master: master, format: format)
      for round in 0..<2 {
        if round == 1 {
          let fresh = random.tensor([N, 64])
          master.pointer.update(from: fresh.pointer, count: fresh.count)
          master.markWritten()
        }
        let rounded = try Weight(master: master, format: .f32).copy(as: format).expanded()
        #expect(rounded.values != master.values)
        for (name, layer) in Self.layers {
          let actual = try evaluate([x, master]) { try layer(x, weight) }
          let expected = try evaluate([x, rounded]) { try layer(x, Weight(rounded)) }
          #expect(actual.count == 3 && expected.count == 3)
          for (a, b) in zip(actual, expected) {
            expectClose(a, b, 1e-5, "\(name), \(format), round \(round)")
          }
        }
        #expect(weight.expanded().values == rounded.values)
      }
    }
  }

  @Test func onlyBFloat16CanBecomeTrainable() throws {
    var random = Random(6)
    let bf16 = frozen(.bf16, 9, 32, &random)
    let before = bf16.expanded().values
    try bf16.makeTrainable()
    let master = try #require(bf16.tensor)
    #expect(master.values == before && bf16.expanded().values == before && bf16.format == .bf16)
    try bf16.makeTrainable()
    #expect(bf16.tensor === master)
    // A step that is smaller than the distance of two bfloat16 numbers is not lost.
    master.requiresGradient = true
    for _ in 0..<1000 {
      master.pointer[0] += 1e-4
      master.markWritten()
    }
    #expect(abs(bf16.expanded().values[0] - before[0] - 0.1) < 0.01)
    for format in WeightFormat.allCases where format != .bf16 {
      let weight = frozen(format, 2, 256, &random)
      let error = #expect(throws: TensorError.self) { try weight.makeTrainable() }
      #expect("\(error!)".contains(format.name))
      #expect(weight.tensor == nil)
    }
  }

  @Test func copiesHaveTheSameValues() throws {
    var random = Random(7)
    for format in WeightFormat.allCases {
      let weight = frozen(format, 5, 256, &random)
      #expect(weight.byteCount == 5 * format.rowBytes(256))
      let same = try weight.copy(as: format)
      #expect(same.expanded().values == weight.expanded().values && same.format == format)
      #expect(try weight.copy(as: .f32).expanded().values == weight.expanded().values)
    }
  }

  @Test func shapesThatDoNotFitAreExplained() throws {
    var random = Random(8)
    let error = #expect(throws: TensorError.self) {
      try Weight(master: random.tensor([3, 40]), format: .q8_0)
    }
    #expect("\(error!)".contains("multiple of 32") && "\(error!)".contains("[3, 40]"))
    #expect(throws: TensorError.self) { try Weight(random.tensor([3, 40])).copy(as: .q8_0) }
    let weight = frozen(.q8_0, 6, 32, &random)
    for wrong in [-1, 6] as [Int32] {
      let error = #expect(throws: TensorError.self) { try weight.embedding([0, wrong]) }
      #expect("\(error!)".contains("index \(wrong)"))
    }
    #expect(throws: TensorError.self) { try random.tensor([2, 31]).linear(weight) }
  }
}
