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
  public func cacheBytesPerToken(_ storage: CacheStorage) -> Int {
    2 * numHiddenLayers * numKeyValueHeads * headDim * storage.size
  }

  /// Bytes of keys and values that sampling takes at most, unless it is told otherwise: of what is free some is left for
  /// the rest.
  public static func cacheMemory(of available: Int) -> Int { max(0, available / 4 * 3) }

  /// Throws if keys and values of one completion do not fit, with all that comes before them.
  func requireCache(_ storage: CacheStorage, before: Int, completion: Int, memory: Int) throws(ModelError) {
    let bytes = (before + completion) * cacheBytesPerToken(storage)
    if bytes <= memory { return }
    throw ModelError(
      "keys and values of one completion of \(completion) tokens after \(before) take \(MemoryPlan.gigabytes(bytes)), and "
        + "\(MemoryPlan.gigabytes(memory)) can be had for them; take shorter ones, or keep them in bf16 (cache_dtype)"
    )
  }
}

/// Keys and values of all layers, (rows, KVH·D) each.
final class KeyValueCache {
  private let storage: CacheStorage
  private let width: Int
  private var layers: [(keys: Storage, values: Storage)]

  init(_ config: ModelConfig, rows: Int, storage: CacheStorage) {
    self.storage = storage
    let width = config.numKeyValueHeads * config.headDim
    self.width = width
    layers = (0..<config.numHiddenLayers).map { _ in
      let count = (rows * width * storage.size + 3) / 4
      return (Storage(count: count), Storage(count: count))
    }
  }

  /// Takes other memory, for `rows` rows, and moves rows there; the rest is forgotten.
  func move(_ moves: [(rows: Range<Int>, to: Int)], rows: Int) {
    let bytes = width * storage.size
    func moved(_ old: Storage) -> Storage {
      let new = Storage(count: (rows * bytes + 3) / 4)
      for (range, target) in moves {
        (UnsafeMutableRawPointer(new.pointer) + target * bytes).copyMemory(
          from: UnsafeRawPointer(old.pointer) + range.lowerBound * bytes, byteCount: range.count * bytes)
      }
      return new
    }
    // One matrix after another, so that only one exists twice.
    for layer in layers.indices {
      layers[layer].keys = moved(layers[layer].keys)
      layers[layer].values = moved(layers[layer].values)
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
