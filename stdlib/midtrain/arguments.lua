-- The command line of an experiment script: options by name, with defaults that give their types.

local options = require "midtrain.options"

local arguments = {}

local function convert(script, name, value, default)
  if type(default) == "number" then
    local number = tonumber(value)
    if not number then
      error(("%s: option --%s needs a number, got '%s'"):format(script, name, value), 0)
    end
    return number
  elseif type(default) == "boolean" then
    if value == true or value == "true" or value == "yes" then return true end
    if value == false or value == "false" or value == "no" then return false end
    error(("%s: option --%s is true or false, got '%s'"):format(script, name, value), 0)
  end
  return tostring(value)
end

--- Options of a script: its defaults, changed by `midtrain run FILE --set name=value` and by the
--- words after the script: `--name value`, `--name=value`, and `--name` alone for one that is true or
--- false. Dashes within names count as underscores.
---@param script string what errors call it
---@param defaults table<string, string|number|boolean>
---@param words string[]? the global `arg` if absent
---@param settings table<string, any>? the global `settings` if absent
---@return table<string, any>
function arguments.read(script, defaults, words, settings)
  local o = {}
  for name, value in pairs(defaults) do o[name] = value end
  local function set(name, value)
    if defaults[name] == nil then error(options.unknown(script, name, defaults), 0) end
    o[name] = convert(script, name, value, defaults[name])
  end
  for name, value in pairs(settings or rawget(_G, "settings") or {}) do set(name, value) end
  words = words or rawget(_G, "arg") or {}
  local i = 1
  while i <= #words do
    local name, given, value = words[i]:match "^%-%-([%w_%-]+)(=?)(.*)$"
    if not name then
      error(("%s: unexpected argument '%s'; options begin with --"):format(script, words[i]), 0)
    end
    name = name:gsub("-", "_")
    if given == "" then
      value = true
      if type(defaults[name]) ~= "boolean" and defaults[name] ~= nil then
        i = i + 1
        value = words[i]
        if value == nil then error(("%s: option --%s needs a value"):format(script, name), 0) end
      end
    end
    set(name, value)
    i = i + 1
  end
  return o
end

--- Options of a script that has a small version of itself: with --quick the defaults are those of
--- `quick`, where it has any, and what is asked for on the command line still counts.
---@param script string
---@param defaults table<string, string|number|boolean> with `quick`
---@param quick table<string, string|number|boolean>
---@param words string[]?
---@param settings table<string, any>?
---@return table<string, any>
function arguments.read_quick(script, defaults, quick, words, settings)
  local asked = arguments.read(script, defaults, words, settings)
  if not asked.quick then return asked end
  return arguments.read(script, options.merged(defaults, quick), words, settings)
end

--- The names in a text, with commas between; nil for an empty one.
---@param text string
---@return string[]?
function arguments.names(text)
  local names = {}
  for name in text:gmatch "[^,%s]+" do names[#names + 1] = name end
  return names[1] and names
end

return arguments
