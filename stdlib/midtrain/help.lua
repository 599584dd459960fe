-- help(): what there is. help "mid.load", help(mid.load) or ?load at the prompt: one function, with its arguments and
-- an example. help(model): what an object can do. Everything comes from the one declaration of each native function.

local native = require "midtrain.native"

local help = {}

local entries -- in order of declaration

-- Every documented function, method and property: name, kind, parameters, returns, doc, example.
function help.entries()
  entries = entries or native.registry()
  return entries
end

-- Adds the documentation of a function that is written in Lua.
function help.document(entry)
  assert(type(entry.name) == "string" and type(entry.doc) == "string", "an entry needs a name and a doc")
  entry.kind = entry.kind or "function"
  entry.parameters = entry.parameters or {}
  table.insert(help.entries(), entry)
end

-- The entries of what belongs to a type, by the type's name.
function help.members(type_name)
  local found, start = {}, type_name:lower()
  for _, entry in ipairs(help.entries()) do
    if entry.name:match "^([%w_]+)[.:]" == start and entry.kind ~= "function" then found[#found + 1] = entry end
  end
  return found
end

local function short_name(entry) return entry.name:match "[%w_]+$" end

local function signature(entry)
  if entry.kind == "property" then return entry.name end
  local names = {}
  for i, parameter in ipairs(entry.parameters) do
    names[i] = parameter.optional and "[" .. parameter.name .. "]" or parameter.name
  end
  return entry.name .. "(" .. table.concat(names, ", ") .. ")"
end

local function describe(lines, parameter, indent)
  local text = indent .. parameter.name .. ": " .. parameter.type
  if parameter.default then text = text .. " = " .. parameter.default end
  if parameter.doc ~= "" then text = text .. "  " .. parameter.doc end
  lines[#lines + 1] = text
  for _, option in ipairs(parameter.options or {}) do describe(lines, option, indent .. "  ") end
end

local function page(entry)
  local lines = { signature(entry), "  " .. entry.doc }
  for _, parameter in ipairs(entry.parameters) do describe(lines, parameter, "    ") end
  if entry.returns and entry.returns ~= "" then lines[#lines + 1] = "  gives " .. entry.returns end
  if entry.example and entry.example ~= "" then lines[#lines + 1] = "  > " .. entry.example end
  return table.concat(lines, "\n")
end

local function list(title, found)
  local lines, width = { title }, 0
  for _, entry in ipairs(found) do width = math.max(width, utf8.len(signature(entry))) end
  width = math.min(width, 40)
  for _, entry in ipairs(found) do
    local head = signature(entry)
    local sentence = entry.doc:match "^(.-)%.%s" or entry.doc:gsub("%.$", "")
    if utf8.len(sentence) > 76 then sentence = sentence:sub(1, utf8.offset(sentence, 76) - 1) .. "…" end
    lines[#lines + 1] = "  " .. head .. (" "):rep(width - utf8.len(head)) .. "  " .. sentence
  end
  return table.concat(lines, "\n")
end

-- What a table loads when it is first asked for, by name: what it is for.
function help.modules(value)
  local metatable = debug.getmetatable(value)
  local modules = type(metatable) == "table" and rawget(metatable, "__modules")
  return type(modules) == "table" and modules or {}
end

local function overview()
  local functions = {}
  for _, entry in ipairs(help.entries()) do
    if entry.kind == "function" then functions[#functions + 1] = entry end
  end
  local text = list("Functions; help(name) or ?name tells more, help(object) what an object can do.", functions)
  local modules = {}
  for name, purpose in next, help.modules(require "midtrain") do
    modules[#modules + 1] = { name = "mid." .. name, kind = "property", doc = purpose }
  end
  if #modules == 0 then return text end
  table.sort(modules, function(a, b) return a.name < b.name end)
  return text .. "\n" .. list("Lua modules", modules)
end

-- The name under which a native function can be found in `mid`.
local function name_of(f)
  for _, entry in ipairs(help.entries()) do
    local value = native
    for part in entry.name:gsub("^mid%.", ""):gmatch "[^.:]+" do
      value = type(value) == "table" and rawget(value, part) or nil
    end
    if value == f then return entry.name end
  end
end

-- The comment above a Lua function in its file, with its parameters; nothing if there is none.
local function source_page(f, name)
  local info = debug.getinfo(f, "S")
  local file = info.source:sub(1, 1) == "@" and io.open(info.source:sub(2))
  if not file then return nil end
  local source = {}
  for line in file:lines() do
    source[#source + 1] = line
    if #source == info.linedefined then break end
  end
  file:close()
  local first = info.linedefined
  while first > 1 and source[first - 1]:match "^%s*%-%-%-" do first = first - 1 end
  if first == info.linedefined then return nil end
  local lines = { name .. (source[info.linedefined]:match "%b()" or "(…)") }
  for i = first, info.linedefined - 1 do
    local text = source[i]:match "^%s*%-%-%-%s?(.*)"
    local parameter, rest = text:match "^@param%s+(%S+)%s+(.*)"
    local result = text:match "^@return%s+(.*)"
    lines[#lines + 1] = parameter and "    " .. parameter:gsub("%?$", "") .. ": " .. rest
      or result and "  gives " .. result or "  " .. text
  end
  return table.concat(lines, "\n")
end

-- The options that a module declares, by name.
local function option_lines(specification, lines)
  local names = {}
  for name in next, specification do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local option = specification[name]
    local types = type(option[1]) == "table" and table.concat(option[1], "|") or tostring(option[1])
    local text = "    " .. name .. ": " .. types
    local default = option.default
    if option.required then
      text = text .. ", required"
    elseif type(default) ~= "nil" and type(default) ~= "function" and type(default) ~= "table" then
      text = text .. " = " .. tostring(default)
    end
    if option.choices then text = text .. " (" .. table.concat(option.choices, " | ") .. ")" end
    if option.doc then text = text .. "  " .. option.doc end
    lines[#lines + 1] = text .. (option.knob and "  · can be changed while it runs" or "")
  end
end

-- What a module of `mid` is for and what is in it.
local function module_page(value)
  for name, purpose in next, help.modules(require "midtrain") do
    if package.loaded["midtrain." .. name] == value then
      local fields = {}
      for field in next, value do
        if type(field) == "string" then fields[#fields + 1] = field end
      end
      table.sort(fields)
      local lines = { "mid." .. name .. ": " .. purpose, "  has " .. table.concat(fields, ", ") }
      local specification = rawget(value, "specification")
      if type(specification) == "table" then
        lines[#lines + 1] = "  options:"
        option_lines(specification, lines)
      end
      return table.concat(lines, "\n")
    end
  end
end

-- What stands under a name like `mid.budget.linear` in the Lua library: a module or a function.
local function library_page(topic)
  local path = topic:gsub("^mid%.", "")
  local value = help.modules(require "midtrain")[path:match "^[^.:]+"] and require "midtrain" or nil
  for part in path:gmatch "[^.:]+" do value = type(value) == "table" and value[part] or nil end
  if type(value) == "function" then return source_page(value, "mid." .. path) end
  if type(value) ~= "table" then return nil end
  -- A kind of module is described by what makes one.
  local make = rawget(value, "new")
  return module_page(value) or type(make) == "function" and source_page(make, "mid." .. path) or nil
end

-- What a name like `run.fork` or `model:generate` stands for, from what its variable holds.
local function variable_page(topic)
  local first, rest = topic:match "^([%a_][%w_]*)([.:].+)$"
  local value = first and rawget(_G, first)
  for part in (rest or ""):gmatch "[.:]([%a_][%w_]*)" do
    local type_name = type(value) == "userdata" and getmetatable(value)
    if type(type_name) == "string" then
      for _, entry in ipairs(help.members(type_name)) do
        if short_name(entry) == part then return page(entry) end
      end
    end
    local ok, member = pcall(function() return value[part] end)
    value = ok and member or nil
  end
  return type(value) == "function" and source_page(value, topic) or nil
end

local function pages_named(name)
  local found = {}
  for _, entry in ipairs(help.entries()) do
    if entry.name == name or entry.name == "mid." .. name or short_name(entry) == name then
      found[#found + 1] = page(entry)
    end
  end
  return #found > 0 and table.concat(found, "\n\n") or nil
end

-- The help text for a name, a function or an object; nothing for the overview.
function help.text(topic)
  if topic == nil then return overview() end
  local kind = type(topic)
  if kind == "function" then
    local name = name_of(topic)
    return name and pages_named(name) or source_page(topic, "function") or "This function is not documented."
  end
  local type_name = kind == "userdata" and getmetatable(topic)
  if type(type_name) == "string" then return list(type_name .. "; ?name tells more.", help.members(type_name)) end
  if kind == "table" then
    local text = module_page(topic)
    if text then return text end
  end
  if kind ~= "string" then return "A " .. kind .. "; help knows functions, objects and names." end

  local text = library_page(topic) or variable_page(topic) or pages_named(topic)
  if text then return text end
  local members = help.members(topic)
  if #members > 0 then return list(topic .. "; ?name tells more.", members) end
  local similar = {}
  for _, entry in ipairs(help.entries()) do
    if (entry.name .. " " .. entry.doc):lower():find(topic:lower(), 1, true) then similar[#similar + 1] = entry end
  end
  if #similar > 0 then return list("Nothing is called '" .. topic .. "'; it is mentioned here:", similar) end
  return "Nothing is called '" .. topic .. "'; help() lists what there is."
end

return help
