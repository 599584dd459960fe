import CLua
import Testing

import Script

extension ScriptTests {
  /// Calls from Lua into Swift: results, errors, and that neither leaks.
  @Suite struct BridgeTests {
    @Test func thousandErrorsLeakNothingAndRunEveryDefer() throws {
      Probe.reset()
      let state = makeState()
      try state.run("for i = 1, 1000 do assert(not pcall(mid.fail)) end")
      #expect(Probe.alive == 0)
      #expect(Probe.deferred == 1000)
    }

    @Test func errorsOfCallbacksPassThroughUnchanged() throws {
      Probe.reset()
      let state = makeState()
      try state.run(
        """
        local thrown = {}
        for i = 1, 1000 do
          local ok, caught = pcall(mid.apply, function() error(thrown) end, 1)
          assert(not ok and caught == thrown)
        end
        assert(mid.apply(function(x) return x * 2 end, 21) == 42)
        """)
      #expect(Probe.alive == 0)
      #expect(Probe.deferred == 1001)
    }

    @Test(arguments: [
      ("mid.generate()", "mid.generate: argument 1 (text): expected string, got nothing"),
      ("mid.generate(1)", "mid.generate: argument 1 (text): expected string, got number 1"),
      (
        "mid.generate('', {temperature = 'hot'})",
        "mid.generate: argument 2 (options.temperature): expected number ≥ 0, got string \"hot\""
      ),
      (
        "mid.generate('', {temperature = -1})",
        "mid.generate: argument 2 (options.temperature): expected number ≥ 0, got number -1"
      ),
      (
        "mid.generate('', {temprature = 1})",
        "mid.generate: argument 2 (options): unknown option 'temprature'; did you mean 'temperature'?"
      ),
      (
        "mid.generate('', {3})",
        "mid.generate: argument 2 (options): options have names, but a key is number 1"
      ),
      ("mid.generate('', 3)", "mid.generate: argument 2 (options): expected table of options, got number 3"),
      (
        "mid.generate('', {stop = {'a', 2}})",
        "mid.generate: argument 2 (options.stop[2]): expected string, got number 2"
      ),
      (
        "mid.generate('', {max_tokens = 0})",
        "mid.generate: argument 2 (options.max_tokens): expected integer ≥ 1, got number 0"
      ),
      ("mid.sum {1, 2, 'x'}", "argument 1 (list): expected list of numbers, got string \"x\" at position 3"),
      ("mid.ids {1, 2.5}", "argument 1 (ids): expected list of integers, got number 2.5 at position 2"),
      ("mid.ids {1 << 40}", "got number 1099511627776 at position 1"),
      ("mid.probe():gte()", "Probe has no field 'gte'; did you mean 'get'?"),
      ("mid.probe().get()", "probe:get was called on nil, not on a Probe; write `object:get(…)`"),
      ("mid.probe().fixed = 1", "probe.fixed can be read but not assigned"),
      ("mid.probe().value = 'x'", "probe.value: expected number, got string \"x\""),
      ("mid.probe().vaule = 1", "Probe has no field 'vaule'; did you mean 'value'?"),
      ("return mid.probe() + {}", "Probe.__add: argument 2 (right): expected number, got a table"),
      ("mid.fail()", "mid.fail: the probe broke"),
    ])
    func errorsSayWhatWasExpected(code: String, message: String) throws {
      let state = makeState()
      let error = #expect(throws: ScriptError.self) { try state.run(code, name: "=test") }
      let text = try #require(error).description
      #expect(text.contains(message))
      #expect(text.hasPrefix("test:1: "))
    }

    @Test func valuesCrossUnchanged() throws {
      try makeState().run(
        """
        local text, temperature, most, stops = mid.generate("a\\0b", { max_tokens = 3.0, stop = { "x", "y" } })
        assert(text == "a\\0b" and temperature == 1 and most == 3 and stops == 2)
        assert(mid.sum { 1, 2, 3.5 } == 6.5 and mid.sum {} == 0)
        local ids = mid.ids { 1, -2, 2147483647 }
        assert(#ids == 3 and ids[3] == 2147483647 and math.type(ids[1]) == "integer")
        local answer = mid.answer()
        assert(answer.ids[2] == 2 and answer.text == "x" and answer.none == nil)
        assert(mid.nested.deep.name() == "deep" and select("#", mid.nothing()) == 0)
        """)
    }

