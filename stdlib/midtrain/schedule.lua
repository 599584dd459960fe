-- Learning rates over a run: functions of the step t (from 0) and the number of steps T that give a
-- factor from 0 to 1. `warmup` and `decay` are shares of the run below 1, or numbers of steps.
-- Lines that begin with `--- > ` are examples, which the tests run.
--
--   optimizer:step { learning_rate = 3e-4 * schedule(t, T) }

local options = require "midtrain.options"

local schedule = {}

local function steps(share, T) return share < 1 and share * T or share end

-- A schedule that rises over the warm-up and is shape(progress, steps after it) from 0 to 1 then.
local function after_warmup(o, shape)
  return function(t, T)
    local warmup = steps(o.warmup, T)
    if t < warmup then return (t + 1) / (warmup + 1) end
    return shape(T > warmup and math.min(1, (t - warmup) / (T - warmup)) or 1, T - warmup)
  end
end

local constant_options = {
  warmup = { "number", default = 0, min = 0, doc = "steps, or a share of them" },
}
local falling_options = options.merged(constant_options, {
  final = { "number", default = 0, min = 0, doc = "the factor at the end" },
})
local wsd_options = options.merged(falling_options, {
  decay = { "number", default = 0.2, min = 0, doc = "steps, or a share of those after the warm-up" },
})

--- 1, after a warm-up.
---@param given { warmup: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.constant { warmup = 10 }; assert(f(10, 100) == 1)
function schedule.constant(given)
  local o = options.check("mid.schedule.constant", given, constant_options)
  return after_warmup(o, function() return 1 end)
end
options.takes(schedule.constant, constant_options)

--- Down in a straight line to `final`.
---@param given { warmup: number?, final: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.linear {}; assert(f(50, 100) == 0.5)
function schedule.linear(given)
  local o = options.check("mid.schedule.linear", given, falling_options)
  return after_warmup(o, function(progress) return 1 + (o.final - 1) * progress end)
end
options.takes(schedule.linear, falling_options)

--- Down to `final` as half a cosine (Loshchilov and Hutter, arXiv:1608.03983).
---@param given { warmup: number?, final: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.cosine { warmup = 0.1 }; assert(f(100, 100) < 1e-9)
function schedule.cosine(given)
  local o = options.check("mid.schedule.cosine", given, falling_options)
  return after_warmup(o, function(progress)
    return o.final + (1 - o.final) * 0.5 * (1 + math.cos(math.pi * progress))
  end)
end
options.takes(schedule.cosine, falling_options)

--- Warm-up, stable, decay: 1 until the last `decay` steps, then down in a straight line to `final`
--- (Hu et al., arXiv:2404.06395).
---@param given { warmup: number?, decay: number?, final: number? }?
---@return fun(t: integer, T: integer): number
--- > f = mid.schedule.wsd { warmup = 10, decay = 0.2 }; assert(f(79, 100) == 1 and f(90, 100) < 1)
function schedule.wsd(given)
  local o = options.check("mid.schedule.wsd", given, wsd_options)
  return after_warmup(o, function(progress, rest)
    local decay = steps(o.decay, rest) / rest
    local left = 1 - progress
    return left >= decay and 1 or o.final + (1 - o.final) * left / decay
  end)
end
options.takes(schedule.wsd, wsd_options)

return schedule
