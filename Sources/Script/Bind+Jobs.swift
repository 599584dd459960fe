// Jobs: functions that run beside the prompt and beside each other.
import CLua

extension Registry {
  /// `mid.spawn`, `mid.sleep` and the type `Job`.
  package func addJobs() {
    function(
      "spawn",
      """
      Runs a function as a job: beside the prompt and other jobs. Native operations inside it run on another \
      thread while other Lua code goes on.
      """,
      [Parameter("f", "fun(...)", "what to run"), Parameter("...", "any", "its arguments", optional: true)],
      returns: "Job", example: "job = mid.spawn(function() return model:entropy(text) end)"
    ) { call in
      guard call[1].isFunction else { throw call[1].mismatch("function") }
      return try call.return(call.state.scheduler.spawn(from: call.lua, arguments: Int32(call.count) - 1))
    }

    waitingFunction(
      "sleep", "Waits; jobs go on meanwhile.", [Parameter("seconds", "number")], example: "mid.sleep(0.5)"
    ) { call in
      let deadline = try monotonicSeconds() + call[1].number(min: 0)
      return Wait(condition: .time(deadline)) { _ in .none }
    }

    function(
      "is_unattended",
      "Whether the script has come to its end, no prompt follows, and only jobs are left: nobody will mend anything.",
      returns: "boolean", example: "if mid.is_unattended() then error(problem, 0) end"
    ) { call in try call.return(call.state.scheduler.isFinishing) }

    type(Job.self, "Job") { type in
      type.describe = { "job \($0.number) (\($0.statusName))" }
      type.waitingMethod(
        "wait", "Waits until the job is over and returns what its function returned, or raises its error.",
        returns: "any", example: "H = job:wait()"
      ) { job, _ in
        Wait(condition: .job(job)) { stack in try job.pushResults(on: stack) }
      }
      type.method(
        "cancel", "Stops the job at the next call of its that waits, or inside a native operation.",
        example: "job:cancel()"
      ) { job, call in
        call.state.scheduler.cancel(job)
        return .none
      }
      type.property("status", "string", "`running`, `done`, `failed` or `cancelled`.") { job, stack in
        try stack.return(job.statusName)
      }
      type.property("error", "string?", "Why the job failed.") { job, stack in try stack.return(job.failure) }
      type.property("id", "integer", "The job's number.") { job, stack in try stack.return(job.number) }
    }
  }
}
