import Foundation
import Testing

import Script

extension ScriptTests {
  /// Tensors as scripts use them.
  @Suite struct TensorTests {
    private func makeState() -> LuaState {
      let registry = Registry()
      registry.addSystem()
      registry.addJobs()
      registry.addTensors()
      let state = LuaState(registry)
      try! state.run(
        """
        mid = require 'midtrain.native'
        function same(t, expected)
          local function equal(a, b)
            if type(a) ~= "table" then return a == b end
            if #a ~= #b then return false end
            for i = 1, #a do if not equal(a[i], b[i]) then return false end end
            return true
          end
          local list = type(t) == "userdata" and t:tolist() or t
          assert(equal(list, expected), tostring(t))
        end
        """)
      return state
    }

    @Test func tensorsComeFromListsAndGoBack() throws {
      try makeState().run(
        """
        same(mid.tensor(3), 3)
        same(mid.tensor { 1, 2, 3 }, { 1, 2, 3 })
        same(mid.tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } }, { { 1, 2 }, { 3, 4 }, { 5, 6 } })
        same(mid.tensor { { { 1 } }, { { 2 } } }, { { { 1 } }, { { 2 } } })
        same(mid.tensor {}, {})
        same(mid.tensor { {}, {} }, { {}, {} })
        same(mid.tensor { { 1, 2, 3 } }.shape, { 1, 3 })
        assert(#mid.tensor(1).shape == 0 and mid.tensor { 7 }:item() == 7)
        """)
    }

    @Test func operatorsBroadcastAndTakeNumbers() throws {
      try makeState().run(
        """
        local t, row = mid.tensor { { 1, 2 }, { 3, 4 } }, mid.tensor { 10, 20 }
        same(t + row, { { 11, 22 }, { 13, 24 } })
        same(t - 1, { { 0, 1 }, { 2, 3 } })
        same(1 - t, { { 0, -1 }, { -2, -3 } })
        same(2 * t, { { 2, 4 }, { 6, 8 } })
        same(row / t, { { 10, 10 }, { 10 / 3 - (10 / 3 - (row / t):tolist()[2][1]), 5 } })
        same(t ^ 2, { { 1, 4 }, { 9, 16 } })
        same(2 ^ row:slice(1, 1, 1), { 1024 })
        same(-t, { { -1, -2 }, { -3, -4 } })
        assert(t == t and t ~= row)
        """)
    }

    @Test func methods() throws {
      try makeState().run(
        """
        local t = mid.tensor { { 1, -2 }, { -3, 4 } }
        same(t:abs(), { { 1, 2 }, { 3, 4 } })
        same(t:clamp(-2, 2), { { 1, -2 }, { -2, 2 } })
        same(t:clamp(-math.huge, 0), { { 0, -2 }, { -3, 0 } })
        same(t:minimum(0), { { 0, -2 }, { -3, 0 } })
        same(t:maximum(mid.tensor { 0, 5 }), { { 1, 5 }, { 0, 5 } })
        same(t:gt(0), { { true, false }, { false, true } })
        same(t:ge(1), { { true, false }, { false, true } })
        same(t:lt(-2), { { false, false }, { true, false } })
        same(t:le(-2), { { false, true }, { true, false } })
        same(t:eq(4), { { false, false }, { false, true } })
        same(t:where(t:gt(0), 9), { { 1, 9 }, { 9, 4 } })
        same(t:sum(), 0)
        same(t:sum(1), { -2, 2 })
        same(t:sum(-1), { -1, 1 })
        same(t:mean(2), { -0.5, 0.5 })
        same(t:max(), 4)
        same(t:min(1), { -3, -2 })
        same(t:slice(2, 2, 2), { { -2 }, { 4 } })
        same(t:slice(1, -1), { { -3, 4 } })
        same(t:slice(1, 2, 1), {})
        same(t:reshape { 4 }, { 1, -2, -3, 4 })
        same(t:reshape { -1, 1 }:transpose(), { { 1, -2, -3, 4 } })
        same(mid.tensor { 0, 4, 9 }:sqrt(), { 0, 2, 3 })
        same(mid.tensor { 0 }:exp(), { 1 })
        same(mid.tensor { 1 }:log(), { 0 })
        same(mid.tensor { 0 }:sigmoid(), { 0.5 })
        same(mid.tensor { 0 }:tanh(), { 0 })
        same(mid.tensor { 5, 5 }:softmax(), { 0.5, 0.5 })
        assert(math.abs(mid.tensor { 5, 5 }:log_softmax(1):tolist()[2] + math.log(2)) < 1e-6)
        """)
    }

