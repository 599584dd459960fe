// Language models: loading, looking at text, sampling, log-probabilities with gradients, saving.
import Kernels
import Model
import Tensor
import Text
import Train

extension LanguageModel: LuaObject {
  package var nativeBytes: Int { network.weightBytes }
}

/// Options that all ways of sampling share, in TRL's names.
private let samplingOptions = [
  Parameter("temperature", "number", "divides the logits; 0 is greedy", default: .number(1)),
  Parameter("top_k", "integer", "keep the k most probable tokens; 0 keeps all", default: .integer(0)),
  Parameter(
    "top_p", "number", "keep the fewest tokens whose probabilities reach this sum", default: .number(1)),
  Parameter(
    "min_p", "number", "keep tokens at least this share as probable as the first", default: .number(0)),
  Parameter("seed", "integer", "what random numbers are made from", default: .integer(0)),
  Parameter("step", "integer", "mixed into the seed, so that steps differ", default: .integer(0)),
  Parameter("stop", "string[]", "texts that end a completion", optional: true),
  .choice(
    "dtype", WeightStorage.f32,
    "sample with a copy of the matrices in bf16 or int8, made anew after training; f32: exact"),
  .choice(
    "activations", Activations.f32,
    "inputs of products in f32, or rounded to int8 as llama.cpp does: faster, for matrices in integer blocks"),
  .choice(
    "cache_dtype", CacheStorage.f32, "keys and values in f32, or in bf16 to halve their memory"),
]

/// How matrices are stored.
private let storageOption = Parameter.choice(
  "dtype", WeightStorage.f32,
  "matrices in memory: f32, bf16, int8 (blocks of 32 with a scale), or auto: as the checkpoint has them. "
    + "All but f32 are frozen; an optimiser makes bf16 trainable with master copies in f32")

extension Parameter {
  /// One of the names of an enumeration, which are its type.
  static func choice<Choice: CaseIterable & RawRepresentable<String>>(
    _ name: String, _ defaultChoice: Choice, _ doc: String
  ) -> Parameter {
    Parameter(
      name, words(Choice.allCases.map(\.rawValue)), doc, default: .string(defaultChoice.rawValue))
  }

  /// The type of one of some words: `"off"|"mlp"`.
  static func words(_ words: [String]) -> String { words.map { "\"\($0)\"" }.joined(separator: "|") }
}

extension Argument {
  /// One of the names of an enumeration.
  func choice<Choice: CaseIterable & RawRepresentable<String>>(_: Choice.Type) throws -> Choice {
    Choice(rawValue: try word(Choice.allCases.map(\.rawValue)))!
  }
}

/// The fields of `mid.model_info`.
private func table(of model: ModelDescription) -> Table {
  let config = model.config
  let tokenizer = model.tokenizer.map { tokenizer in
    [
      "vocab_size": tokenizer.vocabularySize, "bos_token_id": tokenizer.bosID,
      "eos_token_id": tokenizer.eosID, "has_chat_template": tokenizer.chatTemplate != nil,
    ] as Table
  }
  let problem = model.tokenizerProblem.map { ["problem": $0] as Table }
  let elements = model.elements.sorted { $0.value > $1.value }
  return [
    "path": model.path, "format": model.isGGUF ? "gguf" : "safetensors",
    "model_type": config.architecture.rawValue, "num_parameters": config.numParameters, "bytes": model.bytes,
    "elements": Table(elements.map { (name: $0.key, value: $0.value) }),
    "hidden_size": config.hiddenSize, "intermediate_size": config.intermediateSize,
    "num_hidden_layers": config.numHiddenLayers, "num_attention_heads": config.numAttentionHeads,
    "num_key_value_heads": config.numKeyValueHeads, "head_dim": config.headDim,
    "vocab_size": config.vocabSize,
    "max_position_embeddings": config.maxPositionEmbeddings,
    "rope_theta": config.rotaryDim > 0 ? config.ropeTheta : nil,
    "tie_word_embeddings": config.tieWordEmbeddings, "tokenizer": tokenizer ?? problem,
  ]
}

