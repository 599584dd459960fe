-- Group advantages: A_i = (r_i − mean)/(std + δ), with the Bessel-corrected standard
-- deviation and δ = 1e-4. A reward of nil is unscored: it counts for nothing and gets no advantage.
-- Lists with holes are therefore passed with their length.

local options = require "midtrain.options"

local advantage = {}

--- Mean, Bessel-corrected standard deviation (0 for fewer than two) and number of scored values.
---@param values (number|nil)[]
---@param n integer? length of the list; holes are left out
---@return number mean, number std, integer count
function advantage.statistics(values, n)
  local sum, count = 0, 0
  for i = 1, n or #values do
    if values[i] then sum, count = sum + values[i], count + 1 end
  end
  if count == 0 then return 0 / 0, 0 / 0, 0 end
  local mean, squares = sum / count, 0
  for i = 1, n or #values do
    if values[i] then squares = squares + (values[i] - mean) ^ 2 end
  end
  return mean, count > 1 and math.sqrt(squares / (count - 1)) or 0, count
end

local specification = {
  delta = { "number", default = 1e-4, min = 0, doc = "δ" },
  scale = { "string", default = "group", choices = { "group", "none" }, doc = "divide by std?" },
  std = { "number", min = 0, doc = "divide by this instead of the group's, e.g. the batch's" },
}

-- (v_i − mean)/(std + δ) of each scored value.
local function whiten(values, mean, std, n, o)
  local divisor = o.scale == "group" and (o.std or std) + o.delta or 1
  local result = {}
  for i = 1, n do
    if values[i] then result[i] = (values[i] - mean) / divisor end
  end
  return result
end

--- Advantages of one group.
---@param rewards (number|nil)[]
---@param n integer?
---@param given { delta: number?, scale: ("group"|"none")?, std: number? }?
---@return (number|nil)[] advantages, number std of the group
function advantage.group(rewards, n, given)
  local o = options.check("advantage.group", given, specification)
  local mean, std = advantage.statistics(rewards, n)
  return whiten(rewards, mean, std, n or #rewards, o), std
end
options.takes(advantage.group, specification)

--- The part of each advantage that one component of the reward is answerable for: contributions
--- c_i add up to r_i, so their parts (c_i − mean c)/(std r + δ) add up to A_i. The spread of a
--- part tells how much of the learning signal it is: in a group where every match is 0, all of it
--- is length, at full size.
---@param contributions (number|nil)[]
---@param std number of the group's total rewards
---@param n integer?
---@param given { delta: number?, scale: ("group"|"none")?, std: number? }?
---@return (number|nil)[]
function advantage.part(contributions, std, n, given)
  local o = options.check("advantage.part", given, specification)
  local mean = advantage.statistics(contributions, n)
  return whiten(contributions, mean, std, n or #contributions, o)
end
options.takes(advantage.part, specification)

return advantage
