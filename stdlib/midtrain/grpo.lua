-- Post-training by GRPO (arXiv:2402.03300) with verifiable rewards: questions with known answers,
-- several answers to each, the reward is whether one is right. Options have TRL's names; which of
-- GRPO's variants it is (DAPO, Dr. GRPO, GSPO, …) they say.
--
--   run = mid.grpo { model = model, tasks = mid.tasks.load "gsm8k_train.jsonl", steps = 100 }
--   run:start()

local ntp = require "midtrain.ntp"
local objective = require "midtrain.objective"
local options = require "midtrain.options"
local policy = require "midtrain.policy"
local questions = require "midtrain.questions"
local random = require "midtrain.random"
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

local shared = options.merged(tasks.grading, objective.specification, rollout.specification,
  runs.specification)
local specification = options.merged(shared, {
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
})
grpo.specification = specification

-- `num_generations` answers to each of some questions, read, judged and scored.
local function answers(self, run, knobs, numbers, settings)
  local list = {}
  for i, number in ipairs(numbers) do list[i] = self.tasks[number] end
  local batch, segments = self.prompt:batch(list, knobs.budget)
  local groups = run:rollout(batch, segments, settings)
  local judging = {
    grade = self.grade, extract = self.extract, budget = knobs.budget,
    opens_thought = self.prompt.opens_thought,
  }
  for i, group in ipairs(groups) do
    group.task = list[i]
    for _, sample in ipairs(group) do tasks.read(sample, list[i], run.model, judging) end
  end
  scoring.ask(groups, knobs.reward, knobs.reward_instructions)
  return groups
end

-- Up to `count` questions that the step does not have yet, the same whenever the step is taken.
local function others(self, seed, t, round, used, count)
  local numbers = {}
  for number in ipairs(self.tasks) do
    if not used[number] then numbers[#numbers + 1] = number end
  end
  random.new(seed, t, "questions" .. round):shuffle(numbers)
  return table.move(numbers, 1, math.min(count, #numbers), 1, {})
end

-- A step's groups; those that teach nothing are replaced if `dynamic_sampling` allows.
local function sample(self, run, knobs, t)
  local used = {}
  local function ask(numbers, round)
    for _, number in ipairs(numbers) do used[number] = true end
    if #numbers == 0 then return {} end
    return answers(self, run, knobs, numbers, rollout.options_of_round(knobs, run.seed, t, round))
  end
  local sampled =
    ask(ntp.draw(#self.tasks, knobs.questions_per_step, t, run.seed, self.orders), 0)
  local kept, metrics = rollout.refill(sampled, knobs.dynamic_sampling, function(missing, round)
    return ask(others(self, run.seed, t, round, used, missing), round)
  end)
  return kept, sampled, metrics
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
  local groups, all, of_sampling = sample(self, run, knobs, t)
  local metrics, failure = scoring.step(run, all, knobs)
  for name, value in pairs(of_sampling) do metrics[name] = value end
  if metrics["rewards/unscored"] == scoring.count(all) then
    error("grpo: the reward left every sample of this step unscored"
      .. (failure and "; it failed: " .. failure or ""))
  end
  local list = {}
  for i, group in ipairs(groups) do list[i] = group.task end
  local batch, segments = self.prompt:batch(list, knobs.budget)
  local sequences, sampled = rollout.attach(batch, segments, groups, knobs)
  policy.update(run, knobs, {
    batch = batch, sequences = sequences, sampled = sampled, has_ratio = true,
    reference_model = self.reference_model,
  }, metrics)
  metrics.budget = knobs.budget
  metrics["completions/answered_ratio"] = answered_ratio(all)
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
    log_completions = o.log_completions, orders = {},
  }
  return runs.new {
    name = "mid.grpo", options = o, specification = specification, line = line,
    step = function(run, knobs, t) return step(self, run, knobs, t) end,
    admit = function(name, value) policy.admit(name, value, o.reference_model) end,
    new = grpo.new,
  }
end
options.takes(grpo.new, specification)

return setmetatable(grpo, { __call = function(_, given) return grpo.new(given) end })
