-- How values look at the prompt, on the real engine.

local check = require "support.check"
local mid = require "midtrain"
local show = require "midtrain.show"
local tiny = require "support.tiny"

local tests = {}

function tests.plain_values()
  check.equal(show.format "as it is\n", "as it is\n")
  check.equal(show.format(0.1 + 0.2), tostring(0.1 + 0.2))
  check.equal(show.format {}, "{}")
  check.equal(show.format { 1, 2.5, "x", true, a = 1, ["b c"] = 2 },
    '{ 1, 2.5, "x", true, a = 1, ["b c"] = 2 }')
  check.equal(show.format { 1 / 3, 1e-9, 2.0 }, "{ 0.333333, 1e-09, 2.0 }")
end

function tests.texts_in_tables()
  check.equal(show.format { 'a "b"\\\n\t\0ä' }, [[{ "a \"b\"\\\n\t\x00ä" }]])
  check.equal(show.format { "\xe4x" }, [[{ "\xe4x" }]])
  check.equal(show.format { ("ä"):rep(500) },
    ('{\n  "%s"… 200 more bytes\n}'):format(("ä"):rep(400)))
end

function tests.many_texts_and_objects_in_tables()
  local documents = {}
  for i = 1, 12 do documents[i] = ("d"):rep(100) end
  local text = show.format(documents)
  assert(text:find(('\n  "%s"… 30 more bytes,\n'):format(("d"):rep(70)), 1, true), text)
  assert(select(2, text:gsub("\n", "")) == 13, text)
  check.equal(show.format { w = mid.tensor { { 1, 2 }, { 3, 4 } } }, "{ w = Tensor [2, 2] f32 }")
end

function tests.depth_and_length_are_capped()
  check.equal(show.format { { { { { 1 } } } } }, "{ { { { {…} } } } }")
  local list = {}
  for i = 1, 100 do list[i] = i end
  check.equal(show.format(list):match "40, (.*)\n}$", "… 60 more")
  check.equal(show.format { list }, "{ { 1, 2, 3, 4, 5, 6, … 94 more } }")
  check.equal(show.format { { 1, 2, 3, 4, 5, 6, 7, 8 } }, "{ { 1, 2, 3, 4, 5, 6, 7, 8 } }")
  list.name = "kept"
  check.equal(show.format { list }, '{ { 1, 2, 3, 4, 5, 6, name = "kept", … 94 more } }')
  local own = {}
  own.own = own
  check.equal(show.format(own), "{ own = { the table around it } }")
end

function tests.functions_say_what_they_are()
  check.equal(show.format(mid.load), "function mid.load")
  check.equal(show.format(mid.budget.linear), "function mid.budget.linear")
  check.equal(show.format(mid.budget.linear { initial = 400, final = 50 }),
    "function of mid.budget.linear { final = 50, initial = 400, minimum = 1 }")
  local typed = function(t, T) return t / T end
  check.equal(show.format(typed), "function(t, T) return t / T end")
  check.equal(show.format { mid.budget.none() }, "{ function of mid.budget.none }")
  local elsewhere = load("return function(x)\n return x end", "=there")()
  check.equal(show.format(elsewhere), "function (there:1)")
  check.equal(show.format(math.floor), "function math.floor")
end

function tests.what_models_give()
  local model = tiny.model()
  assert(show.format(model):find "^Llama  %d+%.%d K parameters · 2 layers")
  assert(show.format(model.tokenizer):find "^Tokenizer  %d+ tokens · ")
  local samples = model:generate("1 + 1 =", { n = 2, max_tokens = 12, stop = {} })
  local text = show.format(samples)
  for _, sample in ipairs(samples) do assert(text:find('text = "', 1, true), text) end
  assert(select(2, text:gsub("\n", "")) < 14, text)
  check.equal(show.format(mid.tensor { { 1, 2 }, { 3, 4 } }), "Tensor [2, 2] f32\n  1  2\n  3  4")
  assert(show.format(tiny.rmt()):find "step 0/6")
end

function tests.functions_that_are_not_the_library_s_have_their_names()
  require "midtrain.output".install()
  check.equal(show.format(print), "function print(...)")
  check.equal(show.format(string.rep), "function string.rep")
  check.equal(show.format(setmetatable), "function setmetatable")
end

return tests
