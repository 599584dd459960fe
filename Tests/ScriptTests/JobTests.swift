import CLua
import Glibc
import Script
import Testing

extension ScriptTests {
  /// Jobs: functions that run beside each other on the Lua thread, their native work on the worker.
  @Suite struct JobTests {
    @Test func aJobGivesWhatItsFunctionReturns() throws {
      try makeState().run(
        """
        local job = mid.spawn(function(a, b) return a + b, nil, "x" end, 1, 2)
        assert(job.status == "running" and job.id == 1)
        local sum, none, text = job:wait()
        assert(sum == 3 and none == nil and text == "x" and job.status == "done")
        assert(select("#", job:wait()) == 3)
        assert(mid.spawn(function() end):wait() == nil)
        """)
    }

    @Test func luaGoesOnWhileNativeWorkRuns() throws {
      try makeState().run(
        """
        local turns, over = 0, false
        local long = mid.spawn(function() local value = mid.probe(5):wait(0.2) over = true return value end)
        local counter = mid.spawn(function() while not over do turns = turns + 1 mid.sleep(0.005) end end)
        assert(long:wait() == 5)
        counter:wait()
        assert(turns > 5, turns)
        """)
    }

    @Test func longWorkRunsOneAtATime() throws {
      try makeState().run(
        """
        local start, jobs = mid.clock(), {}
        for i = 1, 4 do jobs[i] = mid.spawn(function() return mid.probe(i):wait(0.05) end) end
        assert(mid.probe(9):wait(0.05) == 9)   -- in place, between two jobs' work
        for i, job in ipairs(jobs) do assert(job:wait() == i) end
        assert(mid.clock() - start >= 0.25)
        """)
    }

    @Test func errorsComeWithTheJobsTraceback() throws {
      let error = #expect(throws: ScriptError.self) {
        try makeState().run(
          """
          local function inner() error("boom") end
          local job = mid.spawn(function()
            inner()
          end)
          job:wait()
          """, name: "=test")
      }
      let text = try #require(error).description
      #expect(text.contains("job 1 failed: test:1: boom"))
      #expect(text.contains("    3 │ inner()"))
      #expect(text.contains("    5 │ job:wait()"))
    }

    @Test func aFailureThatNobodyWaitsForIsReported() throws {
      let state = makeState()
      var reports: [String] = []
      state.scheduler.onFailure = { reports.append($0) }
      try state.run("mid.spawn(function() error('lost') end) mid.spawn(function() mid.probe():wait('x') end)")
      try state.scheduler.finishAll()
      #expect(reports.count == 2)
      #expect(reports.first?.contains("lost") == true)
      #expect(reports.last?.contains("probe:wait: argument 1 (seconds): expected number") == true)
      #expect(state.scheduler.reportedFailures == 2)
    }

    @Test func errorsOfNativeWorkArriveInTheJob() throws {
      try makeState().run(
        """
        local job = mid.spawn(function() return pcall(mid.probe(1).wait, 3) end)
        local ok, message = job:wait()
        assert(not ok and message:find("was called on number 3", 1, true), message)
        """)
    }

    @Test(arguments: ["mid.sleep(1000)", "mid.probe():wait(1000)", "other:wait()"])
    func cancelledJobsEnd(code: String) throws {
      Probe.reset()
      do {
        let state = makeState()
        try state.run(
          """
          other = mid.spawn(function() mid.sleep(1000) end)
          local job = mid.spawn(function() local p <close> = mid.probe(1) \(code) end)
          mid.sleep(0.02)
          job:cancel()
          local ok, message = pcall(job.wait, job)
          assert(not ok and job.status == "cancelled" and message:find "cancelled", message)
          other:cancel()
          """)
        try state.scheduler.finishAll()
      }
      #expect(Probe.alive == 0)
    }

    @Test func waitingInsideAnotherCoroutineWorksInPlace() throws {
      try makeState().run(
        """
        local job = mid.spawn(function()
          local inner = coroutine.wrap(function() coroutine.yield(mid.probe(4):wait(0.01)) mid.sleep(0.01) return 5 end)
          local sorted = { 2, 1 }
          table.sort(sorted, function(a, b) mid.sleep(0.001) return a < b end)
          return inner(), inner(), sorted[1]
        end)
        local a, b, c = job:wait()
        assert(a == 4 and b == 5 and c == 1)
        """)
    }

    @Test func jobsThatWaitForEachOtherAreAnError() throws {
      try makeState().run(
        """
        local a, b
        a = mid.spawn(function() b:wait() end)
        b = mid.spawn(function() a:wait() end)
        local ok, message = pcall(a.wait, a)
        assert(not ok and message:find "wait for each other", message)
        local own
        own = mid.spawn(function() return pcall(own.wait, own) end)
        local _, why = own:wait()
        assert(why:find "cannot wait for itself", why)
        """)
    }

    @Test func noGradFollowsItsJob() throws {
      try makeState().run(
        """
        local function look() return (mid.recording() and "r" or "n") .. (mid.work_recording() and "r" or "n") end
        assert(look() == "rr")
        local a, b, none = mid.no_grad(function(x) return x, mid.no_grad(look) end, 7)
        assert(a == 7 and b == "nn" and none == nil)
        local ok, thrown = pcall(mid.no_grad, error, "value")
        assert(not ok and thrown == "value" and look() == "rr")

        local seen = {}
        local inside = mid.spawn(mid.no_grad, function()
          for i = 1, 3 do table.insert(seen, look()) mid.sleep(0.002) end
          return pcall(mid.no_grad, function() mid.sleep(0.001) error("x") end)
        end)
        local outside = mid.spawn(function() for i = 1, 5 do table.insert(seen, look()) mid.sleep(0.001) end end)
        mid.no_grad(function() inside:wait() outside:wait() assert(look() == "nn") end)
        table.sort(seen)
        assert(table.concat(seen, " ") == "nn nn nn rr rr rr rr rr", table.concat(seen, " "))
        assert(look() == "rr")
        """)
    }

    @Test func manyJobsLeakNothing() throws {
      Probe.reset()
      do {
        let state = makeState()
        state.scheduler.onFailure = { _ in }
        try state.run(
          """
          for i = 1, 1000 do
            mid.spawn(function()
              local p = mid.probe(i)
              p:wait(0)
              if i % 2 == 0 then error("even") end
            end)
          end
          """)
        try state.scheduler.finishAll()
        #expect(state.scheduler.reportedFailures == 500)
        state.memory.collect()
        #expect(Probe.alive < 10)
      }
      #expect(Probe.alive == 0)
    }
  }
}
