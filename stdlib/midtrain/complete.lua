-- What Tab offers at the prompt: fields and methods by what variables hold; inside the table of
-- options of a call the names of its options, inside their strings the words that they can be;
-- names of modules and of metrics. Looking never runs a script's code: only raw access, and only
-- modules of the library are loaded.

local code = require "midtrain.code"
local functions = require "midtrain.functions"
local help = require "midtrain.help"
local mid = require "midtrain.native"
local options = require "midtrain.options"
local pull = require "midtrain.pull"

local complete = {}

-- What a name stands for --------------------------------------------------------------------------

-- The table behind a value's missing fields, if it is a plain one; a run's is in `__fields`.
local function fallback(value)
  local metatable = debug.getmetatable(value)
  local index = type(metatable) == "table"
    and (rawget(metatable, "__fields") or rawget(metatable, "__index"))
  return type(index) == "table" and index or nil
end

-- What is known of a value that is not there to look at: { Known, type = "Tensor" } for a native
-- property, which is not read, { Known, entry = … } for a native method.
local Known = {}

local function known(value, what)
  return type(value) == "table" and rawget(value, 1) == Known and rawget(value, what) or nil
end

-- The type of a native object, whose metatable shows scripts only its name.
local function type_name(value)
  local name = type(value) == "userdata" and getmetatable(value)
  return known(value, "type") or type(name) == "string" and name or nil
end

local function short_name(entry) return entry.name:match "[%w_]+$" end

-- The fields behind a run, which is an empty proxy; nil for anything else.
local function fields_of_run(value)
  local metatable = type(value) == "table" and debug.getmetatable(value)
  local is_run = type(metatable) == "table" and rawget(metatable, "__name") == "Run"
  return is_run and fallback(value) or nil
end

local function field(value, name)
  local object = type_name(value)
  if object then
    for _, entry in ipairs(help.members(object)) do
      if short_name(entry) == name then
        if entry.kind == "method" then return { Known, entry = entry } end
        return { Known, type = entry.returns:gsub("%?$", "") }
      end
    end
    return nil
  end
  if type(value) == "table" and help.modules(value)[name] then
    return require("midtrain." .. name)
  end
  local limit = 10
  while type(value) == "table" and limit > 0 do
    local found = rawget(value, name)
    if found ~= nil then return found end
    value, limit = fallback(value), limit - 1
  end
end

-- The value of a name like `mid.svg.lines`, whose first part is a field of `scope`.
local function resolve(name, scope)
  local value = scope
  for part in name:gmatch "[^.:]+" do
    value = field(value, part)
    if value == nil then return nil end
  end
  return value
end

-- Fields that a run shows, besides its knobs and methods.
local run_fields = {
  "error", "history", "metrics", "model", "name", "num_tokens", "optimizer", "out", "seed", "status",
  "t", "T",
}

-- Calls add(name, is_function) for each field of a value.
local function each_field(value, add)
  local object, run = type_name(value), fields_of_run(value)
  if object then
    for _, entry in ipairs(help.members(object)) do
      add(short_name(entry), entry.kind == "method")
    end
    return
  elseif run then
    for _, name in ipairs(run_fields) do add(name, false) end
    for name, option in next, rawget(run, "specification") do
      if option.knob then add(name, false) end
    end
    value = fallback(run)
  end
  local limit = 10
  if type(value) ~= "table" then value = fallback(value) end
  while value and limit > 0 do
    for name in next, help.modules(value) do add(name, false) end
    for key, item in next, value do
      if code.is_name(key) then add(key, type(item) == "function") end
    end
    value, limit = fallback(value), limit - 1
  end
end

-- Options of a call -------------------------------------------------------------------------------

