local check = require "support.check"
local journal = require "midtrain.journal"

return {
  plain_values_stay = function()
    local value = { a = 1, b = { "x", true, 0.5 } }
    check.equal(journal.describe(value), value)
    check.equal(journal.describe { [7] = "x" }, { ["7"] = "x" })
    check.equal(journal.describe(0 / 0), tostring(0 / 0))
    check.equal(journal.describe(math.huge), "inf")
    check.equal(journal.describe "a\xffb", "a\u{FFFD}b")
  end,

  functions_become_their_source = function()
    local limit = 50
    local function schedule(t)
      return t < limit and 300 or 120
    end
    local described = journal.describe(schedule)
    check.equal(described["function"],
      "    local function schedule(t)\n      return t < limit and 300 or 120\n    end")
    assert(described.at:find "test_journal.lua:%d+$")
    check.equal(described.upvalues, { limit = 50 })
    check.equal(journal.describe(math.floor), { ["function"] = "native" })
  end,

  -- What is typed at a prompt has its text in the chunk itself.
  functions_from_a_string_become_their_line = function()
    local f = load("\nreturn function(t) return t end\n")()
    check.equal(journal.describe(f)["function"], "return function(t) return t end")
  end,

  -- The engine keeps the text of chunks that are only names, such as what is typed at the prompt.
  functions_from_a_named_chunk_ask_the_engine = function()
    local mid = require "midtrain.native"
    local f = load("return function() return 7 end", "=in[3]")()
    check.equal(journal.describe(f)["function"], "source not available")
    mid.source = function(name) return name == "=in[3]" and "f = function() return 7 end" or nil end
    local described = journal.describe(f)
    mid.source = nil
    check.equal(described["function"], "f = function() return 7 end")
  end,

  policies_say_their_numbers = function()
    local described = journal.describe(require "midtrain.budget".exponential { initial = 64 })
    check.equal(described.upvalues.initial, 64)
    check.equal(described.upvalues.gamma, 0.2)
  end,

  modules_are_named = function()
    local chunk = load "local budget = ...; return function() return budget end"
    local f = chunk(require "midtrain.budget")
    check.equal(journal.describe(f).upvalues, { budget = { module = "midtrain.budget" } })
    check.equal(journal.revive(journal.describe(f))(), require "midtrain.budget")
  end,

  functions_come_back = function()
    local factor, pair = 3, { 1, 2 }
    local function helper(x) return x * factor end
    local f = function(t) if t > 1 then return helper(t) end return pair[2] end
    local g = journal.revive(journal.describe(f))
    check.equal({ g(1), g(2) }, { 2, 6 })
    -- Several on one line, one inside the other, methods, several lines.
    local make = function(x) local y = 2 return function(s) return x * s + y end end
    check.equal(journal.revive(journal.describe(make(5)))(10), 52)
    check.equal(journal.revive(journal.describe(make))(5)(10), 52)
    local object = {}
    function object:scaled(x) return x * self.scale end
    check.equal(journal.revive(journal.describe(object.scaled))({ scale = 4 }, 2), 8)
    local function long(t, T)
      -- the end is not here
      if t < T then
        return "end"
      end
      return factor
    end
    g = journal.revive(journal.describe(long))
    check.equal({ g(1, 2), g(2, 2) }, { "end", 3 })
  end,

  what_cannot_come_back_is_said = function()
    local function problem(f) return select(2, journal.revive(journal.describe(f))) end
    local one, other = function() return 1 end, function() return 2 end
    assert(problem(one):find("the function of", 1, true), "two that look alike on one line")
    assert(problem(other))
    local object = setmetatable({}, { __tostring = function() return "an object" end })
    check.equal(problem(function() return object end), "an object")
    check.equal(problem(print), "the function of native code")
  end,
}
