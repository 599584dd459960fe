-- Learning rates over a run: functions of the step t (from 0) and the number of steps T that give a
-- factor from 0 to 1. `warmup` and `decay` are shares of the run below 1, or numbers of steps.
-- Lines that begin with `--- > ` are examples, which the tests run.
--
--   optimizer:step { learning_rate = 3e-4 * schedule(t, T) }

local options = require "midtrain.options"

local schedule = {}

local function steps(share, T) return share < 1 and share * T or share end

-- A schedule that rises over the warm-up and is shape(progress, options) from 0 to 1 after it.
local function after_warmup(name, given, specification, shape)
  specification.warmup = { "number", default = 0, min = 0, doc = "steps, or a share of them" }
  local o = options.check("mid.schedule." .. name, given or {}, specification)
  return function(t, T)
    local warmup = steps(o.warmup, T)
    if t < warmup then return (t + 1) / (warmup + 1) end
    return shape(T > warmup and math.min(1, (t - warmup) / (T - warmup)) or 1, o, T - warmup)
  end
end

local final = { "number", default = 0, min = 0, doc = "the factor at the end" }

--- 1, after a warm-up.
---@param given { warmup: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.constant { warmup = 10 }; assert(f(10, 100) == 1)
function schedule.constant(given)
  return after_warmup("constant", given, {}, function() return 1 end)
end

--- Down in a straight line to `final`.
---@param given { warmup: number?, final: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.linear {}; assert(f(50, 100) == 0.5)
function schedule.linear(given)
  return after_warmup("linear", given, { final = final }, function(progress, o)
    return 1 + (o.final - 1) * progress
  end)
end

--- Down to `final` as half a cosine (Loshchilov and Hutter, arXiv:1608.03983).
---@param given { warmup: number?, final: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.cosine { warmup = 0.1 }; assert(f(100, 100) < 1e-9)
function schedule.cosine(given)
  return after_warmup("cosine", given, { final = final }, function(progress, o)
    return o.final + (1 - o.final) * 0.5 * (1 + math.cos(math.pi * progress))
  end)
end

--- Warm-up, stable, decay: 1 until the last `decay` steps, then down in a straight line to `final`
--- (Hu et al., arXiv:2404.06395).
---@param given { warmup: number?, decay: number?, final: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.wsd { warmup = 10, decay = 0.2 }; assert(f(79, 100) == 1 and f(90, 100) < 1)
function schedule.wsd(given)
  local specification = { final = final, decay = { "number", default = 0.2, min = 0 } }
  return after_warmup("wsd", given, specification, function(progress, o, rest)
    local decay, left = steps(o.decay, rest) / rest, 1 - progress
    return left >= decay and 1 or o.final + (1 - o.final) * left / decay
  end)
end

return schedule
