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

function tests.every_setting_may_be_a_schedule()
  local options, given, count = require "midtrain.options", {}, 0
  for name, option in pairs(mid.rmt.specification) do
    if options.is_scheduled(option) and option.default ~= nil then
      given[name] = function() return option.default end
      count = count + 1
    end
  end
  assert(count > 30, count)
  local function outcome(more)
    local run = make(options.merged({ max_completion_length = 20 }, more))
    run:step(3)
    local m = run.metrics
    return { m.loss, m.reward, m.ntp_loss, m.grad_norm, m["completions/mean_length"] }, m
  end
  given.max_completion_length, given.num_generations = nil, function() return 2 end
  given.documents_per_step, given.learning_rate = nil, function() return 0.1 end
  local wanted = outcome {}
  local found, metrics = outcome(given)
  check.equal(found, wanted)
  check.equal(metrics.temperature, 0.8)
end

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

function tests.what_the_data_do_not_have_is_refused_when_it_is_assigned()
  local run = make { thresholds = { 0.3, 1.0, 100 } }
  run:step()
  local before = run.curriculum
  check.raises(function() run.curriculum = { 0, 0, 1 } end, "no document has a position of the tiers")
  check.raises(function() run.curriculum = mid.curriculum.tier "hard" end, "p_t = (0, 0, 1)")
  check.equal(run.curriculum, before)
  run.curriculum = { 0, 0.5, 0.5 }
  run:step()
  -- What a function gives is only known at the step.
  run.curriculum = function() return { 0, 0, 1 } end
  check.raises(function() run:step() end, "no document has a position of the tiers")
end

function tests.thresholds_and_shadow_rewards_are_checked()
  for _, wrong in ipairs { { 1 }, { 3, 2, 1 }, { 1, 2, "3" }, { 1, 0 / 0, 3 } } do
    check.raises(function() make { thresholds = wrong } end, "thresholds must be three numbers")
  end
  local run = make()
  check.raises(function() run.shadow_rewards = { 3 } end, "must be functions by name, got a number at 1")
  check.raises(function() make { shadow_rewards = { x = 3 } } end, "got a number at x")
  check.raises(function() run.curriculum = { 0, 0, 0 } end, "test_rmt.lua", "must sum to 1")
end

function tests.a_budget_is_refused_by_its_own_name()
  local run = make()
  check.raises(function() run.budget = 0 end, "run: option 'budget' must be a finite number of 1 or more")
  check.raises(function() run.budget = 1.5 end, "'budget' must be a whole number or a function", "1.5")
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
  check.raises(function() make { beta = 0.1 } end, "'beta' above 0 needs reference_model")
  local run = make { beta = 0.1, reference_model = model() }
  check.near(run:step().kl, 0, 1e-9)
  run:step()
  assert(run.metrics.kl > 0)
end