extension Registry {
  /// `mid.load`, `mid.model_info`, `mid.batch` and the types `Model` and `Batch`.
  package func addModels() {
    longFunction(
      "load", "Loads a model: a Hugging Face folder, a GGUF file, or a name in the model cache.",
      [
        Parameter(
          "path", "string", "folder, file, or a name under $MIDTRAIN_MODELS or ~/.cache/midtrain/models"),
        .options([storageOption]),
      ],
      returns: "Model", example: "model = mid.load \"SmolLM2-135M-Instruct\""
    ) { call in
      let path = try call[1].path()
      let storage = try call.options(2)["dtype"].choice(WeightStorage.self)
      return {
        let model = try LanguageModel.load(path, storage: storage)
        return { try $0.return(model) }
      }
    }

    longFunction(
      "model_info",
      """
      What is in a model's files, read from their headers: the sizes of its config by their names there (`model_type`, \
      `hidden_size`, …), `num_parameters`, `format` ("safetensors" or "gguf"), `elements` by how they are stored, \
      their `bytes`, and `tokenizer`: its `vocab_size`, `bos_token_id`, `eos_token_id`, `has_chat_template`, or the \
      `problem` with it.
      """,
      [Parameter("path", "string", "a Hugging Face folder, a GGUF file, or a name in the model cache")],
      returns: "table", example: "mid.model_info(\"SmolLM2-135M-Instruct\").num_parameters"
    ) { call in
      let path = try call[1].path()
      return {
        let model = try ModelDescription(path: path)
        return { try $0.return(table(of: model)) }
      }
    }

    longFunction(
      "from_config",
      """
      A model with random weights, to be trained from scratch: matrices from a normal distribution with standard \
      deviation initializer_range (0.02), norms 1.
      """,
      [
        Parameter("config", "table", "sizes by the names of a config.json: model_type, hidden_size, …"),
        .options([
          Parameter("tokenizer", "Tokenizer", "what the model reads and writes text with", optional: true),
          Parameter("seed", "integer", "what random numbers are made from", default: .integer(0)),
        ]),
      ], returns: "Model",
      example: "model = mid.from_config({ model_type = \"llama\", … }, { tokenizer = tokenizer, seed = 1 })"
    ) { call in
      try call[1].requireTable("table with the keys of a config.json")
      let config = try ModelConfig(json: json(call[1], depth: 0).serialised(), name: "config")
      let options = try call.options(2)
      let tokenizer = try options["tokenizer"].optional?.object(Tokenizer.self)
      let seed = UInt64(bitPattern: Int64(try options["seed"].integer()))
      return {
        let network = try CausalLM(config, seed: seed)
        let model = LanguageModel(network: network, tokenizer: tokenizer, path: "new")
        return { try $0.return(model) }
      }
    }

    function(
      "batch", "An empty batch: segments of tokens that may hang off each other, computed as one.",
      returns: "Batch", example: "batch = mid.batch()"
    ) { call in try call.return(Batch()) }

    addModelType()
    addBatchType()
  }

  private func addModelType() {
    type(LanguageModel.self, "Model") { type in
      type.describe = { $0.summary }
      type.property("tokenizer", "Tokenizer", "The model's tokenizer.") { model, stack in
        try stack.return(try model.requireTokenizer())
      }
      type.property("path", "string", "Where it was loaded from.") { model, stack in
        try stack.return(model.path)
      }
      type.property("config", "table", "Sizes and constants of the network, by Hugging Face's names.") {
        model, stack in
        try stack.return(model.configTable)
      }
      type.property("eos_ids", "integer[]", "Tokens that end a completion.") { model, stack in
        try stack.return(model.stopIDs.sorted())
      }
      type.method(
        "num_parameters", "Number of weights.", returns: "integer", example: "print(model:num_parameters())"
      ) { model, call in try call.return(model.network.parameterCount) }
      type.method(
        "parameters",
        "What can be trained, by the checkpoint's names: the adapters where there are any, else all weights in f32.",
        returns: "table<string, Tensor>", example: "w = model:parameters()[\"model.norm.weight\"]"
      ) { model, call in
        try call.return(
          Table(model.network.parameters.map { (name: $0.name, value: $0.tensor as any LuaPushable) }))
      }
      addScoring(type)
      addSampling(type)
      type.longMethod(
        "logprobs",
        """
        Log-probability of every token of a batch given all before it in its branch, as a tensor with gradient: one \
        number per token in packed order, 0 where there is nothing before or a segment is not scored.
        """,
        [
          Parameter("batch", "Batch"),
          .options([
            Parameter("entropy", "boolean", "also give the entropies in nats", default: .boolean(false)),
            .choice(
              "checkpointing", Checkpointing.off,
              "what the backward pass computes again to save memory: off, mlp, or block (all but each layer's input)"
            ),
            Parameter(
              "max_rows", "integer",
              "compute a larger batch in parts, whose gradients add up to those of the whole", optional: true),
            Parameter("step", "integer", "mixed into the seed of adapters' dropout", default: .integer(0)),
          ]),
        ], returns: "Tensor, Tensor?", example: "lp = model:logprobs(batch); (-lp:mean()):backward()"
      ) { model, call in
        let forest = try call[1].object(Batch.self).forest
        let given = try call.options(2)
        let entropy = try given["entropy"].boolean()
        var options = CausalLM.TrainingOptions()
        options.checkpointing = try given["checkpointing"].choice(Checkpointing.self)
        options.maxRows = try given["max_rows"].optional?.integer(min: 1)
        options.step = UInt64(bitPattern: Int64(try given["step"].integer()))
        return { [options] in
          let result = try model.network.logProbs(forest, entropy: entropy, options: options)
          return { try entropy ? $0.return(result.logProbs, result.entropy) : $0.return(result.logProbs) }
        }
      }
      type.longMethod(
        "copy",
        "A model of its own with the same values, adapters merged: to compare with, or as a reference in half the memory.",
        [.options([storageOption])], returns: "Model", example: "reference = model:copy { dtype = \"bf16\" }"
      ) { model, call in
        let storage = try call.options(1)["dtype"].choice(WeightStorage.self)
        return {
          let copy = try model.copy(storage)
          return { try $0.return(copy) }
        }
      }
      type.longMethod(
        "restore",
        """
        Gives the model the values that `save` wrote, or those of `save_adapter` where it has adapters. It must be \
        the same kind of model.
        """,
        [Parameter("dir", "string")], example: "model:restore \"runs/first/checkpoints/step-100\""
      ) { model, call in
        let path = try call[1].path()
        return {
          try model.network.restore(from: path)
          return { _ in .none }
        }
      }
      addMemoryPlan(type)
      addAdapters(type)
      type.longMethod(
        "save",
        "Writes a Hugging Face folder: weights in f32 with adapters merged, configuration, tokenizer.",
        [Parameter("dir", "string")], example: "model:save \"checkpoints/first\""
      ) { model, call in
        let path = try call[1].path()
        return {
          try model.save(to: path)
          return { _ in .none }
        }
      }
    }
  }