    @Test func objectsHaveMethodsPropertiesAndOperators() throws {
      Probe.reset()
      do {
        let state = makeState()
        try state.run(
          """
          local a = mid.probe(2)
          assert(a:get() == 2 and a.value == 2 and a.fixed == 7 and #a == 2)
          a.value = 5
          assert((a + 1).value == 6 and (1 + a).value == 6 and (a + a):get() == 10)
          assert(tostring(a) == "Probe(5.0)" and a == a and a ~= mid.probe(5))
          assert(getmetatable(a) == "Probe")
          do local b <close> = a end
          assert(tostring(a) == "Probe (closed)")
          local ok, message = pcall(a.get, a)
          """)
        #expect(Probe.deferred == 1)
        try state.run(
          """
          local a = mid.probe(1)
          do local b <close> = a end
          local ok, message = pcall(function() return a:get() end)
          assert(not ok and message:find("this Probe has been closed", 1, true), message)
          """)
      }
      #expect(Probe.alive == 0)
    }

    @Test func tracebacksShowSourceLines() throws {
      let error = #expect(throws: ScriptError.self) {
        try makeState().run("local function f()\n  local x = nil\n  return x.y\nend\nf()\n", name: "=in[1]")
      }
      let text = try #require(error).description
      #expect(text.contains("in[1]:3: attempt to index a nil value (local 'x')"))
      #expect(text.contains("in[1]:3: in local 'f'"))
      #expect(text.contains("    3 │ return x.y"))
      #expect(text.contains("    5 │ f()"))
    }

    @Test func everythingIsDocumented() {
      let entries = Registry.complete().entries
      #expect(Set(entries.map(\.name)).count == entries.count)
      for entry in entries {
        #expect(entry.doc.hasSuffix("."), "\(entry.name) has no sentence that says what it does")
        for parameter in entry.parameters + entry.parameters.flatMap(\.options) {
          #expect(!parameter.name.isEmpty && !parameter.type.isEmpty, "\(entry.name)")
        }
        #expect(entry.kind == .property || !entry.example.isEmpty, "\(entry.name) has no example")
      }
    }

    @Test func incompleteTextIsToldFromWrongText() throws {
      let state = makeState()
      let incomplete = #expect(throws: ScriptError.self) {
        try state.load(Array("for i = 1, 2 do".utf8), name: "=a")
      }
      #expect(incomplete?.kind == .incomplete)
      let wrong = #expect(throws: ScriptError.self) { try state.load(Array("for for".utf8), name: "=a") }
      #expect(wrong?.kind == .syntax)
    }

    @Test func theTapeBehindASmallObjectCounts() throws {
      Probe.reset()
      let state = makeState()
      (state.memory.softLimit, state.memory.allowance) = (10_000, 0)
      state.memory.tensorBytes = { Probe.alive * 1000 }
      try state.run("for i = 1, 1000 do mid.probe(i, 0) end")
      #expect(Probe.alive < 20)
      #expect(state.memory.collections > 50)
    }

    @Test func nativeMemoryDrivesCollection() throws {
      Probe.reset()
      let state = makeState()
      (state.memory.softLimit, state.memory.allowance) = (10_000, 0)
      state.memory.tensorBytes = { 0 }  // other tests hold tensors
      try state.run("for i = 1, 1000 do mid.probe(i, 1000) end")
      #expect(Probe.alive < 20)
      #expect(state.memory.bytes < 20_000)
      #expect(state.memory.softLimit == 10_000)
      try state.run("keep = {} for i = 1, 1000 do keep[i] = mid.probe(i, 1000) end")
      #expect(state.memory.bytes >= 1_000_000)
      #expect(state.memory.softLimit > 1_000_000)
      #expect(state.memory.collections < 150)
    }
  }
}
