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

  a_reward_that_is_no_number_is_an_error = function()
    check.raises(function()
      scoring.score({ { read "a" } }, function() return "high" end, "group")
    end, "expected a number, or nil", "got string")
  end,
}
