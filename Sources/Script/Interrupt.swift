import CLua
import Kernels

/// Ctrl-C. The first press stops the evaluation at its next safe point; the second also stops a background
/// job that holds the Lua thread. The process itself never dies of it.
package enum Interrupt {
  /// Makes Ctrl-C stop what runs on this thread, which is to be the one that runs Lua, and wake its main
  /// loop, if there is one.
  package static func install(waking scheduler: Scheduler? = nil) {
    clua_install_interrupt(scheduler?.wakeDescriptor ?? -1)
    Cancellation.setPoll { isInterrupted() }
  }

  /// Whether Ctrl-C was pressed since the last `clear()`.
  package static var isPending: Bool { clua_interrupt_level() > 0 }

  /// The signal that asked the process to end while somebody could still save something, or nil.
  package static var termination: Int32? {
    let signal = clua_is_terminated()
    return signal == 0 ? nil : signal
  }

  /// A person sits at a prompt: Ctrl-C never ends a run that could be saved, it stops the evaluation.
  package static func expectPerson() { clua_set_attended() }

  /// The top level has dealt with it.
  package static func clear() { clua_clear_interrupt() }
}

/// True when the native operation that asks should stop as soon as it can, by throwing any error: the person
/// pressed Ctrl-C, or the job that it works for was cancelled. Cheap enough for every few milliseconds of
/// work.
package func isInterrupted() -> Bool { clua_should_stop() != 0 }
