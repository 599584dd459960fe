import Foundation

// Where tokenizers come from, and the files that transformers loads them from.

/// What a tokenizer was made from, so that it can be written again.
enum TokenizerFiles: Sendable {
  case huggingFace([File])
  case gguf(GGUFVocabulary)

  /// A file's name and contents.
  typealias File = (name: String, bytes: [UInt8])
}

extension Tokenizer {
  /// Reads the contents of a `tokenizer.json`.
  ///
  /// - Parameters:
  ///   - tokenizerJSON: the contents of the file.
  ///   - config: the contents of `tokenizer_config.json`, which names the special tokens.
  ///   - chatTemplate: the text of `chat_template.jinja`, which goes before the one in `config`.
  ///   - name: what errors call the file.
  /// - Throws: `TextError` with file and cause.
  public convenience init(
    tokenizerJSON: [UInt8], config: [UInt8]? = nil, chatTemplate: String? = nil,
    name: String = "tokenizer.json"
  ) throws {
    let json = try JSON(parsing: tokenizerJSON, name: name)
    let configName =
      name.hasSuffix("tokenizer.json")
      ? name.dropLast("tokenizer.json".count) + "tokenizer_config.json" : "tokenizer_config.json"
    let configJSON = try config.map { try JSON(parsing: $0, name: configName) }
    var files = [(name: "tokenizer.json", bytes: tokenizerJSON)]
    if let config { files.append(("tokenizer_config.json", config)) }
    if let chatTemplate { files.append(("chat_template.jinja", Array(chatTemplate.utf8))) }
    do {
      self.init(
        try TokenizerDescription(json, config: configJSON, chatTemplate: chatTemplate),
        files: .huggingFace(files))
    } catch let error as TextError {
      throw TextError("\(name): \(error.description)")
    }
  }

  /// Reads a Hugging Face folder, or a `tokenizer.json` with the files beside it.
  ///
  /// - Throws: `TextError` with file and cause.
  public convenience init(path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw TextError("\(path): no such file or folder; expected a Hugging Face folder or a tokenizer.json")
    }
    // Foundation's own function for this crashes on a name of one character beyond ASCII.
    let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
    let folder = isFolder.boolValue ? path + "/" : slash.map { String(path[..<$0]) + "/" } ?? ""
    func beside(_ name: String) throws -> [UInt8]? {
      let file = folder + name
      return FileManager.default.fileExists(atPath: file) ? try fileContents(file) : nil
    }
    let file = isFolder.boolValue ? path + "/tokenizer.json" : path
    guard FileManager.default.fileExists(atPath: file) else {
      throw TextError(
        "\(path) has no tokenizer.json; other formats (tokenizer.model, vocab.json) need converting with "
          + "transformers' save_pretrained first")
    }
    let template = try beside("chat_template.jinja")
    if let template {
      try template.withUnsafeBufferPointer { try checkUTF8($0, folder + "chat_template.jinja") }
    }
    try self.init(
      tokenizerJSON: try fileContents(file), config: try beside("tokenizer_config.json"),
      chatTemplate: template.map { String(decoding: $0, as: UTF8.self) }, name: file)
  }

  /// Reads the vocabulary of a GGUF file.
  ///
  /// - Throws: `TextError` naming what is missing or not supported.
  public convenience init(_ vocabulary: GGUFVocabulary) throws {
    self.init(
      try TokenizerDescription(
        vocabulary.tokenizerJSON(), config: vocabulary.tokenizerConfig(),
        chatTemplate: vocabulary.chatTemplate),
      files: .gguf(vocabulary))
  }

  /// The files from which transformers makes the same tokenizer: `tokenizer.json`, `tokenizer_config.json`
  /// and, if there is a chat template beside them, `chat_template.jinja`. A tokenizer that came from such
  /// files gives back the very same bytes.
  public func huggingFaceFiles() throws -> [(name: String, bytes: [UInt8])] {
    switch files {
    case .huggingFace(let files):
      return files
    case .gguf(let vocabulary):
      var files = [
        (name: "tokenizer.json", bytes: try vocabulary.tokenizerJSON().serialised()),
        (name: "tokenizer_config.json", bytes: try vocabulary.tokenizerConfig().serialised(.pretty)),
      ]
      if let template = vocabulary.chatTemplate {
        files.append(("chat_template.jinja", Array(template.utf8)))
      }
      return files
    }
  }
}

/// A whole file's bytes; the error names the file and says why it cannot be read.
package func fileContents(_ path: String) throws -> [UInt8] {
  do {
    return Array(try Data(contentsOf: URL(fileURLWithPath: path)))
  } catch {
    throw TextError("\(path) cannot be read: \(error.localizedDescription)")
  }
}
