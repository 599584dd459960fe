// Where weights come from, whatever the file format.
import Kernels
import Tensor

/// A named tensor and its shape; rows first, as in the checkpoint (`[out_features, in_features]`).
public struct WeightInfo: Sendable, Equatable {
  /// The checkpoint's name: `model.layers.0.mlp.up_proj.weight`.
  public let name: String
  /// Dimensions, rows first.
  public let shape: [Int]

  /// A tensor description.
  public init(name: String, shape: [Int]) {
    self.name = name
    self.shape = shape
  }
}

/// Weights under their checkpoint names, converted to `Float` on reading.
public protocol WeightSource: Sendable {
  /// The file or folder, for errors.
  var path: String { get }
  /// All names, sorted.
  var names: [String] { get }
  /// The shape of `name`. Throws `ModelError` when there is no such tensor.
  func shape(of name: String) throws -> [Int]
  /// Reads rows of `name` into `buffer`, which holds exactly `rows.count` rows.
  ///
  /// A row is what lies behind one index of the first dimension. A vector, like a scalar, is one row.
  func read(_ name: String, rows: Range<Int>, into buffer: UnsafeMutableBufferPointer<Float>) throws
  /// How the elements of `name` are stored.
  func format(of name: String) throws -> WeightFormat
  /// Copies the whole of the matrix `name` in its format, in rows of `format.rowBytes`.
  func readStored(_ name: String, into target: UnsafeMutableRawPointer) throws
}

extension WeightSource {
  /// Reads the whole of `name` into `buffer`, which holds exactly that many elements.
  public func read(_ name: String, into buffer: UnsafeMutableBufferPointer<Float>) throws {
    let shape = try shape(of: name)
    try read(name, rows: 0..<(shape.count > 1 ? shape[0] : 1), into: buffer)
  }

  /// The elements of `name`, row by row.
  public func read(_ name: String) throws -> [Float] {
    // A file was checked to hold this many elements when it was opened.
    let count = elementCount(try shape(of: name))!
    return try [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
      try read(name, into: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
      initialized = count
    }
  }

  /// The values of `name`, which must have the given shape.
  package func tensor(_ name: String, _ shape: [Int]) throws -> Tensor {
    let found = try self.shape(of: name)
    guard found == shape else {
      throw ModelError("\(path): \(name) has shape \(found), expected \(shape)")
    }
    let tensor = Tensor(uninitialized: shape)
    try read(name, into: UnsafeMutableBufferPointer(start: tensor.pointer, count: tensor.count))
    return tensor
  }

  /// Checks the request of a `read` and returns the number of elements of a row.
  func rowLength(_ name: String, shape: [Int], rows: Range<Int>, buffer: Int) throws -> Int {
    let isMatrix = shape.count > 1
    let rowCount = isMatrix ? shape[0] : 1
    let length = isMatrix ? elementCount(Array(shape.dropFirst()))! : shape.first ?? 1
    guard rows.lowerBound >= 0, rows.upperBound <= rowCount else {
      throw ModelError("\(path): rows \(rows) of \(name) were asked for, but its shape is \(shape)")
    }
    guard buffer == rows.count * length else {
      throw ModelError(
        "\(path): \(rows.count) rows of \(name) \(shape) are \(rows.count * length) elements, "
          + "but the buffer holds \(buffer)")
    }
    return length
  }
}
