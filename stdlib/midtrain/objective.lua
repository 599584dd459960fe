-- Objectives on packed log-probabilities. `logprobs` is the tensor [N] that
-- model:logprobs(batch) gives; a sequence is a completion's range in it with its advantage:
--   { first = 17, last = 40, advantage = 0.7 }        (1-based, inclusive: batch:range(segment))
-- A loss is minimised. Everything here is a per-token coefficient on log-probabilities, so one
-- backward pass serves the sum of all of them.

local mid = require "midtrain.native"
local options = require "midtrain.options"

local entropy = require "midtrain.entropy"

---@class midtrain.Sequence
---@field first integer
---@field last integer
---@field advantage number

local objective = {}

-- A tensor [n] that holds value(sequence) along every sequence and 0 elsewhere.
local function spread(n, sequences, value)
  local list = {}
  for i = 1, n do list[i] = 0.0 end
  for _, sequence in ipairs(sequences) do
    local v = value(sequence)
    for i = sequence.first, sequence.last do list[i] = v end
  end
  return mid.tensor(list)
end

local function length(sequence) return sequence.last - sequence.first + 1 end

local reductions = {
  -- Mean over sequences of their token means.
  grpo = function(o) return function(s) return 1 / (#o.sequences * length(s)) end end,
  -- Token mean: of this batch (bnpo), or of all batches that make one step (dapo).
  bnpo = function(o) return function() return 1 / o.tokens end end,
  dapo = function(o) return function() return 1 / (o.num_items_in_batch or o.tokens) end end,
  dr_grpo = function(o)
    return function() return 1 / (#o.sequences * o.max_completion_length) end
  end,
  -- log π(o_i) as RMT prints it: the sum over a completion's tokens; mean over completions [K].
  sequence_sum = function(o) return function() return 1 / #o.sequences end end,
}

--- Options of a policy loss that a run has as knobs, in TRL's names.
---@type table<string, midtrain.Option>
objective.specification = {
  loss_type = {
    "string", default = "dapo", knob = true,
    choices = { "grpo", "dapo", "dr_grpo", "bnpo", "sequence_sum" },
    doc = "how completions' tokens are averaged [D]; sequence_sum is J_RL as printed [K]",
  },
  importance_sampling_level = {
    "string", default = "token", choices = { "token", "sequence" }, knob = true,
    doc = "of the ratio; sequence is GSPO's",
  },
  epsilon = { "number", default = 0.2, min = 0, knob = true, doc = "lower clip; TRL's default" },
  epsilon_high = { "number", min = 0, knob = true, doc = "upper clip; epsilon if absent" },
  delta = { "number", min = 0, knob = true, doc = "cap of the ratio before the clip" },
  beta = { "number", default = 0, min = 0, knob = true, doc = "β of the KL term [D]" },
  kl = {
    "string", default = "k3", choices = { "k1", "k2", "k3" }, knob = true,
    doc = "estimator of the KL to the reference; k3 is TRL's",
  },
  entropy_coef = {
    "number", default = 0, knob = true, doc = "of an entropy bonus (verl's entropy_coeff) [D: 0]",
  },
  top_entropy_quantile = {
    "number", default = 1, min = 0, max = 1, knob = true,
    doc = "share of tokens, the most uncertain ones, that get policy gradient; TRL's default 1",
  },
  importance_sampling_cap = { "number", default = 2, min = 0, knob = true, doc = "TRL's default" },
}

local specification = {
  logprobs = { "any", required = true, doc = "tensor [N] with gradient" },
  sequences = { "table", required = true, doc = "ranges with their advantages" },
  old_logprobs = { "any", doc = "tensor [N] at sampling time; without it, exactly on-policy" },
  ref_logprobs = { "any", doc = "tensor [N] of the reference model; needed if beta ≠ 0" },
  sampling_logprobs = {
    "any", doc = "tensor [N] of the policy that sampled, if not quite the trained one",
  },
  entropies = {
    "any", doc = "tensor [N]; needed by entropy_coef (with gradient) and top_entropy_quantile",
  },
  max_completion_length = { "integer", min = 1, doc = "needed by dr_grpo" },
  num_items_in_batch = { "number", min = 1, doc = "dapo's tokens, if the step has more batches" },
}
-- One loss has values, no schedules.
for name, option in pairs(objective.specification) do
  specification[name] = options.merged(option, { knob = false })
end

--- What a run's knobs say of its policy loss.
---@param knobs table
---@return table options of policy_loss, to which the tensors are added
function objective.options(knobs)
  local result = { max_completion_length = knobs.max_completion_length }
  for name in pairs(objective.specification) do result[name] = knobs[name] end
  return result
end

-- −min(ρA, clip(ρ, 1 − ε, 1 + ε_high)·A), ρ capped at delta first. A: a number or a tensor.
local function clipped(ratio, A, o)
  local capped = o.delta and ratio:clamp(-math.huge, o.delta) or ratio
  local bounded = ratio:clamp(1 - o.epsilon, 1 + (o.epsilon_high or o.epsilon))
  return -((capped * A):minimum(bounded * A))
end

-- Truncated importance sampling: each token's weight min(π(o_t) / π_sampling(o_t), cap), a
-- constant. Of the policy before the first step on these samples, as in TRL: how far it went since
-- is the ratio's matter.
local function correction(o, tokens)
  local log_ratio = (o.old_logprobs or o.logprobs:detach()) - o.sampling_logprobs
  local ratio = log_ratio:clamp(-20, 20):exp():clamp(0, o.importance_sampling_cap)
  local mean = (ratio * tokens):sum():item()
  return ratio, { ["sampling/importance_sampling_ratio/mean"] = mean }
end

--- KL to a reference per token, with d = log π − log π_ref: k1 is d, unbiased but of high variance;
--- k2 is ½d²; k3 is e^(−d) + d − 1, with d clamped to ±20 (Schulman, "Approximating KL
--- divergence", 2020).
---@param logprobs any tensor
---@param ref_logprobs any tensor
---@param kind ("k1"|"k2"|"k3")? k3 if absent
---@return any
function objective.kl(logprobs, ref_logprobs, kind)
  kind = options.value("objective.kl", "kind", kind or "k3", objective.specification.kl)
  local difference = ref_logprobs - logprobs
  if kind == "k1" then return -difference end
  if kind == "k2" then return difference * difference * 0.5 end
  difference = difference:clamp(-20, 20)
  return difference:exp() - difference - 1
end

-- TRL's mask of the sequences' tokens whose entropy is at or above the (1 − share)-quantile of all
-- of them; what the others are multiplied with is 0, while denominators stay.
local function high_entropy_mask(entropies, sequences, share)
  local list, values = entropies:detach():tolist(), {}
  for _, s in ipairs(sequences) do table.move(list, s.first, s.last, #values + 1, values) end
  local threshold = entropy.quantile(values, 1 - share)
  for i, h in ipairs(list) do list[i] = h >= threshold and 1 or 0 end
  return mid.tensor(list)
end

--- The GRPO family, with TRL's names. Without `old_logprobs` the surrogate is A·log π itself: no
--- ratio and no clip, as RMT prints J_RL [K].
---@param given table see `specification` above
---@return any loss scalar tensor, −J_RL
---@return table metrics kl, clipped and masked fractions, where they apply
function objective.policy_loss(given)
  local o = options.check("objective.policy_loss", given, specification)
  local lp, sequences, metrics = o.logprobs, o.sequences, {}
  if #sequences == 0 then error("objective.policy_loss: no sequences", 2) end
  if o.loss_type == "dr_grpo" and not o.max_completion_length then
    error("objective.policy_loss: loss_type 'dr_grpo' needs max_completion_length", 2)
  end
  if o.beta > 0 and not o.ref_logprobs then
    error("objective.policy_loss: beta > 0 needs ref_logprobs (a reference model)", 2)
  end
  if (o.entropy_coef ~= 0 or o.top_entropy_quantile < 1) and not o.entropies then
    error("objective.policy_loss: entropy_coef and top_entropy_quantile need entropies", 2)
  end
  o.tokens = 0
  for _, s in ipairs(sequences) do o.tokens = o.tokens + length(s) end
  local N = lp.shape[1]
  local weight_of = reductions[o.loss_type](o)
  -- KL and entropy count at every token; the policy's own term may be masked or corrected.
  local all_weights = spread(N, sequences, weight_of)
  local weights = all_weights
  local function mean_of_tokens() return 1 / o.tokens end
  if o.sampling_logprobs then
    local ratio
    ratio, metrics = correction(o, spread(N, sequences, mean_of_tokens))
    weights = weights * ratio
  end
  if o.top_entropy_quantile < 1 then
    weights = weights * high_entropy_mask(o.entropies, sequences, o.top_entropy_quantile)
  end

  local loss
  if not o.old_logprobs then
    loss = -(lp * spread(N, sequences, function(s) return s.advantage end) * weights):sum()
  elseif o.importance_sampling_level == "token" then
    local ratio = (lp - o.old_logprobs):exp()
    local A = spread(N, sequences, function(s) return s.advantage end)
    loss = (clipped(ratio, A, o) * weights):sum()
    -- TRL's share of tokens at which the clip binds: ρ too low where A < 0, too high where A > 0.
    local active = spread(N, sequences, mean_of_tokens)
    local low = ratio:lt(1 - o.epsilon) * A:lt(0) * active
    local high = ratio:gt(1 + (o.epsilon_high or o.epsilon)) * A:gt(0) * active
    metrics["clip_ratio/low_mean"] = low:sum():item()
    metrics["clip_ratio/high_mean"] = high:sum():item()
  else
    -- GSPO: one ratio per sequence, from its mean log ratio, used at each of its tokens.
    for _, s in ipairs(sequences) do
      local log_ratio = (lp - o.old_logprobs):slice(1, s.first, s.last):mean()
      local weight = weights:slice(1, s.first, s.last):sum():item()
      local term = clipped(log_ratio:exp(), s.advantage, o) * weight
      loss = loss and loss + term or term
    end
  end
  if o.beta > 0 then
    local kl = objective.kl(lp, o.ref_logprobs, o.kl)
    loss = loss + (kl * all_weights):sum() * o.beta
    local active = spread(N, sequences, mean_of_tokens)
    metrics.kl = (kl * active):sum():item()
  end
  if o.entropy_coef ~= 0 then
    loss = loss - (o.entropies * all_weights):sum() * o.entropy_coef
  end
  return loss, metrics
end
options.takes(objective.policy_loss, specification)

--- Next-token loss −Σ m·log p: the sum that RMT prints [K], or the mean over the tokens with m = 1,
--- which does not swamp the policy term (the default [D]).
---@param logprobs any tensor [N]
---@param mask any tensor [N] of 0 and 1 (m_pos)
---@param reduction ("token_mean"|"sum")?
---@return any loss scalar tensor
function objective.ntp_loss(logprobs, mask, reduction)
  reduction = options.value("objective.ntp_loss", "reduction", reduction or "token_mean",
    { "string", choices = { "token_mean", "sum" } })
  local loss = -((logprobs * mask):sum())
  if reduction == "sum" then return loss end
  return loss / math.max(1, mask:sum():item())
end

--- RMT's L = −J_RL + λ·L_NTP [K]. The paper prints L_RL as a quantity to maximise; `policy_loss`
--- is its negative, so both terms are minimised.
---@param policy_loss any scalar tensor
---@param ntp_loss any scalar tensor
---@param lambda number 0.1 in the paper [K]
---@return any
function objective.dual(policy_loss, ntp_loss, lambda)
  return policy_loss + ntp_loss * lambda
end

return objective
