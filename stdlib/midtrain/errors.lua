-- Errors as people read them: at the line of theirs that is to blame, with its text. What the library
-- does inside is left out; a wrong argument is told by what the comment above the function (---@param)
-- says of it, and a field that is not there by the nearest one that is.

local blame = require "midtrain.blame"
local functions = require "midtrain.functions"
local mid = require "midtrain.native"
local options = require "midtrain.options"

local errors = {}

-- What raises messages of somebody's own; anything else raises Lua's or the engine's.
local raisers = { [error] = true, [assert] = true }

-- Arguments ---------------------------------------------------------------------------------------

-- The type that the documentation of a parameter begins with.
local function type_in(doc)
  local depth, at = 0, 1
  while at <= #doc do
    local character = doc:sub(at, at)
    if character:find "[%({<]" then depth = depth + 1 end
    if character:find "[%)}>]" then depth = depth - 1 end
    local is_end = character == " " and depth == 0
    if is_end and doc:sub(at - 2, at - 1) ~= "):" then return doc:sub(1, at - 1) end
    at = at + 1
  end
  return doc
end

local plain = { string = true, boolean = true, ["nil"] = true, table = true, userdata = true }

-- Whether a value can be of one of the types. Of a class only what is surely none is refused.
local function accepts(expression, value)
  local kind = type(value)
  for _, part in ipairs(functions.parts(expression, "|")) do
    if part:find "%?$" and value == nil then return true end
    part = part:gsub("%?$", "")
    local is_table = part:find "%[%]$" or part:find "^{" or part:find "^table"
    if part == "any" or part == kind then return true end
    if part == "integer" then
      if kind == "number" and math.tointeger(value) then return true end
    elseif part == "function" or part:find "^fun%(" then
      local metatable = debug.getmetatable(value)
      if kind == "function" or type(metatable) == "table" and rawget(metatable, "__call") then return true end
    elseif part:find '^"' then
      if kind == "string" then return true end
    elseif is_table then
      if kind == "table" then return true end
    elseif not plain[part] and part ~= "number" then
      if kind == "table" or kind == "userdata" or kind == "function" then return true end
    end
  end
  return false
end

local function show(value)
  if value == nil then return "nothing" end
  if type(value) == "string" then return ("string %q"):format(value:sub(1, 60)) end
  if type(value) == "number" then return "number " .. tostring(value) end
  return "a " .. type(value)
end

-- What is wrong with the arguments of the library's function at a stack level, as the engine says it
-- of its own; nil if nothing is, as far as its comment tells.
local function misuse(comment, level)
  for i, parameter in ipairs(comment.parameters) do
    local name, expression = parameter.name:gsub("%?$", ""), type_in(parameter.doc)
    if parameter.name:find "%?$" and not expression:find "%?$" then expression = expression .. "?" end
    for index = 1, 20 do
      local variable, value = debug.getlocal(level + 1, index)
      if not variable then break end
      if variable == name and not accepts(expression, value) then
        return ("argument %d (%s): expected %s, got %s"):format(i, name, expression:gsub("%?$", ""), show(value))
      end
    end
  end
end

-- Fields that are not there -----------------------------------------------------------------------

-- What the names in a function at a stack level stand for, as a table.
local function scope_of(level)
  local scope, f = {}, debug.getinfo(level + 1, "f").func
  local environment = _G
  for index = 1, 250 do
    local name, value = debug.getupvalue(f, index)
    if not name then break end
    if name == "_ENV" then environment = value else scope[name] = value end
  end
  for index = 1, 250 do
    local name, value = debug.getlocal(level + 1, index)
    if not name then break end
    scope[name] = value
  end
  return setmetatable(scope, { __index = environment })
end

