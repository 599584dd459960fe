-- An update of the policy: the policy loss is minimised on completions with advantages, once or
-- several times.

local blame = require "midtrain.blame"
local health = require "midtrain.health"
local mid = require "midtrain.native"
local objective = require "midtrain.objective"
local rollout = require "midtrain.rollout"

local policy = {}

---@class midtrain.PolicyUpdate
---@field batch table
---@field sequences midtrain.Sequence[] may be none
---@field sampled table<integer, number[]> see rollout.attach
---@field reference_model table?
---@field has_ratio boolean? ratio and clip from the first optimiser step on, as GRPO has them; else
---  A·log π, as RMT prints it, unless there are several steps
---@field add (fun(logprobs: any, loss: any): any)? the policy loss → all that is to be minimised

--- Refuses values of knobs that such an update cannot use.
---@param name string
---@param value any
---@param reference_model table?
function policy.admit(name, value, reference_model)
  if name == "beta" and type(value) == "number" and value > 0 and not reference_model then
    error("run: option 'beta' above 0 needs reference_model, an option of the run when it is made", blame.level())
  end
  for key, f in pairs(name == "shadow_rewards" and type(value) == "table" and value or {}) do
    if type(key) ~= "string" or type(f) ~= "function" then
      error(("run: option 'shadow_rewards' must be functions by name, got a %s at %s"):format(type(f),
        tostring(key)), blame.level())
    end
  end
end

-- Mean over the completions' tokens of a tensor [N], which `active` selects.
local function token_mean(t, active, tokens)
  return (t * active):sum():item() / math.max(1, tokens)
end

--- Takes `num_iterations` optimiser steps on the same rollouts; the ratio is to the policy of the
--- first. Metrics are the last one's, but how far sampling was from training is seen in the first.
---@param run midtrain.Run
---@param knobs table
---@param o midtrain.PolicyUpdate
---@param metrics table
function policy.update(run, knobs, o, metrics)
  metrics.policy_loss, metrics.loss, metrics.skipped, metrics.num_tokens = 0, 0, 0, #o.batch
  if #o.sequences == 0 and not o.add then return end
  local batch, ones, tokens, old, skipped, problem = o.batch, {}, 0, nil, 0, nil
  for segment, logprobs in pairs(o.sampled) do
    ones[segment], tokens = 1, tokens + #logprobs
  end
  local active, sampled = batch:spread(ones), batch:spread(o.sampled)
  local ref = knobs.beta > 0 and mid.no_grad(function()
    return (o.reference_model:logprobs(batch, { max_rows = run:plan(batch).max_rows }))
  end) or nil
  for iteration = 1, knobs.num_iterations do
    local lp, H = run:logprobs(batch, { entropy = true })
    if iteration == 1 then
      local difference = (lp:detach() - sampled):abs() * active
      metrics["sampling/sampling_logp_difference/mean"] = token_mean(difference, active, tokens)
      metrics["sampling/sampling_logp_difference/max"] = difference:max():item()
      if not health.is_finite(metrics["sampling/sampling_logp_difference/mean"]) then
        problem = "a log-probability is not finite"
      end
      old = (o.has_ratio or knobs.num_iterations > 1) and lp:detach() or nil
    end
    metrics.entropy = token_mean(H:detach(), active, tokens)
    local loss = mid.tensor(0)
    if #o.sequences > 0 then
      local given, more = objective.options(knobs), nil
      given.logprobs, given.old_logprobs, given.ref_logprobs, given.entropies = lp, old, ref, H
      given.sequences = o.sequences
      given.sampling_logprobs = rollout.is_corrected(knobs) and sampled or nil
      loss, more = objective.policy_loss(given)
      for name, value in pairs(more) do metrics[name] = value end
    end
    metrics.policy_loss = loss:item()
    if o.add then loss = o.add(lp, loss) end
    run:optimize(loss, metrics, problem)
    skipped = math.max(skipped, metrics.skipped)
  end
  metrics.skipped = skipped
end

return policy
