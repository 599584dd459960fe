import Foundation

/// A model of medium size with random weights: large enough for products to be cut into pieces and shared by threads.
package struct RandomModel {
  package var layers = 4
  package var hidden = 256
  package var intermediate = 704
  package var vocabulary = 4000
  package var heads = 4
  package var keyValueHeads = 2
  package var positions = 4096

  package init() {}

  /// `config.json` of a Llama.
  package var config: Data {
    let values: [String: Any] = [
      "model_type": "llama", "hidden_size": hidden, "intermediate_size": intermediate,
      "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": keyValueHeads,
      "vocab_size": vocabulary, "max_position_embeddings": positions, "rms_norm_eps": 1e-5,
      "tie_word_embeddings": false, "hidden_act": "silu",
    ]
    return try! JSONSerialization.data(withJSONObject: values)
  }

  /// Values of a weight: 1 for those of norms, else small ones around 0.
  package func values(_ name: String, count: Int, inputs: Int) -> [Float] {
    if name.hasSuffix("norm.weight") { return [Float](repeating: 1, count: count) }
    var random = Random(name.utf8.reduce(7) { $0 &* 31 &+ UInt64($1) })
    let bound = 1.7 / Float(inputs).squareRoot()
    return random.floats(count, in: -bound...bound)
  }
}
