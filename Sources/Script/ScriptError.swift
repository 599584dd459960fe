/// What a script did wrong, or what went wrong while it ran.
public struct ScriptError: Error, CustomStringConvertible {
  /// What kind of failure it is, for those who react differently to some.
  package enum Kind { case failure, syntax, incomplete, interrupted }

  /// The message: what was expected, what was found and what to do.
  public let description: String

  package let kind: Kind

  /// An error with a message for the person who wrote the script.
  public init(_ message: String) {
    self.init(message, .failure)
  }

  package init(_ message: String, _ kind: Kind) {
    description = message
    self.kind = kind
  }
}
