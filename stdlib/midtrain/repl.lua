-- The prompt's own part in Lua: what it prints, completes and helps with. Reading lines, running them and jobs is
-- native.

local help = require "midtrain.help"
local mid = require "midtrain.native"
local output = require "midtrain.output"
local show = require "midtrain.show"

local repl = {}

-- Prints the values of an expression and keeps the first as `_` and `ans`.
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

-- Prints the help for a name, function or object; see help.text.
function repl.help(topic, environment) print(help.text(topic, environment)) end

-- Compiles an input: a function; nil and what is wrong; or nil alone when it is the beginning of something. An
-- expression's function returns its values. `=expression` and `?name` are inputs, too.
function repl.compile(text, name)
  local topic = text:match "^%s*%?%s*(.-)%s*$"
  if topic then
    return mid.compile(("require('midtrain.repl').help(%q, _ENV)"):format(topic), name, text)
  end
  local code = text:gsub("^%s*=", "return ", 1)
  local f, _, is_beginning = mid.compile("return " .. text, name, text)
  if f then return f end
  local g, problem, is_incomplete = mid.compile(code, name)
  if g or not (is_incomplete or is_beginning) then return g, problem end
end

-- Calls `before(last)` ahead of everything that a job writes to the terminal, `last` being the last character, so
-- that the line that a person types can be put aside.
function repl.guard_output(before)
  output.observe(function(text) before(text:sub(-1)) end)
end

-- ---- Completion. Raw access only: looking must never run a script's code.

local keywords = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local",
  "nil", "not", "or", "repeat", "return", "then", "true", "until", "while" }

-- The table behind a value's missing fields, if it is a plain one; a proxy says which, in `__fields`.
local function fallback(value)
  local metatable = debug.getmetatable(value)
  local index = type(metatable) == "table"
    and (rawget(metatable, "__fields") or rawget(metatable, "__index"))
  return type(index) == "table" and index or nil
end

-- The type of a native object, whose metatable shows scripts only its name.
local function type_name(value)
  local name = type(value) == "userdata" and getmetatable(value)
  return type(name) == "string" and name or nil
end

-- Follows a field. A native property is not read; what is known is the type that it will have: { type = "Tensor" }.
local function field(value, name)
  local object = type(value) == "table" and rawget(value, 1) == repl and value.type or type_name(value)
  if object then
    for _, entry in ipairs(help.members(object)) do
      if entry.name:match "[%w_]+$" == name and entry.kind == "property" then
        return { repl, type = entry.returns }
      end
    end
    return nil
  end
  local limit = 10
  while type(value) == "table" and limit > 0 do
    local found = rawget(value, name)
    if found ~= nil then return found end
    value, limit = fallback(value), limit - 1
  end
end

-- Calls add(name, is_function) for each field of a value.
local function each_field(value, add)
  local object = type(value) == "table" and rawget(value, 1) == repl and value.type or type_name(value)
  if object then
    for _, entry in ipairs(help.members(object)) do
      add(entry.name:match "[%w_]+$", entry.kind == "method")
    end
    return
  end
  local limit = 10
  if type(value) ~= "table" then value = fallback(value) end
  while value and limit > 0 do
    for name in next, help.modules(value) do add(name, false) end
    for key, item in next, value do
      if show.is_name(key) then add(key, type(item) == "function") end
    end
    value, limit = fallback(value), limit - 1
  end
end

-- What a word like `mid.js` or `model:gen` can become: a list of whole words, in order.
function repl.complete(word)
  local path, separator, start = word:match "^(.-)([.:]?)([%w_]*)$"
  local value = _G
  if separator ~= "" then
    for name in path:gmatch "[^.:]+" do value = field(value, name) end
    if path == "" or path:find "[^%w_.:]" or value == nil then return {} end
  end
  local seen, found = {}, {}
  local function add(name, is_function)
    if name:sub(1, #start) ~= start or seen[name] then return end
    if separator == ":" and not is_function then return end
    -- Methods of a native object want a colon.
    if separator == "." and is_function and type(value) == "userdata" then return end
    seen[name] = true
    found[#found + 1] = path .. separator .. name
  end
  each_field(value, add)
  if separator == "" then
    for _, keyword in ipairs(keywords) do add(keyword) end
  end
  table.sort(found)
  return found
end

return repl
