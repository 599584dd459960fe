local check = require "support.check"
local fake = require "support.fake"
local scoring = require "midtrain.scoring"

local tokenizer = fake.fake_tokenizer()
local model = { tokenizer = tokenizer, eos_ids = { 256 } }

local function sample(text)
  local ids = tokenizer:encode(text)
  return { ids = ids, logprobs = {}, finish_reason = ids[#ids] == 256 and "stop" or "length" }
end

local function read(text)
  local target = { next_id = 65, continuation = { "A" }, budget = 10 }
  return scoring.read(sample(text), target, model)
end

return {
  reads_what_a_completion_says = function()
    local s = read "thought</think>\\boxed{A}<eos>"
    check.equal({ s.text, s.think_length, s.closed, s.prediction, s.truncated, s.budget },
      { "thought</think>\\boxed{A}", 7, true, "A", false, 10 })
    s = read "thought"
    check.equal({ s.text, s.think_length, s.closed, s.truncated }, { "thought", 7, false, true })
  end,

  -- An end-of-sequence token is not part of the thought.
  a_bare_end_has_no_thought = function()
    local s = read "<eos>"
    check.equal({ s.text, s.think_length, s.truncated }, { "", 0, false })
  end,

  metrics_by_hand = function()
    local groups = {
      { read "x</think>\\boxed{A}<eos>", read "xx</think>\\boxed{B}<eos>" },
      { read "xxx", read "xxx" },
    }
    local function reward(s)
      local match = s.prediction == "A" and 1 or 0
      local length = s.think_length / 10
      return match + length, {
        match = { value = match, contribution = match },
        length = { value = length, contribution = length },
      }
    end
    local m = scoring.score(groups, reward, "group")
    check.near(m.reward, (1.1 + 0.2 + 0.3 + 0.3) / 4)
    check.near(m.reward_std, 0.9 / math.sqrt(2) / 2)
    check.near(m.frac_reward_zero_std, 0.5)
    check.near(m["rewards/match/mean"], 0.25)
    check.near(m["rewards/match/std"], 0.5)
    check.near(m["rewards/match/frac_zero_std"], 0.5)
    check.equal(m["rewards/unscored"], 0)
    check.near(groups[1][1].advantage, 0.45 / (0.9 / math.sqrt(2) + 1e-4))
    check.near(groups[2][1].advantage, 0)
    -- match part: ±0.5/(std + δ) and two zeros; length part: ∓0.05/(std + δ)
    local unit = 0.5 / (0.9 / math.sqrt(2) + 1e-4)
    check.near(m["advantage/match_std"], math.sqrt(2 * unit ^ 2 / 3))
    check.near(m["advantage/length_std"], math.sqrt(2 * (unit / 10) ^ 2 / 3))
    local lengths = scoring.lengths(groups)
    check.near(lengths["completions/clipped_ratio"], 0.5)
    check.near(lengths["completions/closed_ratio"], 0.5)
    check.near(lengths["completions/mean_think_length"], (1 + 2 + 3 + 3) / 4)
    check.equal(lengths["completions/min_length"], 3)
  end,

  unscored_samples_have_no_advantage = function()
    local groups = { { read "a", read "b", read "c" } }
    local m = scoring.score(groups, function(s)
      if s.text ~= "b" then return s.text == "a" and 1 or 0 end
    end, "group")
    check.equal(m["rewards/unscored"], 1)
    check.near(m.reward, 0.5)
    check.near(m["rewards/reward/mean"], 0.5)
    check.equal(groups[1][2].advantage, nil)
    assert(groups[1][1].advantage > 0)
  end,

  batch_scaling_divides_by_the_batchs_deviation = function()
    local groups = { { read "a", read "b" }, { read "c", read "d" } }
    local values = { a = 1, b = 0, c = 3, d = 3 }
    scoring.score(groups, function(s) return values[s.text] end, "batch")
    -- mean 1.75; squares .5625 + 3.0625 + 1.5625·2 = 6.75; std 1.5
    check.near(groups[1][1].advantage, 0.5 / (1.5 + 1e-4))
    scoring.score(groups, function(s) return values[s.text] end, "none")
    check.near(groups[1][1].advantage, 0.5)
  end,

  -- Left out and counted, never 0; the message of the first is kept.
  a_reward_that_fails_leaves_its_samples_out = function()
    local answers = {
      a = function() return 1 end,
      b = function() return "high" end,
      c = function() error "no such thing" end,
      d = function() return 0 / 0 end,
      e = function() while true do end end,
      f = function() return 1, { match = 1 } end,
      g = function() return 0 end,
    }
    local group = {}
    for i, text in ipairs { "a", "b", "c", "d", "e", "f", "g" } do group[i] = read(text) end
    local m, failure =
      scoring.score({ group }, function(s) return answers[s.text]() end, "group", 10000)
    check.equal({ m["rewards/failed"], m["rewards/unscored"], m.reward }, { 5, 5, 0.5 })
    assert(failure:find("expected a finite number, or nil to leave the sample out, got string"))
    assert(group[3].failure:find "no such thing")
    assert(group[4].failure:find "got number")
    assert(group[5].failure:find "stopped after 10000 instructions")
    assert(group[6].failure:find "component 'match'")
    check.equal({ group[1].failure, group[2].advantage, group[5].reward }, {})
  end,

  tiers_tell_which_of_their_groups_vary = function()
    local function group(tier, ...)
      local samples = { place = { tier = tier } }
      for i, text in ipairs { ... } do samples[i] = read(text) end
      return samples
    end
    local groups = {
      group(1, "x</think>\\boxed{A}<eos>", "x</think>\\boxed{B}<eos>"),
      group(1, "x</think>\\boxed{B}<eos>", "xx</think>\\boxed{B}<eos>"),
      group(1, "x", "x"),
      group(3, "x", "xx"),
    }
    local m = scoring.score(groups, function(s)
      local match = s.prediction == "A" and 1 or 0
      return match + s.think_length, {
        match = { value = match, contribution = match },
        length = { value = s.think_length, contribution = s.think_length },
      }
    end, "group")
    check.near(m["curriculum/easy/frac_reward_nonzero_std"], 2 / 3)
    check.near(m["curriculum/easy/frac_match_nonzero_std"], 1 / 3)
    check.equal(m["curriculum/medium/frac_reward_nonzero_std"], nil)
    check.near(m["curriculum/hard/frac_reward_nonzero_std"], 1)
    check.near(m["curriculum/hard/frac_match_nonzero_std"], 0)
    check.near(m.frac_reward_zero_std, 1 / 4)
    check.near(m["rewards/match/frac_zero_std"], 3 / 4)
    check.equal({ scoring.is_live(groups[1]), scoring.is_live(groups[2]) }, { true, false })
    check.near(scoring.lengths(groups)["completions/mean_think_length_right"], 1)
  end,

  shadow_rewards_are_only_metrics = function()
    local groups = { { read "a", read "bb", read "c" } }
    local m = scoring.shadow(groups, {
      length = function(s) return #s.text end,
      broken = function(s) return s.nothing.there end,
    })
    check.near(m["shadow_rewards/length/mean"], 4 / 3)
    check.near(m["shadow_rewards/length/std"], 1 / math.sqrt(3))
    check.equal({ m["shadow_rewards/broken/failed"], m["shadow_rewards/broken/mean"] }, { 3 })
    check.equal(groups[1][1].reward, nil)
  end,
}