    @Test func gradientsFlowAndAddUp() throws {
      try makeState().run(
        """
        local x = mid.tensor { 1, 2, 3 }
        assert(not x.requires_grad and x.grad == nil)
        x.requires_grad = true
        local function loss() return (x * x):sum() end
        loss():backward()
        same(x.grad, { 2, 4, 6 })
        loss():backward()
        same(x.grad, { 4, 8, 12 })
        local product = x:detach() * x
        product:sum():backward()
        same(x.grad, { 5, 10, 15 })
        x.requires_grad = false
        assert(x.grad == nil)
        local job = mid.spawn(function()
          x.requires_grad = true
          loss():backward()
          return x.grad
        end)
        same(job:wait(), { 2, 4, 6 })
        """)
    }

    @Test func withoutGradients() throws {
      try makeState().run(
        """
        local x = mid.tensor { 1, 2 }
        x.requires_grad = true
        local a, b = mid.no_grad(function(k) return (x * k):sum(), "two" end, 3)
        assert(a:item() == 9 and b == "two" and select("#", mid.no_grad(function() end)) == 0)
        assert(not pcall(a.backward, a))
        assert(pcall(function() x:sum():backward() end), "recording goes on afterwards")

        local thrown = {}
        local ok, caught = pcall(mid.no_grad, function() error(thrown) end)
        assert(not ok and caught == thrown)
        assert(pcall(function() x:sum():backward() end), "and after an error")

        mid.no_grad(function()
          mid.no_grad(function() end)
          local hidden = x:sum()
          assert(not pcall(hidden.backward, hidden), "the inner one does not end the outer one")
        end)
        """)
    }

    @Test func jobsWithoutGradientsDoNotDisturbOthers() throws {
      try makeState().run(
        """
        local x = mid.tensor { 1, 2 }
        x.requires_grad = true
        local inside = false
        local quiet = mid.spawn(function()
          return mid.no_grad(function()
            inside = true
            mid.sleep(0.02)
            inside = false
            local s = x:sum()
            return pcall(s.backward, s)
          end)
        end)
        local loud = mid.spawn(function()
          while not inside do mid.sleep(0.001) end
          x:sum():backward()
          return inside
        end)
        assert(loud:wait() == true and quiet:wait() == false)
        same(x.grad, { 1, 1 })
        """)
    }

