// Adapters against PEFT (Tests/Goldens/make_adapter.py), merging, files, and what is refused.
import Foundation
import Kernels
import Tensor
import TestSupport
import Testing

import Model

@Suite struct AdapterTests {
  static let cases = [
    ("llama", "tiny-llama"), ("llama-rslora", "tiny-llama"), ("qwen2", "tiny-qwen2"),
    ("qwen3-all", "tiny-qwen3"),
  ]

  private func adapted(_ name: String, _ base: String, _ storage: WeightStorage = .f32) throws -> CausalLM {
    let model = try CausalLM(ModelFiles(path: Places.golden(base).path), storage: storage)
    try model.loadAdapters(from: "\(goldens)/adapters/\(name)")
    return model
  }

  private func forest(_ golden: GoldenTensors) throws -> Forest {
    let ids = try golden.integers("input_ids")
    var forest = Forest()
    try forest.add(Array(ids[..<24]))
    try forest.add(Array(ids[24...]))
    return forest
  }

  private func logits(_ model: CausalLM, _ forest: Forest) throws -> [Float] {
    try Tape.withoutRecording { try model.logits(model.hiddenStates(forest)) }.values
  }

  private func values(_ model: CausalLM) -> [[Float]] { model.weights.map { $0.weight.expanded().values } }

  @Test(arguments: cases) func logitsAndGradients(_ name: String, _ base: String) throws {
    let (model, golden) = (try adapted(name, base), try GoldenTensors("adapters/\(name)"))
    let forest = try forest(golden)
    expectNear(try logits(model, forest), try golden.floats("logits"), 1e-4, "logits")
    let plain = try Goldens.model(base)
    #expect(zip(try logits(plain, forest), try golden.floats("logits")).contains { abs($0 - $1) > 0.1 })

    for (_, tensor) in model.parameters { tensor.requiresGradient = true }
    let loss = try model.logProbs(forest).logProbs.sum().multiplied(by: -1 / 46)
    try loss.backward()
    #expect(abs(try loss.item() - golden.floats("loss")[0]) < 1e-5)
    let names = golden.file.names.filter { $0.hasPrefix("grad.") }
    #expect(model.parameters.map { "grad." + $0.name }.sorted() == names)
    for (name, tensor) in model.parameters {
      let gradient = try #require(tensor.gradient, "\(name) has no gradient").values
      expectNear(gradient, try golden.floats("grad.\(name)"), 1e-4, "\(name)")
    }
    #expect(model.weights.allSatisfy { $0.weight.tensor?.gradient == nil })
  }

