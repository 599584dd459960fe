/// What went wrong with a text, a vocabulary, a template or a data file, and what to do about it.
public struct TextError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The whole message: what was expected, what was there, where.
  public let description: String

  /// An error with a finished message.
  public init(_ message: String) {
    description = message
  }
}
