local check = require "support.check"
local fake = require "support.fake"
local mid = require "midtrain"
local scratch = require "support.scratch"

-- A model that is unsure of letters, so that documents have positions in all tiers.
local function model()
  return fake.fake_model(function(previous, next)
    if previous == 256 then return 0 end
    local letter = next >= 97 and next <= 104
    return letter and (previous % 3 == 0 and 9 or previous % 3 == 1 and 6 + next % 2 or 5) or 0
  end)
end

local docs = { "abcdefgh abcdefgh", "hgfedcba hgfedcba", "aabbccddeeffgghh" }

-- Replaces sampling by fixed completions, one right and one wrong for each position.
local function scripted(m, right, wrong)
  function m:rollout(batch, segments, given)
    mid.sleep(0)
    local groups = {}
    for i, s in ipairs(segments) do
      local closing = batch.segments[s]
      local truth = string.char(batch.segments[closing.parent].ids[closing.offset + 1])
      groups[i] = {}
      for g = 1, given.num_generations do
        local text = (g % 2 == 1 and right or wrong):gsub("TRUTH", truth)
        local ids = self.tokenizer:encode(text)
        local logprobs = {}
        for k = 1, #ids do
          local previous = k > 1 and ids[k - 1] or closing.ids[#closing.ids]
          logprobs[k] = math.log(self:probabilities(previous, given.temperature)[ids[k]])
        end
        groups[i][g] = { ids = ids, logprobs = logprobs, finish_reason = "stop" }
      end
    end
    return groups
  end
  return m
end

local RIGHT, WRONG = "abc</think>\\boxed{TRUTH}<eos>", "abc</think>\\boxed{?}<eos>"

local function make(given)
  local o = {
    model = scripted(model(), RIGHT, WRONG), docs = docs, steps = 4, progress = false,
    learning_rate = 0.1, budget = 3, num_generations = 2, documents_per_step = 2,
    thresholds = { 0.3, 1.0, 2.1 },
  }
  for name, value in pairs(given or {}) do o[name] = value end
  return mid.rmt(o)
end

local tests = {}

function tests.a_step_measures_what_conventions_ask_for()
  local m = make { positions_per_document = 2 }:step()
  for _, name in ipairs {
    "step", "loss", "policy_loss", "ntp_loss", "grad_norm", "learning_rate", "num_tokens",
    "step_time", "tokens_per_second", "reward", "reward_std", "frac_reward_zero_std",
    "rewards/match/mean", "rewards/match/std", "rewards/length/mean", "rewards/length/std",
    "entropy", "completions/mean_length", "completions/min_length", "completions/max_length",
    "completions/clipped_ratio", "sampling/sampling_logp_difference/mean",
    "sampling/sampling_logp_difference/max", "timing_s/rollout", "timing_s/backward", "budget",
    "curriculum/easy", "curriculum/medium", "curriculum/hard", "advantage/match_std",
    "advantage/length_std",
  } do
    check.equal(math.type(m[name]) ~= nil, true, name)
    check.equal(m[name] == m[name], true, name .. " is finite")
  end
  check.equal(m.kl, nil)
  -- ℓ = B, so the length is right everywhere and only the match tells the two apart.
  check.near(m["rewards/match/mean"], 0.5)
  check.near(m["rewards/length/mean"], 1)
  check.near(m.reward, (1 + 0.3) / 2)
  check.near(m["advantage/length_std"], 0)
  check.near(m["completions/clipped_ratio"], 0)
  check.near(m["sampling/sampling_logp_difference/max"], 0, 1e-9)
  check.near(m.loss, m.policy_loss + 0.1 * m.ntp_loss, 1e-9)
end

-- After "{" the right answer becomes likelier than the wrong one.
function tests.the_policy_learns_what_is_rewarded()
  local run = make { steps = 30, lambda = 0, learning_rate = 1 }
  local brace, question = ("{"):byte(), ("?"):byte()
  local before = run.model:probabilities(brace, 1)[question]
  run:step(30)
  local after = run.model:probabilities(brace, 1)
  assert(after[question] < before / 2, ("%g → %g"):format(before, after[question]))
  check.equal(run.metrics.ntp_loss, nil)
end

-- NTP leaves the chosen positions out: with every position chosen nothing is left to learn from.
function tests.ntp_learns_the_other_tokens()
  local run = make { steps = 30, lambda = 5, learning_rate = 1, reward = function() return 0 end }
  local first = run:step().ntp_loss
  run:step(29)
  assert(run.metrics.ntp_loss < first - 0.3, ("%g → %g"):format(first, run.metrics.ntp_loss))
  check.near(run.metrics.policy_loss, 0)
end

function tests.chosen_positions_are_masked()
  local spread
  local run = make { docs = { "abcabc" }, documents_per_step = 1, positions_per_document = 2 }
  local batch = getmetatable(mid.batch()).__index
  local original = batch.spread
  batch.spread = function(self, values)
    local segment = next(values)
    if type(values[segment]) == "table" and #values[segment] == 6 and not spread then
      spread = values[segment]
    end
    return original(self, values)
  end
  run:step()
  batch.spread = original
  local zeros = 0
  for p, m in ipairs(spread) do
    if m == 0 then
      zeros = zeros + 1
      assert(p >= 2)
    end
  end
  check.equal(zeros, 2)
end

function tests.the_same_seed_gives_the_same_run()
  local function losses(seed)
    local run = make { seed = seed, model = model(), max_completion_length = 12 }
    run:step(4)
    local list = {}
    for t, m in ipairs(run.history) do list[t] = m.loss end
    return list
  end
  check.equal(losses(1), losses(1))
  assert(losses(1)[1] ~= losses(2)[1])
end

function tests.the_budget_changes_while_it_trains()
  local run = make { steps = 6 }
  run:start():wait(2)
  run.budget = 17
  run:wait()
  local budgets = {}
  for t, m in ipairs(run.history) do budgets[t] = m.budget end
  check.equal({ budgets[1], budgets[6] }, { 3, 17 })
end

function tests.without_a_budget_there_is_no_length_reward()
  local run = make {}
  run.budget = mid.budget.none()
  local m = run:step()
  check.equal({ m.budget, m["rewards/length/mean"] }, {})
  check.near(m.reward, 0.5)
end

function tests.samples_without_a_reward_stay_out()
  local run = make { reward = function(s) return s.prediction ~= "?" and 1 or nil end }
  check.equal(run:step()["rewards/unscored"], 2)
  run.reward = function() return nil end
  check.raises(function() run:step() end, "left every sample of this step unscored")
  run.reward = mid.reward.rmt()
  check.equal(run:step().step, 2)
end

function tests.kl_needs_a_reference_model()
  check.raises(function() make { beta = 0.1 }:step() end, "needs the option reference_model")
  local run = make { beta = 0.1, reference_model = model() }
  check.near(run:step().kl, 0, 1e-9)
  run:step()
  assert(run.metrics.kl > 0)
end

function tests.schedules_are_checked_where_they_are_used()
  local run = make {}
  run.budget = function() return "many" end
  check.raises(function() run:step() end, "budget(t, T)", "must be number")
  run.budget, run.curriculum = 3, function() return { 1, 1, 1 } end
  check.raises(function() run:step() end, "must sum to 1")
  run.curriculum = { .2, .3, .5 }
  check.equal(run:step()["curriculum/hard"], .5)
  run.budget = function() return 3.9 end -- a formula need not give whole tokens
  check.equal(run:step().budget, 3)
end

function tests.a_run_folder_has_completions_and_the_samplers_state()
  local out = scratch.path()
  local run = make { out = out, steps = 2, log_completions = 3 }
  run:step(2)
  local completions = scratch.json_lines(out .. "/completions.jsonl")
  check.equal(#completions, 6)
  check.equal({ completions[1].step, completions[1].think_length, completions[1].budget },
    { 1, 3, 3 })
  check.equal(completions[1].prediction, completions[1].target)
  check.equal(completions[2].prediction, "?")
  assert(completions[1].advantage > 0 and completions[2].advantage < 0)
  local state = mid.json.decode(scratch.read(out .. "/checkpoints/step-2/trainer_state.json"))
  check.equal(state.policy.sampler.taken, 4)
  check.equal(state.knobs.num_generations, 2)
  scratch.remove(out)
end

function tests.mistakes_are_explained()
  check.raises(function() mid.rmt { model = model(), docs = docs, num_generation = 3 } end,
    "mid.rmt: unknown option 'num_generation'; did you mean 'num_generations'?")
  check.raises(function() mid.rmt { model = model() } end, "'docs' is required")
  check.raises(function() mid.rmt { model = model(), docs = { 3 } } end, "a list of strings")
  check.raises(function() mid.rmt { model = model(), docs = { "a" } } end, "two tokens or more")
  check.raises(function() make { entropies = {} } end, "0 entropies for 3 documents")
  check.raises(function() make { thresholds = { 90, 91, 92 } }:step() end, "lower the thresholds")
end

return tests
