// How a long computation learns that nobody wants its result any more.
import Glibc
import Synchronization

/// The wish to stop a computation, polled by loops that run for long.
public enum Cancellation {
  /// Thrown at the next safe point after the wish; nothing was changed half.
  public struct Cancelled: Error, CustomStringConvertible {
    /// What errors show.
    public let description = "interrupted"
  }

  /// A function by itself would be wrapped once more each time that it is read out of a `Mutex`.
  private struct Poll {
    var isWanted: @Sendable () -> Bool
  }

  private static let poll = Mutex(Poll { false })

  /// Installs what `check()` asks. The prompt does, with the flag that its signal handler sets.
  public static func setPoll(_ isWanted: @escaping @Sendable () -> Bool) {
    poll.withLock { $0.isWanted = isWanted }
  }

  /// Runs `body` while `isWanted` is asked too.
  package static func polling<Result>(
    _ isWanted: @escaping @Sendable () -> Bool, _ body: () throws -> Result
  ) rethrows -> Result {
    let before = poll.withLock { poll in
      let before = poll.isWanted
      poll.isWanted = { before() || isWanted() }
      return before
    }
    defer { setPoll(before) }
    return try body()
  }

  /// Throws `Cancelled` if the computation should stop.
  public static func check() throws(Cancelled) {
    if pthread_getspecific(deferralKey) == nil, poll.withLock({ $0 }).isWanted() { throw Cancelled() }
  }

  private static let deferralKey: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  /// Runs `body` to its end on this thread whoever wants it to stop: for what would leave something half done, such as
  /// a backward pass that computes a part again.
  public static func deferred<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let before = pthread_getspecific(deferralKey)
    pthread_setspecific(deferralKey, UnsafeRawPointer(bitPattern: 1))
    defer { pthread_setspecific(deferralKey, before) }
    return try body()
  }
}
