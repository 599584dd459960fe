-- The prompt's own part in Lua: what it prints, and what it offers besides Lua. Reading lines,
-- running them and jobs is native; what Tab offers is in complete.lua.

local complete = require "midtrain.complete"
local help = require "midtrain.help"
local mid = require "midtrain.native"
local options = require "midtrain.options"
local output = require "midtrain.output"
local show = require "midtrain.show"

local repl = { complete = complete.words }

-- Bytes as people read them.
local function bytes(count)
  local size = math.abs(count)
  if size < 1e6 then return ("%.0f kB"):format(count / 1e3) end
  return size < 1e9 and ("%.0f MB"):format(count / 1e6) or ("%.2f GB"):format(count / 1e9)
end

local callable = { { "function", "string" }, required = true, expected = "a function or code" }

--- Calls a function, or runs code, and says how long that took and what it left in memory; gives
--- its results.
function repl.time(f, ...)
  options.value("time", "f", f, callable)
  if type(f) == "string" then f = load("return " .. f, "=time") or assert(load(f, "=time")) end
  local before, started = mid.memory(), mid.clock()
  local results = table.pack(f(...))
  local seconds, after = mid.clock() - started, mid.memory()
  local left = after.lua + after.native - before.lua - before.native
  print(("%s · memory %s%s, at most %s so far"):format(
    seconds < 1 and ("%.3g ms"):format(seconds * 1e3) or ("%.2f s"):format(seconds),
    left < 0 and "−" or "+", bytes(math.abs(left)), bytes(after.peak)))
  return table.unpack(results, 1, results.n)
end

help.document {
  name = "?name", kind = "prompt", doc = "Help for a name: a function, an object, a module.",
  example = "?mid.rmt",
}
help.document {
  name = "!command", kind = "prompt", example = "!ls -l runs",
  doc = "Runs a shell command. Jobs go on only when it has ended.",
}
help.document {
  name = "time", kind = "prompt", returns = "what f returns",
  doc = "Calls f, or runs code, and prints how long it took, what it left in memory and the peak.",
  parameters = {
    { name = "f", type = "function|string", doc = "" },
    { name = "...", type = "any", doc = "its arguments", optional = true },
  },
  example = "time(model.entropy, model, \"2 + 2 = 4\")",
}
help.document {
  name = "_", kind = "prompt",
  doc = "What the last expression gave, as `ans`. An input that ends with `;` prints nothing.",
}

--- What the prompt's own names stand for, before it reads its first line.
function repl.begin()
  rawset(_G, "time", repl.time)
end

--- Prints the values of an expression and keeps the first as `_` and `ans`.
function repl.show(...)
  local first = ...
  if first ~= nil then
    rawset(_G, "_", first)
    rawset(_G, "ans", first)
  end
  local texts = table.pack(...)
  for i = 1, texts.n do texts[i] = show.format(texts[i]) end
  print(table.concat(texts, "\t"))
end

--- Prints the help for a name, function or object; see help.text.
function repl.help(topic, environment) print(help.text(topic, environment)) end

-- A transcript that is pasted has the prompt before its lines.
local function without_prompt(text)
  if not text:find "^> " then return text end
  return (("\n" .. text:sub(3)):gsub("\n>> ", "\n"):sub(2))
end

--- Compiles an input: a function; nil and what is wrong; or nil alone when it is the beginning of
--- something. An expression's function returns its values. `=expression` and `?name` are inputs, too.
---@param text string
---@param name string
---@return function? f, string? problem
---@return boolean is_silent whether a `;` at the end says that values are not to be shown
function repl.compile(text, name)
  text = without_prompt(text)
  local is_silent = (text:gsub("%-%-[^\n%]\"']*$", "")):find ";%s*$" ~= nil
  local topic = text:match "^%s*%?%s*(.-)%s*$"
  if topic then
    local help_code = ("require('midtrain.repl').help(%q, _ENV)"):format(topic)
    return mid.compile(help_code, name, text), nil, is_silent
  end
  local expression = text:gsub("^%s*=", "", 1):gsub(is_silent and ";[^;]*$" or "^$", "")
  local f, _, is_beginning = mid.compile("return " .. expression, name, text)
  if f then
    -- A call that is returned would leave no line of the person's in tracebacks; one that is passed on does.
    local close = expression:find("--", 1, true) and "\n)" or ")"
    local passed = "return (function(...) return ... end)(" .. expression .. close
    return mid.compile(passed, name, text) or f, nil, is_silent
  end
  local g, problem, is_incomplete = mid.compile(text, name)
  if g then return g, nil, is_silent end
  if is_incomplete or is_beginning then return nil, nil, is_silent end
  return nil, problem, is_silent
end

--- Calls `before(last)` ahead of everything that a job writes to the terminal, `last` being the
--- last character, so that the line that a person types can be put aside.
function repl.guard_output(before)
  output.observe(function(text) before(text:sub(-1)) end)
end

return repl
