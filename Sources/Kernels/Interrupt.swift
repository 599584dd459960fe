// How a long computation learns that the user wants it to stop.
import Synchronization

/// The user's wish to stop, polled by loops that run for long.
public enum Interrupt {
  /// Thrown at the next safe point after an interrupt; nothing was changed half.
  public struct Interrupted: Error, CustomStringConvertible {
    public let description = "interrupted"

    public init() {}
  }

  private static let poll = Mutex<@Sendable () -> Bool>({ false })

  /// Installs what `check()` asks. The prompt does, with the flag that its signal handler sets.
  public static func setPoll(_ isInterrupted: @escaping @Sendable () -> Bool) {
    poll.withLock { $0 = isInterrupted }
  }

  /// Throws `Interrupted` if the user wants to stop.
  public static func check() throws {
    if poll.withLock({ $0 })() { throw Interrupted() }
  }
}
