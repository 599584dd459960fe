import CLua
import Glibc
import Kernels

/// Native work that a job waits for. It crosses to the worker thread and back; the engine's lock orders all
/// access.
final class Operation: @unchecked Sendable {
  fileprivate var work: Work?
  fileprivate(set) var result: Result<Completion, any Error>?
  fileprivate(set) var isCancelled = false

  init(_ work: @escaping Work) { self.work = work }

  fileprivate func perform() {
    guard let work, !isCancelled else {
      result = .failure(ScriptError("cancelled"))
      return
    }
    result = Result { try work() }
    self.work = nil
  }
}

/// Runs long native operations one at a time: those of jobs on a worker thread, in order, and those of the
/// Lua thread there and then, as soon as the operation that runs is over.
final class Engine: @unchecked Sendable {
  /// Readable when an operation has finished or Ctrl-C was pressed.
  let wakeDescriptor = clua_wake_descriptor()
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var queue: [Operation] = []
  private var finished: [Operation] = []
  private var current: Operation?
  private var isBusy = false
  private var isLuaWaiting = false
  private var isShutDown = false
  private var worker: pthread_t?

  init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changed, nil)
  }

  deinit {
    close(wakeDescriptor)
    pthread_cond_destroy(changed)
    pthread_mutex_destroy(mutex)
    changed.deallocate()
    mutex.deallocate()
  }

  private func locked<R>(_ body: () throws -> R) rethrows -> R {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  // MARK: On the Lua thread

  /// Hands work to the worker.
  func submit(_ operation: Operation) {
    locked {
      queue.append(operation)
      if worker == nil { startWorker() }
      pthread_cond_broadcast(changed)
    }
  }

  /// Does work here, once the worker is between two operations.
  func runInline(_ work: Work) throws -> Completion {
    try locked {
      isLuaWaiting = true
      defer { isLuaWaiting = false }
      while isBusy {
        if isInterrupted() { throw ScriptError("interrupted") }
        waitBriefly()
      }
      isBusy = true
    }
    defer {
      locked {
        isBusy = false
        pthread_cond_broadcast(changed)
      }
    }
    return try work()
  }

  /// Does something brief here: on all threads, while the worker waits, if that is between two operations; else on this
  /// thread alone, beside it.
  func runBriefly<R>(_ body: () throws -> R) rethrows -> R {
    let isFree = locked {
      defer { isBusy = true }
      return !isBusy
    }
    guard isFree else { return try ThreadPool.serially(body) }
    defer {
      locked {
        isBusy = false
        pthread_cond_broadcast(changed)
      }
    }
    return try body()
  }

  /// Makes an operation end as soon as it can.
  func cancel(_ operation: Operation) {
    locked {
      operation.isCancelled = true
      if operation === current { clua_stop_worker(1) }
    }
  }

  /// Ends the worker, after stopping what it does.
  func shutDown() {
    locked {
      isShutDown = true
      clua_stop_worker(1)
      pthread_cond_broadcast(changed)
    }
    if let worker { pthread_join(worker, nil) }
  }

  /// The operations that finished since the last call; forgets past wake-ups.
  func takeFinished() -> [Operation] {
    var count: UInt64 = 0
    read(wakeDescriptor, &count, 8)
    return locked {
      defer { finished.removeAll() }
      return finished
    }
  }

  /// A signal does not end a wait for a condition, so look at the interrupt flag now and then.
  private func waitBriefly() {
    var deadline = timespec()
    clock_gettime(CLOCK_REALTIME, &deadline)
    deadline.tv_nsec += 20_000_000
    if deadline.tv_nsec >= 1_000_000_000 {
      deadline.tv_sec += 1
      deadline.tv_nsec -= 1_000_000_000
    }
    pthread_cond_timedwait(changed, mutex, &deadline)
  }

  // MARK: On the worker thread

  private func startWorker() {
    var thread = pthread_t()
    let me = Unmanaged.passUnretained(self).toOpaque()  // shutDown joins the thread before the engine dies
    let status = pthread_create(
      &thread, nil,
      { argument in
        clua_become_worker()
        Unmanaged<Engine>.fromOpaque(argument!).takeUnretainedValue().serve()
        return nil
      }, me)
    guard status == 0 else { fatalError("no thread for jobs: \(String(cString: strerror(status)))") }
    worker = thread
  }

  private func serve() {
    while let operation = next() {
      operation.perform()
      locked {
        finished.append(operation)
        current = nil
        isBusy = false
        pthread_cond_broadcast(changed)
      }
      var one: UInt64 = 1
      write(wakeDescriptor, &one, 8)
    }
  }

  private func next() -> Operation? {
    locked {
      while !isShutDown, queue.isEmpty || isBusy || isLuaWaiting { pthread_cond_wait(changed, mutex) }
      guard !isShutDown else { return nil }
      isBusy = true
      current = queue.removeFirst()
      clua_stop_worker(current!.isCancelled ? 1 : 0)
      return current
    }
  }
}
