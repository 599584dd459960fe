// A network with its tokenizer: what users call a model.
import Foundation
import Kernels
import Model
import Tensor
import Text

/// A causal language model as a checkpoint holds it: network, tokenizer, and how generation ends.
public final class LanguageModel: @unchecked Sendable {
  /// The transformer.
  public let network: CausalLM
  /// Nil for a checkpoint without one; then the model takes and gives token ids only.
  public let tokenizer: Tokenizer?
  /// Where the model was loaded from.
  public let path: String

  /// A model made of its parts.
  public init(network: CausalLM, tokenizer: Tokenizer?, path: String) {
    self.network = network
    self.tokenizer = tokenizer
    self.path = path
  }

  // MARK: Loading

  /// Loads a Hugging Face folder, a GGUF file, or a name in the model cache.
  ///
  /// - Parameter storage: how matrices are kept in memory; frozen if not in 32 bits.
  /// - Throws: an error that names file and cause.
  public static func load(_ path: String, storage: WeightStorage = .f32) throws -> LanguageModel {
    guard BLAS.status.isVerified else {
      throw ModelError(
        "OpenBLAS \(BLAS.status.version) computes wrong products with its core \(BLAS.status.core) on this machine; "
          + "choose another in the environment, for example OPENBLAS_CORETYPE=Haswell")
    }
    let path = try resolve(path)
    let files = try ModelFiles(path: path)
    // A checkpoint's own checksums: a weight that was damaged on the disk looks like any other number.
    if FolderSeal.isSealed(path) { try FolderSeal.verify(path) { $0.hasPrefix("model") } }
    return LanguageModel(
      network: try CausalLM(files, storage: storage), tokenizer: try tokenizer(of: files), path: path)
  }

  /// Loads a tokenizer alone, from a folder, a `tokenizer.json`, a GGUF file, or a name in the model cache.
  public static func loadTokenizer(_ path: String) throws -> Tokenizer {
    let path = try resolve(path)
    guard path.hasSuffix(".gguf") else { return try Tokenizer(path: path) }
    return try Tokenizer(GGUFVocabulary(GGUFFile(path: path)))
  }

  static func tokenizer(of files: ModelFiles) throws -> Tokenizer? {
    if let gguf = files.gguf { return try Tokenizer(GGUFVocabulary(gguf)) }
    let hasOne = FileManager.default.fileExists(atPath: files.path + "/tokenizer.json")
    return hasOne ? try Tokenizer(path: files.path) : nil
  }

  /// The folder in which models are looked up by name: $MIDTRAIN_MODELS, else `midtrain/models` in the user's cache.
  public static var cacheFolder: String {
    let environment = ProcessInfo.processInfo.environment
    if let folder = environment["MIDTRAIN_MODELS"], !folder.isEmpty { return folder }
    let cache =
      environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? NSHomeDirectory() + "/.cache"
    return cache + "/midtrain/models"
  }

  /// A path as it is if something is there, else one of that name in the model cache.
  static func resolve(_ path: String) throws -> String {
    let expanded = NSString(string: path).expandingTildeInPath
    let candidates = [expanded, "\(cacheFolder)/\(path)", "\(cacheFolder)/\(path).gguf"]
    if let found = candidates.first(where: FileManager.default.fileExists) { return found }
    throw ModelError(
      "\(path): no such folder or file, and no model of that name in \(cacheFolder). Expected a Hugging Face folder "
        + "(config.json, model.safetensors, tokenizer.json), a .gguf file, or a name in the model cache")
  }

  // MARK: Use

  /// The tokenizer, or an error that says that there is none.
  public func requireTokenizer() throws -> Tokenizer {
    guard let tokenizer else {
      throw ModelError("\(path) has no tokenizer.json: give token ids instead of text, or add the file")
    }
    return tokenizer
  }

  /// Token ids of a text as the model is to read it: with the token that begins a text, where the checkpoint's
  /// tokenizer puts one.
  public func prompt(_ utf8: some Collection<UInt8>) throws -> [Int32] {
    let tokenizer = try requireTokenizer()
    let start = tokenizer.addsBOS ? tokenizer.bosID.map { [$0] } : nil
    return try (start ?? []) + tokenizer.encode(utf8)
  }

  /// Tokens that end a completion: those of the generation configuration and the tokenizer's own.
  public var stopIDs: Set<Int32> {
    Set(network.config.eosTokenIDs.map(Int32.init)).union(tokenizer?.eosID.map { [$0] } ?? [])
  }

