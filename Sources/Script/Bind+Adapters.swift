// Low-rank adapters of models, and what a training step will take.
import Model
import Tensor
import Train

extension Registry {
  /// Methods of `Model` that add, save, load, merge and remove adapters.
  func addAdapters(_ type: LuaType<LanguageModel>) {
    type.property("adapter_rank", "integer?", "Rank of the model's adapters; nil if it has none.") {
      model, stack in try stack.return(model.network.adapterConfig?.rank)
    }
    type.method(
      "add_adapter",
      """
      Adds low-rank adapters (LoRA) that change nothing yet, and freezes everything else: an optimiser made from now on \
      trains them alone. Base weights may be packed (see dtype of mid.load), which is how a large model fits.
      """,
      [
        .options([
          Parameter("rank", "integer", "r: width of an adapter", default: .integer(8)),
          Parameter("alpha", "number", "adapters are scaled by alpha / rank", default: .number(16)),
          Parameter("dropout", "number", "share of inputs dropped in training", default: .number(0)),
          Parameter(
            "target_modules", "string[]",
            "last parts of module names; all linear layers by default", optional: true),
          Parameter("use_rslora", "boolean", "scale by alpha / √rank", default: .boolean(false)),
          Parameter("seed", "integer", "of initial values and dropout", default: .integer(0)),
        ])
      ], returns: "Model",
      example: "model:add_adapter { rank = 8, target_modules = { \"q_proj\", \"v_proj\" } }"
    ) { model, call in
      let options = try call.options(1)
      try model.network.addAdapters(
        AdapterConfig(
          rank: options["rank"].integer(min: 1), alpha: options["alpha"].number(above: 0),
          dropout: options["dropout"].number(min: 0, max: 0.999),
          targetModules: options["target_modules"].optional?.strings() ?? AdapterConfig.allLinear,
          usesRSLoRA: options["use_rslora"].boolean(),
          seed: UInt64(bitPattern: Int64(options["seed"].integer()))))
      return try call.return(model)
    }
    type.longMethod(
      "save_adapter", "Writes the adapters alone, as PEFT does.", [Parameter("dir", "string")],
      example: "model:save_adapter \"adapters/first\""
    ) { model, call in
      let path = try call[1].path()
      return {
        try model.saveAdapters(to: path)
        return { _ in .none }
      }
    }
    type.longMethod(
      "load_adapter", "Adds the adapters of a PEFT folder.", [Parameter("dir", "string")], returns: "Model",
      example: "model:load_adapter \"adapters/first\""
    ) { model, call in
      let path = try call[1].path()
      return {
        try model.network.loadAdapters(from: path)
        return { try $0.return(model) }
      }
    }
    type.method(
      "merge_adapter",
      "Adds the adapters' products to the weights, which must be f32, and removes the adapters.",
      returns: "Model", example: "model:merge_adapter()"
    ) { model, call in
      try model.network.mergeAdapters()
      return try call.return(model)
    }
    type.method(
      "remove_adapter", "Takes the adapters away; the weights are as they were before.", returns: "Model",
      example: "model:remove_adapter()"
    ) { model, call in
      model.network.removeAdapters()
      return try call.return(model)
    }
  }

  /// The method `memory_plan` of `Model`.
  func addMemoryPlan(_ type: LuaType<LanguageModel>) {
    let checkpointingWords = ["auto"] + Checkpointing.allCases.map(\.rawValue)
    type.method(
      "memory_plan",
      """
      What a training step on a batch will take, and the cheapest way to take it that fits into this machine's memory: \
      `checkpointing` and `max_rows` are options of logprobs, the rest is in bytes. An error if nothing fits.
      """,
      [
        Parameter("batch", "Batch"),
        .options([
          Parameter("optimizer", "AdamW", "whose state may be in memory already", optional: true),
          Parameter(
            "checkpointing", Parameter.words(checkpointingWords),
            "see logprobs; auto is the cheapest that fits", default: .string("auto")),
          Parameter(
            "memory_limit", "number", "GB for everything; by default what the machine has", optional: true),
          Parameter("reference_model", "Model", "which is in memory, too", optional: true),
          Parameter(
            "completions_of", "integer[]",
            "segments that completions are going to be sampled of: the plan is for the longest ones",
            optional: true),
          Parameter("num_generations", "integer", "completions of each", default: .integer(1)),
          Parameter("max_completion_length", "integer", "most tokens of one", default: .integer(64)),
          .choice("cache_dtype", CacheStorage.f32, "of keys and values while sampling"),
        ]),
      ],
      returns:
        "{summary: string, checkpointing: string, max_rows: integer, total: integer, available: integer, keys_and_values: integer, cache_memory: integer, weights: integer, gradients: integer, optimizer: integer, activations: integer, temporary: integer}",
      example:
        "plan = model:memory_plan(batch); lp = model:logprobs(batch, { checkpointing = plan.checkpointing })"
    ) { model, call in
      let forest = try call[1].object(Batch.self).forest
      let options = try call.options(2)
      let mode = Checkpointing(rawValue: try options["checkpointing"].word(checkpointingWords))
      let trained = model.network.parameters.reduce(0) { $0 + $1.tensor.gradientBytes }
      let moments = try options["optimizer"].optional?.object(AdamW.self).allocatedBytes ?? 0
      let reference =
        try options["reference_model"].optional?.object(LanguageModel.self).network.weightBytes ?? 0
      let inUse = model.network.weightBytes + trained + moments
      var available = BufferPool.shared.availableMemory
      if let limit = try options["memory_limit"].optional?.number(above: 0) {
        available = min(available, Int(min(limit * 1e9, 1e18)) - inUse - reference)
      }
      let sampling = try options["completions_of"].optional?.integers().map { Int($0) - 1 }
      let plan = try MemoryPlan.fitting(
        model.network, rows: forest.count, longestBranch: forest.longestBranch, available: available,
        inUse: inUse, checkpointing: mode,
        sampling: sampling.map { segments in
          try .init(
            of: segments, in: forest, count: options["num_generations"].integer(min: 1),
            maxTokens: options["max_completion_length"].integer(min: 1), config: model.network.config,
            cache: options["cache_dtype"].choice(CacheStorage.self))
        })
      let table: Table = [
        "summary": plan.summary, "checkpointing": plan.checkpointing.rawValue, "max_rows": plan.maxRows,
        "total": plan.total, "available": available + inUse,
        "keys_and_values": plan.keysAndValues, "cache_memory": plan.cacheMemory, "weights": plan.weights,
        "gradients": plan.gradients,
        "optimizer": plan.optimizer, "activations": plan.activations, "temporary": plan.temporary,
      ]
      return try call.return(table)
    }
  }
}
