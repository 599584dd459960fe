-- Calls a script's function so that it can neither end a run nor hold it up: an error becomes a
-- message, and a loop without end is stopped after a number of instructions.
--
-- The count hook belongs to the coroutine that runs, as the engine's own for Ctrl-C does (see
-- Interrupt.c). That one takes the place of ours when it must, and is then left alone.

local guard = {}

--- Lua instructions that a call may take where nobody says otherwise: a tenth of a second or so.
guard.instructions = 10000000

-- Instructions between two looks at what is left.
local interval = 10000

-- A hook that raises an error after `limit` instructions of all coroutines together, and from then on
-- at every one until guard.call itself runs again, so that no pcall in a loop outlasts it.
local function limiter(limit)
  local message = ("stopped after %d instructions: is there a loop without end?"):format(limit)
  local step, spent = math.min(limit, interval), 0
  local function hook()
    spent = spent + step
    if spent < limit or debug.getinfo(2, "f").func == guard.call then return end
    debug.sethook(hook, "", 1)
    error(message, 0)
  end
  return hook, step
end

--- Calls f(…) within `limit` Lua instructions; 0 is no limit. Native functions count as one
--- instruction, but string searches as one for each step.
---@param limit integer
---@param f function
---@return boolean ok, any ... results, or an error message
function guard.call(limit, f, ...)
  local before, mask, count = debug.gethook()
  -- A hook that is no Lua function, a mere name here, is the engine's.
  if limit == 0 or type(before) == "string" then return pcall(f, ...) end
  local hook, step = limiter(limit)
  debug.sethook(hook, "", step)
  local results = table.pack(pcall(f, ...))
  if debug.gethook() == hook then debug.sethook(before, mask, count) end
  return table.unpack(results, 1, results.n)
end

return guard
