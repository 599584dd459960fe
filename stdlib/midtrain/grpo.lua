-- Post-training by GRPO (arXiv:2402.03300) with verifiable rewards: questions with known answers,
-- several answers to each, the reward is whether one is right. Options have TRL's names; which of
-- GRPO's variants it is (DAPO, Dr. GRPO, GSPO, …) they say.
--
--   run = mid.grpo { model = model, tasks = mid.tasks.load "gsm8k_train.jsonl", steps = 100 }
--   run:start()

local mid = require "midtrain.native"
local ntp = require "midtrain.ntp"
local objective = require "midtrain.objective"
local options = require "midtrain.options"
local questions = require "midtrain.questions"
local rollout = require "midtrain.rollout"
local runs = require "midtrain.run"
local scoring = require "midtrain.scoring"
local tasks = require "midtrain.tasks"

local grpo = {}

--- The reward of verifiable answers: 1 for a right one, else 0.
---@param sample midtrain.Sample as tasks.read completes it
---@return number, table
function grpo.correct(sample)
  local value = sample.correct and 1 or 0
  return value, { correct = { value = value, contribution = value } }
end

local specification = {
  tasks = { "table", required = true, doc = "list of { question =, answer = }: see tasks.load" },
  prompt = { "table", doc = "see questions.new" },
  reference_model = { { "userdata", "table" }, doc = "π_ref; needed if beta ≠ 0" },
  log_completions = { "integer", default = 8, min = 0, doc = "lines of completions.jsonl a step" },
  budget = { "integer", min = 1, knob = true, doc = "tokens of thought asked for; none if absent" },
  reward = {
    "function", default = grpo.correct, knob = true,
    doc = "r of a sample, which has `correct`, `answer`, `task` and what RMT's have",
  },
  shadow_rewards = { "table", default = {}, knob = true, doc = "by name; logged, not trained on" },
  scale_rewards = {
    "string", default = "group", choices = { "group", "batch", "none" }, knob = true,
  },
  mask_truncated_completions = {
    "boolean", default = false, knob = true, doc = "whether they stay out of the loss",
  },
  num_iterations = {
    "integer", default = 1, min = 1, knob = true, doc = "μ: optimiser steps on a step's rollouts",
  },
  questions_per_step = { "integer", default = 8, min = 1, knob = true },
}
local parts =
  { tasks.grading, objective.specification, rollout.specification, runs.specification }
for _, part in ipairs(parts) do
  for name, option in pairs(part) do specification[name] = option end
end
-- It draws positions of documents anew, and there are none.
specification.dynamic_sampling = nil
grpo.specification = specification

