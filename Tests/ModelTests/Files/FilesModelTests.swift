// Whole models: goldens, the real SmolLM2, and folders that do not fit together.

import Foundation
import Model
import TestSupport
import Testing

@Suite struct FilesModelTests {
  @Test(arguments: ["tiny-llama", "tiny-qwen2", "tiny-qwen3"])
  func opensFolder(name: String) throws {
    let model = try ModelFiles(path: "\(goldens)/\(name)")
    let config = model.config
    #expect(config.vocabSize == 97 && config.hiddenSize == 32 && config.intermediateSize == 48)
    #expect(config.numHiddenLayers == 2 && config.numAttentionHeads == 4 && config.numKeyValueHeads == 2)
    #expect(config.headDim == (name == "tiny-qwen3" ? 16 : 8))
    #expect(config.ropeTheta == (name == "tiny-llama" ? 10_000 : 1_000_000) && config.ropeScaling == .none)
    #expect(config.normEps == (name == "tiny-llama" ? 1e-5 : 1e-6))
    #expect(config.tieWordEmbeddings == (name == "tiny-qwen2"))
    #expect(config.attentionBias == (name == "tiny-qwen2") && config.queryKeyNorm == (name == "tiny-qwen3"))
    #expect(config.bosTokenID == (name == "tiny-llama" ? 1 : nil))
    #expect(config.eosTokenIDs == (name == "tiny-llama" ? [2] : []))
    #expect(Set(config.weights.map(\.name)) == Set(model.weights.names))
    #expect(config.numParameters * 4 < (try read("\(goldens)/\(name)/model.safetensors").count))
    for weight in config.weights {
      #expect(try model.weights.read(weight.name).allSatisfy { $0.isFinite && abs($0) < 10 })
    }
  }

  /// The folder is what the Python converter made of the GGUF file, so every float must be the same.
  @Test(.enabled(if: Places.smolLM2GGUF != nil && Places.smolLM2Folder != nil))
  func readsTheRealGGUF() throws {
    let gguf = try ModelFiles(path: Places.smolLM2GGUF!)
    let folder = try ModelFiles(path: Places.smolLM2Folder!)
    #expect(gguf.config.weights == folder.config.weights && gguf.weights.names == folder.weights.names)
    #expect(gguf.config.numParameters == 134_515_008)
    #expect(gguf.config.normEps == 1e-5 && gguf.config.ropeTheta == 100_000)
    #expect(gguf.config.eosTokenIDs == [2] && gguf.config.bosTokenID == 1)
    for name in gguf.weights.names {
      #expect(try gguf.weights.read(name) == folder.weights.read(name), "\(name)")
    }
    #expect(gguf.gguf!.metadata["tokenizer.ggml.pre"]?.text == "smollm")
  }
}
