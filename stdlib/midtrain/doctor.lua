-- What is wrong with a run, in plain words: looks at the metrics of its last steps for the ways in
-- which reinforcement learning usually fails, and says which metric shows it and what to try.

local advantage = require "midtrain.advantage"

local doctor = {}

---@class midtrain.Finding
---@field problem string
---@field metric string the metric that shows it
---@field value number its mean over the last steps
---@field advice string

--- Steps that are looked at, at most, at the end and at the beginning.
doctor.window = 20

-- Mean of a metric over steps first … last that have it; nil if none does.
local function mean(history, name, first, last)
  local values = {}
  for t = math.max(1, first), math.min(#history, last) do
    local value = history[t] and history[t][name]
    if value and value == value then values[#values + 1] = value end
  end
  if #values == 0 then return nil end
  return (advantage.statistics(values))
end

-- Each rule gets what a metric is now and was at the beginning, and returns a finding's parts or
-- nothing.
local rules = {
  function(now)
    local dead, match = now "frac_reward_zero_std", now "rewards/match/mean"
    if not dead or dead < 0.9 then return end
    local advice = "more rollouts (num_generations), a higher temperature, or dynamic_sampling"
    if match and match < 0.05 then
      advice = "almost nothing is predicted: a cold start, or easier positions (curriculum)"
    elseif match and match > 0.95 then
      advice = "almost everything is predicted: harder positions (curriculum)"
    end
    return "nearly all groups have equal rewards, so there is nothing to learn from",
      "frac_reward_zero_std", advice
  end,
  function(now)
    if (now "completions/clipped_ratio" or 0) < 0.5 then return end
    return "most completions are cut off before they end", "completions/clipped_ratio",
      "a larger max_completion_length, a smaller budget, or a cold start that teaches to end"
  end,
  function(now)
    if (now "completions/boxed_ratio" or 1) > 0.1 then return end
    return "almost no completion has a prediction in \\boxed{}", "completions/boxed_ratio",
      "a cold start (mid.coldstart), or check the prompt with run's completions (run:samples())"
  end,
  function(now, before)
    local length, was = now "completions/mean_think_length", before "completions/mean_think_length"
    if not length or length > 3 or was < 4 * length then return end
    return "thoughts have shrunk to almost nothing", "completions/mean_think_length",
      "a larger budget or minimum, less weight on the length reward"
  end,
  function(now)
    local length, budget = now "completions/mean_think_length", now "budget"
    if not length or not budget or math.abs(length - budget) <= 0.5 * budget then return end
    return ("thoughts are far from the budget of %.0f tokens"):format(budget),
      "completions/mean_think_length",
      "a budget that changes more slowly, more weight on the length reward, or a longer cold start"
  end,
  function(now, before)
    local entropy, was = now "entropy", before "entropy"
    if not entropy or entropy > 0.05 or was < 10 * entropy then return end
    return "the policy has become almost deterministic", "entropy",
      "an entropy bonus (entropy_coef), a smaller learning rate, a higher temperature"
  end,
  function(now)
    if (now "rewards/unscored" or 0) == 0 then return end
    return "some samples get no reward and do not train", "rewards/unscored",
      "see `failure` in completions.jsonl: a reward fails, takes too long, or returns nil"
  end,
  function(now)
    if now "learning_rate" ~= 0 then return end
    return "the learning rate is zero", "learning_rate", "run.learning_rate = …"
  end,
  function(now)
    if now "grad_norm" ~= 0 or now "learning_rate" == 0 then return end
    return "no gradient reaches any weight", "grad_norm",
      "all rewards equal and lambda 0, everything masked, or frozen parameters"
  end,
  function(now)
    if (now "skipped" or 0) == 0 then return end
    return "steps were skipped, their loss or gradient was not finite", "skipped",
      "a smaller learning rate; check a reward or loss of your own for division by zero; the batches are in "
        .. "the run's folder skipped"
  end,
  function(now)
    local norm, loss = now "outlier/grad_norm" or 0, now "outlier/loss" or 0
    -- One of a window of twenty may happen.
    if math.max(norm, loss) < 0.1 then return end
    return "losses or gradients jump far above what they were", norm >= loss and "outlier/grad_norm" or "outlier/loss",
      "a smaller max_grad_norm or learning rate; look at what those steps were computed from"
  end,
  function(now)
    if (now "sampling/sampling_logp_difference/mean" or 0) < 0.1 then return end
    return "what samples is far from what is trained", "sampling/sampling_logp_difference/mean",
      "rollout_dtype = \"f32\", or fewer steps on the same rollouts (num_iterations)"
  end,
  function(now, before)
    local match, was = now "rewards/match/mean", before "rewards/match/mean"
    if not match or was < 0.1 or match > 0.5 * was then return end
    return ("predictions have become worse, from %.2f"):format(was), "rewards/match/mean",
      "a smaller learning rate, or go back: a checkpoint, or a fork from before"
  end,
}

--- Findings about a history of metrics; none if nothing looks wrong.
---@param history table[] metrics of steps 1 … n
---@return midtrain.Finding[]
function doctor.examine(history)
  local findings, n = {}, #history
  local function now(name) return mean(history, name, n - doctor.window + 1, n) end
  -- Up to half of a short history, so that both ends differ.
  local early = math.max(1, math.min(doctor.window, n // 2))
  local function before(name) return mean(history, name, 1, early) or 0 end
  if n == 0 then return findings end
  for _, rule in ipairs(rules) do
    local problem, metric, advice = rule(now, before)
    if problem then
      findings[#findings + 1] =
        { problem = problem, metric = metric, value = now(metric), advice = advice }
    end
  end
  return findings
end

--- Findings as text for people.
---@param findings midtrain.Finding[]
---@param steps integer how many steps there are
---@return string
function doctor.describe(findings, steps)
  if steps == 0 then return "no step was taken yet" end
  if #findings == 0 then
    return ("nothing looks wrong in the last %d steps"):format(math.min(steps, doctor.window))
  end
  local lines = {}
  for i, f in ipairs(findings) do
    lines[i] = ("• %s (%s is %.3g)\n  try: %s"):format(f.problem, f.metric, f.value, f.advice)
  end
  return table.concat(lines, "\n")
end

return doctor