-- Calls f, and returns what it printed.
local function printed(f)
  local lines, original = {}, print
  print = function(line) lines[#lines + 1] = line end
  local ok, message = pcall(f)
  print = original
  assert(ok, message)
  return lines
end

-- What fails says nothing about the sample: it stays out, is counted, and is told of once.
function tests.a_reward_that_fails_does_not_end_the_run()
  local out = scratch.path()
  local run = make {
    out = out, steps = 3,
    reward = function(s) return s.prediction == "?" and s.nothing.there or 1 end,
  }
  local lines = printed(function() run:step(2) end)
  check.equal(#lines, 1)
  assert(lines[1]:find "the reward failed" and lines[1]:find "nothing")
  check.equal({ run.metrics["rewards/failed"], run.metrics["rewards/unscored"] }, { 2, 2 })
  check.near(run.metrics.reward, 1)
  check.equal(#scratch.json_lines(out .. "/failures.jsonl"), 1)
  local completions = scratch.json_lines(out .. "/completions.jsonl")
  assert(completions[2].failure:find "nothing")
  run.reward_instructions = 1000
  run.reward = function() while true do end end
  lines = printed(function()
    check.raises(function() run:step() end, "unscored; it failed: stopped after 1000 instructions")
  end)
  check.equal(#lines, 1)
  scratch.remove(out)
end

function tests.shadow_rewards_change_nothing()
  local function run_with(given)
    local run = make(given)
    run:step(3)
    return run.metrics
  end
  local without = run_with {}
  local with = run_with { shadow_rewards = { strict = mid.reward.match "strict", none = error } }
  check.near(with.loss, without.loss, 1e-12)
  check.near(with.grad_norm, without.grad_norm, 1e-12)
  check.near(with["shadow_rewards/strict/mean"], 0.5)
  check.equal({ with["shadow_rewards/none/failed"], without["shadow_rewards/strict/mean"] }, { 4 })
  local run = make {}
  run.shadow_rewards = { length = function(s) return s.think_length end }
  check.near(run:step()["shadow_rewards/length/mean"], 3)
end

-- Adaptive schedules find what they remember in the metrics of the step before.
function tests.schedules_remember_through_metrics()
  local run = make {
    steps = 6, budget = mid.budget.adaptive { initial = 40, shrink = 0.5, fading = 1 },
    curriculum = mid.curriculum.feedback { smoothing = 0.5 },
  }
  run:step(3)
  local budgets = {}
  for t, m in ipairs(run.history) do budgets[t] = m.budget end
  check.equal(budgets, { 40, 20, 10 })
  check.near(run.metrics["budget/best"], 0.5)
  for _, tier in ipairs { "easy", "medium", "hard" } do
    check.equal(run.metrics[("curriculum/%s/signal"):format(tier)], 1.0)
  end
  -- One right and one wrong answer each: all groups that there were taught something.
  run.reward = function() return 1 end
  run:step(2)
  local fell = 0
  for _, tier in ipairs { "easy", "medium", "hard" } do
    local share = run.history[4][("curriculum/%s/frac_reward_nonzero_std"):format(tier)]
    assert(share == nil or share == 0)
    local signal = run.metrics[("curriculum/%s/signal"):format(tier)]
    check.near(signal, share and 0.5 or 1)
    fell = fell + (share and 1 or 0)
  end
  assert(fell > 0)
end

function tests.lambda_may_be_a_schedule()
  local run = make { lambda = function(t, T) return t / T end }
  local first, second = run:step(), run:step()
  check.equal({ first.lambda, first.ntp_loss, second.lambda }, { 0.0, nil, 0.25 })
  check.near(second.loss, second.policy_loss + 0.25 * second.ntp_loss)
  run.lambda = function() return -1 end
  check.raises(function() run:step() end, "lambda(t, T)", "of 0 or more")
end

-- The stand-in predicts from the last token only, so what changes is the first token of each text,
-- which is none of the bare texts' predictions.
function tests.ntp_may_read_bare_texts()
  local trunk, bare = make {}:step(), make { ntp_on = "documents" }:step()
  assert(bare.num_tokens > trunk.num_tokens)
  check.near(bare.policy_loss, trunk.policy_loss, 1e-12)
  assert(math.abs(bare.ntp_loss - trunk.ntp_loss) > 1e-3)
  check.equal(make { ntp_on = "documents", lambda = 0 }:step().num_tokens,
    make { lambda = 0 }:step().num_tokens)
end

-- The first of several iterations has the gradient of the only one; the ratio is to its policy.
function tests.several_steps_use_one_batch_of_rollouts()
  local one = make { learning_rate = 1e-3 }
  local m = one:step()
  check.equal(m["clip_ratio/low_mean"], nil)
  local run = make { learning_rate = 1e-3, num_iterations = 3 }
  local rollouts, model = 0, run.model
  local original = model.rollout
  function model:rollout(...)
    rollouts = rollouts + 1
    return original(self, ...)
  end
  local several = run:step()
  check.equal({ rollouts, run.optimizer.steps, run.t }, { 1, 3, 1 })
  check.near(several["clip_ratio/low_mean"], 0)
  check.near(several["sampling/sampling_logp_difference/max"], 0, 1e-9)
  -- Further along than after one step.
  local ntp = make { learning_rate = 1e-3 }:step().ntp_loss
  assert(several.ntp_loss < ntp)
  -- Large steps leave the clip's range.
  local far = make { learning_rate = 30, num_iterations = 3, max_grad_norm = 0, lambda = 0 }:step()
  assert(far["clip_ratio/low_mean"] + far["clip_ratio/high_mean"] > 0)
end

function tests.truncated_completions_may_stay_out()
  local cut = "abc</think>\\boxed{TRUTH}"
  local masked = make { model = scripted(model(), cut, WRONG), mask_truncated_completions = true }
  local m = masked:step()
  check.near(m["completions/clipped_ratio"], 0.5)
  check.near(m["rewards/match/mean"], 0.5)
  -- Only the wrong answers are left, whose advantages are negative.
  assert(m.policy_loss < 0)
  -- Where all are cut off, next tokens are still learned, or nothing is.
  local all = make { model = scripted(model(), cut, cut), mask_truncated_completions = true }
  check.equal({ all:step().policy_loss, all.optimizer.steps }, { 0, 1 })
  all.lambda = 0
  check.equal({ all:step().loss, all.optimizer.steps, all.t, all.metrics.skipped }, { 0, 1, 2, 0 })
end

-- Answers are right or wrong together for the first rounds, so that those groups teach nothing.
function tests.dynamic_sampling_replaces_groups_that_teach_nothing()
  local function run_with(dead_rounds, given)
    local m = model()
    local mixed, alike = scripted(model(), RIGHT, WRONG), scripted(model(), WRONG, WRONG)
    local rounds, places = 0, {}
    function m:rollout(batch, segments, o)
      rounds = rounds + 1
      for _, s in ipairs(segments) do
        local closing = batch.segments[s]
        local text = table.concat(batch.segments[closing.parent].ids, ",")
        places[#places + 1] = text .. closing.offset
      end
      local source = rounds <= dead_rounds and alike or mixed
      return source.rollout(self, batch, segments, o)
    end
    given.model, given.positions_per_document = m, 2
    local run = make(given)
    local metrics = run:step()
    local seen = {}
    for _, place in ipairs(places) do
      check.equal(seen[place], nil, "a position twice")
      seen[place] = true
    end
    return metrics, rounds
  end
  local m, rounds = run_with(0, { dynamic_sampling = 3 })
  check.equal({ rounds, m["dynamic_sampling/rounds"], m["dynamic_sampling/live_groups"] },
    { 1, 0, 4 })
  local same = run_with(0, {})
  check.near(m.loss, same.loss, 1e-12)
  m, rounds = run_with(1, { dynamic_sampling = 3 })
  check.equal({ rounds, m["dynamic_sampling/rounds"], m["dynamic_sampling/live_groups"],
    m["dynamic_sampling/sampled_groups"], m["dynamic_sampling/filled_up"] }, { 2, 1, 4, 8, 0 })
  -- Metrics are of all that was sampled, the loss is of what is trained on.
  check.near(m["rewards/match/mean"], 0.25)
  check.near(m["rewards/match/frac_zero_std"], 0.5)
  -- Bounded: in the end the dead ones fill up.
  m, rounds = run_with(9, { dynamic_sampling = 1 })
  check.equal({ rounds, m["dynamic_sampling/live_groups"], m["dynamic_sampling/filled_up"] },
    { 2, 0, 4 })
  assert(m.num_tokens > 0 and m.skipped == 0)
end

-- What a step noted: positions whose answers differed, and only those.
function tests.positions_that_taught_something_are_noted()
  local function noted(first, second)
    local run = make { model = scripted(model(), first, second), revisit = 0.5 }
    run:step()
    local state, counts = run.policy.state().sampler, { 0, 0 }
    for d, positions in ipairs(state.used) do
      counts[1], counts[2] = counts[1] + #positions, counts[2] + #state.teaching[d]
      if #state.teaching[d] > 0 then check.equal(state.teaching[d], positions) end
    end
    return counts
  end
  local used = noted(RIGHT, WRONG)
  assert(used[1] > 0)
  check.equal(used[2], used[1])
  check.equal(noted(WRONG, WRONG), { used[1], 0 })
end

function tests.entropy_terms_reach_the_loss()
  local plain = make {}:step()
  -- The stand-in's entropies have no gradient, but a value.
  local with = make { entropy_coef = 0.01 }:step()
  check.near(with.policy_loss, plain.policy_loss - 0.01 * plain.entropy, 1e-9)
  assert(make { top_entropy_quantile = 0.2 }:step().policy_loss ~= plain.policy_loss)
end

function tests.thresholds_may_come_from_the_entropies()
  local given
  local run = make {
    thresholds = function(H)
      given = mid.entropy.quantiles(H, { 0.4, 0.6 }, 0.3)
      return given
    end,
  }
  run:step()
  assert(given[1] == 0.3 and given[2] <= given[3])
end

function tests.entropies_may_be_kept_in_a_folder()
  local dir = scratch.path()
  local first, second = make { entropy_cache = dir }, make { entropy_cache = dir }
  local loss = first:step().loss
  function second.model.entropy() error "computed again" end
  check.near(second:step().loss, loss, 1e-12)
  scratch.remove(dir)
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
  check.equal({ state.metrics.step, state.metrics.budget }, { 2, 3 })
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
