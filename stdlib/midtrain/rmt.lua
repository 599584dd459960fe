-- Reinforcement mid-training (RMT, arXiv:2509.24375): at chosen positions of unlabelled
-- text the model reasons inside <think>…</think> and predicts the next token; the reward is
-- whether the text goes on like that and whether the reasoning took B_t tokens. All other tokens
-- are learned by ordinary next-token prediction, in the same backward pass.
--
--   run = mid.rmt { model = model, docs = docs, steps = 200, out = "runs/first" }
--   run:start()

local budget = require "midtrain.budget"
local curriculum = require "midtrain.curriculum"
local documents = require "midtrain.documents"
local entropy = require "midtrain.entropy"
local mid = require "midtrain.native"
local objective = require "midtrain.objective"
local options = require "midtrain.options"
local prompts = require "midtrain.prompt"
local reward = require "midtrain.reward"
local rollout = require "midtrain.rollout"
local runs = require "midtrain.run"
local scoring = require "midtrain.scoring"

local specification = {
  docs = { "table", required = true, doc = "list of texts" },
  max_document_length = { "integer", default = 512, min = 2, doc = "tokens; the rest is cut" },
  entropies = { "table", doc = "per document, H after each token; else from entropy_model" },
  entropy_model = { { "userdata", "table" }, doc = "the model itself, before training, if absent" },
  entropy_top_k = { "integer", min = 2, doc = "16 in RPT [K]; the whole vocabulary if absent" },
  thresholds = { "table", default = entropy.thresholds, doc = "tiers, nats [D, RPT]" },
  prompt = { "table", doc = "see prompt.new" },
  reference_model = { { "userdata", "table" }, doc = "π_ref; needed if beta ≠ 0" },
  log_completions = { "integer", default = 8, min = 0, doc = "lines of completions.jsonl a step" },

  budget = {
    "function", default = budget.exponential(), knob = true, doc = "B_t; or a number",
    convert = function(v) return type(v) == "number" and budget.constant(v) or v end,
  },
  curriculum = {
    "function", default = curriculum.paper(), knob = true, doc = "p_t; or three probabilities",
    convert = function(v) return type(v) == "table" and curriculum.constant(v) or v end,
  },
  reward = { "function", default = reward.rmt(), knob = true, doc = "r of a sample" },
  lambda = { "number", default = 0.1, min = 0, knob = true, doc = "λ; 0 is RL alone [K]" },
  ntp_reduction = {
    "string", default = "token_mean", choices = { "token_mean", "sum" }, knob = true,
    doc = "the paper prints the sum [K]; the mean does not swamp the policy term [D]",
  },
  loss_type = {
    "string", default = "dapo", knob = true,
    choices = { "grpo", "dapo", "dr_grpo", "bnpo", "sequence_sum" },
    doc = "how completions' tokens are averaged [D]; sequence_sum is J_RL as printed [K]",
  },
  scale_rewards = {
    "string", default = "group", choices = { "group", "batch", "none" }, knob = true,
  },
  beta = { "number", default = 0, min = 0, knob = true, doc = "β of the KL term [D]" },
  documents_per_step = { "integer", default = 8, min = 1, knob = true },
  positions_per_document = { "integer", default = 1, min = 1, knob = true, doc = "[D]" },
}
for _, part in ipairs { rollout.specification, runs.specification } do
  for name, option in pairs(part) do specification[name] = option end
end

-- Mean over the completions' tokens of a tensor [N] that is to be weighted by `active`.
local function token_mean(t, active, tokens) return (t * active):sum():item() / tokens end

