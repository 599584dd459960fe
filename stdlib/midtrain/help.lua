-- help(): what there is. help "mid.load", help(mid.load) or ?load at the prompt: one function, with
-- its arguments and an example. help(model): what an object can do. Everything comes from the one
-- declaration of each native function, or from the comment above a Lua function and the options
-- that it declares.

local functions = require "midtrain.functions"
local options = require "midtrain.options"
local show = require "midtrain.show"

local help = {}

local documented = {}

--- Every documented function, method and property: name, kind, parameters, returns, doc, example.
function help.entries()
  return table.move(documented, 1, #documented, #functions.entries() + 1,
    table.move(functions.entries(), 1, #functions.entries(), 1, {}))
end

--- Adds the documentation of a function that is written in Lua.
function help.document(entry)
  assert(type(entry.name) == "string" and type(entry.doc) == "string", "an entry needs a name and a doc")
  entry.kind = entry.kind or "function"
  entry.parameters = entry.parameters or {}
  table.insert(documented, entry)
end

local function short_name(entry) return entry.name:match "[%w_]+$" end

--- The entries of what belongs to a type, by the type's name: its own, then what it adopts.
function help.members(type_name)
  local found, own = {}, {}
  while type_name do
    local start, here = type_name:lower(), {}
    for _, entry in ipairs(help.entries()) do
      local is_member = entry.kind == "method" or entry.kind == "property"
      local is_here = is_member and entry.name:match "^([%w_]+)[.:]" == start
      if is_here and not own[short_name(entry)] then here[#here + 1] = entry end
    end
    for _, entry in ipairs(here) do found[#found + 1], own[short_name(entry)] = entry, true end
    type_name = functions.adopts[type_name]
  end
  return found
end

local function signature(entry)
  if entry.kind == "property" or entry.kind == "prompt" and #entry.parameters == 0 then return entry.name end
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

--- What a table loads when it is first asked for, by name: what it is for.
function help.modules(value)
  local metatable = debug.getmetatable(value)
  local modules = type(metatable) == "table" and rawget(metatable, "__modules")
  return type(modules) == "table" and modules or {}
end

local function overview()
  local found = { ["function"] = {}, prompt = {} }
  for _, entry in ipairs(help.entries()) do
    if found[entry.kind] then table.insert(found[entry.kind], entry) end
  end
  local text =
    list("Functions; help(name) or ?name tells more, help(object) what an object can do.", found["function"])
  if #found.prompt > 0 then text = list("At the prompt", found.prompt) .. "\n" .. text end
  local modules = {}
  for name, purpose in next, help.modules(require "midtrain") do
    modules[#modules + 1] = { name = "mid." .. name, kind = "property", doc = purpose }
  end
  if #modules == 0 then return text end
  table.sort(modules, function(a, b) return a.name < b.name end)
  return text .. "\n" .. list("Lua modules", modules)
end

-- The options that a function takes, by name.
local function option_lines(specification, lines)
  local names, has_knobs = {}, false
  for name in next, specification do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local option = specification[name]
    local types = type(option[1]) == "table" and table.concat(option[1], "|") or tostring(option[1])
    local text = "      " .. name .. ": " .. types
    if option.required then
      text = text .. ", required"
    elseif option.default ~= nil then
      local default = type(option.default) == "string" and ("%q"):format(option.default)
        or show.format(option.default):gsub("^function of ", "")
      text = text .. " = " .. default
    end
    if option.choices then text = text .. " (" .. table.concat(option.choices, " | ") .. ")" end
    if option.doc then text = text .. "  " .. option.doc end
    lines[#lines + 1] = text .. (option.knob and "  · knob" or "")
    has_knobs = has_knobs or option.knob
  end
  local text = table.concat(lines, "\n")
  if text:find("[K", 1, true) or text:find("[D", 1, true) then
    lines[#lines + 1] = "      ([K]: as a paper has it, [D]: our default where none says)"
  end
  if has_knobs then
    lines[#lines + 1] = "      (knob: can be assigned while it runs, from the next step on; what is no function, also as a"
    lines[#lines + 1] = "      function of (t, T, state) that gives each step's value)"
  end
end

-- What stands above a Lua function, with its parameters and options; nothing if that is nothing.
local function source_page(f, name)
  local comment = functions.comment(f)
  if not comment then return nil end
  local lines = { (name or comment.name or "function") .. comment.signature }
  lines[2] = "  " .. comment.text:gsub("\n", "\n  ")
  for _, parameter in ipairs(comment.parameters) do
    lines[#lines + 1] = ("    %s: %s"):format(parameter.name:gsub("%?$", ""), parameter.doc)
    local specification = parameter.name:gsub("%?$", "") == "given" and options.of(f)
    if specification then option_lines(specification, lines) end
  end
  for _, result in ipairs(comment.returns) do lines[#lines + 1] = "  gives " .. result.doc end
  return table.concat(lines, "\n")
end

-- Lua functions with a comment as entries of a list.
local function entries_of(container, prefix)
  local found = {}
  for name, value in next, container do
    local comment = type(value) == "function" and functions.comment(value)
    if comment then
      found[#found + 1] =
        { name = prefix .. name .. comment.signature, kind = "property", doc = comment.text }
    end
  end
  table.sort(found, function(a, b) return a.name < b.name end)
  return found
end

-- What a module of `mid` is for and what is in it; of one that is called like a function, what it
-- takes.
local function module_page(value)
  for name, purpose in next, help.modules(require "midtrain") do
    if package.loaded["midtrain." .. name] == value then
      local title = "mid." .. name
      local metatable = debug.getmetatable(value)
      local call = type(metatable) == "table" and rawget(metatable, "__call")
      -- What the call does is the work of the function by the usual name.
      local called = call and (rawget(value, "new") or rawget(value, "print"))
      local lines = { called and source_page(called, title) or ("%s: %s"):format(title, purpose) }
      local found = entries_of(value, title .. ".")
      if #found > 0 then lines[2] = list("has", found) end
      local specification = not called and options.of(value)
      if specification then
        lines[#lines + 1] = "  options:"
        option_lines(specification, lines)
      end
      return table.concat(lines, "\n")
    end
  end
end

-- The methods of a run, and what can be changed while it trains.
local function run_page(value)
  local metatable = debug.getmetatable(value)
  local is_run = type(metatable) == "table" and rawget(metatable, "__name") == "Run"
  local fields = is_run and rawget(metatable, "__fields")
  if type(fields) ~= "table" then return nil end
  local knobs = {}
  for name, option in next, fields.specification do
    if option.knob then knobs[name] = option end
  end
  local methods = entries_of(debug.getmetatable(fields).__index, "run:")
  local lines = { list("A run; ?run:start tells more.", methods) }
  option_lines(knobs, lines)
  return table.concat(lines, "\n")
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
local function variable_page(topic, environment)
  local first, rest = topic:match "^([%a_][%w_]*)([.:].+)$"
  local value = first and (rawget(environment or _G, first) or rawget(_G, first))
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

-- What `run:start` stands for, whatever variable holds a run.
local function method_page(topic)
  local name = topic:match "^run[.:]([%a_][%w_]*)$"
  local method = name and require("midtrain.run").methods[name]
  return method and source_page(method, "run:" .. name) or nil
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

--- The help text for a name, a function or an object; nothing for the overview. Variables are looked
--- up in an environment first, if it is given.
function help.text(topic, environment)
  if topic == nil then return overview() end
  local kind = type(topic)
  if kind == "function" then
    local entry = functions.entry(topic)
    return entry and page(entry) or source_page(topic)
      or functions.title(topic) .. (functions.lines(topic) and "\n  There is no comment (---) above it."
        or "\n  Nothing is known of it. A method is asked for by name: ?model:generate")
  end
  local type_name = kind == "userdata" and getmetatable(topic)
  if type(type_name) == "string" then return list(type_name .. "; ?name tells more.", help.members(type_name)) end
  if kind == "table" then
    local text = module_page(topic) or run_page(topic)
    if text then return text end
  end
  if kind ~= "string" then return "A " .. kind .. "; help knows functions, objects and names." end

  local text = library_page(topic) or variable_page(topic, environment) or method_page(topic)
    or pages_named(topic)
  if text then return text end
  local members = help.members(topic)
  if #members > 0 then return list(topic .. "; ?name tells more.", members) end
  local similar = {}
  for _, entry in ipairs(help.entries()) do
    if (entry.name .. " " .. entry.doc):lower():find(topic:lower(), 1, true) then similar[#similar + 1] = entry end
  end
  if #similar > 0 then return list("Nothing is called '" .. topic .. "'; it is mentioned here:", similar) end
  local known = {}
  for _, entry in ipairs(help.entries()) do known[entry.name] = true end
  for name in pairs(help.modules(require "midtrain")) do known["mid." .. name] = true end
  local nearest = options.nearest(topic, known)
  return ("Nothing is called '%s'; %s"):format(topic,
    nearest and ("did you mean '%s'?"):format(nearest) or "help() lists what there is.")
end

return help
