-- The doctor: each illness alone, a healthy run, and nothing at all.

local check = require "support.check"
local doctor = require "midtrain.doctor"

-- Forty healthy steps, with changes to the first and last twenty.
local function history(late, early)
  local list = {}
  for t = 1, 40 do
    list[t] = {
      frac_reward_zero_std = 0.3, ["rewards/match/mean"] = 0.4, ["rewards/unscored"] = 0, skipped = 0,
      ["completions/clipped_ratio"] = 0.05, ["completions/boxed_ratio"] = 0.95, entropy = 0.8,
      ["completions/mean_think_length"] = 40, budget = 48, learning_rate = 1e-6, grad_norm = 0.5,
      ["sampling/sampling_logp_difference/mean"] = 0.001,
    }
    for name, value in pairs(t > 20 and late or early or {}) do list[t][name] = value end
  end
  return list
end

local function metrics_of(findings)
  local names = {}
  for i, finding in ipairs(findings) do names[i] = finding.metric end
  return names
end

local tests = {}

function tests.a_healthy_run_has_no_findings()
  check.equal(doctor.examine(history()), {})
  check.equal(doctor.describe({}, 40), "nothing looks wrong in the last 20 steps")
  check.equal(doctor.examine {}, {})
  check.equal(doctor.describe({}, 0), "no step was taken yet")
end

function tests.each_illness_is_named_by_its_metric()
  for metric, late in pairs {
    frac_reward_zero_std = { frac_reward_zero_std = 0.95 },
    ["completions/clipped_ratio"] = { ["completions/clipped_ratio"] = 0.8 },
    ["completions/boxed_ratio"] = { ["completions/boxed_ratio"] = 0 },
    ["completions/mean_think_length"] = { ["completions/mean_think_length"] = 2, budget = 2 },
    entropy = { entropy = 0.01 },
    ["rewards/unscored"] = { ["rewards/unscored"] = 1 },
    learning_rate = { learning_rate = 0 },
    grad_norm = { grad_norm = 0 },
    skipped = { skipped = 1 },
    ["sampling/sampling_logp_difference/mean"] =
      { ["sampling/sampling_logp_difference/mean"] = 0.3 },
    ["rewards/match/mean"] = { ["rewards/match/mean"] = 0.1 },
  } do
    local findings = doctor.examine(history(late))
    check.equal(metrics_of(findings), { metric }, metric)
    check.near(findings[1].value, late[metric], 1e-12)
    assert(doctor.describe(findings, 40):find(metric, 1, true))
  end
  local findings = doctor.examine(history { ["completions/mean_think_length"] = 10 })
  check.equal(metrics_of(findings), { "completions/mean_think_length" })
  assert(findings[1].problem:find("budget of 48 tokens", 1, true))
end

function tests.advice_depends_on_how_much_is_predicted()
  local function advice(match)
    local now = { frac_reward_zero_std = 1, ["rewards/match/mean"] = match }
    return doctor.examine(history(now, now))[1].advice
  end
  assert(advice(0):find("cold start", 1, true))
  assert(advice(1):find("harder positions", 1, true))
  assert(advice(0.5):find("num_generations", 1, true))
end

function tests.short_and_strange_histories_do_no_harm()
  check.equal(doctor.examine { { loss = 1 } }, {})
  check.equal(doctor.examine { { learning_rate = 0 / 0, grad_norm = 1 } }, {})
end

return tests