-- The questions of a step and `num_generations` answers to each, read, judged and scored.
local function answers(self, run, knobs, t)
  local list = {}
  for i, number in ipairs(ntp.draw(#self.tasks, knobs.questions_per_step, t, run.seed)) do
    list[i] = self.tasks[number]
  end
  local batch, segments = self.prompt:batch(list, knobs.budget)
  local groups = run:time("rollout", run.model.rollout, run.model, batch, segments,
    rollout.options(knobs, run.seed, t))
  local judging = {
    grade = self.grade, extract = self.extract, budget = knobs.budget,
    opens_thought = self.prompt.opens_thought,
  }
  for i, group in ipairs(groups) do
    for _, sample in ipairs(group) do tasks.read(sample, list[i], run.model, judging) end
  end
  scoring.ask(groups, knobs.reward, knobs.reward_instructions)
  return batch, segments, groups
end

-- Answers become branches of the batch, to train on; an unscored one stays out, as does a truncated
-- one if it is to be masked.
local function branches(batch, segments, groups, knobs)
  local sequences, sampled = {}, {}
  for i, group in ipairs(groups) do
    for _, sample in ipairs(group) do
      if sample.advantage and not (knobs.mask_truncated_completions and sample.truncated) then
        local segment = batch:segment(sample.ids,
          { parent = segments[i], temperature = knobs.temperature })
        local first, last = batch:range(segment)
        sequences[#sequences + 1] = { first = first, last = last, advantage = sample.advantage }
        sampled[segment] = sample.logprobs
      end
    end
  end
  return sequences, sampled
end

-- Optimiser steps on the same rollouts, the ratio being to the policy of the first. Metrics are the
-- last one's, but how far sampling was from training is seen in the first.
local function optimize(self, run, knobs, batch, sequences, sampled_of, metrics)
  local ones, tokens, old, skipped = {}, 0, nil, 0
  for segment, logprobs in pairs(sampled_of) do
    ones[segment], tokens = 1, tokens + #logprobs
  end
  local active, sampled = batch:spread(ones), batch:spread(sampled_of)
  local ref = knobs.beta > 0 and mid.no_grad(function()
    return (self.reference_model:logprobs(batch))
  end) or nil
  for _ = 1, knobs.num_iterations do
    local lp, H = run:logprobs(batch, { entropy = true })
    if not old then
      old = lp:detach()
      local difference = (old - sampled):abs() * active
      metrics["sampling/sampling_logp_difference/mean"] = difference:sum():item() / tokens
      metrics["sampling/sampling_logp_difference/max"] = difference:max():item()
    end
    local o = objective.options(knobs)
    o.logprobs, o.old_logprobs, o.ref_logprobs, o.entropies = lp, old, ref, H
    o.sequences, o.sampling_logprobs = sequences, rollout.is_corrected(knobs) and sampled or nil
    local loss, more = objective.policy_loss(o)
    for name, value in pairs(more) do metrics[name] = value end
    metrics.policy_loss = loss:item()
    metrics.entropy = (H:detach() * active):sum():item() / tokens
    run:optimize(loss, metrics)
    skipped = math.max(skipped, metrics.skipped)
  end
  metrics.skipped = skipped
end

local function answered_ratio(groups)
  local answered = 0
  for _, group in ipairs(groups) do
    for _, sample in ipairs(group) do answered = answered + (sample.answer and 1 or 0) end
  end
  return answered / scoring.count(groups)
end

-- Writes the first answers of a step to completions.jsonl, for people to read.
local function log(self, run, groups)
  local left = self.log_completions
  for _, group in ipairs(groups) do
    for _, s in ipairs(group) do
      if left == 0 then return end
      left = left - 1
      run:record("completions.jsonl", {
        step = run.t + 1, question = s.task.question, gold = s.task.answer, text = s.text,
        answer = s.answer, correct = s.correct, length = #s.ids, reward = s.reward,
        advantage = s.advantage, failure = s.failure,
      })
    end
  end
end

-- One step: questions → answers → rewards → advantages → loss → optimiser.
local function step(self, run, knobs, t)
  if knobs.beta > 0 and not self.reference_model then
    error "grpo: beta > 0 needs the option reference_model"
  end
  local batch, segments, groups = answers(self, run, knobs, t)
  local metrics, failure = scoring.step(run, groups, knobs)
  if metrics["rewards/unscored"] == scoring.count(groups) then
    error("grpo: the reward left every sample of this step unscored"
      .. (failure and "; it failed: " .. failure or ""))
  end
  local sequences, sampled = branches(batch, segments, groups, knobs)
  metrics.num_tokens, metrics.budget = #batch, knobs.budget
  metrics["completions/answered_ratio"] = answered_ratio(groups)
  if #sequences > 0 then
    optimize(self, run, knobs, batch, sequences, sampled, metrics)
  else
    -- All were truncated and are masked: there is nothing to learn from.
    metrics.loss, metrics.policy_loss, metrics.skipped = 0, 0, 0
  end
  log(self, run, groups)
  return metrics
end

local function line(m)
  return ("reward %.2f · len %.0f · loss %.3f"):format(m.reward, m["completions/mean_length"],
    m.loss)
end

--- A run of GRPO, ready to start.
---@param given table see grpo.specification; model and tasks are required
---@return midtrain.Run
function grpo.new(given)
  local o = options.check("mid.grpo", given, specification)
  if #o.tasks == 0 then error("mid.grpo: there are no tasks", 2) end
  local self = {
    tasks = o.tasks, prompt = questions.new(o.model.tokenizer, o.prompt), extract = o.extract,
    grade = tasks.grader(o.grade, "mid.grpo"), reference_model = o.reference_model,
    log_completions = o.log_completions,
  }
  return runs.new {
    name = "mid.grpo", options = o, specification = specification, line = line,
    step = function(run, knobs, t) return step(self, run, knobs, t) end,
  }
end

return setmetatable(grpo, { __call = function(_, given) return grpo.new(given) end })
