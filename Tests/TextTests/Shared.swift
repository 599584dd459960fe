import Foundation
import Testing

import Text

/// Where tests find files that are not part of the repository: models and large vocabularies.
enum Shared {
  static let root: URL? = {
    let repository = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let named = ProcessInfo.processInfo.environment["MIDTRAIN_SHARED"].map { URL(fileURLWithPath: $0) }
    let candidates = [named, repository.deletingLastPathComponent().appending(path: "shared")]
    return candidates.compactMap { $0 }.first { FileManager.default.fileExists(atPath: $0.path) }
  }()

  /// The path of a shared file, nil when it is not there.
  static func path(_ name: String) -> String? {
    guard let path = root?.appending(path: name).path, FileManager.default.fileExists(atPath: path) else {
      return nil
    }
    return path
  }

  static func has(_ name: String) -> Bool { path(name) != nil }

  /// SmolLM2-135M-Instruct as a Hugging Face folder, where MIDTRAIN_SMOLLM2_FOLDER says.
  static var smolLM2Folder: String? {
    existing(ProcessInfo.processInfo.environment["MIDTRAIN_SMOLLM2_FOLDER"])
  }

  /// SmolLM2-135M-Instruct as a GGUF file, where MIDTRAIN_SMOLLM2_GGUF says or in the model cache.
  static var smolLM2GGUF: String? {
    let environment = ProcessInfo.processInfo.environment
    if let path = existing(environment["MIDTRAIN_SMOLLM2_GGUF"]) { return path }
    let cache = environment["MIDTRAIN_MODELS"] ?? NSHomeDirectory() + "/.cache/midtrain/models"
    let files = (try? FileManager.default.contentsOfDirectory(atPath: cache)) ?? []
    return files.sorted().first { $0.hasPrefix("SmolLM2-135M-Instruct") && $0.hasSuffix(".gguf") }
      .map { cache + "/" + $0 }
  }

  private static func existing(_ path: String?) -> String? {
    path.flatMap { FileManager.default.fileExists(atPath: $0) ? $0 : nil }
  }

  /// The contents of a file under Tests/Goldens.
  static func golden(_ name: String) throws -> [UInt8] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    return try fileContents(folder.appending(path: "Goldens/\(name)").path)
  }
}

/// A small generator with a fixed seed, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}
