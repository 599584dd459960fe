-- help(), on the real engine's registry: nothing is without a text.

local check = require "support.check"
local functions = require "midtrain.functions"
local help = require "midtrain.help"
local mid = require "midtrain"
local tiny = require "support.tiny"

local function contains(text, ...)
  for _, part in ipairs { ... } do
    if not text:find(part, 1, true) then error(("expected %q in:\n%s"):format(part, text), 2) end
  end
end

local tests = {}

function tests.every_native_entry_has_a_text()
  local entries = mid.registry()
  assert(#entries > 80, #entries)
  for _, entry in ipairs(entries) do
    assert(#entry.doc >= 10, entry.name .. " has no doc")
    assert(entry.kind == "property" or entry.example ~= "", entry.name .. " has no example")
    contains(help.text(entry.name), entry.doc)
    for _, parameter in ipairs(entry.parameters) do
      for _, option in ipairs(parameter.options or {}) do
        contains(help.text(entry.name), option.name .. ": " .. option.type)
      end
    end
  end
end

function tests.every_function_of_the_library_has_a_text()
  local count, purposes = 0, getmetatable(mid).__modules
  for _, file in ipairs(mid.list(package.searchpath("midtrain", package.path):match "^(.*)/")) do
    local name = file:match "^(.*)%.lua$"
    local module = name ~= "init" and require("midtrain." .. name)
    for key, value in pairs(type(module) == "table" and module or {}) do
      if type(value) == "function" and not key:find "^__" then
        count = count + 1
        local comment = functions.comment(value)
        assert(comment and #comment.text > 10, ("mid.%s.%s has no comment"):format(name, key))
        local first = comment.text:match "[^\n]+"
        contains(help.text(value), first)
        if purposes[name] then contains(help.text(("mid.%s.%s"):format(name, key)), first) end
      end
    end
  end
  for name, purpose in pairs(purposes) do
    contains(help.text("mid." .. name), "mid." .. name)
    assert(#purpose > 5, name)
  end
  assert(count > 150, count)
end

function tests.options_are_shown_with_defaults()
  contains(help.text "mid.rmt", "steps: integer = 100", "docs: table, required",
    "lambda: number = 0.1",
    "budget: function = mid.budget.exponential { gamma = 0.2, initial = 800, minimum = 1 }",
    'loss_type: string = "dapo" (grpo |', "thresholds: table|function = { 0.5, 1.0, 1.5 }",
    "knob: can be assigned")
  contains(help.text(mid.budget.linear), "mid.budget.linear(given)", "final: number = 160")
  contains(help.text "model:generate", "temperature: number = 1.0", '"f32"|"bf16"')
end

function tests.runs_have_help()
  local run = tiny.rmt()
  rawset(_G, "run", run)
  local text, about_fork = help.text(run), help.text "run:fork"
  rawset(_G, "run", nil)
  contains(text, "run:start(", "run:pause(", "run:plot(", "temperature: number")
  contains(about_fork, "run:fork(given)", "A second future")
  for name, method in pairs(getmetatable(getmetatable(run).__fields).__index) do
    if type(method) == "function" then
      assert(functions.comment(method), ("run:%s has no comment"):format(name))
    end
  end
end

function tests.the_overview_lists_what_there_is()
  local text = help.text()
  for _, entry in ipairs(mid.registry()) do
    if entry.kind == "function" then contains(text, "  " .. entry.name .. "(") end
  end
  for name in pairs(getmetatable(mid).__modules) do contains(text, "mid." .. name) end
end

function tests.what_nobody_knows_is_said()
  check.equal(help.text "qwertz", "Nothing is called 'qwertz'; help() lists what there is.")
  contains(help.text "renam", "Nothing is called 'renam'", "mid.rename")
  contains(help.text(function() end), "no comment")
end

return tests
