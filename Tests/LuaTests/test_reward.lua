local check = require "support.check"
local reward = require "midtrain.reward"

local function sample(fields)
  fields.budget = fields.budget or 100
  return fields
end

return {
  prediction_is_the_last_box_after_the_thought = function()
    local cases = {
      { "x</think>\\boxed{ para}", " para" },
      { "x</think>\\boxed{a} then \\boxed{b}", "b" },
      { "\\boxed{a}</think>b", nil },
      { "\\boxed{a}", nil },
      { "</think>\\boxed{\\frac{1}{2}}", "\\frac{1}{2}" },
      { "</think>\\boxed{{}", nil },
      { "</think>\\boxed{a}\\boxed{b", "a" },
      { "</think>\\boxed{}", "" },
      { "</think>\\boxed{\\boxed{a}}", "\\boxed{a}" },
      { "</think>\\boxed{\n}", "\n" },
    }
    for _, case in ipairs(cases) do
      check.equal(reward.prediction(case[1]), case[2], case[1])
    end
  end,

  prefix_match_ends_at_token_boundaries = function()
    local truth = { " deriv", "ative", " of" }
    check.equal(reward.match_prefix(" deriv", truth), 1)
    check.equal(reward.match_prefix(" derivative", truth), 1)
    check.equal(reward.match_prefix(" derivative of", truth), 1)
    check.equal(reward.match_prefix(" deri", truth), 0)
    check.equal(reward.match_prefix("deriv", truth), 0)
    check.equal(reward.match_prefix(" derivative of x", truth), 0)
    check.equal(reward.match_prefix("", truth), 0)
    check.equal(reward.match_prefix(nil, truth), 0)
  end,

  strict_match_is_one_token = function()
    local tokenizer = {}
    function tokenizer:encode(text) return text == " of" and { 7 } or { 1, 2 } end
    check.equal(reward.match_strict(tokenizer, " of", 7), 1)
    check.equal(reward.match_strict(tokenizer, " of", 8), 0)
    check.equal(reward.match_strict(tokenizer, "other", 1), 0)
    check.equal(reward.match_strict(tokenizer, nil, 7), 0)
  end,

  think_length_counts_whole_tokens = function()
    local function length(...)
      local n, closed = reward.think_length { ... }
      return { n, closed }
    end
    check.equal(length("a", "b", "</think>", "\\boxed{c}"), { 2, true })
    check.equal(length("a", "b", "</", "think", ">c"), { 2, true })
    check.equal(length("a", "b.</", "think", ">"), { 1, true })
    check.equal(length("</think>", "c"), { 0, true })
    check.equal(length("a", "b", "c"), { 3, false })
    check.equal(length(), { 0, false })
  end,

  triangular_length = function()
    local f = reward.triangular()
    local expected = { [0] = 0, [50] = .5, [100] = 1, [150] = .5, [200] = 0, [300] = 0 }
    for length, value in pairs(expected) do
      check.near(f(sample { think_length = length }), value, 1e-12, "r_len at " .. length)
    end
    check.near(reward.triangular { r_max = 2 }(sample { think_length = 50 }), 1)
    check.equal(f { think_length = 5 }, nil)
  end,

  other_length_rewards = function()
    local flat = reward.flat_then_decay()
    check.near(flat(sample { think_length = 10 }), 1)
    check.near(flat(sample { think_length = 125 }), .75)
    check.near(flat(sample { think_length = 900 }), 0)
    check.near(reward.l1_exact()(sample { think_length = 300 }), -0.06)
    local max = reward.l1_max()
    check.near(max(sample { think_length = 100 }), 0.5)
    check.near(max(sample { think_length = 1100 }), 0.2)
    check.near(max(sample { think_length = 9000 }), 0)
    local overlong = reward.soft_overlong { max_length = 10, cache = 4 }
    local function of(n)
      local ids = {}
      for i = 1, n do ids[i] = i end
      return overlong { ids = ids }
    end
    check.near({ of(6), of(7), of(10), of(11) }, { 0, -0.25, -1, -1 })
  end,

  rmt_combines_match_and_length = function()
    local given = { prediction = " of", continuation = { " of" }, think_length = 50 }
    local total, components = reward.rmt()(sample(given))
    check.near(total, 0.7 + 0.3 * 0.5)
    check.near(components.match.value, 1)
    check.near(components.match.contribution, 0.7)
    check.near(components.length.contribution, 0.15)
    -- Without a budget there is no length reward, and the match counts in full.
    given.budget = nil
    total, components =
      reward.rmt() { prediction = " of", continuation = { " of" }, think_length = 5 }
    check.near(total, 1)
    check.equal(components.length, nil)
    check.near(reward.rmt { weight = 1 }(sample { think_length = 100, continuation = {} }), 1)
    check.raises(function() reward.rmt { match = "prefx" } end, "did you mean 'prefix'?")
  end,

  -- Truth " of the": agreeing bytes over the longer of prediction and what is asked for.
  dense_match_by_hand = function()
    local truth = { " of", " the" }
    local dense = reward.match_dense
    check.near(dense(" of", truth), 1)
    check.near(dense(" of the", truth), 1)
    check.near(dense(" o", truth), 2 / 3)
    check.near(dense(" on", truth), 2 / 3)
    check.near(dense(" of it", truth), 4 / 6)
    check.near(dense("of", truth), 0)
    check.near(dense("", truth), 0)
    check.near(dense(nil, truth), 0)
    check.near(dense(" of", truth, { horizon = 2 }), 3 / 7)
    check.near(dense(" of th", truth, { horizon = 2, unit = "token" }), 3 / 7)
    check.near(dense(" o", truth, { unit = "token" }), 0)
  end,

  matches_have_names = function()
    local s = { prediction = " o", continuation = { " of" } }
    check.near(reward.match()(s), 0)
    check.near(reward.match "dense"(s), 2 / 3)
    local function mine() return 0.5 end
    check.equal(reward.match(mine), mine)
    check.near(reward.rmt { match = "dense" }(sample { prediction = " o", continuation = { " of" },
      think_length = 100 }), 0.7 * 2 / 3 + 0.3)
    check.raises(function() reward.match "dens" end, "did you mean 'dense'?")
    -- A match that says nothing leaves the sample out.
    check.equal(reward.rmt { match = function() end }(sample { think_length = 1 }), nil)
  end,

  sums_are_weighted = function()
    local f = reward.sum({
      match = reward.match(), overlong = reward.soft_overlong { max_length = 10, cache = 4 },
    }, { overlong = 0.5 })
    local given = { prediction = " of", continuation = { " of" }, ids = { 1, 2, 3, 4, 5, 6, 7, 8 } }
    local total, components = f(given)
    check.near(total, 1 - 0.5 * 0.5)
    check.equal(components, {
      match = { value = 1, contribution = 1 }, overlong = { value = -0.5, contribution = -0.25 },
    })
    -- Parts that say nothing are left out; without any the sample is.
    check.near(reward.sum { a = function() end, b = function() return 2 end }(given), 2)
    check.equal(reward.sum { a = function() end }(given), nil)
    check.raises(function() reward.sum({ match = print }, { mtach = 2 }) end, "did you mean 'match'?")
  end,

  -- n_gold = 100, α = 0.0003 by default.
  l1_rewards_by_hand = function()
    local function of(kind, length, prediction, given)
      return reward.lcpo(kind, given)(sample {
        prediction = prediction, continuation = { "a" }, think_length = length,
      })
    end
    check.near(of("exact", 100, "a"), 1)
    check.near(of("exact", 300, "a"), 1 - 0.06)
    check.near(of("exact", 300, "b"), -0.06)
    check.near(of("max", 100, "a"), 0.5)
    check.near(of("max", 50, "a", { alpha = 0.01 }), 1)
    check.near(of("max", 120, "a", { alpha = 0.01 }), 0.3)
    check.near(of("max", 900, "a", { alpha = 0.01 }), 0)
    check.near(of("max", 50, "b"), 0)
    local total, components = of("max", 120, "a", { alpha = 0.01 })
    check.near(components.match.contribution + components.length.contribution, total)
    check.near(components.length.contribution, -0.2)
    for _, kind in ipairs { "exact", "max" } do
      check.near(reward.lcpo(kind) { prediction = "a", continuation = { "a" }, think_length = 5 }, 1)
    end
    check.raises(function() reward.lcpo "maximum" end, "must be one of exact, max")
  end,
}
