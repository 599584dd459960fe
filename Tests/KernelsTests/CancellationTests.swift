// Asking whether to stop, as often as a long run does.
import Foundation
import Synchronization
import Testing

import Kernels

@Suite struct CancellationTests {
  /// What is asked must not grow with each question: a chain of a hundred thousand calls does not fit on this stack.
  @Test func askingLeavesNothingBehind() {
    let done = DispatchSemaphore(value: 0)
    let failures = Mutex(0)
    let thread = Thread {
      for _ in 0..<200_000 {
        do { try Cancellation.check() } catch { failures.withLock { $0 += 1 } }
      }
      done.signal()
    }
    thread.stackSize = 512 << 10
    thread.start()
    done.wait()
    #expect(failures.withLock { $0 } == 0)
  }
}
