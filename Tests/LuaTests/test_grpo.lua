local check = require "support.check"
local fake = require "support.fake"
local mid = require "midtrain"
local scratch = require "support.scratch"

local list = {
  { question = "1+1=", answer = "2" }, { question = "2+2=", answer = "4" },
  { question = "3+3=", answer = "6" },
}

-- A model whose answers to each question are those given, "GOLD" in them being the right answer.
local function scripted(answers)
  local model = fake.fake_model()
  function model:rollout(batch, segments, given)
    local groups = {}
    for i, s in ipairs(segments) do
      local ids = batch.segments[s].ids
      local parent = batch.segments[batch.segments[s].parent]
      local text = self.tokenizer:decode(parent.ids) .. self.tokenizer:decode(ids)
      local number = math.tointeger(text:match "(%d)%+")
      groups[i] = {}
      for g = 1, given.num_generations do
        local answer = answers[(g - 1) % #answers + 1]:gsub("GOLD", tostring(2 * number))
        local sample = { ids = self.tokenizer:encode(answer), logprobs = {} }
        for k, id in ipairs(sample.ids) do
          local previous = k > 1 and sample.ids[k - 1] or ids[#ids]
          sample.logprobs[k] = math.log(self:probabilities(previous, given.temperature)[id])
        end
        sample.finish_reason = answer:find "<eos>$" and "stop" or "length"
        groups[i][g] = sample
      end
    end
    return groups
  end
  return model
end

local RIGHT, WRONG = "\\boxed{GOLD}<eos>", "no<eos>" -- of 10 and 3 tokens

local function make(given)
  local o = {
    model = scripted { RIGHT, WRONG }, tasks = list, steps = 4, progress = false,
    learning_rate = 0.1, num_generations = 2, questions_per_step = 2, temperature = 1,
    grade = function(answer, gold) return answer == gold end,
  }
  for name, value in pairs(given or {}) do o[name] = value end
  return mid.grpo(o)
end

-- Rewards 1 and 0 have the mean 1/2 and the standard deviation 1/√2.
local A = 0.5 / (math.sqrt(0.5) + 1e-4)

local tests = {}

function tests.a_step_is_what_can_be_computed_by_hand()
  local m = make():step()
  check.near({ m.reward, m["rewards/correct/mean"], m.reward_std, m.frac_reward_zero_std },
    { 0.5, 0.5, math.sqrt(0.5), 0 })
  check.near(m["completions/mean_length"], 6.5)
  check.near({ m["completions/answered_ratio"], m["completions/clipped_ratio"] }, { 0.5, 0 })
  -- At ratio 1 the loss is the mean of −A over all tokens …
  check.near(m.loss, -A * (10 - 3) / 13)
  check.near(m["sampling/sampling_logp_difference/max"], 0)
  check.equal(m.kl, nil)
  for _, name in ipairs {
    "step", "grad_norm", "learning_rate", "num_tokens", "step_time", "tokens_per_second", "entropy",
    "policy_loss", "clip_ratio/low_mean", "clip_ratio/high_mean", "timing_s/rollout",
  } do
    check.equal(math.type(m[name]) ~= nil and m[name] == m[name], true, name)
  end
  -- … over the sequences' own means, or over the room that they had.
  check.near(make { loss_type = "grpo" }:step().loss, 0)
  check.near(make { loss_type = "dr_grpo", max_completion_length = 20, scale_rewards = "none" }
    :step().loss, -0.5 * (10 - 3) / (2 * 20))
  check.near(make { importance_sampling_level = "sequence" }:step().loss, -A * (10 - 3) / 13)
end

function tests.the_policy_learns_what_is_right()
  local run = make { steps = 20, learning_rate = 10 }
  local function boxes() return run.model:probabilities(("="):byte(), 1)[("\\"):byte()] end
  -- The prompt of the stand-in's template ends with a line's end.
  local function after_prompt() return run.model:probabilities(10, 1)[("\\"):byte()] end
  local before, other = after_prompt(), boxes()
  run:step(20)
  assert(after_prompt() > 4 * before, ("%g → %g"):format(before, after_prompt()))
  check.near(boxes(), other)
end

-- In the second of two steps on the same rollouts the policy has moved on, and the clip may bind.
function tests.several_iterations_have_a_ratio()
  local once, twice = make(), make { num_iterations = 2, learning_rate = 30, epsilon = 0.01 }
  local m = twice:step()
  check.equal(once:step()["clip_ratio/high_mean"], 0)
  assert(m["clip_ratio/high_mean"] > 0 and m["clip_ratio/low_mean"] > 0)
  check.near(m["sampling/sampling_logp_difference/max"], 0)
  check.equal(twice.optimizer.steps, 2)
end

function tests.truncated_answers_can_be_masked()
  local answers = { RIGHT, "\\boxed{GOLD} and th", WRONG }
  local m = make { model = scripted(answers), num_generations = 3 }:step()
  check.near({ m["completions/clipped_ratio"], m.reward }, { 1 / 3, 2 / 3 })
  local masked = make {
    model = scripted(answers), num_generations = 3, mask_truncated_completions = true,
  }:step()
  -- Advantages are still those within the whole group; the tokens are those of the two that ended.
  local std = math.sqrt((2 * (1 / 3) ^ 2 + (2 / 3) ^ 2) / 2) + 1e-4
  check.near(masked.loss, -((1 / 3) * 10 - (2 / 3) * 3) / std / 13)
  local nothing = make {
    model = scripted { "endless" }, mask_truncated_completions = true,
  }
  check.equal({ nothing:step().loss, nothing.metrics.skipped }, { 0, 0 })
  check.equal(nothing.optimizer.steps, 0)
end

function tests.kl_needs_a_reference_model()
  check.raises(function() make { beta = 0.1 } end, "'beta' above 0 needs reference_model")
  local without = make()
  check.raises(function() without.beta = 0.1 end, "'beta' above 0 needs reference_model")
  check.equal(without.beta, 0)
  without.beta = function(t) return t end
  without:step()
  check.raises(function() without:step() end, "'beta' above 0 needs reference_model")
  local run = make { beta = 0.1, reference_model = fake.fake_model(), learning_rate = 1 }
  check.near(run:step().kl, 0)
  assert(run:step().kl > 0)
end

function tests.rewards_are_any_function()
  local run = make { reward = function(s) return s.correct and 2 or nil end }
  local m = run:step()
  check.equal({ m.reward, m["rewards/unscored"] }, { 2.0, 2 })
  run.reward = function() return nil end
  check.raises(function() run:step() end, "left every sample of this step unscored")
  run.reward = function(s)
    local fitting = mid.reward.triangular()(s)
    return (s.correct and 1 or 0) + fitting
  end
  run.budget = 4
  m = run:step()
  check.equal(m.budget, 4)
end

-- In the first `dead_rounds` rollouts all answers are wrong, which teaches nothing.
function tests.dynamic_sampling_asks_other_questions()
  local function run_with(dead_rounds, given)
    local model = fake.fake_model()
    local mixed, alike = scripted { RIGHT, WRONG }, scripted { WRONG, WRONG }
    local asked = {}
    function model:rollout(batch, segments, o)
      asked[#asked + 1] = #segments
      local source = #asked <= dead_rounds and alike or mixed
      return source.rollout(self, batch, segments, o)
    end
    given.model = model
    return make(given):step(), asked
  end
  local function counts(m)
    local result = {}
    for i, name in ipairs { "rounds", "sampled_groups", "live_groups", "filled_up" } do
      result[i] = m["dynamic_sampling/" .. name]
    end
    return result
  end
  local m, asked = run_with(0, { dynamic_sampling = 3 })
  check.equal({ asked, counts(m) }, { { 2 }, { 0, 2, 2, 0 } })
  check.near(m.loss, -A * (10 - 3) / 13)
  -- Three questions in all: one more can be asked, then a dead group has to fill up. Its two answers
  -- of 3 tokens have no advantage, but count as tokens.
  m, asked = run_with(1, { dynamic_sampling = 3 })
  check.equal({ asked, counts(m) }, { { 2, 1 }, { 1, 3, 1, 1 } })
  check.near(m.loss, -A * (10 - 3) / (13 + 6))
  check.near(m.frac_reward_zero_std, 2 / 3)
  check.near(m.reward, 1 / 6)
  -- One a step: the two others follow, each in a round of its own, and no further than allowed.
  m, asked = run_with(2, { dynamic_sampling = 9, questions_per_step = 1 })
  check.equal({ asked, counts(m) }, { { 1, 1, 1 }, { 2, 3, 1, 0 } })
  m, asked = run_with(9, { dynamic_sampling = 1, questions_per_step = 1 })
  check.equal({ asked, counts(m) }, { { 1, 1 }, { 1, 2, 0, 1 } })
  check.near(m.loss, 0)
  -- Off, nothing is replaced.
  m, asked = run_with(1, {})
  check.equal({ asked, counts(m) }, { { 2 }, {} })
end

-- Every question once before one comes again, and the same with the same seed.
function tests.questions_are_drawn_in_epochs()
  local out = scratch.path()
  local run = make { questions_per_step = 3, out = out, steps = 2, log_completions = 20 }
  run:step(2)
  local seen = { {}, {} }
  for _, entry in ipairs(scratch.json_lines(out .. "/completions.jsonl")) do
    seen[entry.step][entry.question] = true
    check.equal(entry.correct, entry.answer == entry.gold)
  end
  for step = 1, 2 do
    for _, task in ipairs(list) do check.equal(seen[step][task.question], true) end
  end
  local config = mid.json.decode(scratch.read(out .. "/config.json"))
  check.equal(config.options.tasks, "3 tasks")
  assert(mid.exists(out .. "/checkpoints/step-2/trainer_state.json"))
  scratch.remove(out)
end

function tests.the_same_seed_gives_the_same_run()
  local function losses(seed)
    local run = make { model = fake.fake_model(), seed = seed, max_completion_length = 8,
      reward = function(s) return #s.ids + s.ids[1] end }
    run:step(3)
    local result = {}
    for t, m in ipairs(run.history) do result[t] = m.loss end
    return result
  end
  check.equal(losses(1), losses(1))
  assert(losses(1)[1] ~= losses(2)[1])
end

function tests.mistakes_are_explained()
  check.raises(function() make { tasks = {} } end, "mid.grpo: there are no tasks")
  check.raises(function() make { num_iteration = 2 } end, "did you mean 'num_iterations'?")
  check.raises(function() mid.grpo { model = fake.fake_model(), tasks = list } end, "no mid.grade")
end

return tests
