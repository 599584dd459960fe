-- What is known of a function: the declaration of a native one; of one that is written in Lua its
-- text, the comment above it, and a name for it.

local native = require "midtrain.native"

local functions = {}

--- Native types that do what another one does, besides what is their own.
---@type table<string, string>
functions.adopts = { StoredTensor = "Tensor" }

local entries -- in order of declaration

--- Every native function, method and property: name, kind, parameters, returns, doc, example.
---@return table[]
function functions.entries()
  entries = entries or native.registry and native.registry() or {}
  return entries
end

local by_function

--- The entry of a native function of `mid`.
---@param f function
---@return table?
function functions.entry(f)
  if not by_function then
    by_function = setmetatable({}, { __mode = "k" })
    for _, entry in ipairs(functions.entries()) do
      local value = native
      for part in entry.name:gsub("^mid%.", ""):gmatch "[^.:]+" do
        value = type(value) == "table" and rawget(value, part) or nil
      end
      if type(value) == "function" then by_function[value] = entry end
    end
  end
  return by_function[f]
end

--- The lines of the text that a function was defined in; nil if it is not there any more.
---@param f function
---@return string[]?
function functions.lines(f)
  local source, text = debug.getinfo(f, "S").source, nil
  if source:sub(1, 1) == "@" then
    local file <close> = io.open(source:sub(2))
    text = file and file:read "a"
  elseif source:sub(1, 1) ~= "=" then
    text = source
  else
    -- What was typed at the prompt is known to the engine alone, by the chunk's name.
    text = native.source and native.source(source)
  end
  if not text then return nil end
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

-- The name in a line that defines a function, as a person calls it: that of a module's function has
-- `mid.` before it.
local function name_in(line, source)
  local name = line:match "^function%s+([%w_.:]+)" or line:match "^local%s+function%s+([%w_]+)"
  local first, rest = (name or ""):match "^([%w_]+)([.:].+)$"
  if not first then return name end
  if source:find("midtrain/" .. first .. ".lua", 1, true) then return "mid." .. name end
  return first:lower() .. rest
end

--- The comment above a Lua function.
---@param f function
---@return { name: string?, signature: string, text: string, parameters: { name: string, doc: string }[],
---  returns: { doc: string }[] }? documentation nil if there is none
function functions.comment(f)
  local info, lines = debug.getinfo(f, "S"), nil
  lines = info.what == "Lua" and functions.lines(f)
  local head = lines and lines[info.linedefined]
  if not head then return nil end
  local first = info.linedefined
  while first > 1 and lines[first - 1]:match "^%s*%-%-%-" do first = first - 1 end
  if first == info.linedefined then return nil end
  local text, found = {}, { parameters = {}, returns = {} }
  local list -- what a line without a tag goes on with
  for i = first, info.linedefined - 1 do
    local line = lines[i]:match "^%s*%-%-%-%s?(.*)"
    local tag, rest = line:match "^@(%w+)%s*(.*)"
    if tag == "param" then
      local name, doc = rest:match "^(%S+)%s*(.*)"
      list = found.parameters
      list[#list + 1] = { name = name, doc = doc }
    elseif tag == "return" then
      list = found.returns
      list[#list + 1] = { doc = rest }
    elseif tag then
      list = {}
    elseif list and line:find "^%s" and #list > 0 then
      list[#list].doc = list[#list].doc .. " " .. line:match "^%s*(.*)"
    else
      text[#text + 1] = line
    end
  end
  found.name, found.signature = name_in(head, info.source), (head:match "%b()" or "(…)"):gsub("^%(self,?%s*", "(")
  found.text = table.concat(text, "\n")
  return found
end

-- Numbers, texts and booleans that a function closes over, also those in its table of options `o`.
local function settings_of(f)
  local found, index = {}, 1
  local function add(name, value)
    local kind = type(value)
    if kind == "number" or kind == "boolean" then
      found[#found + 1] = ("%s = %s"):format(name, value)
    elseif kind == "string" then
      found[#found + 1] = ("%s = %q"):format(name, value)
    end
  end
  while true do
    local name, value = debug.getupvalue(f, index)
    if not name then break end
    add(name, value)
    if name == "o" and type(value) == "table" then
      for option, one in next, value do add(tostring(option), one) end
    end
    index = index + 1
  end
  table.sort(found)
  return found
end

--- The parts of a type like `string|fun(a: string|nil): string`, or of a list of them: only separators
--- outside of brackets part them.
---@param expression string
---@param separator string one character
---@return string[]
function functions.parts(expression, separator)
  local parts, depth, from = {}, 0, 1
  for at = 1, #expression + 1 do
    local character = expression:sub(at, at)
    if character:find "[%({<]" then depth = depth + 1 end
    if character:find "[%)}>]" then depth = depth - 1 end
    if character == "" or character == separator and depth == 0 then
      parts[#parts + 1], from = expression:sub(from, at - 1):match "^%s*(.-)%s*$", at + 1
    end
  end
  return parts
end

-- The name of one of Lua's own functions.
local function standard(f)
  for _, library in ipairs { "_G", "coroutine", "debug", "io", "math", "os", "package", "string", "table", "utf8" } do
    for name, value in next, package.loaded[library] or {} do
      if rawequal(value, f) then return (library == "_G" and "" or library .. ".") .. name end
    end
  end
end

--- A function in a line: its name, or what made it with which settings, or its text if that is
--- short.
---@param f function
---@return string
function functions.title(f)
  local entry = functions.entry(f)
  if entry then return "function " .. entry.name end
  local info = debug.getinfo(f, "S")
  if info.what == "main" then return "function (a whole file)" end
  if info.what ~= "Lua" then
    local name = standard(f)
    return name and "function " .. name or "function (native)"
  end
  local lines = functions.lines(f) or {}
  -- One that is made inside of another function, under a name of its own, as `print` is.
  local inner = (lines[info.linedefined] or ""):match "^%s+function%s+([%w_.:]+%s*%b())"
  if inner then return "function " .. inner end
  local text = info.linedefined == info.lastlinedefined and (lines[info.linedefined] or "")
  local is_alone = text and not text:find "function.*function"
  local written = is_alone and text:match "%f[%w_]function%s*%(.*%f[%w_]end%f[^%w_]"
  local is_library = info.source:find "/midtrain/[%w_]+%.lua$"
  if written and not is_library and #written <= 72 then return written end
  local line = info.linedefined
  while line >= 1 and not name_in(lines[line] or "", info.source) do line = line - 1 end
  local name = line >= 1 and name_in(lines[line], info.source)
  if name and line == info.linedefined then return "function " .. name end
  local settings = settings_of(f)
  local given = #settings > 0 and (" { %s }"):format(table.concat(settings, ", ")) or ""
  if name and is_library then return ("function of %s%s"):format(name, given) end
  return ("function (%s:%d)"):format(info.short_src, info.linedefined)
end

return functions
