-- The page of a run: well formed, complete, and nothing in it is taken for markup.

local check = require "support.check"
local markup = require "support.markup"
local report = require "midtrain.report"
local scratch = require "support.scratch"

-- What a page needs of a run.
local function run(given)
  local history = {}
  for t = 1, 12 do
    history[t] = {
      reward = t / 12, ["rewards/match/mean"] = t == 3 and 0 / 0 or t / 24, budget = 20 - t,
      ["completions/mean_think_length"] = 18, loss = 1 / t, learning_rate = 1e-6, grad_norm = 1,
    }
  end
  local one = {
    name = "mid.rmt", t = 12, T = 20, seed = 3, status = "paused", history = history,
    logged = { ["completions.jsonl"] = { {
      step = 12, tier = "hard", target = "<b>", prediction = nil, reward = 0.5,
      text = "1 < 2 & \"quoted\" \xff\0</think><script>alert(1)</script>",
    } } },
  }
  for name, value in pairs(given or {}) do one[name] = value end
  return one
end

-- The page without its first line, which is no element.
local function counts_of(html)
  check.equal(html:match "^[^\n]*", "<!doctype html>")
  return markup.well_formed((html:gsub("^[^\n]*\n", "")))
end

local tests = {}

function tests.the_page_is_well_formed_and_shows_what_is_there()
  local html = report.html(run())
  local counts = counts_of(html)
  -- reward, thought, loss, gradient norm, learning rate: what has metrics.
  check.equal(select(2, html:gsub("<div><svg", "")), 5)
  check.equal({ counts.script, counts.link, counts.img }, {})
  for _, text in ipairs {
    "12 of 20 steps, seed 3, paused", "Completions of step 12", "nothing looks wrong",
    "1 &lt; 2 &amp; &quot;quoted&quot; \u{FFFD}\u{FFFD}&lt;/think&gt;&lt;script&gt;",
  } do
    assert(html:find(text, 1, true), text)
  end
  assert(not html:find("Changes under way", 1, true))
end

function tests.changes_have_a_marker_and_a_row()
  local out = scratch.path()
  os.execute(("mkdir -p '%s'"):format(out))
  local function write(name, text)
    local file <close> = assert(io.open(out .. "/" .. name, "w"))
    file:write(text)
  end
  write("journal.jsonl", '{"step":5,"name":"lambda","old":0.1,"new":0.2}\n'
    .. '{"step":5,"name":"budget","new":{"function":"return function(t) return t < n end","at":"x:1",'
    .. '"upvalues":{"n":3}}}\n{"step":9,"name":"top')
  write("config.json", '{"options":{"steps":20,"budget":{"function":"f<g"}}}')
  local html = report.html(run { out = out })
  counts_of(html)
  for _, text in ipairs {
    "lambda, budget", "return function(t) return t &lt; n end\n  where n = 3", "<pre>0.2</pre>",
    "Settings at the start", "f&lt;g",
  } do
    assert(html:find(text, 1, true), text)
  end
  scratch.remove(out)
end

function tests.a_run_without_steps_has_a_page()
  local html = report.html(run { history = {}, logged = {}, t = 0 })
  check.equal(counts_of(html).svg, nil)
  assert(html:find("no step was taken yet", 1, true))
end

return tests
