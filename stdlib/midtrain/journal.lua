-- What a run writes down: values in a form that JSON can hold, with the source text of functions,
-- and lines appended to files.

local functions = require "midtrain.functions"
local mid = require "midtrain.native"

local journal = {}

local describe

-- The name of a module; nil for anything else.
local function module_name(value)
  for name, module in pairs(package.loaded) do
    if module == value then return name end
  end
end

-- What a function closes over may be nothing, a module, or an object that no text can make again.
local function describe_upvalue(value, depth)
  if value == nil then return { ["nil"] = true } end
  local kind = type(value)
  local module = kind == "table" and module_name(value)
  if module then return { module = module } end
  if kind == "userdata" or kind == "thread" or kind == "table" and getmetatable(value) then
    return { object = tostring(value) }
  end
  return describe(value, depth)
end

-- A function: its source, where it is from, and the values that it closes over, since the source of
-- a schedule says little without its numbers.
local function describe_function(f, depth)
  local info = debug.getinfo(f, "S")
  if info.what == "C" then return { ["function"] = "native" } end
  local upvalues, index = {}, 1
  while true do
    local name, value = debug.getupvalue(f, index)
    if not name then break end
    if name ~= "_ENV" then upvalues[name] = describe_upvalue(value, depth + 1) end
    index = index + 1
  end
  local lines = functions.lines(f)
  return {
    ["function"] = lines and table.concat(lines, "\n", info.linedefined,
      math.min(#lines, info.lastlinedefined)) or "source not available",
    at = ("%s:%d"):format(info.short_src, info.linedefined),
    -- Of its code without names, to tell it from others on the same lines.
    size = #string.dump(f, true),
    upvalues = next(upvalues) and upvalues or nil,
  }
end

-- A table item by item; nothing for modules, which a closure may well refer to, and only the name
-- of an object.
local function describe_table(value, depth)
  local metatable = getmetatable(value)
  if metatable then return tostring(value) end
  if module_name(value) then return nil end
  local copy, is_list = {}, #value > 0
  for key, item in pairs(value) do
    -- JSON has lists and objects with names, and nothing between them.
    if not is_list then key = tostring(key) end
    copy[key] = describe(item, depth + 1)
  end
  return copy
end

function describe(value, depth)
  local kind = type(value)
  if depth > 8 then return "…" end
  if kind == "function" then return describe_function(value, depth) end
  if kind == "table" then return describe_table(value, depth) end
  if kind == "number" and (value ~= value or math.abs(value) == math.huge) then
    return tostring(value)
  end
  if kind == "string" and not utf8.len(value) then
    -- A token may end inside a character, and JSON is UTF-8.
    return (value:gsub("[\x80-\xff]", "\u{FFFD}"))
  end
  if kind == "userdata" or kind == "thread" then return tostring(value) end
  return value
end

--- A value as data that JSON can hold; nil where there is nothing to say.
---@param value any
---@return any
function journal.describe(value) return describe(value, 0) end

-- Compiles every function that a text defines, with the right names outside: from each `function` to
-- each `end` that makes a whole. Lines are counted from `line` on.
local function functions_in(text, line, upvalues)
  local names, found = {}, {}
  for name in pairs(upvalues) do names[#names + 1] = name end
  table.sort(names)
  local header = #names > 0 and ("local %s; "):format(table.concat(names, ", ")) or ""
  header = ("\n"):rep(line - 1) .. header .. "return "
  for start, name, list in text:gmatch "()%f[%w_]function%s*([%w_.:]*)%s*()%(" do
    local parameters = name:find ":" and "self, " or ""
    for finish in text:sub(list):gmatch "%f[%w_]end%f[^%w_]()" do
      local body = text:sub(list + 1, list + finish - 2)
      if body:find "^%s*%)" then parameters = parameters:gsub(", $", "") end
      local before = select(2, text:sub(1, start - 1):gsub("\n", ""))
      local chunk = load(("\n"):rep(before) .. header .. "function(" .. parameters .. body, "=journal")
      if chunk then
        found[#found + 1] = chunk()
        break
      end
    end
  end
  return found
end

-- The one function in a described text that is the described one: others on its lines differ in what
-- they close over or in the size of their code.
local function compile(described)
  local line = math.tointeger(described.at and described.at:match ":(%d+)$") or 1
  -- Only messages need it, and a damaged one may be anything.
  if line < 1 or line > 1000000 then line = 1 end
  local upvalues, match = described.upvalues or {}, nil
  for _, f in ipairs(functions_in(described["function"], line, upvalues)) do
    local count, index = 0, 1
    while true do
      local name = debug.getupvalue(f, index)
      if not name then break end
      if name ~= "_ENV" then
        if upvalues[name] == nil then break end
        count = count + 1
      end
      index = index + 1
    end
    local wanted = 0
    for _ in pairs(upvalues) do wanted = wanted + 1 end
    if not debug.getupvalue(f, index) and count == wanted
      and #string.dump(f, true) == described.size then
      if match then return nil end
      match = f
    end
  end
  return match
end

local function revive(described)
  if described == "…" then return nil, "what lies that deep" end
  if type(described) ~= "table" then return described end
  if described["nil"] then return nil end
  if described.module then return require(described.module) end
  if described.object then return nil, described.object end
  local source = described["function"]
  if not source then
    local copy = {}
    for key, item in pairs(described) do
      local value, problem = revive(item)
      if problem then return nil, problem end
      copy[key] = value
    end
    return copy
  end
  local f, upvalues = compile(described), described.upvalues or {}
  if not f then return nil, ("the function of %s"):format(described.at or "native code") end
  local index = 1
  while true do
    local name = debug.getupvalue(f, index)
    if not name then break end
    if name ~= "_ENV" then
      local value, problem = revive(upvalues[name])
      if problem then return nil, problem end
      debug.setupvalue(f, index, value)
    end
    index = index + 1
  end
  return f
end

--- The opposite of `describe`: a value again, functions from their source text and the values that
--- they close over. Nil, and what could not be made, where something is missing: a function without
--- source, or one that closes over an object.
---@param described any
---@return any value, string? problem
function journal.revive(described)
  local ok, value, problem = pcall(revive, described)
  if not ok then return nil, "what is damaged in the journal" end
  return value, problem
end

--- The objects of a file of lines. A last line that was not finished is passed over; nothing if
--- there is no file.
---@param path string
---@return table[]
function journal.read(path)
  local file <close> = io.open(path)
  local entries = {}
  if file then
    for text in file:lines() do
      local ok, entry = pcall(mid.json.decode, text)
      if ok and type(entry) == "table" then entries[#entries + 1] = entry end
    end
  end
  return entries
end

--- Takes the entries out of a file of lines that are about later steps.
---@param path string
---@param step integer the last step that stays
---@return table[] entries that stayed
function journal.cut(path, step)
  local kept = {}
  if not mid.exists(path) then return kept end
  for _, entry in ipairs(journal.read(path)) do
    if (tonumber(entry.step) or 0) <= step then kept[#kept + 1] = entry end
  end
  local lines = {}
  for i, entry in ipairs(kept) do lines[i] = mid.json.encode(entry) .. "\n" end
  mid.write(path, table.concat(lines))
  return kept
end

--- One JSON object as a line.
---@param entry table
---@return string
function journal.line(entry) return mid.json.encode(describe(entry, 0)) .. "\n" end

--- Appends one JSON object as a line, the whole line or nothing.
---@param path string
---@param entry table
function journal.append(path, entry) mid.append(path, journal.line(entry)) end

--- Options as data for a run's config.json. Documents, their entropies and tasks are data, not
--- settings: their number is enough.
---@param given table
---@return table
function journal.settings(given)
  local settings = {}
  for name, value in pairs(given) do
    local is_data = name == "docs" or name == "entropies" or name == "tasks"
    -- A stream says itself what it is.
    is_data = is_data and not getmetatable(value)
    local noun = name == "tasks" and name or "documents"
    settings[name] = is_data and ("%d %s"):format(#value, noun) or journal.describe(value)
  end
  return settings
end

--- Writes one JSON value as a file, which is there completely or not at all.
---@param path string
---@param value table
function journal.write(path, value) mid.write(path, journal.line(value)) end

return journal
