-- Token budgets: how many tokens step t asks the model to use inside <think></think>.
--
-- A schedule is a function (t, T, state) → B. `t` counts the steps already taken, 0 … T−1, so the
-- first step uses B_0 exactly; `state` is the run's last metrics (reward, …), for adaptive ones.
-- nil means no budget: no budget line in the prompt and no length reward.

local options = require "midtrain.options"

---@alias midtrain.Budget fun(t: integer, T: integer, state: table?): integer?

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

--- The paper's: max(B_min, floor(B_0·γ^(t/T))), B_0 = 800, γ = 0.2, B_min = 1 [K].
---@param given { initial: number?, gamma: number?, minimum: integer? }?
---@return midtrain.Budget
function budget.exponential(given)
  local o = options.check("budget.exponential", given, {
    initial = range.initial,
    gamma = { "number", default = 0.2, min = 0, doc = "γ [K]" },
    minimum = range.minimum,
  })
  local initial, gamma, minimum = o.initial, o.gamma, o.minimum
  return function(t, T) return whole(minimum, initial * gamma ^ (t / T)) end
end

--- A straight line from `initial` at 0 to `final` at T; better than exponential in the paper that
--- the length reward comes from (arXiv:2508.08940).
---@param given { initial: number?, final: number?, minimum: integer? }?
---@return midtrain.Budget
function budget.linear(given)
  local o = options.check("budget.linear", given, range)
  local initial, final, minimum = o.initial, o.final, o.minimum
  return function(t, T) return whole(minimum, initial + (final - initial) * t / T) end
end

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

--- Drops: `initial` multiplied by `factor` after every `1/drops` of the run.
---@param given { initial: number?, factor: number?, drops: integer?, minimum: integer? }?
---@return midtrain.Budget
function budget.step(given)
  local o = options.check("budget.step", given, {
    initial = range.initial,
    factor = { "number", default = 0.5, min = 0 },
    drops = { "integer", default = 3, min = 1, doc = "number of levels" },
    minimum = range.minimum,
  })
  local initial, factor, drops, minimum = o.initial, o.factor, o.drops, o.minimum
  return function(t, T)
    local level = math.min(drops - 1, t * drops // T)
    return whole(minimum, initial * factor ^ level)
  end
end

--- The same budget at every step.
---@param tokens integer
---@return midtrain.Budget
function budget.constant(tokens)
  tokens = options.value("budget.constant", "tokens", tokens,
    { "integer", min = 1, required = true })
  return function() return tokens end
end

--- No budget at all.
---@return midtrain.Budget
function budget.none()
  return function() return nil end
end

return budget
