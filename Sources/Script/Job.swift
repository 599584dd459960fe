import CLua

/// A Lua function that runs beside others, in its own coroutine.
package final class Job: LuaObject {
  enum Status {
    case ready, running, waiting, done, failed, cancelled
    var isOver: Bool { self == .done || self == .failed || self == .cancelled }
  }

  let number: Int
  let lua: LuaPointer
  var status = Status.ready
  var isCancelled = false
  /// Why the job failed, with a traceback.
  var failure: String?
  /// How many wait for the end of this job; with none, a failure is reported at once.
  var waiters = 0
  /// What the job waits for, and what pushes the results of the call that waits.
  var pending: Pending?
  /// Whether the job's operations go on the tape: `mid.no_grad` belongs to the job that called it.
  var isRecording = true
  /// How many values the job's next resumption takes: at first its function's arguments, later none.
  var arguments: Int32
  /// Whom the job answers, if anybody; such a job gives way to others while it runs Lua code.
  let client: Client?
  /// How many results the finished function left on the job's stack.
  var results: Int32 = 0
  private let thread: LuaReference

  enum Pending {
    case operation(Operation)
    case wait(Wait)
  }

  /// Takes the function and its arguments from the top of a stack.
  init(number: Int, from lua: LuaPointer, arguments: Int32, client: Client?) {
    self.number = number
    self.client = client
    self.arguments = arguments + 2
    self.lua = lua_newthread(lua)
    thread = LuaReference(lua, -1)
    lua_settop(lua, -2)
    lua_xmove(lua, self.lua, arguments + 1)
    // xpcall(f, handler, …), so that what fails is traced where it fails.
    let state = LuaState.of(lua)
    state.push(state.messageHandler, on: self.lua)
    lua_rotate(self.lua, 2, 1)
    state.protectedCall.push(on: self.lua)
    lua_rotate(self.lua, 1, 1)
  }

  /// What scripts see: a job that waits is still running.
  var statusName: String {
    switch status {
    case .ready, .running, .waiting: "running"
    case .done: "done"
    case .failed: "failed"
    case .cancelled: "cancelled"
    }
  }

  /// Pushes what the job's function returned, or throws what ended it.
  func pushResults(on stack: Stack) throws -> Results {
    guard status == .done else {
      throw ScriptError("job \(number) " + (failure.map { "failed: \($0)" } ?? "was cancelled"))
    }
    try stack.reserve(Int(results) + 1)
    for index in 1..<(results + 1) { lua_pushvalue(lua, index) }
    lua_xmove(lua, stack.lua, results)
    return Results(count: results)
  }
}

/// Something to wait for other than a native operation, and what to return when it is there.
package struct Wait {
  enum Condition {
    /// A time of `monotonicSeconds`.
    case time(Double)
    case job(Job)
  }

  let condition: Condition
  let completion: Completion

  var isOver: Bool {
    switch condition {
    case .time(let deadline): monotonicSeconds() >= deadline
    case .job(let job): job.status.isOver
    }
  }

  var deadline: Double? {
    if case .time(let deadline) = condition { deadline } else { nil }
  }
}
