-- Reinforcement mid-training (RMT, arXiv:2509.24375): at chosen positions of unlabelled
-- text the model reasons inside <think>…</think> and predicts the next token; the reward is
-- whether the text goes on like that and whether the reasoning took B_t tokens. All other tokens
-- are learned by ordinary next-token prediction, in the same backward pass.
--
--   run = mid.rmt { model = model, docs = docs, steps = 200, out = "runs/first" }
--   run:start()

local budget = require "midtrain.budget"
local curriculum = require "midtrain.curriculum"
local entropy = require "midtrain.entropy"
local objective = require "midtrain.objective"
local options = require "midtrain.options"
local policy = require "midtrain.policy"
local pools = require "midtrain.pool"
local prompts = require "midtrain.prompt"
local reward = require "midtrain.reward"
local rollout = require "midtrain.rollout"
local runs = require "midtrain.run"
local scoring = require "midtrain.scoring"

local shared = options.merged(pools.specification, objective.specification, rollout.specification,
  runs.specification)
local specification = options.merged(shared, {
  prompt = { "table", doc = "see prompt.new" },
  reference_model = { { "userdata", "table" }, doc = "π_ref; needed if beta ≠ 0" },
  log_completions = { "integer", default = 8, min = 0, doc = "lines of completions.jsonl a step" },

  budget = {
    "function", default = budget.exponential(), min = 1, knob = true, doc = "B_t; or a whole number",
    expected = "a whole number or a function of (t, T, state)",
    convert = function(v)
      return type(v) == "number" and math.tointeger(v) and budget.constant(v) or v
    end,
  },
  curriculum = {
    "function", default = curriculum.paper(), knob = true, doc = "p_t; or three probabilities",
    expected = "three probabilities or a function of (t, T, state)",
    convert = function(v) return type(v) == "table" and curriculum.constant(v) or v end,
  },
  reward = { "function", default = reward.rmt(), knob = true, doc = "r of a sample" },
  shadow_rewards = { "table", default = {}, knob = true, doc = "by name; logged, not trained on" },
  lambda = { "number", default = 0.1, min = 0, knob = true, doc = "λ [K]; 0 is RL alone" },
  ntp_on = {
    "string", default = "trunk", choices = { "trunk", "documents" }, knob = true,
    doc = "next tokens after the prompt's beginning, shared with it, or of the bare texts [D]",
  },
  ntp_reduction = {
    "string", default = "token_mean", choices = { "token_mean", "sum" }, knob = true,
    doc = "the paper prints the sum [K]; the mean does not swamp the policy term [D]",
  },
  scale_rewards = {
    "string", default = "group", choices = { "group", "batch", "none" }, knob = true,
  },
  mask_truncated_completions = {
    "boolean", default = false, knob = true, doc = "leave them out of the loss; TRL's default",
  },
  num_iterations = {
    "integer", default = 1, min = 1, knob = true,
    doc = "optimiser steps on a step's rollouts; above 1 with ratio and clip [K: 1, on-policy]",
  },
  documents_per_step = { "integer", default = 8, min = 1, knob = true },
  positions_per_document = { "integer", default = 1, min = 1, knob = true, doc = "[D]" },
  revisit = {
    "number", default = 0, min = 0, max = 1, knob = true,
    doc = "share of draws that go back to a position of the tier whose last answers differed [D: 0]",
  },
})

-- One step: positions → prompts → rollouts → rewards → advantages → dual loss → optimiser.
local function step(self, run, knobs, t)
  self.documents, self.sampler = self.pool:at(run, t)
  local T, state = run.T, run.metrics or {}
  local B, of_budget =
    options.at("rmt", "budget", knobs.budget, { "number", min = 1 }, t, T, state)
  B = B and math.floor(B)
  local p, per_position, of_curriculum = knobs.curriculum(t, T, state)

  -- Positions C and G rollouts at each; the record is their token ids.
  local groups, all, of_sampling =
    rollout.step(self, run, knobs, t, { B = B, p = p, per_position = per_position })
  local metrics, failure = scoring.step(run, all, knobs)
  for _, part in ipairs { of_sampling, of_budget or {}, of_curriculum or {} } do
    for name, value in pairs(part) do metrics[name] = value end
  end
  local forest, sequences, sampled, is_scored = rollout.branches(self, groups, knobs,
    { budget = B, score = knobs.lambda > 0, raw = knobs.ntp_on == "documents" })
  if not is_scored then
    error("rmt: the reward left every sample of this step unscored"
      .. (failure and "; it failed: " .. failure or ""))
  end
  local function with_ntp(lp, loss)
    local ntp_loss =
      objective.ntp_loss(lp, forest.batch:spread(forest.ntp_mask), knobs.ntp_reduction)
    metrics.ntp_loss = ntp_loss:item()
    return objective.dual(loss, ntp_loss, knobs.lambda)
  end
  policy.update(run, knobs, {
    batch = forest.batch, sequences = sequences, sampled = sampled,
    reference_model = self.reference_model, add = knobs.lambda > 0 and with_ntp or nil,
  }, metrics)

  for _, group in ipairs(all) do
    self.sampler:note(group.place.document, group.place.position, scoring.is_live(group))
  end
  metrics.budget, metrics.lambda = B, knobs.lambda
  for tier, name in ipairs(entropy.names) do metrics["curriculum/" .. name] = p[tier] end
  scoring.log(run, groups, self.log_completions)
  return metrics
end

local function line(m)
  local match = m["rewards/match/mean"]
  return ("B %s · reward %.2f%s · len %.0f · loss %.3f"):format(m.budget or "–", m.reward,
    match and (" (match %.2f)"):format(match) or "", m["completions/mean_length"], m.loss)
end

local rmt = { specification = specification }

--- A reinforcement mid-training run, ready to start.
---@param given table see rmt.specification; model and docs are required
---@return midtrain.Run
function rmt.new(given)
  local o = options.check("mid.rmt", given, specification)
  local pool, run = pools.new("mid.rmt", o), nil
  local self = {
    pool = pool, prompt = prompts.new(o.model.tokenizer, o.prompt),
    reference_model = o.reference_model, log_completions = o.log_completions,
  }
  self.prompt:check_room("mid.rmt", o.model, pool:longest())
  run = runs.new {
    name = "mid.rmt", options = o, specification = specification, line = line,
    step = function(...) return step(self, ...) end,
    admit = function(name, value)
      policy.admit(name, value, self.reference_model)
      if name == "curriculum" then pool:admit(value) end
    end,
    state = function() return pool:state(run.t) end,
    restore = function(state) pool:restore(state) end,
    new = rmt.new, shared = function() return pool:shared() end,
  }
  return run
end
options.takes(rmt.new, specification)

return setmetatable(rmt, { __call = function(_, given) return rmt.new(given) end })
