// Models that nobody has trained yet.
import Foundation
import Kernels
import Tensor

extension ModelConfig {
  /// Reads the text of a `config.json`.
  ///
  /// - Parameter name: what errors call it.
  public init(json: [UInt8], name: String) throws {
    let value = try json.withUnsafeBytes { try JSONValue(parsing: $0, file: name) }
    guard let object = value.object else {
      throw ModelError("\(name): expected an object with the keys of a config.json")
    }
    try self.init(ConfigReader(file: name, object: object))
  }

  /// The standard deviation that matrices begin with; 0.02 where the config has none, as in transformers.
  fileprivate var initializerRange: Double { original["initializer_range"]?.number ?? 0.02 }
}

extension CausalLM {
  /// A model with random weights, as transformers makes it: matrices from a normal distribution with the config's
  /// `initializer_range` as its standard deviation, norms 1, biases 0. Equal seeds give equal models.
  public convenience init(_ config: ModelConfig, seed: UInt64) throws {
    var tensors: [String: Tensor] = [:]
    for (number, info) in config.weights.enumerated() {
      guard info.shape.count == 2 else {
        tensors[info.name] = Tensor(repeating: info.name.hasSuffix(".weight") ? 1 : 0, shape: info.shape)
        continue
      }
      let tensor = Tensor(uninitialized: info.shape)
      func uniform(_ i: Int) -> Double {
        CounterRandom.uniform(seed: seed, step: 0, prompt: number, sample: 0, token: i)
      }
      let (deviation, values, count) = (config.initializerRange, tensor.pointer, tensor.count)
      // Box and Muller: two uniform numbers give two normal ones.
      ThreadPool.shared.forEach(count: (count + 1) / 2, grain: 4096) { pairs in
        for i in stride(from: 2 * pairs.lowerBound, to: 2 * pairs.upperBound, by: 2) {
          let radius = deviation * (-2 * log(1 - uniform(i))).squareRoot()
          let angle = 2 * Double.pi * uniform(i + 1)
          values[i] = Float(radius * cos(angle))
          if i + 1 < count { values[i + 1] = Float(radius * sin(angle)) }
        }
      }
      tensors[info.name] = tensor
    }
    try self.init(config: config, tensors: tensors)
  }
}
