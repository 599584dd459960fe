-- Declarations of everything native for editors (LuaCATS), made from the registry: functions of
-- `mid` with their options, types with methods and properties, and where the Lua modules are.
-- `scripts/stubs` writes them to stdlib/meta, and a test fails when those are not what the registry
-- says.

local functions = require "midtrain.functions"
local mid = require "midtrain"

local stubs = {}

-- The head of a file that stands for a module, or for none (`_`).
local function header(module)
  return ("---@meta %s\n-- Made by scripts/stubs from the registry of native functions; do not edit.")
    :format(module)
end

-- The types in a list like `Tensor, {a: string, b: string}[]?`.
local function types_of(returns)
  return returns == "" and {} or functions.parts(returns, ",")
end

-- Names of types by how functions' names begin: `tensor` → `Tensor`.
local function type_names(entries)
  local names = {}
  local function add(text)
    for word in text:gmatch "%f[%w_]%u[%w_]*" do names[word:lower()] = word end
  end
  for _, entry in ipairs(entries) do
    add(entry.returns)
    for _, parameter in ipairs(entry.parameters) do add(parameter.type) end
  end
  return names
end

local function with_default(option)
  return (option.doc .. (option.default and (" (%s)"):format(option.default) or "")):gsub("^ ", "")
end

-- What an entry says about itself, ahead of its declaration; the classes of its options go into
-- `classes`.
local function comment(entry, owner, classes)
  local lines = { "--- " .. entry.doc }
  if entry.example ~= "" then
    lines[#lines + 1] = "---"
    lines[#lines + 1] = "---     " .. entry.example
  end
  for _, parameter in ipairs(entry.parameters) do
    local kind = parameter.type
    if parameter.options then
      kind = ("%s.%s.%s"):format(owner, entry.name:match "[.:](.+)$", parameter.name)
      local class = { "---@class " .. kind }
      for _, option in ipairs(parameter.options) do
        class[#class + 1] = (("---@field %s%s %s %s"):format(option.name, option.optional and "?" or "",
          option.type, with_default(option)):gsub("%s+$", ""))
      end
      classes[#classes + 1] = table.concat(class, "\n")
    end
    local name = parameter.name .. (parameter.optional and parameter.name ~= "..." and "?" or "")
    lines[#lines + 1] = (("---@param %s %s %s"):format(name, kind, parameter.doc):gsub("%s+$", ""))
  end
  for _, result in ipairs(types_of(entry.returns)) do
    lines[#lines + 1] = "---@return " .. result
  end
  return table.concat(lines, "\n")
end

local function declaration(entry, target)
  local names = {}
  for i, parameter in ipairs(entry.parameters) do names[i] = parameter.name end
  return ("function %s(%s) end"):format(target, table.concat(names, ", "))
end

-- What the program itself defines.
local globals = [[
--- Prints help: the overview, or that for a name, a function or an object.
---@param topic any
function help(topic) end

--- At the prompt: calls f, or runs code, and prints how long it took and what it left in memory.
---@param f function|string
---@param ... any
---@return any ...
function time(f, ...) end]]

local function functions_file(entries)
  local parts, classes, tables = {}, {}, {}
  for _, entry in ipairs(entries) do
    if entry.kind == "function" then
      local container = entry.name:match "^(.+)%.[^.]+$"
      if container ~= "mid" and not tables[container] then
        tables[container] = true
        parts[#parts + 1] = container .. " = {}"
      end
      parts[#parts + 1] = comment(entry, "mid", classes) .. "\n" .. declaration(entry, entry.name)
    end
  end
  local modules = {}
  for name, purpose in pairs(getmetatable(mid).__modules) do
    modules[#modules + 1] = ("--- %s\nmid.%s = require \"midtrain.%s\""):format(purpose, name, name)
  end
  table.sort(modules)
  return table.concat({
    header "midtrain.native", table.concat(classes, "\n\n"), "---@class mid\nmid = {}",
    "---@type string\nmid.version = \"\"", table.concat(parts, "\n\n"),
    table.concat(modules, "\n\n"), globals, "return mid",
  }, "\n\n") .. "\n"
end

local operators = { "add", "sub", "mul", "div", "mod", "pow", "unm", "len" }

-- The operators of a type, from the metatable of one of its objects.
local function operator_lines(name, object, lines)
  local metatable = debug.getmetatable(object)
  for _, operator in ipairs(operators) do
    if rawget(metatable, "__" .. operator) then
      local is_unary = operator == "unm" or operator == "len"
      lines[#lines + 1] = ("---@operator %s%s: %s"):format(operator,
        is_unary and "" or ("(%s|number)"):format(name), operator == "len" and "integer" or name)
    end
  end
end

local function types_file(entries)
  local names, order, members = type_names(entries), {}, {}
  for _, entry in ipairs(entries) do
    if entry.kind ~= "function" then
      local name = names[entry.name:match "^[%w_]+"]
      if not members[name] then
        members[name], order[#order + 1] = {}, name
      end
      table.insert(members[name], entry)
    end
  end
  local examples = { Tensor = mid.tensor { 1 }, Batch = mid.batch() }
  local parts, classes = {}, {}
  for _, name in ipairs(order) do
    local adopted = functions.adopts[name]
    local lines = { "---@class " .. name .. (adopted and ": " .. adopted or "") }
    for _, entry in ipairs(members[name]) do
      if entry.kind == "property" then
        lines[#lines + 1] =
          ("---@field %s %s %s"):format(entry.name:match "[%w_]+$", entry.returns, entry.doc)
      end
    end
    if examples[name] then operator_lines(name, examples[name], lines) end
    lines[#lines + 1] = ("local %s = {}"):format(name)
    parts[#parts + 1] = table.concat(lines, "\n")
    -- What is as in the type that is adopted need not be said again.
    local inherited = {}
    for _, entry in ipairs(adopted and members[adopted] or {}) do
      inherited[comment(entry, adopted, {}) .. declaration(entry, entry.name:match "[%w_]+$")] = true
    end
    for _, entry in ipairs(members[name]) do
      local method = entry.name:match "[%w_]+$"
      if entry.kind == "method" and not inherited[comment(entry, name, {}) .. declaration(entry, method)] then
        parts[#parts + 1] = comment(entry, name, classes) .. "\n" .. declaration(entry, name .. ":" .. method)
      end
    end
  end
  return table.concat(
    { header "_", table.concat(classes, "\n\n"), table.concat(parts, "\n\n") }, "\n\n") .. "\n"
end

--- The files: their texts by name.
---@return table<string, string>
function stubs.files()
  local entries = functions.entries()
  return { ["mid.lua"] = functions_file(entries), ["types.lua"] = types_file(entries) }
end

--- Writes the files.
---@param folder string
function stubs.write(folder)
  mid.mkdir(folder)
  for name, text in pairs(stubs.files()) do
    local file <close> = assert(io.open(("%s/%s"):format(folder, name), "w"))
    file:write(text)
  end
end

return stubs
