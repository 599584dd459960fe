// How a long computation learns that nobody wants its result any more.
import Synchronization

/// The wish to stop a computation, polled by loops that run for long.
public enum Cancellation {
  /// Thrown at the next safe point after the wish; nothing was changed half.
  public struct Cancelled: Error, CustomStringConvertible {
    /// What errors show.
    public let description = "interrupted"
  }

  private static let poll = Mutex<@Sendable () -> Bool>({ false })

  /// Installs what `check()` asks. The prompt does, with the flag that its signal handler sets.
  public static func setPoll(_ isWanted: @escaping @Sendable () -> Bool) {
    poll.withLock { $0 = isWanted }
  }

  /// Throws `Cancelled` if the computation should stop.
  public static func check() throws(Cancelled) {
    if poll.withLock({ $0 })() { throw Cancelled() }
  }
}