  @Test(arguments: cases) func savesWhatPEFTSaves(_ name: String, _ base: String) throws {
    let model = try adapted(name, base)
    try withScratchFolder { folder throws in
      try model.saveAdapters(to: folder, baseModel: base)
      let (own, golden) = (folder, "\(goldens)/adapters/\(name)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: own).count == 2)
      let (a, b) = (
        try SafetensorsFile(path: "\(own)/adapter_model.safetensors"),
        try SafetensorsFile(path: "\(golden)/adapter_model.safetensors")
      )
      #expect(a.names == b.names)
      for name in b.names {
        #expect(try a.shape(of: name) == b.shape(of: name))
        #expect(try a.read(name) == b.read(name), "\(name)")
      }
      let (ours, theirs) = (try config(own), try config(golden))
      for (key, value) in ours {
        let expected = try #require(theirs[key], "PEFT has no \(key)")
        if key == "target_modules" {
          // PEFT keeps a set.
          #expect(Set(value as? [String] ?? []) == Set(expected as? [String] ?? ["?"]))
        } else if key != "init_lora_weights" {
          #expect(String(describing: value) == String(describing: expected), "\(key)")
        }
      }
      for key in ["r", "lora_alpha", "target_modules", "use_rslora", "peft_type"] {
        #expect(ours[key] != nil)
      }
      let again = try Goldens.model(base)
      try again.loadAdapters(from: folder)
      #expect(again.adapterConfig == model.adapterConfig)
    }
  }

  private func config(_ folder: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/adapter_config.json"))
    return try #require(JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  @Test(arguments: cases) func mergingChangesNothing(_ name: String, _ base: String) throws {
    let (model, golden) = (try adapted(name, base), try GoldenTensors("adapters/\(name)"))
    let forest = try forest(golden)
    let before = try logits(model, forest)
    let copy = try model.copy(.f32)
    #expect(copy.adapterConfig == nil && copy.parameters.count == copy.weights.count)
    expectNear(try logits(copy, forest), before, 1e-5, "copy")
    // A copy in bfloat16 is the merged matrices rounded.
    expectNear(try logits(model.copy(.bf16), forest), try logits(copy.copy(.bf16), forest), 1e-5, "bf16")
    #expect(try logits(model, forest) == before)

    let scored = try model.score([1, 2, 3, 4])
    try model.mergeAdapters()
    #expect(model.adapterConfig == nil && model.parameters.count == model.weights.count)
    expectNear(try logits(model, forest), before, 1e-5, "merged")
    expectNear(try model.score([1, 2, 3, 4]), scored, 1e-5, "scores")
    #expect(values(model) == values(copy))
    #expect(modelError { try model.mergeAdapters() }.contains("no adapters"))
  }

  @Test func packedBasesAreMergedInACopy() throws {
    for storage in [WeightStorage.bf16, .int8] {
      let model = try adapted("llama", "tiny-llama", storage)
      let forest = try forest(GoldenTensors("adapters/llama"))
      let before = try logits(model, forest)
      #expect(modelError { try model.mergeAdapters() }.contains("Copy the model"))
      #expect(try model.adapterConfig != nil && logits(model, forest) == before)
      expectNear(try logits(model.copy(.f32), forest), before, 1e-5, "\(storage)")
      try #require(model.adapterConfig != nil)
      model.removeAdapters()
      let plain = try CausalLM(ModelFiles(path: Places.golden("tiny-llama").path), storage: storage)
      #expect(try logits(model, forest) == logits(plain, forest))
    }
  }

  @Test func newAdaptersChangeNothing() throws {
    let model = try Goldens.model("tiny-llama")
    let (before, base) = (try model.score([5, 6, 7, 8]), values(model))
    for (_, tensor) in model.parameters { tensor.requiresGradient = true }
    try model.addAdapters(AdapterConfig(rank: 3, alpha: 6, targetModules: ["q_proj", "down_proj"], seed: 4))
    #expect(try model.score([5, 6, 7, 8]) == before)
    #expect(values(model) == base)
    #expect(model.weights.allSatisfy { $0.weight.tensor?.requiresGradient == false })
    #expect(model.parameters.count == 8 && model.weightBytes > 4 * model.parameterCount)
    for (name, tensor) in model.parameters {
      if name.hasSuffix("lora_B.weight") {
        #expect(tensor.values.allSatisfy { $0 == 0 })
      } else {
        // Uniform in ±1/√K.
        let bound = 1 / Float(tensor.shape[1]).squareRoot()
        let square = tensor.values.reduce(0) { $0 + $1 * $1 } / Float(tensor.count)
        #expect(tensor.values.allSatisfy { abs($0) <= bound } && abs(square * 3 / (bound * bound) - 1) < 0.4)
      }
    }
    let first = model.parameters.map { $0.tensor.values }
    #expect(Set(first.filter { $0.contains { $0 != 0 } }.map { $0[0] }).count == 4)
    for (seed, isSame) in [(4, true), (5, false)] as [(UInt64, Bool)] {
      let other = try Goldens.model("tiny-llama")
      try other.addAdapters(
        AdapterConfig(rank: 3, alpha: 6, targetModules: ["q_proj", "down_proj"], seed: seed))
      #expect((other.parameters.map { $0.tensor.values } == first) == isSame)
    }
  }

  @Test func settingsOutOfRangeAreRefused() throws {
    let model = try Goldens.model("tiny-llama")
    let good = AdapterConfig(rank: 2, alpha: 4, targetModules: ["q_proj"])
    func refused(_ cause: String, _ change: (inout AdapterConfig) -> Void) {
      var config = good
      change(&config)
      let message = modelError { try model.addAdapters(config) }
      #expect(message.contains(cause), "\(message)")
      #expect(model.adapterConfig == nil && model.parameters.count == model.weights.count)
    }
    refused("rank") { $0.rank = 0 }
    refused("alpha") { $0.alpha = -1 }
    refused("alpha") { $0.alpha = .nan }
    refused("dropout") { $0.dropout = 1 }
    refused("q_projj") { $0.targetModules = ["q_projj"] }
    refused("at least one") { $0.targetModules = [] }
    try model.addAdapters(good)
    #expect(modelError { try model.addAdapters(good) }.contains("already"))
    #expect(modelError { try model.loadAdapters(from: "\(goldens)/adapters/llama") }.contains("already"))
  }

  @Test func foldersThatDoNotFitAreRefused() throws {
    let model = try Goldens.model("tiny-llama")
    for (_, tensor) in model.parameters { tensor.requiresGradient = true }
    let before = try model.score([1, 2, 3])
    let good = try config("\(goldens)/adapters/llama")
    let tensors = try SafetensorsFile(path: "\(goldens)/adapters/llama/adapter_model.safetensors")
    let bytes = try read(tensors.path)

    func refused(
      _ cause: String, config: [String: Any]? = nil, weights: [UInt8]? = nil,
      sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
      try withScratchFolder { folder throws in
        try JSONSerialization.data(withJSONObject: config ?? good).write(
          to: URL(fileURLWithPath: "\(folder)/adapter_config.json"))
        try write(weights ?? bytes, to: "\(folder)/adapter_model.safetensors")
        let message = modelError { try model.loadAdapters(from: folder) }
        #expect(
          message.contains(folder) && message.contains(cause), "\(message)", sourceLocation: sourceLocation)
      }
      #expect(model.adapterConfig == nil && model.parameters.count == model.weights.count)
      #expect(model.weights.allSatisfy { $0.weight.tensor!.requiresGradient })
      #expect(try model.score([1, 2, 3]) == before)
    }
    func refused(_ key: String, _ value: Any) throws {
      try refused(key, config: good.merging([key: value]) { $1 })
    }
    try refused("use_dora", true)
    try refused("rank_pattern", ["q_proj": 8])
    try refused("alpha_pattern", ["q_proj": 8])
    try refused("modules_to_save", ["lm_head"])
    try refused("exclude_modules", ["q_proj"])
    try refused("alora_invocation_tokens", [1, 2])
    try refused("layers_to_transform", [0])
    try refused("layers_to_transform", 0)
    try refused("bias", "all")
    try refused("bias", true)
    try refused("peft_type", "IA3")
    try refused("r", 0)
    try refused("r", "4")
    try refused("lora_alpha", -8)
    try refused("target_modules", ".*_proj")
    try refused("target_modules", 3)
    // Another rank or other modules than the tensors have.
    try refused("shape", config: good.merging(["r": 3]) { $1 })
    try refused("has no tensor", config: good.merging(["target_modules": ["q_proj", "k_proj"]]) { $1 })
    try refused("holds 12 tensors", config: good.merging(["target_modules": ["q_proj"]]) { $1 })
    // Damage.
    try refused("adapter_model", weights: Array(bytes.dropLast(5)))
    try refused("adapter_model", weights: [])
    let other = try SafetensorsFile(path: "\(goldens)/tiny-llama/model.safetensors")
    try refused("has no tensor", weights: read(other.path))
    #expect(modelError { try model.loadAdapters(from: "/nowhere") }.contains("/nowhere"))
    // A model of other sizes.
    let qwen = try Goldens.model("tiny-qwen3")
    #expect(modelError { try qwen.loadAdapters(from: "\(goldens)/adapters/llama") }.contains("shape"))
    #expect(qwen.adapterConfig == nil)
  }

  @Test func settingsOfPEFTAreRead() throws {
    let all = try AdapterConfig(folder: "\(goldens)/adapters/qwen3-all")
    #expect(all.rank == 4 && all.alpha == 8 && !all.usesRSLoRA && all.dropout == 0)
    // What PEFT makes of "all-linear": whole names.
    #expect(all.targetModules.count == 14 && all.targetModules.contains("model.layers.1.mlp.up_proj"))
    try withScratchFolder { folder throws in
      var config = try config("\(goldens)/adapters/llama")
      config["target_modules"] = "all-linear"
      config["lora_dropout"] = 0.25
      try JSONSerialization.data(withJSONObject: config).write(
        to: URL(fileURLWithPath: "\(folder)/adapter_config.json"))
      let read = try AdapterConfig(folder: folder)
      #expect(read.targetModules == AdapterConfig.allLinear && read.dropout == 0.25)
    }
  }
}
