// The one error type of the module.

/// What went wrong in a tensor operation: the operation, the shapes that it got, and what it expected.
public struct TensorError: Error, CustomStringConvertible {
  /// What errors show.
  public let description: String

  /// An error that names its cause and what to do.
  public init(_ message: String) { description = message }

  /// An error of an operation: `add: cannot broadcast [2, 3] with [4]`.
  init(_ op: Op, _ message: String) { description = "\(op.rawValue): \(message)" }
}
