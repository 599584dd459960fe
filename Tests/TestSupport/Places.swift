import Foundation

/// Where tests find their files.
package enum Places {
  private static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent()

  /// A file or folder under Tests/Goldens.
  package static func golden(_ name: String) -> URL { tests.appending(path: "Goldens/\(name)") }

  /// A file or folder that is not part of the repository, in $MIDTRAIN_SHARED or beside it in `shared`; nil where this
  /// machine does not have it.
  package static func shared(_ name: String) -> String? {
    let root =
      variable("MIDTRAIN_SHARED").map { URL(fileURLWithPath: $0) }
      ?? tests.deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared")
    return existing(root.appending(path: name).path)
  }

  /// SmolLM2-135M-Instruct as a GGUF file: $MIDTRAIN_SMOLLM2_GGUF, or in the model cache, where scripts/fetch-model puts
  /// it.
  package static var smolLM2GGUF: String? {
    if let path = variable("MIDTRAIN_SMOLLM2_GGUF") { return existing(path) }
    let cache = variable("XDG_CACHE_HOME") ?? NSHomeDirectory() + "/.cache"
    let models = variable("MIDTRAIN_MODELS") ?? cache + "/midtrain/models"
    return existing(models + "/SmolLM2-135M-Instruct.gguf")
  }

  /// The same model as a Hugging Face folder in f32: $MIDTRAIN_SMOLLM2_FOLDER.
  package static var smolLM2Folder: String? { variable("MIDTRAIN_SMOLLM2_FOLDER").flatMap(existing) }

  private static func variable(_ name: String) -> String? {
    ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
  }

  private static func existing(_ path: String) -> String? {
    FileManager.default.fileExists(atPath: path) ? path : nil
  }
}
