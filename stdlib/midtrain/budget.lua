-- Token budgets: how many tokens step t asks the model to use inside <think></think>.
--
-- A schedule is a function (t, T, state) → B. `t` counts the steps already taken, 0 … T−1, so the
-- first step uses B_0 exactly; `state` is the run's last metrics (reward, …), for adaptive ones.
-- nil means no budget: no budget line in the prompt and no length reward.
--
-- A schedule has no memory of its own, or a run that is resumed or forked would differ. What an
-- adaptive one must remember it returns as a second value, a table of named numbers: they become
-- metrics of the step, so the next step finds them in `state`, and they can be plotted.

local options = require "midtrain.options"

---@alias midtrain.Memory table<string, number>
---@alias midtrain.Budget fun(t: integer, T: integer, state: table?): integer?, midtrain.Memory?

local budget = {}

-- 800·0.2^(7/7) must floor to 160 although it is computed as 159.99…
local function whole(minimum, value)
  return math.max(minimum, math.floor(value + 1e-9))
end

local range = {
  initial = { "number", default = 800, min = 1, doc = "B_0 [K]" },
  final = { "number", default = 160, min = 1, doc = "B at t = T; 800·0.2 like the paper's [D]" },
  minimum = { "integer", default = 1, min = 1, doc = "B_min [K]" },
}

local exponential_options = {
  initial = range.initial,
  gamma = { "number", default = 0.2, min = 0, doc = "γ [K]" },
  minimum = range.minimum,
}

--- The paper's: max(B_min, floor(B_0·γ^(t/T))), B_0 = 800, γ = 0.2, B_min = 1 [K].
---@param given { initial: number?, gamma: number?, minimum: integer? }?
---@return midtrain.Budget
function budget.exponential(given)
  local o = options.check("budget.exponential", given, exponential_options)
  local initial, gamma, minimum = o.initial, o.gamma, o.minimum
  return function(t, T) return whole(minimum, initial * gamma ^ (t / T)) end
end
options.takes(budget.exponential, exponential_options)

--- A straight line from `initial` at 0 to `final` at T; better than exponential in the paper that
--- the length reward comes from (arXiv:2508.08940).
---@param given { initial: number?, final: number?, minimum: integer? }?
---@return midtrain.Budget
function budget.linear(given)
  local o = options.check("budget.linear", given, range)
  local initial, final, minimum = o.initial, o.final, o.minimum
  return function(t, T) return whole(minimum, initial + (final - initial) * t / T) end
end
options.takes(budget.linear, range)

--- Half a cosine from `initial` at 0 to `final` at T.
---@param given { initial: number?, final: number?, minimum: integer? }?
---@return midtrain.Budget
function budget.cosine(given)
  local o = options.check("budget.cosine", given, range)
  local initial, final, minimum = o.initial, o.final, o.minimum
  return function(t, T)
    return whole(minimum, final + (initial - final) * (1 + math.cos(math.pi * t / T)) / 2)
  end
end
options.takes(budget.cosine, range)

local step_options = {
  initial = range.initial,
  factor = { "number", default = 0.5, min = 0 },
  drops = { "integer", default = 3, min = 1, doc = "number of levels" },
  minimum = range.minimum,
}

--- Drops: `initial` multiplied by `factor` after every `1/drops` of the run.
---@param given { initial: number?, factor: number?, drops: integer?, minimum: integer? }?
---@return midtrain.Budget
function budget.step(given)
  local o = options.check("budget.step", given, step_options)
  local initial, factor, drops, minimum = o.initial, o.factor, o.drops, o.minimum
  return function(t, T)
    local level = math.min(drops - 1, t * drops // T)
    return whole(minimum, initial * factor ^ level)
  end
end
options.takes(budget.step, step_options)

--- The same budget at every step.
---@param tokens integer
---@return midtrain.Budget
function budget.constant(tokens)
  tokens = options.value("budget.constant", "tokens", tokens,
    { "integer", min = 1, required = true })
  return function() return tokens end
end

-- Exponential moving average: `smoothing` of the old value is kept; the first value is itself.
local function average(old, value, smoothing)
  return old and smoothing * old + (1 - smoothing) * value or value
end

local smoothing = {
  "number", default = 0.8, min = 0, max = 1, doc = "share of the moving average that is kept [D]",
}

local adaptive_options = {
  initial = range.initial,
  minimum = range.minimum,
  maximum = { "number", min = 1, doc = "initial if absent" },
  shrink = { "number", default = 0.98, min = 0, max = 1, doc = "[D]" },
  grow = { "number", default = 1.05, min = 1, doc = "[D]" },
  tolerance = { "number", default = 0.9, min = 0, max = 1, doc = "share of the best [D]" },
  smoothing = smoothing,
  fading = { "number", default = 0.99, min = 0, max = 1, doc = "of the best, per step [D]" },
  metric = { "string", default = "rewards/match/mean", doc = "what must not fall" },
}

--- As small as accuracy allows: multiplied by `shrink` while the moving average of a metric stays
--- at `tolerance` of its best or above, by `grow` when it falls below; as it is until the metric
--- was above 0 once. The best fades by `fading` a step, because a curriculum that turns to harder
--- positions lowers what can be reached. A feedback of ours, from no paper [D].
---@param given table? the options below
---@return midtrain.Budget
function budget.adaptive(given)
  local o = options.check("budget.adaptive", given, adaptive_options)
  return function(_, _, state)
    state = state or {}
    -- Not rounded, or a small budget could never grow.
    local exact, best = state["budget/exact"] or o.initial, state["budget/best"]
    local mean, value = state["budget/average"], state[o.metric]
    if value and value == value then
      mean = average(mean, value, o.smoothing)
      best = math.max(mean, (best or mean) * o.fading)
      if best > 0 then
        exact = exact * (mean >= o.tolerance * best and o.shrink or o.grow)
        exact = math.max(o.minimum, math.min(o.maximum or o.initial, exact))
      end
    end
    return whole(o.minimum, exact),
      { ["budget/exact"] = exact, ["budget/average"] = mean, ["budget/best"] = best }
  end
end
options.takes(budget.adaptive, adaptive_options)

local measured_options = {
  initial = range.initial,
  minimum = range.minimum,
  maximum = { "number", min = 1, doc = "initial if absent" },
  share = { "number", default = 0.9, min = 0, doc = "[D]" },
  smoothing = smoothing,
  metric = {
    "string", default = "completions/mean_think_length",
    doc = "or completions/mean_think_length_right, of right predictions only",
  },
}

--- Follows what the model does: `share` of the moving average of the measured length, from
--- `initial` on. With a share below 1 and a reward for keeping to the budget, thoughts shorten as
--- fast as the model can follow [D].
---@param given table? the options below
---@return midtrain.Budget
function budget.measured(given)
  local o = options.check("budget.measured", given, measured_options)
  return function(_, _, state)
    state = state or {}
    local mean, value = state["budget/average"], state[o.metric]
    if value and value == value then mean = average(mean, value, o.smoothing) end
    local exact = mean and math.min(o.maximum or o.initial, o.share * mean) or o.initial
    return whole(o.minimum, exact), { ["budget/average"] = mean }
  end
end
options.takes(budget.measured, measured_options)

--- No budget at all.
---@return midtrain.Budget
function budget.none()
  return function() return nil end
end

return budget
