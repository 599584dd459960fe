-- Checks tables of named options against a specification: types, ranges, choices and defaults.
-- A name that is not in the specification is an error that suggests the nearest one that is.

local blame = require "midtrain.blame"

local options = {}

---@class midtrain.Option
---@field [1] string|string[] accepted types: Lua's own, "integer", or "any"
---@field default any? used when the option is absent; without one it stays nil
---@field required boolean?
---@field min number? smallest accepted number
---@field max number? largest accepted number
---@field choices string[]? the only accepted strings
---@field convert (fun(value: any): any)? applied first, so that a shorthand (say, a number for a
---  constant schedule) becomes what the code uses
---@field knob boolean? may be assigned while a run trains (see run.lua), also a schedule: a function
---  of (t, T, state) that gives the value of each step
---@field expected string? what is accepted, in words, where `convert` takes more than the types say
---@field doc string?

--- Number of single-character insertions, deletions, substitutions and swaps between two names.
---@param a string
---@param b string
---@return integer
function options.distance(a, b)
  local rows = { [0] = {} }
  for j = 0, #b do rows[0][j] = j end
  for i = 1, #a do
    rows[i] = { [0] = i }
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local best = math.min(
        rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (same and 0 or 1))
      local swapped = i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j)
      rows[i][j] = swapped and math.min(best, rows[i - 2][j - 2] + 1) or best
    end
  end
  return rows[#a][#b]
end

--- The known name nearest to `name`, or nil when nothing is close enough to be a likely slip.
---@param name any
---@param known table<string, any> a table whose keys are the known names
---@return string?
function options.nearest(name, known)
  if type(name) ~= "string" then return nil end
  local best, best_distance
  for candidate in pairs(known) do
    if type(candidate) == "string" then
      local d = options.distance(name:lower(), candidate:lower())
      -- A common beginning is a stronger hint than the letters that follow ("temp", "seed_value").
      if candidate:find(name, 1, true) == 1 or name:find(candidate, 1, true) == 1 then
        d = math.min(d, 1)
      end
      local nearer = not best or d < best_distance or (d == best_distance and candidate < best)
      if nearer then best, best_distance = candidate, d end
    end
  end
  return best and best_distance <= math.max(2, #name // 3) and best or nil
end

--- The message for a name that nobody knows.
---@param where string
---@param name any
---@param known table<string, any>
---@param noun string? what it is; an option
---@return string
function options.unknown(where, name, known, noun)
  noun = noun or "option"
  local nearest = options.nearest(name, known)
  if nearest then
    return ("%s: unknown %s '%s'; did you mean '%s'?"):format(where, noun, tostring(name), nearest)
  end
  local names = {}
  for candidate in pairs(known) do names[#names + 1] = tostring(candidate) end
  table.sort(names)
  return ("%s: unknown %s '%s'; known are %s")
    :format(where, noun, tostring(name), table.concat(names, ", "))
end

local function type_matches(value, expected)
  if expected == "any" then return true end
  if expected == "integer" then return math.type(value) == "integer" end
  return type(value) == expected
end

local function accepted_types(option)
  return type(option[1]) == "table" and option[1] or { option[1] }
end

--- Whether a knob's functions are schedules, and no values of their own as a reward is.
---@param option midtrain.Option
---@return boolean
function options.is_scheduled(option)
  for _, accepted in ipairs(accepted_types(option)) do
    if accepted == "function" or accepted == "any" then return false end
  end
  return option.knob == true
end

local function show(value)
  return type(value) == "string" and ("'%s'"):format(value) or tostring(value)
end

local function check_range(where, name, value, option)
  local low, high = option.min, option.max
  if value == value and math.abs(value) < math.huge and value >= (low or value) and value <= (high or value) then
    return
  end
  local range = low and high and ("lie between %s and %s"):format(low, high)
    or low and ("be a finite number of %s or more"):format(low)
    or high and ("be a finite number of at most %s"):format(high) or "be a finite number"
  error(("%s: option '%s' must %s, got %s"):format(where, name, range, value), blame.level())
end

--- One value, converted and checked. Errors blame the code that called the library.
---@param where string
---@param name string
---@param value any
---@param option midtrain.Option
---@return any
function options.value(where, name, value, option)
  if type(value) == "function" and options.is_scheduled(option) then return value end
  if value ~= nil and option.convert then
    -- A shorthand is refused as what was written, not as what it would become.
    if type(value) == "number" then check_range(where, name, value, option) end
    value = option.convert(value)
  end
  if value == nil then
    if option.required then error(("%s: option '%s' is required"):format(where, name), blame.level()) end
    return nil
  end
  local types = accepted_types(option)
  local integral = math.type(value) == "float" and math.tointeger(value)
  local matched = false
  for _, expected in ipairs(types) do
    if expected == "integer" and integral then value = integral end
    matched = matched or type_matches(value, expected)
  end
  if not matched then
    error(("%s: option '%s' must be %s%s, got %s (%s)"):format(where, name,
      option.expected or table.concat(types, " or "),
      options.is_scheduled(option) and " or a function of (t, T, state)" or "", type(value),
      show(value)), blame.level())
  end
  if type(value) == "number" then check_range(where, name, value, option) end
  if option.choices and type(value) == "string" then
    local known = {}
    for _, choice in ipairs(option.choices) do known[choice] = true end
    if not known[value] then
      local nearest = options.nearest(value, known)
      error(("%s: option '%s' must be one of %s, got '%s'%s"):format(
        where, name, table.concat(option.choices, ", "), value,
        nearest and ("; did you mean '%s'?"):format(nearest) or ""), blame.level())
    end
  end
  return value
end

--- The value in force at step t of an option that is a value or a schedule (t, T, state), checked
--- against what it must be; then what else a schedule gives.
---@param where string
---@param name string
---@param given any
---@param option midtrain.Option
---@param t integer
---@param T integer
---@param state table? metrics of the last step
---@return any value, any more
function options.at(where, name, given, option, t, T, state)
  if type(given) ~= "function" then return options.value(where, name, given, option) end
  local value, more = given(t, T, state or {})
  name = name .. "(t, T)"
  if value == nil and (option.required or option.default ~= nil) then
    error(("%s: option '%s' gave nothing"):format(where, name), blame.level())
  end
  return options.value(where, name, value, options.merged(option, { knob = false })), more
end

--- A new table with every option of the specification checked or defaulted.
---@param where string named in errors, e.g. "mid.rmt"
---@param given table?
---@param specification table<string, midtrain.Option>
---@return table
function options.check(where, given, specification)
  if given ~= nil and type(given) ~= "table" then
    error(("%s: expected a table of options, got %s"):format(where, type(given)), blame.level())
  end
  given = given or {}
  for name in pairs(given) do
    if specification[name] == nil then
      error(options.unknown(where, name, specification), blame.level())
    end
  end
  local result = {}
  for name, option in pairs(specification) do
    local value = given[name]
    if value == nil then value = option.default end
    result[name] = options.value(where, name, value, option)
  end
  return result
end

-- By function.
local taken = setmetatable({}, { __mode = "k" })

--- Says which options a function takes in its parameter `given`, for help and completion.
---@param f function
---@param specification table<string, midtrain.Option>
function options.takes(f, specification) taken[f] = specification end

--- The options that a function takes, or a module that is called like one; nil if it takes none.
---@param value any
---@return table<string, midtrain.Option>?
function options.of(value)
  if type(value) ~= "table" then return taken[value] end
  local specification = rawget(value, "specification")
  return type(specification) == "table" and specification or nil
end

--- A new table of what all tables hold; of equal names the last one counts.
---@param ... table
---@return table
function options.merged(...)
  local result = {}
  for _, part in ipairs { ... } do
    for name, value in pairs(part) do result[name] = value end
  end
  return result
end

return options