  private func addScoring(_ type: LuaType<LanguageModel>) {
    type.longMethod(
      "score",
      """
      Log-probabilities of ids[2..n], each given all ids before it. Of a text the list has a field `tokens` besides, \
      the texts of all n.
      """,
      [Parameter("ids", "integer[]|string")],
      returns: "number[]", example: "mid.heat(model:score \"2 + 2 = 4\")"
    ) { model, call in
      let ids = try model.ids(call[1])
      let tokens = call[1].isString ? try model.tokens(ids) : nil
      return {
        let scores = try model.network.score(ids)
        return { try $0.return(TokenValues(values: scores, tokens: tokens)) }
      }
    }
    type.longMethod(
      "entropy",
      """
      Entropy in nats of the next-token distribution after each token. Of a text the list has a field `tokens` besides, \
      their texts.
      """,
      [
        Parameter("text", "string|integer[]"),
        .options([
          Parameter("top_k", "integer", "of the renormalised k most probable tokens only", optional: true)
        ]),
      ], returns: "number[]", example: "H = model:entropy(\"1 + 1 = 2\", { top_k = 16 })"
    ) { model, call in
      let ids = try model.ids(call[1])
      let topK = try call.options(2)["top_k"].optional?.integer(min: 1)
      let tokens = call[1].isString ? try model.tokens(ids) : nil
      return {
        let entropies = try model.network.entropy(ids, topK: topK)
        return { try $0.return(TokenValues(values: entropies, tokens: tokens)) }
      }
    }
  }

  private func addSampling(_ type: LuaType<LanguageModel>) {
    type.longMethod(
      "generate", "Continues a text. A sample depends on the seed and its number alone.",
      [
        Parameter("text", "string|integer[]"),
        .options(
          [
            Parameter("max_tokens", "integer", "most tokens to write", default: .integer(64)),
            Parameter("n", "integer", "number of samples", default: .integer(1)),
          ] + samplingOptions),
      ], returns: "table[]", example: "model:generate(\"2 + 3 =\", { n = 4, max_tokens = 8 })[1].text"
    ) { model, call in
      let ids = try model.ids(call[1])
      let options = try call.options(2)
      let (count, limit) = (try options["n"].integer(min: 1), try options["max_tokens"].integer(min: 1))
      let sampling = try Sampling(options)
      return {
        var forest = Forest()
        let prompt = try forest.add(ids)
        let groups = try sampling.run(model, forest, [prompt], count, limit)
        return { try $0.return(groups[0]) }
      }
    }
    type.longMethod(
      "rollout", "Samples completions of segments of a batch. What they share is computed once.",
      [
        Parameter("batch", "Batch"),
        Parameter("segments", "integer[]", "numbers of the segments to go on from"),
        .options(
          [
            Parameter("num_generations", "integer", "completions of each segment", default: .integer(1)),
            Parameter("max_completion_length", "integer", "most tokens of one", default: .integer(64)),
            Parameter(
              "cache_memory", "integer",
              "bytes of keys and values at most, by default most of what is free; completions wait where it is too little",
              optional: true),
          ] + samplingOptions),
      ], returns: "table[][]",
      example: "groups = model:rollout(batch, { s }, { num_generations = 8, temperature = 0.8 })"
    ) { model, call in
      let forest = try call[1].object(Batch.self).forest
      let segments = try call[2].integers().map { Int($0) - 1 }
      let options = try call.options(3)
      let count = try options["num_generations"].integer(min: 1)
      let limit = try options["max_completion_length"].integer(min: 1)
      var sampling = try Sampling(options)
      sampling.cacheMemory = try options["cache_memory"].optional?.integer(min: 0)
      return { [sampling] in
        let groups = try sampling.run(model, forest, segments, count, limit)
        return { try $0.return(groups) }
      }
    }
  }
}