    @Test(arguments: [
      ("mid.tensor('x')", "argument 1 (values): expected number, list, or lists of lists, got string \"x\""),
      (
        "mid.tensor {1, 'x'}", "argument 1 (values): expected list of numbers, got string \"x\" at position 2"
      ),
      ("mid.tensor {{1, 2}, {3}}", "argument 1 (values[2]): expected shape [2] as before it, got [1]"),
      ("mid.tensor {{1, 2}, 3}", "argument 1 (values[2]): expected list as the ones before it, got number 3"),
      ("return mid.tensor {1, 2} + mid.tensor {1, 2, 3}", "add: cannot broadcast [2] with [3]"),
      ("return mid.tensor {1} + 'x'", "argument 2 (right): expected Tensor or number, got string \"x\""),
      (
        "mid.tensor({1}):sum(2)",
        "argument 1 (dim): expected dimension from 1 to 1 (or from the end, -1), got number 2"
      ),
      ("mid.tensor({1}):sum(0)", "got number 0"),
      ("mid.tensor({1, 2}):slice(1, 1, 3)", "1 to 3 lies outside of 1 to 2, dimension 1 of [2]"),
      ("mid.tensor({1, 2}):item()", "tensor:item: expected a tensor with one element, got shape [2]"),
      ("mid.tensor({1, 2}):reshape {3}", "tensor:reshape: the 2 elements of [2] do not fill [3]"),
      ("mid.tensor(1):backward()", "does not depend on anything that requires a gradient"),
      ("mid.tensor(1):exq()", "Tensor has no field 'exq'; did you mean 'exp'?"),
      ("mid.no_grad(1)", "mid.no_grad: argument 1 (f): expected function, got number 1"),
      (
        "local x = mid.tensor(1) x.requires_grad = true local y = x * 2 y.requires_grad = true",
        "an operation made this tensor"
      ),
    ])
    func errors(code: String, message: String) throws {
      let error = #expect(throws: ScriptError.self) { try makeState().run(code, name: "=test") }
      #expect(try #require(error).description.contains(message), "\(String(describing: error))")
    }

    @Test func printing() throws {
      try makeState().run(
        """
        local function shows(t, text) assert(tostring(t) == text, tostring(t)) end
        shows(mid.tensor(2.5), "Tensor 2.5")
        shows(mid.tensor {}, "Tensor [0] f32")
        shows(mid.tensor { 1, -2.25 }, "Tensor [2] f32\\n      1  -2.25")
        local x = mid.tensor { { 1, 2 }, { 3, 40 } }
        x.requires_grad = true
        shows(x, "Tensor [2, 2] f32, requires_grad\\n   1   2\\n   3  40")
        shows((x * 2):sum(), "Tensor 92, recorded")
        local list = {}
        for i = 1, 100 do list[i] = i end
        shows(mid.tensor(list), "Tensor [100] f32  1 to 100, mean 50.5\\n    1    2    3    4    …   97   98   99  100")
        shows(mid.tensor(list):reshape { 50, 2 }, "Tensor [50, 2] f32  1 to 100, mean 50.5\\n" ..
          "    1    2\\n    3    4\\n    5    6\\n    7    8\\n  …\\n   93   94\\n   95   96\\n   97   98\\n   99  100")
        list[1] = 0 / 0
        assert(tostring(mid.tensor(list)):find("1 not finite", 1, true))
        """)
    }

    @Test func everyExampleRuns() throws {
      let state = makeState()
      let others = Registry()
      others.addSystem()
      others.addJobs()
      let known = Set(others.entries.map(\.name))
      let entries = state.registry.entries.filter { !known.contains($0.name) }
      #expect(entries.count >= 130)
      let scratch = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
      try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: scratch) }
      for entry in entries {
        #expect(!entry.doc.isEmpty && (entry.kind == .property) == entry.example.isEmpty, "\(entry.name)")
        try state.run(
          """
          print = function() end
          scratch = '\(scratch.path)'
          t, logp, old = mid.tensor { { 1, 2 }, { 3, 4 } }, mid.tensor { -1 }, mid.tensor { -2 }
          x = mid.tensor { 0.5, -1.5 }
          rewards = mid.tensor { 0, 1 }
          rewards.requires_grad, x.requires_grad = true, true
          loss = rewards:sum()
          model, batch = { logprobs = function() return t end }, {}
          """)
        do { try state.run(entry.example) } catch { Issue.record("\(entry.name): \(error)") }
      }
    }

    @Test func manyTensorsDoNotPileUp() throws {
      let state = makeState()
      state.memory.softLimit = 1 << 20
      try state.run("local t = mid.tensor(0):reshape { 1 } for i = 1, 20000 do t = t + 1 end")
      #expect(state.memory.bytes < 4 << 20)
    }
  }
}
