import CLua
import Glibc
import Script
import Testing

extension ScriptTests {
  /// Ctrl-C, as a real signal, while code runs.
  @Suite struct InterruptTests {
    /// Runs code and presses Ctrl-C until it ends, like a person who waits a little between presses.
    private func interrupted(_ code: String, presses limit: Int = 1) throws -> ScriptError {
      let state = makeState()
      Interrupt.install(waking: state.scheduler)
      Interrupt.clear()
      defer { Interrupt.clear() }
      let person = Person(presses: limit)
      defer { person.leave() }
      let error = #expect(throws: ScriptError.self) { try state.run(code, name: "=test") }
      return try #require(error)
    }

    @Test(arguments: [
      "while true do end",
      "while true do pcall(function() while true do end end) end",
      "while true do local ok, e = pcall(pcall, error) end",
      "coroutine.wrap(function() while true do end end)()",
      "local co = coroutine.create(function() while true do end end) coroutine.resume(co) while true do end",
      "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end",
      "while true do pcall(coroutine.wrap(function() while true do end end)) end",
      "table.sort({1, 2, 3}, function() while true do end end)",
      "setmetatable({}, {__index = function() while true do end end}).x = nil; "
        + "local _ = setmetatable({}, {__index = function() while true do end end}).x",
      "setmetatable({}, {__gc = function() while true do end end}) collectgarbage() while true do end",
      "debug.setmetatable({}, {__gc = function() pcall(error) while true do end end}) while true do local _ = {} end",
      "mid.apply(function() while true do end end, 1)",
      "mid.sleep(1000)",
      "mid.probe():wait(1000)",
      "mid.spawn(function() mid.sleep(1000) end):wait()",
      "mid.spawn(function() while true do coroutine.yield() end end):wait()",
    ])
    func onePressStops(code: String) throws {
      let error = try interrupted(code)
      #expect(error.kind == .interrupted)
      #expect(error.description.contains("interrupted"))
    }

    @Test func secondPressStopsABackgroundJobThatHoldsTheThread() throws {
      let error = try interrupted(
        "mid.spawn(function() while true do pcall(function() while true do end end) end end):wait()",
        presses: 2)
      #expect(error.kind == .interrupted)
    }

    @Test func nothingLingersAfterwards() throws {
      let state = makeState()
      Interrupt.install(waking: state.scheduler)
      Interrupt.clear()
      try state.run("co = coroutine.wrap(function() while true do coroutine.yield() end end)")
      let person = Person(presses: 1)
      #expect(throws: ScriptError.self) { try state.run("while true do co() end") }
      person.leave()
      Interrupt.clear()
      try state.run("local n = 0 for i = 1, 1e5 do n = n + i end assert(n == 5000050000)")
      try state.run("assert(debug.gethook() == nil)")
    }

    @Test func closeVariablesOfNativeObjectsStillClose() throws {
      Probe.reset()
      _ = try interrupted("local p <close> = mid.probe(1) while true do end")
      #expect(Probe.deferred == 1)
      #expect(Probe.alive == 0)
    }
  }
}

/// Presses Ctrl-C from another thread, some time after the start and at intervals.
private final class Person: @unchecked Sendable {
  private let presses: Int
  private var thread = pthread_t()
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private var isGone = false

  init(presses: Int) {
    self.presses = presses
    pthread_mutex_init(mutex, nil)
    pthread_create(
      &thread, nil,
      { argument in
        Unmanaged<Person>.fromOpaque(argument!).takeUnretainedValue().act()
        return nil
      }, Unmanaged.passUnretained(self).toOpaque())
  }

  deinit { mutex.deallocate() }

  private func act() {
    for _ in 0..<presses {
      usleep(50_000)
      pthread_mutex_lock(mutex)
      if !isGone { kill(getpid(), SIGINT) }
      pthread_mutex_unlock(mutex)
    }
  }

  /// Waits until the last press is done, so that none hits the next test.
  func leave() {
    pthread_mutex_lock(mutex)
    isGone = true
    pthread_mutex_unlock(mutex)
    pthread_join(thread, nil)
  }
}
