// Models from a configuration alone.
import Foundation
import Kernels
import Tensor
import TestSupport
import Testing

import Model

@Suite struct InitialisationTests {
  private func config(_ changes: [String: Any] = [:]) throws -> ModelConfig {
    var values: [String: Any] = [
      "model_type": "qwen2", "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2,
      "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 500, "max_position_embeddings": 64,
      "tie_word_embeddings": true, "initializer_range": 0.05,
    ]
    values.merge(changes) { $1 }
    return try ModelConfig(json: Array(JSONSerialization.data(withJSONObject: values)), name: "config")
  }

  @Test func weightsAreNormal() throws {
    let model = try CausalLM(config(), seed: 3)
    for (name, weight) in model.weights {
      let values = weight.expanded().values.map(Double.init)
      if weight.shape.count == 1 {
        let value = name.hasSuffix("norm.weight") ? 1.0 : 0
        #expect(values.allSatisfy { $0 == value }, "\(name)")
        continue
      }
      // Mean, deviation and the share beyond two deviations, within four standard errors.
      let n = Double(values.count)
      let mean = values.reduce(0, +) / n
      let variance = values.reduce(0) { $0 + $1 * $1 } / n
      let beyond = Double(values.count { abs($0) > 0.1 }) / n
      #expect(abs(mean) < 4 * 0.05 / n.squareRoot(), "\(name): \(mean)")
      #expect(abs(variance / 0.0025 - 1) < 4 * (2 / n).squareRoot(), "\(name): \(variance)")
      #expect(abs(beyond - 0.0455) < 4 * (0.0455 * 0.9545 / n).squareRoot(), "\(name): \(beyond)")
    }
  }

  @Test func seedsDecide() throws {
    func values(_ seed: UInt64) throws -> [[Float]] {
      try CausalLM(config(), seed: seed).weights.map { $0.weight.expanded().values }
    }
    let first = try values(1)
    #expect(try values(1) == first)
    #expect(try ThreadPool.serially { try values(1) } == first)
    #expect(try values(2) != first)
    // No two matrices are alike.
    #expect(Set(first.filter { $0.count == 128 * 128 }).count == first.filter { $0.count == 128 * 128 }.count)
  }

  @Test func badConfigsAreRefused() {
    let message = modelError { _ = try config(["num_attention_heads": 3]) }
    #expect(message.contains("num_attention_heads") || message.contains("hidden_size"), "\(message)")
    #expect(modelError { _ = try config(["model_type": "mamba"]) }.contains("llama"))
    #expect(modelError { _ = try ModelConfig(json: Array("[1]".utf8), name: "config") }.contains("object"))
  }
}