-- One step: positions → prompts → rollouts → rewards → advantages → dual loss → optimiser.
local function step(self, run, knobs, t)
  self.sampler = self.sampler or run:time("entropy", self.make_sampler)
  local T, state, tokenizer = run.T, run.metrics or {}, run.model.tokenizer
  local B = options.value("rmt", "budget(t, T)", knobs.budget(t, T, state), { "number", min = 1 })
  B = B and math.floor(B)
  local p, per_position = knobs.curriculum(t, T, state)
  if knobs.beta > 0 and not self.reference_model then
    error "rmt: beta > 0 needs the option reference_model"
  end

  -- Positions C, and the forest of documents and closing prompts.
  local draws = self.sampler:draw(p, t, knobs.documents_per_step, knobs.positions_per_document,
    per_position)
  local forest = documents.forest(self.prompt, self.documents, draws,
    { budget = B, score = knobs.lambda > 0 })
  local batch = forest.batch

  -- G rollouts at each position; the record is their token ids.
  local groups = run:time("rollout", run.model.rollout, run.model, batch, forest.closings,
    rollout.options(knobs, run.seed, t))
  for i, group in ipairs(groups) do
    local truth = scoring.target(tokenizer, forest.positions[i], B)
    for _, sample in ipairs(group) do scoring.read(sample, truth, run.model) end
  end
  local metrics = scoring.score(groups, knobs.reward, knobs.scale_rewards)
  for name, value in pairs(scoring.lengths(groups)) do metrics[name] = value end

  -- Completions become branches of the forest; an unscored one teaches nothing and stays out.
  local sequences, old = {}, {}
  local tokens = 0
  for i, group in ipairs(groups) do
    for _, sample in ipairs(group) do
      if sample.advantage then
        local segment = batch:segment(sample.ids,
          { parent = forest.closings[i], temperature = knobs.temperature })
        local first, last = batch:range(segment)
        table.insert(sequences, { first = first, last = last, advantage = sample.advantage })
        old[segment], tokens = sample.logprobs, tokens + #sample.ids
      end
    end
  end
  if #sequences == 0 then error "rmt: the reward left every sample of this step unscored" end

  -- L = −J_RL + λ·L_NTP on one forward pass.
  local lp, H = run:logprobs(batch, { entropy = true })
  local sampled = batch:spread(old)
  local ref = knobs.beta > 0 and mid.no_grad(function()
    return (self.reference_model:logprobs(batch))
  end) or nil
  local policy_loss, policy_metrics = objective.policy_loss {
    logprobs = lp, ref_logprobs = ref, sequences = sequences, loss_type = knobs.loss_type,
    beta = knobs.beta, max_completion_length = knobs.max_completion_length,
    sampling_logprobs = rollout.is_corrected(knobs) and sampled or nil,
    importance_sampling_cap = knobs.importance_sampling_cap,
  }
  local loss = policy_loss
  if knobs.lambda > 0 then
    local ntp_loss = objective.ntp_loss(lp, batch:spread(forest.ntp_mask), knobs.ntp_reduction)
    loss = objective.dual(policy_loss, ntp_loss, knobs.lambda)
    metrics.ntp_loss = ntp_loss:item()
  end
  run:optimize(loss, metrics)

  -- The rest of the metrics.
  for name, value in pairs(policy_metrics) do metrics[name] = value end
  local ones = {}
  for segment in pairs(old) do ones[segment] = 1 end
  local active = batch:spread(ones)
  local difference = (lp:detach() - sampled):abs() * active
  metrics["sampling/sampling_logp_difference/mean"] = token_mean(difference, active, tokens)
  metrics["sampling/sampling_logp_difference/max"] = difference:max():item()
  metrics.entropy = token_mean(H, active, tokens)
  metrics.policy_loss, metrics.budget, metrics.num_tokens = policy_loss:item(), B, #batch
  for tier, name in ipairs(entropy.names) do metrics["curriculum/" .. name] = p[tier] end
  scoring.log(run, groups, forest.positions, self.log_completions)
  return metrics
end

local function line(m)
  return ("B %s · reward %.2f (match %.2f) · len %.0f · loss %.3f"):format(m.budget or "–",
    m.reward, m["rewards/match/mean"] or 0 / 0, m["completions/mean_length"], m.loss)
end

local rmt = { specification = specification }

--- A reinforcement mid-training run, ready to start.
---@param given table see rmt.specification; model and docs are required
---@return midtrain.Run
function rmt.new(given)
  local o = options.check("mid.rmt", given, specification)
  local ids = documents.encode(o.model.tokenizer, o.docs, o.max_document_length)
  if o.entropies and #o.entropies ~= #ids then
    error(("mid.rmt: %d entropies for %d documents"):format(#o.entropies, #ids), 2)
  end
  local self = {
    documents = ids, prompt = prompts.new(o.model.tokenizer, o.prompt),
    reference_model = o.reference_model, log_completions = o.log_completions,
  }
  -- Once, before anything is learned; in the first step, so that the prompt stays live meanwhile.
  function self.make_sampler()
    local H = o.entropies or entropy.documents(o.entropy_model or o.model, ids,
      { top_k = o.entropy_top_k, progress = o.progress })
    local tiers = {}
    for d in ipairs(ids) do tiers[d] = entropy.tiers(H[d], #ids[d], o.thresholds) end
    return curriculum.sampler(tiers, o.seed)
  end
  return runs.new {
    name = "mid.rmt", options = o, specification = specification, line = line,
    step = function(run, knobs, t) return step(self, run, knobs, t) end,
    state = function() return { sampler = self.sampler and self.sampler:state() } end,
  }
end

return setmetatable(rmt, { __call = function(_, given) return rmt.new(given) end })
