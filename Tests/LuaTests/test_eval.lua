-- Accuracy by tier and perplexity against plain counting over the stand-in's own probabilities.

local check = require "support.check"
local eval = require "midtrain.eval"
local fake = require "support.fake"

local docs = { "abcabdabc", "bcabca", "cabdab" }
local thresholds = { 0.001, 0.5, 1.2 }

local function set_of(model, given)
  local o = { docs = docs, entropy_model = model, thresholds = thresholds, count = 1000 }
  for name, value in pairs(given or {}) do o[name] = value end
  return eval.set(o)
end

-- A model whose letters have different entropies: a goes on with b, b with c or d, c with anything.
local function letters()
  local model = fake.fake_model()
  local function prefer(previous, next_letters, strength)
    for i = 1, #next_letters do
      model.logits[previous:byte()][next_letters:byte(i)] = strength
    end
  end
  prefer("a", "b", 14)
  prefer("b", "cd", 12)
  prefer("c", "abcd", 10)
  prefer("d", "abcdef", 9)
  return model
end

return {
  direct_accuracy_is_that_of_the_most_probable_token = function()
    local model = letters()
    local set = set_of(model)
    local wanted = { easy = { 0, 0 }, medium = { 0, 0 }, hard = { 0, 0 } }
    for _, place in ipairs(set.places) do
      local ids = set.documents[place.document]
      local p, best = model:probabilities(ids[place.position - 1], 1), 0
      for id = 1, 255 do if p[id] > p[best] then best = id end end
      local tier = place.entropy > 1.2 and "hard" or place.entropy >= 0.5 and "medium" or "easy"
      wanted[tier][1] = wanted[tier][1] + (best == ids[place.position] and 1 or 0)
      wanted[tier][2] = wanted[tier][2] + 1
    end
    for _, cumulative in ipairs { false, true } do
      local result = eval.next_token(model, set,
        { mode = "direct", cumulative = cumulative, positions_at_a_time = 5 })
      local right, count, sum = 0, 0, 0
      -- From hard to easy, so that what is above a threshold adds up.
      for _, tier in ipairs { "hard", "medium", "easy" } do
        right = (cumulative and right or 0) + wanted[tier][1]
        count = (cumulative and count or 0) + wanted[tier][2]
        assert(count > 0, "the documents have every tier")
        check.equal(result.counts[tier], count)
        check.near(result[tier], right / count, 1e-12)
        sum = sum + right / count
      end
      check.near(result.mean, sum / 3, 1e-12)
      check.equal(result.length, nil)
    end
  end,

  intervals_are_over_places = function()
    local model = letters()
    local set = set_of(model)
    local given = { mode = "direct", cumulative = false, intervals = true }
    local result = eval.next_token(model, set, given)
    -- Of a share p of n places: p(1 − p)/n.
    local variance = 0
    for _, name in ipairs { "easy", "medium", "hard" } do
      local p, n = result[name], result.counts[name]
      check.near(result.half_width[name], 1.96 * math.sqrt(p * (1 - p) / n), 1e-12)
      variance = variance + p * (1 - p) / n / 9
    end
    check.near(result.half_width.mean, 1.96 * math.sqrt(variance), 1e-12)
    check.equal(#result.influences, #set.places)
    check.equal(eval.half_width(result.influences, result.influences), 0)
    given.intervals, given.cumulative = nil, nil
    check.equal(eval.next_token(model, set, given).half_width, nil)
    -- Where tiers are cumulative a hard place counts in all three.
    given.intervals = true
    result = eval.next_token(model, set, given)
    check.near(eval.half_width(result.influences), result.half_width.mean, 1e-12)
    check.raises(function() eval.next_token(model, set, { interval = true }) end, "intervals")
  end,

  the_same_places_for_the_same_seed = function()
    local model = letters()
    local a, b = set_of(model, { count = 4, seed = 3 }), set_of(model, { count = 4, seed = 3 })
    check.equal(a.places, b.places)
    check.equal(#a.places, 4)
    local none = set_of(model, {
      entropy_filter = function(text, H)
        check.equal(#H, #text)
        local kept = {}
        for i = 1, #H do kept[i] = i == 3 and H[i] or 0 end
        return kept
      end,
    })
    for _, place in ipairs(none.places) do check.equal(place.position, 4) end
    check.raises(function() set_of(model, { thresholds = { 50, 60, 70 } }) end, "lower the thresholds")
  end,

  perplexity_is_e_to_the_mean_loss = function()
    local model, sum, count = letters(), 0, 0
    for _, text in ipairs(docs) do
      for i = 2, #text do
        sum = sum - math.log(model:probabilities(text:byte(i - 1), 1)[text:byte(i)])
        count = count + 1
      end
    end
    local perplexity, tokens = eval.perplexity(model, docs)
    check.near(perplexity, math.exp(sum / count), 1e-9)
    check.equal(tokens, count)
  end,
}