-- The name that was meant where what is called or indexed is nil, if one is near.
local function meant(message, level)
  local kind, name = message:match "attempt to %a+ a nil value %((%a+) '([^']+)'%)"
  if not name then return nil end
  local info = debug.getinfo(level + 1, "Slf")
  local line = (functions.lines(info.func) or {})[info.currentline] or ""
  local before = line:match(("([%%w_.]*[.:])%s%%f[^%%w_]"):format(name))
  if kind == "global" then before = "" elseif not before then return nil end
  local known = {}
  local complete = require "midtrain.complete"
  for _, word in ipairs(complete.words(before, "", scope_of(level + 1))) do
    known[word:sub(#before + 1)] = true
  end
  local nearest = options.nearest(name, known)
  -- Names of two letters, such as `os`, are near to too much.
  return nearest and #nearest > 2 and before .. nearest or nil
end

-- Messages ----------------------------------------------------------------------------------------

-- What goes before a message that blames a line.
local function place(info) return ("%s:%d: "):format(info.short_src, info.currentline) end

--- The line of source text that a message like `in[1]:2: unexpected symbol near '}'` is about, below
--- it, as in tracebacks; the message alone if that line is not there to read.
---@param message string
---@return string
function errors.with_line(message)
  local chunk, number = message:match("[^\n]*$"):match "^\t?(.-):(%d+): "
  if not chunk then return message end
  chunk = message:match "from file '([^\n']+)'" or chunk
  local text = mid.source and mid.source("=" .. chunk)
  local file <close> = not text and io.open(chunk) or nil
  text = text or file and file:read "a" or ""
  local at = 0
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    at = at + 1
    if at == tonumber(number) and line ~= "" then
      return ("%s\n    %d │ %s"):format(message, at, line:match "^%s*(.*)")
    end
  end
  return message
end

-- A message about what the library did for the code at a stack level, in words of that code: with the
-- place of that, and with what is wrong with the arguments, if the library did not say so itself.
local function from_outside(message, found, is_own)
  local text, called = message, found.called + 1
  for _, info in ipairs(found.inner) do
    if message:sub(1, #place(info)) == place(info) then text = message:sub(#place(info) + 1) end
  end
  local comment = functions.comment(debug.getinfo(called, "f").func)
  if not is_own then
    local name = comment and comment.name or debug.getinfo(called, "n").name or "the library"
    -- Those are methods of every run.
    name = name:gsub("^mid%.views%.", "run:"):gsub("^mid%.training%.", "run:")
    local wrong = comment and misuse(comment, called)
    text = ("%s: %s"):format(name, wrong or ("%s (at %s:%d)"):format(text,
      found.inner[1].short_src:match "[^/]*$", found.inner[1].currentline))
  end
  return place(found.outer) .. text
end

-- A traceback without what belongs to the library.
local function without(traceback, places)
  local kept, is_dropped = {}, false
  for line in (traceback .. "\n"):gmatch "(.-)\n" do
    local source = line:match "^  (%S.-):%d+: in " or line:match "^  (%[C%]): in "
    if source then is_dropped = places[source] ~= nil end
    if not is_dropped then kept[#kept + 1] = line end
  end
  while kept[#kept] and kept[#kept]:find "^  %[C%]: in " do kept[#kept] = nil end
  return table.concat(kept, "\n")
end

-- What lies deeper is not asked for: that takes the longer the deeper it is.
local deepest = 1000

-- The stack below a handler of errors: the innermost code outside of the library with its level, frames of
-- the library above that, and all places of the library.
local function look()
  local found, level = { inner = {}, places = {} }, 3
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info or level > deepest then return found end
    if info.currentline > 0 then
      local is_library = blame.is_library(info.source)
      if is_library then found.places[info.short_src] = true end
      if not found.outer then
        if is_library then
          found.inner[#found.inner + 1], found.called = info, level - 1
        else
          found.outer, found.level = info, level - 1
        end
      end
    end
    level = level + 1
  end
end

--- For xpcall: a message with the calls of the person's code that led to it, once. Of what the library
--- itself gives up in a job of its own, the message alone.
---@param message any
---@param is_passed_on boolean? whether a handler of the engine calls this, which the stack then has above the error
---@return any
function errors.traced(message, is_passed_on)
  local is_text = type(message) == "string"
  if is_text and message:find("\nstack traceback:\n", 1, true) then return message end
  -- Of an endless recursion the line says enough; going over all its calls would take minutes.
  if is_text and message:find("stack overflow", 1, true) then
    return errors.with_line(message:match "[^\n]*")
  end
  local found = is_text and look()
  local raiser = debug.getinfo(is_passed_on and 3 or 2, "f").func
  if not found or not found.outer then
    local all = is_text and raisers[raiser] and message or (mid.traceback(message, 2))
    -- Code of a coroutine that ended is not on this stack: its line is all there is.
    return all == message and is_text and errors.with_line(message) or all
  end
  local head = place(found.outer)
  local is_placed = message:sub(1, #head) == head
  if found.called and not is_placed then
    local is_own = raisers[raiser] or message:find "interrupted$"
    message = from_outside(message, found, is_own)
  elseif not found.called then
    local name = meant(message, found.level)
    if name then message = ("%s; did you mean '%s'?"):format(message, name) end
  end
  -- Code that does not compile, of a file that was to be loaded.
  if message:find " near " then
    message = is_placed and head .. errors.with_line(message:sub(#head + 1)) or errors.with_line(message)
  end
  return without(mid.traceback(message, found.level), found.places)
end

return errors
