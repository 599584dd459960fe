-- From rollouts to advantages: reads what each completion predicted, asks the reward, whitens
-- within groups, and sums up the metrics. A group is the rollouts of one position.

local advantage = require "midtrain.advantage"
local entropy = require "midtrain.entropy"
local guard = require "midtrain.guard"
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

-- What a reward function says of a sample: total and components, or nil and nothing; then a message
-- if it failed. A failure says nothing of the sample, so it must not count as a reward of 0.
local function ask(reward_function, sample, limit)
  local ok, total, components = guard.call(limit, reward_function, sample)
  if not ok then return nil, {}, tostring(total) end
  if total == nil then return nil, {} end
  if type(total) ~= "number" or total ~= total or math.abs(total) == math.huge then
    return nil, {}, ("expected a finite number, or nil to leave the sample out, got %s (%s)")
      :format(type(total), tostring(total))
  end
  -- A reward without components is logged as one.
  components = components or { reward = { value = total, contribution = total } }
  for name, part in pairs(components) do
    if type(part) ~= "table" or type(part.value) ~= "number"
      or type(part.contribution) ~= "number" then
      return nil, {}, ("component '%s' must be { value = number, contribution = number }")
        :format(tostring(name))
    end
  end
  return total, components
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

--- Asks the reward of every sample that was not asked yet: fields `reward`, `components` and, where
--- it failed, `failure`. A group gets `varies`: whether its rewards differ, and whether their parts
--- called match do (nil without such a part); only a group that varies teaches.
---@param groups table[][] samples, completed by `read`
---@param reward_function fun(sample: midtrain.Sample): number?, table?
---@param limit integer? instructions a call may take; none if absent
function scoring.ask(groups, reward_function, limit)
  local function match(sample) return sample.components.match and sample.components.match.value end
  for _, group in ipairs(groups) do
    for _, sample in ipairs(group) do
      if not sample.components then
        sample.reward, sample.components, sample.failure = ask(reward_function, sample, limit or 0)
      end
    end
    local function varies(field)
      local _, std, count = advantage.statistics(column(group, field), #group)
      return count > 0 and std >= 1e-8
    end
    local has_match = #collect({ group }, match) > 0
    group.varies = { reward = varies(total_reward) }
    if has_match then group.varies.match = varies(match) end
  end
end

--- Whether a group is worth its place, as DAPO's dynamic sampling asks: by its matches, since the
--- lengths of answers that are all wrong always differ; by its rewards where those have no match.
---@param group table
---@return boolean
function scoring.is_live(group)
  if group.varies.match ~= nil then return group.varies.match end
  return group.varies.reward
end

-- Shares of groups, of those in `groups` for which field(varies) is known.
local function share(groups, field)
  local count, sum = 0, 0
  for _, group in ipairs(groups) do
    local varies = group.varies[field]
    if varies ~= nil then count, sum = count + 1, sum + (varies and 1 or 0) end
  end
  return count > 0 and sum / count or nil
end

-- For each tier, the share of its groups whose rewards vary: what curriculum.feedback reads.
local function tier_metrics(groups, metrics)
  local of_tier = { {}, {}, {} }
  for _, group in ipairs(groups) do
    local tier = group.place and group.place.tier
    if tier then table.insert(of_tier[tier], group) end
  end
  for tier, name in ipairs(entropy.names) do
    local prefix = ("curriculum/%s/"):format(name)
    metrics[prefix .. "frac_reward_nonzero_std"] = share(of_tier[tier], "reward")
    metrics[prefix .. "frac_match_nonzero_std"] = share(of_tier[tier], "match")
  end
end

--- Rewards and advantages of every sample (fields `reward`, `components`, `advantage`; nil where
--- unscored), and the step's metrics of them.
---@param groups table[][] samples, completed by `read`; a group's `place` has its tier
---@param reward_function fun(sample: midtrain.Sample): number?, table?
---@param scale_rewards "group"|"batch"|"none"
---@param limit integer? instructions that a call of the reward may take
---@return table metrics
---@return string? failure what the reward said where it failed first
function scoring.score(groups, reward_function, scale_rewards, limit)
  scoring.ask(groups, reward_function, limit)
  local all = collect(groups, total_reward)
  local mean, batch_std, scored = advantage.statistics(all)
  local o = {
    scale = scale_rewards == "none" and "none" or "group",
    std = scale_rewards == "batch" and batch_std or nil,
  }
  local names = components_of(groups)
  local parts, group_stds = {}, {}
  for name in pairs(names) do parts[name] = {} end
  for _, group in ipairs(groups) do
    local advantages, std = advantage.group(column(group, total_reward), #group, o)
    for i, sample in ipairs(group) do sample.advantage = advantages[i] end
    if std == std then group_stds[#group_stds + 1] = std end
    for name in pairs(names) do
      local part = advantage.part(column(group, function(sample)
        return sample.components[name] and sample.components[name].contribution
      end), std, #group, o)
      for i = 1, #group do table.insert(parts[name], part[i]) end
    end
  end

  local failures = collect(groups, function(sample) return sample.failure end)
  local metrics = {
    reward = mean,
    reward_std = (advantage.statistics(group_stds)),
    frac_reward_zero_std = 1 - share(groups, "reward"),
    ["rewards/unscored"] = scoring.count(groups) - scored,
    ["rewards/failed"] = #failures,
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
  if names.match then metrics["rewards/match/frac_zero_std"] = 1 - share(groups, "match") end
  tier_metrics(groups, metrics)
  return metrics, failures[1]
end

--- Metrics of rewards that are only looked at, never trained on.
---@param groups table[][]
---@param rewards table<string, fun(sample: midtrain.Sample): number?>
---@param limit integer? instructions that a call may take
---@return table metrics
function scoring.shadow(groups, rewards, limit)
  local metrics = {}
  for name, reward_function in pairs(rewards) do
    local failed = 0
    local values = collect(groups, function(sample)
      local total, _, failure = ask(reward_function, sample, limit or 0)
      failed = failed + (failure and 1 or 0)
      return total
    end)
    local prefix = "shadow_rewards/" .. name
    metrics[prefix .. "/failed"] = failed
    if #values > 0 then
      metrics[prefix .. "/mean"], metrics[prefix .. "/std"] = advantage.statistics(values)
    end
  end
  return metrics
end

-- Rewards whose failure was already told of.
local told = setmetatable({}, { __mode = "k" })

--- `score` with a run's knobs, with shadow rewards and lengths. A reward that fails is told of
--- once, and written down in failures.jsonl.
---@param run midtrain.Run
---@param groups table[][]
---@param knobs table
---@return table metrics
---@return string? failure
function scoring.step(run, groups, knobs)
  local limit = knobs.reward_instructions
  local metrics, failure = scoring.score(groups, knobs.reward, knobs.scale_rewards, limit)
  local others = { scoring.lengths(groups), scoring.shadow(groups, knobs.shadow_rewards, limit) }
  for _, part in ipairs(others) do
    for name, value in pairs(part) do metrics[name] = value end
  end
  run:histogram("completions/length", collect(groups, function(sample) return #sample.ids end))
  run:histogram("reward", collect(groups, total_reward))
  if failure and not told[knobs.reward] then
    told[knobs.reward] = true
    print("the reward failed; samples where it does stay out: " .. failure)
    run:record("failures.jsonl", { step = run.t + 1, message = failure })
  end
  return metrics, failure
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
  local function mean(field)
    local value, _, count = advantage.statistics(collect(groups, field))
    return count > 0 and value or nil
  end
  return {
    ["completions/mean_length"] = (advantage.statistics(lengths)),
    ["completions/min_length"] = math.min(table.unpack(lengths)),
    ["completions/max_length"] = math.max(table.unpack(lengths)),
    ["completions/clipped_ratio"] = mean(function(s) return s.truncated and 1 or 0 end),
    ["completions/mean_think_length"] = mean(function(s) return s.think_length end),
    ["completions/mean_think_length_right"] = mean(function(s)
      local match = s.components and s.components.match
      return match and match.value >= 1 and s.think_length or nil
    end),
    ["completions/closed_ratio"] = mean(function(s) return s.closed and 1 or 0 end),
    ["completions/boxed_ratio"] = mean(function(s) return s.prediction and 1 or 0 end),
  }
end

--- Writes the first completions of a step to the run's completions.jsonl, for people to read.
---@param run midtrain.Run
---@param groups table[][] with their places
---@param count integer how many
function scoring.log(run, groups, count)
  for _, group in ipairs(groups) do
    local place = group.place
    for _, s in ipairs(group) do
      if count == 0 then return end
      count = count - 1
      run:record("completions.jsonl", {
        step = run.t + 1, document = place.document, position = place.position,
        tier = entropy.names[place.tier], budget = s.budget, text = s.text,
        target = s.continuation[1], prediction = s.prediction, think_length = s.think_length,
        reward = s.reward, advantage = s.advantage, failure = s.failure,
      })
    end
  end
end

return scoring