  /// Samples continuations of segments of a forest, which end at `stopIDs` or after one of the texts in `stop`.
  ///
  /// - Parameters:
  ///   - weights: sample with a copy of the matrices in this storage, made anew when they were trained.
  ///   - activations: whether products with packed matrices round their inputs.
  ///   - cache: how keys and values are kept.
  public func generate(
    _ forest: Forest, from segments: [Int], count: Int, maxTokens: Int, options: SamplingOptions,
    stop: [[UInt8]] = [], weights: WeightStorage = .f32, activations: Activations = .f32,
    cache: CacheStorage = .f32, cacheMemory: Int? = nil
  ) throws -> [[Completion]] {
    let texts = stop.filter { !$0.isEmpty }
    let tokenizer = texts.isEmpty ? nil : try requireTokenizer()
    return try network.shadow(weights, activations: activations).generate(
      forest, from: segments, count: count, maxTokens: maxTokens, options: options, stopIDs: stopIDs,
      cache: cache, cacheMemory: cacheMemory
    ) { _, ids in
      guard let tokenizer, let bytes = try? tokenizer.decode(ids) else { return false }
      return texts.contains { bytes.contains($0) }
    }
  }

  /// One line for people: `Llama  134.5 M parameters · 30 layers · d 576 · heads 9/3 · vocab 49152 · f32, 513 MB`.
  public var summary: String {
    let config = network.config
    let count = Double(network.parameterCount)
    let (format, unit) = count >= 1e9 ? ("%.2f B", 1e9) : count >= 1e5 ? ("%.1f M", 1e6) : ("%.1f K", 1e3)
    let size = String(format: format, count / unit)
    return
      "\(config.architecture.displayName)  \(size) parameters · \(config.numHiddenLayers) layers · "
      + "d \(config.hiddenSize) · heads \(config.numAttentionHeads)/\(config.numKeyValueHeads) · "
      + "vocab \(config.vocabSize) · \(network.formatName), \(network.weightBytes / 1_048_576) MB"
      + (network.adapterConfig.map { " · adapters of rank \($0.rank)" } ?? "")
  }

  /// A model of its own with the same values in another storage, adapters merged.
  public func copy(_ storage: WeightStorage) throws -> LanguageModel {
    LanguageModel(network: try network.copy(storage), tokenizer: tokenizer, path: path)
  }

  // MARK: Saving

  /// Writes a Hugging Face folder that transformers loads, in 32 bits, adapters merged; the folder is made if it is
  /// missing. Each file is complete under its name or not there.
  public func save(to folder: String) throws {
    try Self.makeFolder(folder)
    try network.config.save(toFolder: folder, with: SafetensorsWriter(), from: network.forEachValue(of:_:))
    for (name, bytes) in try tokenizer?.huggingFaceFiles() ?? [] {
      try OutputFile.write(bytes, to: "\(folder)/\(name)")
    }
  }

  /// Writes the adapters alone as a PEFT folder, which is made if it is missing.
  public func saveAdapters(to folder: String) throws {
    try Self.makeFolder(folder)
    try network.saveAdapters(to: folder, baseModel: path)
  }

  private static func makeFolder(_ folder: String) throws {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw ModelError(
        "\(folder.isEmpty ? "''" : folder): cannot make this folder: \(error.localizedDescription)")
    }
  }
}

extension GGUFVocabulary {
  /// The tokenizer's part of a GGUF file's metadata.
  public init(_ file: GGUFFile) throws {
    func value(_ name: String) -> GGUFValue? { file.metadata["tokenizer.ggml.\(name)"] }
    func text(_ name: String) -> String? { value(name)?.text }
    func array(_ name: String) -> GGUFArray? {
      if case .array(let array) = value(name) { array } else { nil }
    }
    func integer(_ name: String) -> Int32? {
      if case .integer(let number) = value(name) { Int32(exactly: number) } else { nil }
    }
    func flag(_ name: String) -> Bool? { if case .bool(let flag) = value(name) { flag } else { nil } }

    guard let model = text("model"), let tokens = array("tokens") else {
      throw ModelError(
        "\(file.path): tokenizer.ggml.model or tokenizer.ggml.tokens is missing: it has no tokenizer")
    }
    self.init(model: model, pre: text("pre"), tokens: try tokens.strings())
    types = try array("token_type")?.integers().map { Int32(truncatingIfNeeded: $0) } ?? []
    scores = try array("scores")?.floats() ?? []
    merges = try array("merges")?.strings() ?? []
    (bosID, eosID) = (integer("bos_token_id"), integer("eos_token_id"))
    (padID, unkID) = (integer("padding_token_id"), integer("unknown_token_id"))
    (addsBOS, addsSpacePrefix) = (flag("add_bos_token"), flag("add_space_prefix"))
    chatTemplate = file.metadata["tokenizer.chat_template"]?.text
    if case .string(let bytes) = file.metadata["general.architecture"],
      case .integer(let length) = file.metadata["\(String(decoding: bytes, as: UTF8.self)).context_length"]
    {
      contextLength = length
    }
  }
}

extension [UInt8] {
  /// Whether `part` stands somewhere in these bytes.
  fileprivate func contains(_ part: [UInt8]) -> Bool {
    guard count >= part.count else { return false }
    return (0...count - part.count).contains { start in self[start..<start + part.count].elementsEqual(part) }
  }
}
