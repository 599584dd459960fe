// The one error type of the module.

/// What went wrong in a tensor operation: the operation, the shapes that it got, and what it expected.
public struct TensorError: Error, CustomStringConvertible {
  /// What errors show.
  public let description: String
  /// Whether integers beyond 2²⁴ are the cause: `Integers` computes the same exactly.
  public let isBeyondIntegers: Bool

  /// An error that names its cause and what to do.
  public init(_ message: String) { self.init(message, isBeyondIntegers: false) }

  private init(_ message: String, isBeyondIntegers: Bool) {
    (description, self.isBeyondIntegers) = (message, isBeyondIntegers)
  }

  /// The error of an integer that a 32-bit float may have rounded.
  package static func beyondIntegers(_ operation: String, _ value: Float) -> TensorError {
    TensorError(
      "\(operation): integers as large as \(value) are beyond 2^24 and would be rounded; to(\"f32\") allows that",
      isBeyondIntegers: true)
  }

  /// An error of an operation: `add: cannot broadcast [2, 3] with [4]`.
  init(_ op: Op, _ message: String) { self.init("\(op.rawValue): \(message)") }
}
