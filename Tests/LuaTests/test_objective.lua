local check = require "support.check"
local mid = require "midtrain"
local objective = require "midtrain.objective"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "Tests/LuaTests"

local function goldens()
  local file <close> = assert(io.open(here .. "/../Goldens/grpo_losses.json"))
  return mid.json.decode(file:read "a")
end

-- Rows of different lengths, one behind the other, as in a packed batch.
local function pack(rows, lengths)
  local flat = {}
  for i, row in ipairs(rows) do table.move(row, 1, lengths[i], #flat + 1, flat) end
  return flat
end

local function ranges(lengths, advantages)
  local sequences, first = {}, 1
  for i, length in ipairs(lengths) do
    sequences[i] = { first = first, last = first + length - 1, advantage = advantages[i] }
    first = first + length
  end
  return sequences
end

local function parameter(values)
  local t = mid.tensor(values)
  t.requires_grad = true
  return t
end

return {
  -- Losses and gradients computed with TRL's formulas in PyTorch.
  reproduces_the_goldens = function()
    local cases = goldens()
    assert(#cases >= 16)
    for _, case in ipairs(cases) do
      local name = ("%s/%s/beta %g"):format(
        case.loss_type, case.importance_sampling_level, case.beta)
      local lp = parameter(pack(case.logp, case.lengths))
      local loss = objective.policy_loss {
        logprobs = lp,
        sequences = ranges(case.lengths, case.advantages),
        old_logprobs = mid.tensor(pack(case.old_logp, case.lengths)),
        ref_logprobs = mid.tensor(pack(case.ref_logp, case.lengths)),
        loss_type = case.loss_type,
        importance_sampling_level = case.importance_sampling_level,
        epsilon = case.epsilon,
        epsilon_high = case.epsilon_high,
        beta = case.beta,
        max_completion_length = case.max_completion_length,
      }
      check.near(loss:item(), case.loss, 1e-5, name .. " loss")
      loss:backward()
      check.near(lp.grad:tolist(), pack(case.grad_logp, case.lengths), 1e-5, name .. " gradient")
    end
  end,

  -- At ρ = 1 the clipped surrogate and A·log π have the same gradient.
  on_policy_form_has_the_gradient_of_the_ratio_form = function()
    local values = { -1, -2, -3, -4, -5 }
    local sequences = ranges({ 2, 3 }, { 0.5, -1.5 })
    for _, loss_type in ipairs { "grpo", "dapo", "dr_grpo", "bnpo", "sequence_sum" } do
      local gradients = {}
      for i, old in ipairs { false, true } do
        local lp = parameter(values)
        objective.policy_loss {
          logprobs = lp, sequences = sequences, loss_type = loss_type, max_completion_length = 4,
          old_logprobs = old and mid.tensor(values) or nil,
        }:backward()
        gradients[i] = lp.grad:tolist()
      end
      check.near(gradients[1], gradients[2], 1e-6, loss_type)
    end
  end,

  reductions_by_hand = function()
    local lp = parameter { -1, -2, -3, -4, -5 }
    local sequences = ranges({ 2, 3 }, { 1, -1 })
    local function loss(loss_type)
      return objective.policy_loss {
        logprobs = lp, sequences = sequences, loss_type = loss_type, max_completion_length = 6,
      }:item()
    end
    check.near(loss "sequence_sum", (3 - 12) / 2, 1e-6)
    check.near(loss "dapo", (3 - 12) / 5, 1e-6)
    check.near(loss "grpo", (3 / 2 - 12 / 3) / 2, 1e-6)
    check.near(loss "dr_grpo", (3 - 12) / 12, 1e-6)
  end,

  delta_caps_the_ratio_of_a_negative_advantage = function()
    local lp = parameter { 0 }
    local loss, metrics = objective.policy_loss {
      logprobs = lp, old_logprobs = mid.tensor { -3 }, delta = 2,
      sequences = { { first = 1, last = 1, advantage = -1 } },
    }
    check.near(loss:item(), 2, 1e-6)
    check.near(metrics["clip_ratio/high_mean"], 0)
    loss:backward()
    check.near(lp.grad:tolist(), { 0 })
  end,

  tokens_outside_the_sequences_get_no_gradient = function()
    local lp = parameter { -9, -1, -2, -9 }
    objective.policy_loss {
      logprobs = lp, sequences = { { first = 2, last = 3, advantage = 1 } },
    }:backward()
    check.near(lp.grad:tolist(), { 0, -0.5, -0.5, 0 }, 1e-6)
  end,

  ntp_and_dual = function()
    local lp = parameter { -1, -2, -3, -4 }
    local mask = mid.tensor { 0, 1, 0, 1 }
    check.near(objective.ntp_loss(lp, mask):item(), 3, 1e-6)
    check.near(objective.ntp_loss(lp, mask, "sum"):item(), 6, 1e-6)
    local policy = objective.policy_loss {
      logprobs = lp, sequences = { { first = 3, last = 3, advantage = 2 } },
    }
    local total = objective.dual(policy, objective.ntp_loss(lp, mask), 0.1)
    check.near(total:item(), 6 + 0.3, 1e-6)
    total:backward()
    check.near(lp.grad:tolist(), { 0, -0.05, -2, -0.05 }, 1e-6)
  end,

  missing_inputs_are_explained = function()
    local lp = parameter { -1 }
    local sequences = { { first = 1, last = 1, advantage = 1 } }
    check.raises(function()
      objective.policy_loss { logprobs = lp, sequences = sequences, beta = 0.1 }
    end, "needs ref_logprobs")
    check.raises(function()
      objective.policy_loss { logprobs = lp, sequences = sequences, loss_type = "dr_grpo" }
    end, "needs max_completion_length")
    check.raises(function() objective.policy_loss { logprobs = lp, sequences = {} } end,
      "no sequences")
  end,

  -- Each token's share of the loss is multiplied by min(π / π_sampling, cap), which has no gradient.
  importance_correction_weighs_tokens = function()
    local sequences = { { first = 1, last = 2, advantage = 1 }, { first = 3, last = 3, advantage = -2 } }
    local function loss(sampling, old, level)
      local lp = parameter { -1, -2, -3 }
      local value, metrics = objective.policy_loss {
        logprobs = lp, sequences = sequences, old_logprobs = old and mid.tensor(old) or nil,
        sampling_logprobs = sampling and mid.tensor(sampling) or nil,
        importance_sampling_level = level or "token",
      }
      value:backward()
      return lp.grad:tolist(), metrics
    end
    check.near(loss { -1, -2, -3 }, loss(nil), 1e-6, "equal policies")
    -- Ratios 0.5, 2 (capped from 4), 1; dapo divides by three tokens.
    local log = math.log
    local sampling = { -1 + log(2), -2 - log(4), -3 }
    local gradient, metrics = loss(sampling)
    check.near(gradient, { -0.5 / 3, -2 / 3, 2 / 3 }, 1e-5, "weighted")
    check.near(metrics["sampling/importance_sampling_ratio/mean"], 3.5 / 3, 1e-5)
    check.near(loss(sampling, { -1, -2, -3 }), { -0.5 / 3, -2 / 3, 2 / 3 }, 1e-5, "with old")
    -- One ratio per sequence: its term counts with the sum of its tokens' weights.
    check.near(loss(sampling, { -1, -2, -3 }, "sequence"), { -2.5 / 6, -2.5 / 6, 2 / 3 }, 1e-5)
  end,

  -- d = log π − log π_ref = 0.5: k1 .5, k2 .125, k3 e^−.5 − 1 + .5; gradients 1, d, 1 − e^−d.
  kl_estimators_by_hand = function()
    local expected = {
      k1 = { 0.5, 1 }, k2 = { 0.125, 0.5 },
      k3 = { math.exp(-0.5) - 0.5, 1 - math.exp(-0.5) },
    }
    for kind, values in pairs(expected) do
      local lp = parameter { -1 }
      local kl = objective.kl(lp, mid.tensor { -1.5 }, kind)
      check.near(kl:tolist(), { values[1] }, 1e-6, kind)
      kl:sum():backward()
      check.near(lp.grad:tolist(), { values[2] }, 1e-6, kind .. " gradient")
    end
    -- The exponent is clamped, so that a token the policy gave up is no infinity.
    local kl = objective.kl(mid.tensor { -100 }, mid.tensor { 0 })
    check.near(kl:item() / (math.exp(20) - 21), 1, 1e-5)
    check.raises(function() objective.kl(mid.tensor { 0 }, mid.tensor { 0 }, "k4") end, "k1, k2, k3")
  end,

  -- Quantile ½ of 1, 2, 3, 4 is 2.5: the two most uncertain tokens keep their share of 1/4 each;
  -- KL (k1) and the entropy bonus count at all four. Entropies outside of the sequences are nothing.
  entropy_terms_by_hand = function()
    local sequences = { { first = 2, last = 3, advantage = 1 }, { first = 4, last = 5, advantage = -2 } }
    local function gradients(given)
      local lp, H = parameter { -9, -1, -1, -1, -1 }, parameter { 99, 1, 4, 2, 3 }
      given.logprobs, given.entropies, given.sequences = lp, H, sequences
      local loss = objective.policy_loss(given)
      loss:backward()
      return lp.grad:tolist(), H.grad and H.grad:tolist(), loss:item()
    end
    local q = 1 / 4
    check.near(gradients { top_entropy_quantile = 0.5 }, { 0, 0, -q, 0, 2 * q }, 1e-6, "masked")
    check.near(gradients { top_entropy_quantile = 1 }, { 0, -q, -q, 2 * q, 2 * q }, 1e-6, "all")
    local ref = mid.tensor { 0, -1, -1, -1, -1 }
    check.near(gradients { top_entropy_quantile = 0.5, beta = 1, kl = "k1", ref_logprobs = ref },
      { 0, q, 0, q, 3 * q }, 1e-6, "KL is not masked")
    local lp, H, loss = gradients { entropy_coef = 0.1 }
    check.near(lp, { 0, -q, -q, 2 * q, 2 * q }, 1e-6)
    check.near(H, { 0, -q / 10, -q / 10, -q / 10, -q / 10 }, 1e-6, "bonus")
    check.near(loss, (1 + 1 - 2 - 2) / 4 - 0.1 * 10 / 4, 1e-6)
    check.raises(function()
      objective.policy_loss {
        logprobs = parameter { -1 }, sequences = { { first = 1, last = 1, advantage = 1 } },
        entropy_coef = 0.1,
      }
    end, "need entropies")
  end,

  -- All of them, under the names that the loss knows.
  knobs_become_options = function()
    local knobs = { num_generations = 8, max_completion_length = 4 }
    for name, option in pairs(objective.specification) do knobs[name] = option.default end
    local o = objective.options(knobs)
    check.equal({ o.kl, o.loss_type, o.num_generations }, { "k3", "dapo" })
    o.logprobs, o.sequences = parameter { -1 }, { { first = 1, last = 1, advantage = 1 } }
    check.near(objective.policy_loss(o):item(), 1, 1e-6)
  end,
}
