// A packed matrix a second time, laid out for products of whole numbers.
import Kernels
import Synchronization

/// What products take their inputs as.
public enum Activations: String, Sendable, CaseIterable {
  /// 32-bit floats: exact.
  case f32
  /// Eight bits and a scale for each 32 elements, as llama.cpp has them: faster, and rounded.
  case int8
}

/// A weight matrix (N, K) of integer blocks, ready for products with inputs that are rounded to eight bits.
///
/// It follows its original: what was trained since is laid out anew at the next product.
public final class IntegerWeight: @unchecked Sendable {
  private let weight: Weight
  private let storage: Storage
  /// The version of the original that the layout was made of.
  private let laidOutVersion = Mutex<Int?>(nil)
  /// Bytes that it takes beside the original.
  public let byteCount: Int

  /// Nil for a matrix whose blocks are no whole numbers with one scale for 32 columns.
  public init?(_ weight: Weight) {
    guard weight.shape.count == 2,
      let bytes = IntegerWeights.byteCount(
        weight.format, rows: weight.shape[0], columns: weight.shape[1])
    else { return nil }
    (self.weight, byteCount) = (weight, bytes)
    storage = Storage(count: (bytes + 3) / 4)
  }

  /// (N, K).
  var shape: [Int] { weight.shape }

  /// The matrix for kernels; valid as long as this object lives.
  var layout: IntegerWeights {
    let rows = weight.rows
    let layout = IntegerWeights(
      storage.pointer, format: weight.format, rows: rows.rows, columns: rows.columns)
    laidOutVersion.withLock { version in
      let current = weight.tensor?.version ?? 0
      if version == current { return }
      layout.fill(from: rows)
      version = current
    }
    return layout
  }
}
