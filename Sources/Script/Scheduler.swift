import CLua
import Glibc
import Tensor

/// Runs jobs on the Lua thread, each until it waits for something: a native operation on the worker thread, a
/// time, another job. Whoever owns the main loop (the prompt, or a script that waits) gives it turns.
package final class Scheduler {
  private unowned let state: LuaState
  private let engine = Engine()
  /// The jobs that are not over, oldest first.
  private var jobs: [Job] = []
  private(set) var current: Job?
  private var lastNumber = 0
  private var openServers: [WeakServer] = []

  /// Told of a job that failed while nobody waited for it.
  package var onFailure: (String) -> Void = { writeError($0) }
  /// Failures that were reported through `onFailure`.
  package private(set) var reportedFailures = 0

  init(_ state: LuaState) { self.state = state }

  func shutDown() { engine.shutDown() }

  // MARK: For the main loop

  /// Where a press of Ctrl-C is announced.
  var wakeDescriptor: Int32 { engine.wakeDescriptor }

  /// Whether a job runs that does more than answer a client.
  package var hasJobs: Bool { jobs.contains { $0.client == nil } }

  /// Waits until a turn is due, a client has said something, Ctrl-C is pressed, or another descriptor can be read.
  ///
  /// - Returns: Whether that descriptor can be read.
  package func wait(orFor input: Int32 = -1) -> Bool { wait(milliseconds: timeout(or: nil), orFor: input) }

  private func wait(milliseconds: Int32, orFor input: Int32 = -1) -> Bool {
    var descriptors = [
      pollfd(fd: input, events: Int16(POLLIN), revents: 0),
      pollfd(fd: engine.wakeDescriptor, events: Int16(POLLIN), revents: 0),
    ]
    for server in servers { descriptors += server.descriptors }
    return poll(&descriptors, nfds_t(descriptors.count), milliseconds) > 0 && descriptors[0].revents != 0
  }

  /// Milliseconds until a turn is due if all descriptors stay silent; -1 for no limit, as `poll` takes it.
  private func timeout(or deadline: Double?) -> Int32 {
    if jobs.contains(where: { $0.status == .ready }) { return 0 }
    let times = jobs.compactMap { if case .wait(let wait) = $0.pending { wait.deadline } else { nil } }
    guard let next = (times + (deadline.map { [$0] } ?? [])).min() else { return -1 }
    return Int32(clamping: Int(max(0, (next - monotonicSeconds()) * 1000).rounded(.up)))
  }

  /// Runs every job that has what it waited for. False when there was none.
  @discardableResult
  package func turn() -> Bool {
    let finished = engine.takeFinished()
    communicate()
    for server in servers { server.startAnswers(in: state) }
    for job in jobs where job.status == .waiting {
      switch job.pending {
      case .operation(let operation):
        if finished.contains(where: { $0 === operation }) { job.status = .ready }
      case .wait(let wait): if wait.isOver || job.isCancelled { job.status = .ready }
      case nil: break
      }
    }
    let ready = jobs.filter { $0.status == .ready }
    for job in ready where job.status == .ready { resume(job) }
    jobs.removeAll { $0.status.isOver }
    return !ready.isEmpty
  }

  /// Whether a script came to its end and only its jobs are left.
  package private(set) var isFinishing = false

  /// Gives turns until every job is over but those that answer clients.
  package func finishAll() throws {
    isFinishing = true
    defer { isFinishing = false }
    try pump(until: { !self.hasJobs })
  }

  /// Cancels every job and lets each come to its end.
  package func cancelAll() throws {
    for server in servers { server.close() }
    for job in jobs { cancel(job) }
    try pump(until: { self.jobs.isEmpty })
  }

  private func pump(until isOver: () -> Bool, deadline: Double? = nil) throws {
    while !isOver() {
      if isInterrupted() { throw ScriptError("interrupted", .interrupted) }
      if turn() { continue }
      if isOver() { return }
      let milliseconds = timeout(or: deadline)
      guard
        milliseconds >= 0 || jobs.contains(where: { if case .operation = $0.pending { true } else { false } })
      else {
        throw ScriptError("this would wait for ever: the jobs that are left wait for each other")
      }
      _ = wait(milliseconds: milliseconds)
    }
  }

  // MARK: Jobs

  /// Makes a job of the function and arguments on top of a stack; it starts at the next turn.
  func spawn(from lua: LuaPointer, arguments: Int32, client: Client? = nil) -> Job {
    lastNumber += 1
    let job = Job(number: lastNumber, from: lua, arguments: arguments, client: client)
    jobs.append(job)
    return job
  }

  func cancel(_ job: Job) {
    guard !job.status.isOver else { return }
    job.isCancelled = true
    if case .operation(let operation) = job.pending { engine.cancel(operation) }
  }

  private func resume(_ job: Job) {
    if job.isCancelled, job.arguments >= 0, job.pending == nil {  // it never started
      job.status = .cancelled
      return
    }
    let outer = current
    current = job
    job.status = .running
    var count: Int32 = 0
    let arguments = max(0, job.arguments)
    job.arguments = -1
    if job.client != nil { clua_preempt(job.lua, givesWay) }
    let wasRecording = Tape.isRecording
    Tape.isRecording = job.isRecording
    let status = clua_resume(job.lua, state.lua, arguments, &count, 1)
    job.isRecording = Tape.isRecording
    Tape.isRecording = wasRecording
    current = outer
    switch status {
    case LUA_YIELD:
      lua_settop(job.lua, -count - 1)
      // A bare coroutine.yield() in the job only gives way to others.
      job.status = job.pending == nil ? .ready : .waiting
    case LUA_OK where lua_toboolean(job.lua, 1) != 0:
      lua_rotate(job.lua, 1, -1)
      lua_settop(job.lua, -2)
      job.results = count - 1
      job.status = .done
    default:
      fail(job)
    }
  }

  private func fail(_ job: Job) {
    let message = errorMessage(job.lua, -1)
    lua_resetthread(job.lua)
    // Without the error, which would make it look suspended instead of dead.
    lua_settop(job.lua, 0)
    job.status = job.isCancelled ? .cancelled : .failed
    guard !job.isCancelled else { return }
    job.failure = message
    guard job.waiters == 0 else { return }
    reportedFailures += 1
    onFailure("job \(job.number) failed: \(message)")
  }

  // MARK: Clients

  /// A server closes when the script lets go of it.
  private struct WeakServer {
    weak var server: Server?
  }

  private var servers: [Server] { openServers.compactMap(\.server) }

  /// Listens in a folder, where a server of this process is replaced; see `Server`.
  func serve(in folder: String, answer: LuaReference) throws -> Server {
    for server in servers where server.folder == folder { server.close() }
    let server = try Server(folder: folder, scheduler: self, answer: answer)
    openServers.append(WeakServer(server: server))
    return server
  }

  private func communicate() {
    guard !openServers.isEmpty else { return }
    for server in servers { server.communicate() }
    openServers.removeAll { $0.server?.isOpen != true }
  }

  /// Asked now and then by Lua code that answers a client: whether it goes on, gives way or ends.
  fileprivate func preemption(of lua: LuaPointer) -> Int32 {
    communicate()
    guard let current, !current.isCancelled else { return CLUA_PREEMPT_END }
    return current.lua == lua ? CLUA_PREEMPT_YIELD : CLUA_PREEMPT_NOT
  }

  /// Does something brief at once: see `Engine.runBriefly`.
  func briefly<R>(_ body: () throws -> R) rethrows -> R { try engine.runBriefly(body) }

  // MARK: Calls that wait

  /// The job whose own coroutine this is, if it can yield here. A coroutine inside a job, or a callback from
  /// native code, cannot reach the scheduler by yielding, so it waits in place.
  private func yieldingJob(_ lua: LuaPointer) throws -> Job? {
    guard let job = current else { return nil }
    if job.isCancelled { throw ScriptError("cancelled") }
    return job.lua == lua && lua_isyieldable(lua) != 0 ? job : nil
  }

  /// Does a native function's work: on the worker, with a yield, for a job; in place otherwise.
  func run(_ work: @escaping Work, for call: Call) throws -> Int32 {
    guard let job = try yieldingJob(call.lua) else {
      var results = try engine.runInline(work)(call.stack)
      while let next = results.next { results = try engine.runInline(next)(call.stack) }
      return results.count
    }
    return submit(work, for: job)
  }

  private func submit(_ work: @escaping Work, for job: Job) -> Int32 {
    let isRecording = Tape.isRecording
    let operation = Operation { try Tape.recording(isRecording, work) }
    job.pending = .operation(operation)
    engine.submit(operation)
    return CLUA_YIELD
  }

  /// Waits for something else, giving turns to other jobs.
  func wait(_ wait: Wait, for call: Call) throws -> Int32 {
    if case .job(let target) = wait.condition {
      if target === current { throw ScriptError("a job cannot wait for itself") }
      target.waiters += 1
    }
    if let job = try yieldingJob(call.lua) {
      job.pending = .wait(wait)
      return CLUA_YIELD
    }
    defer { if case .job(let target) = wait.condition { target.waiters -= 1 } }
    try pump(until: { wait.isOver }, deadline: wait.deadline)
    return try wait.completion(call.stack).count
  }

  /// Goes on with the call that the current job waited in.
  func finish(_ lua: LuaPointer) throws -> Int32 {
    guard let job = current, let pending = job.pending else { preconditionFailure("nothing was waited for") }
    job.pending = nil
    let stack = Stack(lua: lua)
    switch pending {
    case .operation(let operation):
      if job.isCancelled { throw ScriptError("cancelled") }
      let results = try operation.result!.get()(stack)
      if let next = results.next { return submit(next, for: job) }
      return results.count
    case .wait(let wait):
      if case .job(let target) = wait.condition { target.waiters -= 1 }
      if job.isCancelled { throw ScriptError("cancelled") }
      return try wait.completion(stack).count
    }
  }
}

private let givesWay: @convention(c) (LuaPointer?) -> Int32 = { lua in
  LuaState.of(lua!).scheduler.preemption(of: lua!)
}
