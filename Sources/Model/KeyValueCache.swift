// Keys and values of what was read and written so far, for sampling.
import Kernels
import Tensor

/// How keys and values are kept while sampling.
public enum CacheStorage: String, Sendable, CaseIterable {
  /// 32 bits: the log-probabilities of a sample are those of a training pass.
  case f32
  /// bfloat16: half the memory.
  case bf16

  fileprivate var size: Int { self == .f32 ? 4 : 2 }
}

extension ModelConfig {
  /// Bytes of keys and values of one token in all layers.
  func cacheBytesPerToken(_ storage: CacheStorage) -> Int {
    2 * numHiddenLayers * numKeyValueHeads * headDim * storage.size
  }
}

/// Keys and values of all layers, (rows, KVH·D) each. Memory that is reserved but not written costs nothing.
final class KeyValueCache {
  private let storage: CacheStorage
  private let width: Int
  private let layers: [(keys: Storage, values: Storage)]

  init(_ config: ModelConfig, rows: Int, storage: CacheStorage) {
    self.storage = storage
    let width = config.numKeyValueHeads * config.headDim
    self.width = width
    layers = (0..<config.numHiddenLayers).map { _ in
      let count = (rows * width * storage.size + 3) / 4
      return (Storage(count: count), Storage(count: count))
    }
  }

  /// Stores all rows, from `firstRow` on.
  func write(_ layer: Int, _ k: Tensor, _ v: Tensor, firstRow: Int) {
    for (tensor, memory) in [(k, layers[layer].keys), (v, layers[layer].values)] {
      let source = tensor.contiguousCopyIfNeeded()
      write(source.pointer, to: memory, row: firstRow, count: source.count)
    }
  }

  /// Stores each row in a place of its own.
  func write(_ layer: Int, _ k: Tensor, _ v: Tensor, rows: [Int]) {
    for (tensor, memory) in [(k, layers[layer].keys), (v, layers[layer].values)] {
      let source = tensor.contiguousCopyIfNeeded()
      for (index, row) in rows.enumerated() {
        write(source.pointer + index * width, to: memory, row: row, count: width)
      }
    }
  }

  private func write(_ source: UnsafePointer<Float>, to target: Storage, row: Int, count: Int) {
    let place = UnsafeMutableRawPointer(target.pointer) + row * width * storage.size
    switch storage {
    case .f32: place.copyMemory(from: source, byteCount: 4 * count)
    case .bf16: BFloat16Kernels.encode(source, into: place.assumingMemoryBound(to: UInt16.self), count)
    }
  }

  /// Calls `body` with a layer's keys and values.
  func withRows<Result>(
    _ layer: Int, _ body: (KeyValueRows, KeyValueRows) throws -> Result
  ) rethrows -> Result {
    func rows(_ memory: Storage) -> KeyValueRows {
      switch storage {
      case .f32: .float(memory.pointer)
      case .bf16: .bfloat16(UnsafeRawPointer(memory.pointer).assumingMemoryBound(to: UInt16.self))
      }
    }
    let (keys, values) = layers[layer]
    return try withExtendedLifetime((keys, values)) { try body(rows(keys), rows(values)) }
  }
}
