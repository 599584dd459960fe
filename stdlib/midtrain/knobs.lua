-- The settings of a run that may change while it trains: checked when they are assigned, in force
-- from the next step on, written down, and taken back where a new one makes a step fail.
--
-- Fields of a run: knobs holds the values in force, pending names those assigned since the last step,
-- previous what was in force before a knob's last change, fresh the knobs that changed with this step.

local blame = require "midtrain.blame"
local errors = require "midtrain.errors"
local guard = require "midtrain.guard"
local journal = require "midtrain.journal"
local options = require "midtrain.options"
local output = require "midtrain.output"

local knobs = {}

--- Raises an error if the run as it is cannot use a value, which may be one that a schedule gave.
---@param own table fields of a run
---@param name string
---@param value any
function knobs.admit(own, name, value)
  if own.policy.admit then own.policy.admit(name, value) end
end

--- The value that a knob takes on, checked. Errors blame the code that called the library.
---@param own table fields of a run
---@param name string
---@param value any
---@return any
function knobs.checked(own, name, value)
  local option = own.specification[name]
  if not option or not option.knob then
    if option or own[name] ~= nil then
      error(("run: '%s' cannot be assigned"):format(name), blame.level())
    end
    local known = {}
    for candidate, other in pairs(own.specification) do
      if other.knob then known[candidate] = true end
    end
    error(options.unknown("run", name, known), blame.level())
  end
  value = options.value("run", name, value, option)
  knobs.admit(own, name, value)
  return value
end

-- Puts a value into force at the step that is to be taken, and writes it down.
local function change(own, name, value, reason)
  if own.out then
    journal.append(own.out .. "/journal.jsonl", {
      step = own.t + 1, name = name, reason = reason,
      old = journal.describe(own.knobs[name]), new = journal.describe(value),
    })
  end
  own[name], own.knobs[name] = value, value
end

--- Puts what was assigned since the last step into force.
---@param own table
function knobs.apply(own)
  local names = {}
  for name in pairs(own.pending) do names[#names + 1] = name end
  table.sort(names)
  own.fresh = names
  for _, name in ipairs(names) do
    -- Nil is a value, too.
    local client = own.pending[name]
    own.previous[name] = { value = own.knobs[name], client = client ~= true and client or nil }
    change(own, name, own[name])
    own.pending[name] = nil
  end
end

local function succeeded(ok, ...)
  if not ok then error(..., 0) end
  return ...
end

-- A function that leaves its knob's name in `own.calling` if it fails, or takes for ever. Rewards have a
-- limit of their own, the option reward_instructions.
local function noting(own, name, f)
  local function returned(...)
    own.calling = nil
    return ...
  end
  if name == "reward" then
    return function(...)
      own.calling = name
      return returned(f(...))
    end
  end
  -- Its own lines belong into a traceback.
  local function traced(...) return succeeded(xpcall(f, errors.traced, ...)) end
  return function(...)
    own.calling = name
    return returned(succeeded(guard.call(guard.instructions, traced, ...)))
  end
end

--- The values in force as a step sees them: what schedules give for it.
---@param own table
---@return table<string, any>
function knobs.in_force(own)
  local view = {}
  for name, value in pairs(own.knobs) do
    if type(value) == "function" then
      -- The same one in every step: a reward's failure is told of once.
      local known = own.noting[name]
      if not known or known.value ~= value then
        known = { value = value, f = noting(own, name, value) }
        own.noting[name] = known
      end
      value = known.f
      local option = own.specification[name]
      if options.is_scheduled(option) then
        value = options.at("run", name, value, option, own.t, own.T, own.metrics)
        own.calling = name
        knobs.admit(own, name, value)
      end
    end
    view[name] = value
  end
  own.calling = nil
  return view
end

-- The knobs that may have made a step fail: the one whose function failed or gave a wrong value; if
-- it was none, those that changed with this step.
local function suspects(own, message)
  local name = message:match "option '([%w_]+)%(t, T%)'" or own.calling
  if name and own.previous[name] then return { name } end
  return own.fresh
end

--- Takes back what made a step fail, if a change did; true when there is something else to try. What a
--- client changed, who may be gone, is taken back in any case; everything else if that is wanted.
---@param own table
---@param message string the error
---@param is_wanted boolean
---@return boolean
function knobs.fall_back(own, message, is_wanted)
  local names, found = suspects(own, message), false
  for _, name in ipairs(names) do
    local previous = own.previous[name]
    if previous and (is_wanted or previous.client) then
      own.previous[name], found = nil, true
      change(own, name, previous.value, message)
      local text = ("run: step %d failed, %s is again what it was: %s"):format(own.t + 1, name,
        message:match "[^\n]*")
      print(text)
      -- Unless they have gone.
      if previous.client then pcall(output.send, previous.client, text .. "\n") end
    end
  end
  if found then own.fresh = {} end
  return found
end

return knobs