-- The call whose arguments are being written: its name, and which argument it is.
local function call_of(stack)
  local open, around = stack[#stack], stack[#stack - 1]
  if not open then return nil end
  if open.head then return open.head, open.kind == "{" and 1 or open.commas + 1 end
  if open.is_argument then return around.head, around.commas + 1 end
end

-- The words of a type like `"f32"|"bf16"`.
local function words_of(type)
  local words = {}
  for word in type:gmatch '"([^"]*)"' do words[#words + 1] = word end
  return #words > 0 and words or nil
end

-- What can be assigned to a run.
local function knobs_of(run)
  local found = {}
  for name, option in next, rawget(run, "specification") do
    if option.knob then found[name] = option.choices or false end
  end
  return found
end

-- The options of the table that is being written, by name: what each can be, if that is some words.
local function options_here(stack, scope)
  local open = stack[#stack]
  if not open or open.kind ~= "{" then return nil end
  local name, position = call_of(stack)
  local receiver = name and name:match "^(.+):set$"
  local run = receiver and fields_of_run(resolve(receiver, scope))
  if run then return knobs_of(run) end
  local callee = name and resolve(name, scope)
  local entry = known(callee, "entry") or type(callee) == "function" and functions.entry(callee)
  local found = {}
  if entry then
    local parameter = entry.parameters[position]
    if not parameter or not parameter.options then return nil end
    for _, option in ipairs(parameter.options) do
      found[option.name] = words_of(option.type) or false
    end
    return found
  end
  local specification = options.of(callee)
  if not specification then return nil end
  -- Of a function's parameters `given` is the one with options.
  local hidden = name:find ":" and 1 or 0
  if type(callee) == "table" then
    callee, hidden = rawget(debug.getmetatable(callee) or {}, "__call"), 1
  end
  local parameter = type(callee) == "function" and debug.getlocal(callee, position + hidden)
  if parameter ~= "given" then return nil end
  for option, details in next, specification do found[option] = details.choices or false end
  return found
end

-- Those that begin so, in order, each once; what begins with `_` only when it is asked for.
local function matching(names, start, prefix)
  local seen, found = {}, {}
  for _, name in ipairs(names) do
    local is_shown = start ~= "" or name:sub(1, 1) ~= "_"
    if name:sub(1, #start) == start and is_shown and not seen[name] then
      seen[name], found[#found + 1] = true, (prefix or "") .. name
    end
  end
  table.sort(found)
  return found
end

-- Names inside strings ----------------------------------------------------------------------------

-- Modules that `require` finds: the library's, those that are loaded, and files along package.path.
local function modules(start)
  local names = { "midtrain" }
  for name in next, package.loaded do names[#names + 1] = tostring(name) end
  for name in next, help.modules(mid) do names[#names + 1] = "midtrain." .. name end
  local inside = start:match "^(.*)%." or ""
  for template in package.path:gmatch "[^;]+" do
    local root = template:match "^(.-)/?%?%.lua$"
    local folder = root and ("%s/%s"):format(root == "" and "." or root, inside:gsub("%.", "/"))
    local is_there, files = pcall(mid.list, folder)
    for _, file in ipairs(is_there and files or {}) do
      local name = file:match "^([%w_]+)%.lua$"
        or mid.exists(("%s/%s/init.lua"):format(folder, file)) and file
      if name and name ~= "init" then
        names[#names + 1] = inside == "" and name or inside .. "." .. name
      end
    end
  end
  return names
end

-- Models in the cache, where mid.load looks for a name.
local function models()
  local is_there, names = pcall(mid.list, pull.cache())
  for i, name in ipairs(is_there and names or {}) do names[i] = name:gsub("%.gguf$", "") end
  return is_there and names or {}
end

-- Metrics of a run so far.
local function metrics(run)
  local names, last = {}, rawget(run, "metrics")
  for name in next, type(last) == "table" and last or {} do names[#names + 1] = name end
  return names
end

-- What can stand in a string that was opened behind this code; nil for files.
local function in_string(stack, scope, text, start)
  local open = stack[#stack]
  local is_first = open and open.kind == "(" and open.commas == 0
  local call = code.name_at_end(text) or is_first and open.head
  if call == "require" then return modules(start) end
  if call == "mid.load" or call == "mid.tokenizer" then
    local found = matching(models(), start)
    if #found > 0 then return found end
  end
  call = call or call_of(stack)
  local receiver, method = (call or ""):match "^(.+):([%w_]+)$"
  local run = receiver and fields_of_run(resolve(receiver, scope))
  if run and (method == "plot" or method == "compare") then return metrics(run) end
  local here = options_here(stack, scope)
  if here then return open.is_fresh and here[open.key] or nil end
  -- run.loss_type = "…"
  local owner, knob = text:match "([%a_][%w_.]*)%.([%a_][%w_]*)%s*==?%s*$"
  run = owner and fields_of_run(resolve(owner, scope))
  local option = run and rawget(run, "specification")[knob]
  return option and option.choices or nil
end

--- What a word like `mid.js` or `model:gen` can become after what was typed before it: whole words,
--- in order; nil where a file's name belongs.
---@param word string inside of a string, all of it so far
---@param before string? with the lines before this one
---@param environment table? where variables are looked up first
---@return string[]?
function complete.words(word, before, environment)
  before = before or ""
  local scope = environment or _G
  if before:find "^%s*!" then return nil end
  local stack, open, at = code.scan(before)
  if open == "long" then return {} end
  if open then
    local names = in_string(stack, scope, before:sub(1, at - 1), word)
    return names and matching(names, word)
  end

  -- The right side of a concatenation is a word of its own.
  local left = word:match "^.*%.%." or ""
  local path, separator, start = word:sub(#left + 1):match "^(.-)([.:]?)([%w_]*)$"
  local names, value = {}, scope
  local around = stack[#stack]
  local is_key = separator == "" and around and around.is_fresh and not around.key
  local here = is_key and options_here(stack, scope)
  if here then
    for name in next, here do
      if not around.given[name] then names[#names + 1] = name end
    end
    local found = matching(names, start)
    if #found > 0 then return found end
  end
  if separator ~= "" then
    if path == "" or path:find "[^%w_.:]" then return {} end
    value = resolve(path, scope)
    if value == nil then return {} end
  else
    table.move(code.keywords, 1, #code.keywords, 1, names)
  end
  each_field(value, function(name, is_function)
    if separator == ":" and not is_function then return end
    -- Methods of a native object want a colon.
    if separator == "." and is_function and type_name(value) then return end
    names[#names + 1] = name
  end)
  return matching(names, start, left .. path .. separator)
end

return complete
