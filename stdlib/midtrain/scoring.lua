-- From rollouts to advantages: reads what each completion predicted, asks the reward, whitens
-- within groups, and sums up the metrics. A group is the rollouts of one position.

local advantage = require "midtrain.advantage"
local entropy = require "midtrain.entropy"
local reward = require "midtrain.reward"

local scoring = {}

---@class midtrain.Target what a position's prediction is compared with
---@field next_id integer the true next token
---@field continuation string[] pieces of the true next tokens
---@field budget integer?

--- What the prediction at a place is compared with: the true tokens from there on, as far as a
--- prediction could reach.
---@param tokenizer table
---@param place { ids: integer[], position: integer } of a forest
---@param budget integer?
---@return midtrain.Target
function scoring.target(tokenizer, place, budget)
  local last = math.min(#place.ids, place.position + 31)
  return {
    budget = budget, next_id = place.ids[place.position],
    continuation = reward.pieces(tokenizer, table.move(place.ids, place.position, last, 1, {})),
  }
end

local function last_is_end(model, ids)
  for _, id in ipairs(model.eos_ids) do
    if ids[#ids] == id then return true end
  end
  return false
end

--- Completes a rollout to what a reward function reads: see midtrain.Sample.
---@param sample table { ids, logprobs, finish_reason }
---@param target midtrain.Target
---@param model table whose sample it is
---@return midtrain.Sample
function scoring.read(sample, target, model)
  local tokenizer = model.tokenizer
  -- A completion is truncated iff its last id is not an end-of-sequence id, which is no text.
  sample.truncated = not last_is_end(model, sample.ids)
  local pieces = reward.pieces(tokenizer, sample.ids)
  if not sample.truncated then pieces[#pieces] = nil end
  sample.text = table.concat(pieces)
  sample.think_length, sample.closed = reward.think_length(pieces)
  sample.prediction = reward.prediction(sample.text)
  sample.tokenizer, sample.budget = tokenizer, target.budget
  sample.next_id, sample.continuation = target.next_id, target.continuation
  return sample
end

local function ask(reward_function, sample)
  local total, components = reward_function(sample)
  if total ~= nil and type(total) ~= "number" then
    error(("reward: expected a number, or nil to leave the sample out, got %s"):format(type(total)))
  end
  -- A reward without components is logged as one.
  if total and not components then
    components = { reward = { value = total, contribution = total } }
  end
  sample.reward, sample.components = total, components or {}
end

-- field(sample) of every sample of a group, with its holes.
local function column(group, field)
  local values = {}
  for i, sample in ipairs(group) do values[i] = field(sample) end
  return values
end

local function total_reward(sample) return sample.reward end

-- field(sample) of all samples of all groups; nil is left out.
local function collect(groups, field)
  local values = {}
  for _, group in ipairs(groups) do
    for _, sample in ipairs(group) do values[#values + 1] = field(sample) end
  end
  return values
end

local function components_of(groups)
  local names = {}
  for _, group in ipairs(groups) do
    for _, sample in ipairs(group) do
      for name in pairs(sample.components) do names[name] = true end
    end
  end
  return names
end

--- Rewards and advantages of every sample (fields `reward`, `components`, `advantage`; nil where
--- unscored), and the step's metrics of them.
---@param groups table[][] samples, completed by `read`
---@param reward_function fun(sample: midtrain.Sample): number?, table?
---@param scale_rewards "group"|"batch"|"none"
---@return table metrics
function scoring.score(groups, reward_function, scale_rewards)
  for _, group in ipairs(groups) do
    for _, sample in ipairs(group) do ask(reward_function, sample) end
  end
  local all = collect(groups, total_reward)
  local mean, batch_std, scored = advantage.statistics(all)
  local o = {
    scale = scale_rewards == "none" and "none" or "group",
    std = scale_rewards == "batch" and batch_std or nil,
  }
  local names = components_of(groups)
  local parts, group_stds, zero, match_zero = {}, {}, 0, 0
  for name in pairs(names) do parts[name] = {} end
  for _, group in ipairs(groups) do
    local advantages, std = advantage.group(column(group, total_reward), #group, o)
    for i, sample in ipairs(group) do sample.advantage = advantages[i] end
    if std == std then group_stds[#group_stds + 1] = std end
    zero = zero + (std < 1e-8 and 1 or 0)
    for name in pairs(names) do
      local function field(of) return function(sample)
        local component = sample.components[name]
        return component and component[of]
      end end
      local part = advantage.part(column(group, field "contribution"), std, #group, o)
      for i = 1, #group do table.insert(parts[name], part[i]) end
      if name == "match" then
        local _, match_std = advantage.statistics(column(group, field "value"), #group)
        match_zero = match_zero + (match_std < 1e-8 and 1 or 0)
      end
    end
  end

  local metrics = {
    reward = mean,
    reward_std = (advantage.statistics(group_stds)),
    frac_reward_zero_std = zero / #groups,
    ["rewards/unscored"] = scoring.count(groups) - scored,
  }
  for name in pairs(names) do
    local value_mean, value_std = advantage.statistics(collect(groups, function(sample)
      return sample.components[name] and sample.components[name].value
    end))
    metrics["rewards/" .. name .. "/mean"] = value_mean
    metrics["rewards/" .. name .. "/std"] = value_std
    local _, part_std = advantage.statistics(parts[name])
    metrics["advantage/" .. name .. "_std"] = part_std
  end
  if names.match then metrics["rewards/match/frac_zero_std"] = match_zero / #groups end
  return metrics
end

--- Number of samples in all groups.
function scoring.count(groups)
  local n = 0
  for _, group in ipairs(groups) do n = n + #group end
  return n
end

--- Metrics of the completions' lengths, in tokens, and of how they ended.
---@param groups table[][]
---@return table metrics
function scoring.lengths(groups)
  local lengths = collect(groups, function(sample) return #sample.ids end)
  local function mean(field) return (advantage.statistics(collect(groups, field))) end
  return {
    ["completions/mean_length"] = (advantage.statistics(lengths)),
    ["completions/min_length"] = math.min(table.unpack(lengths)),
    ["completions/max_length"] = math.max(table.unpack(lengths)),
    ["completions/clipped_ratio"] = mean(function(s) return s.truncated and 1 or 0 end),
    ["completions/mean_think_length"] = mean(function(s) return s.think_length end),
    ["completions/closed_ratio"] = mean(function(s) return s.closed and 1 or 0 end),
    ["completions/boxed_ratio"] = mean(function(s) return s.prediction and 1 or 0 end),
  }
end

--- Writes the first completions of a step to the run's completions.jsonl, for people to read.
---@param run midtrain.Run
---@param groups table[][]
---@param positions table[] of the forest
---@param count integer how many
function scoring.log(run, groups, positions, count)
  for i, group in ipairs(groups) do
    local place = positions[i]
    for _, s in ipairs(group) do
      if count == 0 then return end
      count = count - 1
      run:record("completions.jsonl", {
        step = run.t + 1, document = place.document, position = place.position,
        tier = entropy.names[place.tier], budget = s.budget, text = s.text,
        target = s.continuation[1], prediction = s.prediction, think_length = s.think_length,
        reward = s.reward, advantage = s.advantage,
      })
    end
  end
end

return scoring
