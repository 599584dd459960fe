/// What is wrong with a model, a checkpoint or a request to one.
///
/// The description names the file or the operation, what was found, and what was expected.
public struct ModelError: Error, CustomStringConvertible, Sendable {
  /// File or operation, finding, expectation.
  public let description: String

  /// An error with this description.
  public init(_ message: String) {
    description = message
  }
}
