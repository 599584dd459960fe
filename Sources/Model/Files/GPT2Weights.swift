// GPT-2's checkpoints hold the matrices of its layers the other way round: rows of inputs ("Conv1D"). The engine has
// them as all others; here they are turned on their way from and to a file.
import Kernels
import Synchronization
import Tensor

/// The weights of a GPT-2 checkpoint as this engine names and turns them.
struct GPT2Weights: WeightSource {
  private let source: SafetensorsFolder
  /// What the checkpoint calls a weight: the first ones of OpenAI have no prefix.
  private let storedNames: [String: String]
  /// The matrix that was turned last: rows are asked for one after the other.
  private let turned = Turned()

  init(_ source: SafetensorsFolder) {
    self.source = source
    let isBare = source.names.contains("wte.weight")
    let names = source.names.map { name in
      (isBare && name != "lm_head.weight" ? "transformer.\(name)" : name, name)
    }
    // A damaged file may have a name with the prefix and without.
    storedNames = Dictionary(names) { first, _ in first }
  }

  var path: String { source.path }
  var names: [String] { storedNames.keys.sorted() }

  /// Whether a matrix of this name and shape lies in files by columns.
  static func isTurned(_ name: String, _ shape: [Int]) -> Bool {
    shape.count == 2 && name.hasPrefix("transformer.h.")
  }

  private func stored(_ name: String) throws -> String {
    guard let stored = storedNames[name] else { throw ModelError("\(path): has no tensor \(name)") }
    return stored
  }

  func shape(of name: String) throws -> [Int] {
    let shape = try source.shape(of: stored(name))
    return Self.isTurned(name, shape) ? shape.reversed() : shape
  }

  func format(of name: String) throws -> WeightFormat {
    // A matrix that has to be turned cannot be copied as it lies there.
    try Self.isTurned(name, shape(of: name)) ? .f32 : source.format(of: stored(name))
  }

  func read(_ name: String, rows: Range<Int>, into buffer: UnsafeMutableBufferPointer<Float>) throws {
    let shape = try shape(of: name)
    guard Self.isTurned(name, shape) else { return try source.read(stored(name), rows: rows, into: buffer) }
    let length = try rowLength(name, shape: shape, rows: rows, buffer: buffer.count)
    let matrix = try turned.matrix(name) {
      try source.tensor(stored(name), shape.reversed()).transposed().contiguousCopyIfNeeded()
    }
    guard let base = buffer.baseAddress else { return }
    base.update(from: matrix.pointer + rows.lowerBound * length, count: buffer.count)
    // The last row has been read: nobody will ask for another.
    if rows.upperBound == shape[0] { turned.forget() }
  }

  func readStored(_ name: String, into target: UnsafeMutableRawPointer) throws {
    try source.readStored(stored(name), into: target)
  }

  /// The one matrix that is held.
  private final class Turned: Sendable {
    private let last = Mutex<(name: String, matrix: Tensor)?>(nil)

    func matrix(_ name: String, make: () throws -> Tensor) rethrows -> Tensor {
      try last.withLock { last in
        if let last, last.name == name { return last.matrix }
        let matrix = try make()
        last = (name, matrix)
        return matrix
      }
    }

    func forget() { last.withLock { $0 = nil } }
  }
}

extension GPT2Weights {
  /// Weights as a checkpoint has them, and what passes their values on in its order.
  static func turned(
    _ weights: [WeightInfo], _ provider: @escaping SafetensorsWriter.Provider
  ) -> ([WeightInfo], SafetensorsWriter.Provider) {
    let shapes = Dictionary(uniqueKeysWithValues: weights.map { ($0.name, $0.shape) })
    let infos = weights.map { info in
      isTurned(info.name, info.shape) ? WeightInfo(name: info.name, shape: info.shape.reversed()) : info
    }
    return (
      infos,
      { name, sink in
        guard let shape = shapes[name], isTurned(name, shape) else { return try provider(name, sink) }
        let matrix = Tensor(uninitialized: shape)
        var written = 0
        try provider(name) { part in
          guard let base = part.baseAddress else { return }
          (matrix.pointer + written).update(from: base, count: part.count)
          written += part.count
        }
        let columns = try matrix.transposed().contiguousCopyIfNeeded()
        try sink(UnsafeBufferPointer(start: columns.pointer, count: columns.count))
      }
    )
  }
}