/// Sampling options of a call.
private struct Sampling {
  var options = SamplingOptions()
  var stop: [[UInt8]] = []
  var weights = WeightStorage.f32
  var activations = Activations.f32
  var cache = CacheStorage.f32
  var cacheMemory: Int?

  init(_ given: Options) throws {
    options.temperature = Float(try given["temperature"].number(min: 0))
    options.topK = try given["top_k"].integer(min: 0)
    options.topP = Float(try given["top_p"].number(above: 0, max: 1))
    options.minP = Float(try given["min_p"].number(min: 0, max: 1))
    options.seed = UInt64(bitPattern: Int64(try given["seed"].integer()))
    options.step = UInt64(bitPattern: Int64(try given["step"].integer()))
    stop = try given["stop"].optional?.elements().map { try $0.bytes() } ?? []
    weights = try given["dtype"].choice(WeightStorage.self)
    activations = try given["activations"].choice(Activations.self)
    cache = try given["cache_dtype"].choice(CacheStorage.self)
  }

  func run(
    _ model: LanguageModel, _ forest: Forest, _ segments: [Int], _ count: Int, _ limit: Int
  ) throws -> [[Table]] {
    let groups = try model.generate(
      forest, from: segments, count: count, maxTokens: limit, options: options, stop: stop, weights: weights,
      activations: activations, cache: cache, cacheMemory: cacheMemory)
    return try groups.map { group in
      try group.map { completion in
        [
          "ids": completion.ids, "text": try model.tokenizer.map { Bytes(try $0.decode(completion.ids)) },
          "logprobs": completion.logProbs, "finish_reason": completion.finishReason.rawValue,
        ]
      }
    }
  }
}

/// Numbers of the tokens of a text: a list of them, with a field `tokens`.
private struct TokenValues: LuaPushable {
  let values: [Float]
  let tokens: [Bytes]?

  func push(on stack: Stack) throws {
    try values.push(on: stack)
    guard let tokens else { return }
    try stack.set(tokens, "tokens")
  }
}

extension LanguageModel {
  /// The texts of token ids.
  fileprivate func tokens(_ ids: [Int32]) throws -> [Bytes] {
    let tokenizer = try requireTokenizer()
    return try ids.map { Bytes(try tokenizer.token($0)) }
  }

  /// Token ids from a list of them, or from text as the model is to read it.
  fileprivate func ids(_ argument: Argument) throws -> [Int32] {
    let ids: [Int32]
    if argument.isString {
      ids = try prompt(argument.bytes())
    } else if argument.isTable {
      ids = try argument.integers()
    } else {
      throw argument.mismatch("text or a list of token ids")
    }
    if let wrong = ids.first(where: { $0 < 0 || Int($0) >= network.config.vocabSize }) {
      throw argument.error("token id \(wrong) is outside of the vocabulary of \(network.config.vocabSize)")
    }
    guard ids.count <= network.config.maxPositionEmbeddings else {
      throw argument.error(
        "\(ids.count) tokens do not fit in a context of \(network.config.maxPositionEmbeddings)")
    }
    return ids
  }

  fileprivate var configTable: Table {
    let config = network.config
    return [
      "model_type": config.architecture.rawValue, "vocab_size": config.vocabSize,
      "hidden_size": config.hiddenSize,
      "intermediate_size": config.intermediateSize, "num_hidden_layers": config.numHiddenLayers,
      "num_attention_heads": config.numAttentionHeads, "num_key_value_heads": config.numKeyValueHeads,
      "head_dim": config.headDim, "rms_norm_eps": config.normEps, "rope_theta": config.ropeTheta,
      "max_position_embeddings": config.maxPositionEmbeddings,
      "tie_word_embeddings": config.tieWordEmbeddings,
    ]
  }
}
