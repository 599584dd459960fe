// What is in a model's files, read from their headers: no weight is loaded.
import Kernels
import Model
import Text

/// A model on disk, as `midtrain info` shows it.
public struct ModelDescription: Sendable {
  /// The folder or file that was found.
  public let path: String
  /// The shape of the model.
  public let config: ModelConfig
  /// Elements by the name of the format that they are stored in, such as `Q4_1`.
  public let elements: [String: Int]
  /// Bytes of the stored weights.
  public let bytes: Int
  /// Nil where there is none, or one that cannot be read.
  public let tokenizer: Tokenizer?
  /// Why a tokenizer that is there cannot be read.
  public let tokenizerProblem: String?
  /// Whether this is one GGUF file, not a Hugging Face folder.
  public let isGGUF: Bool

  /// Reads the headers of a Hugging Face folder, a GGUF file, or a name in the model cache.
  ///
  /// - Throws: an error that names file and cause, as loading it would.
  public init(path: String) throws {
    self.path = try LanguageModel.resolve(path)
    let files = try ModelFiles(path: self.path)
    (config, isGGUF) = (files.config, files.gguf != nil)
    do {
      (tokenizer, tokenizerProblem) = (try LanguageModel.tokenizer(of: files), nil)
    } catch {
      (tokenizer, tokenizerProblem) = (nil, "\(error)")
    }
    // As they are stored, also where loading would turn them.
    let weights: any WeightSource = isGGUF ? files.weights : try SafetensorsFolder(folder: self.path)
    var (elements, bytes) = ([String: Int](), 0)
    for name in weights.names {
      let count = try weights.shape(of: name).reduce(1, *)
      // What else a checkpoint may hold, such as masks, is no weight.
      guard let format = try? weights.format(of: name) else { continue }
      elements[format.name, default: 0] += count
      bytes += count / format.blockLength * format.blockSize
    }
    (self.elements, self.bytes) = (elements, bytes)
  }
}
