local check = require "support.check"
local entropy = require "midtrain.entropy"

return {
  exclusive_tiers = function()
    local expected = { [0.49] = 0, [0.5] = 1, [0.99] = 1, [1.0] = 2, [1.5] = 2, [1.51] = 3 }
    for h, tier in pairs(expected) do check.equal(entropy.tier(h) or 0, tier, "tier of " .. h) end
  end,

  cumulative_tiers = function()
    check.equal(entropy.cumulative(0.5), { easy = false, medium = false, hard = false })
    check.equal(entropy.cumulative(1.2), { easy = true, medium = true, hard = false })
    check.equal(entropy.cumulative(1.6), { easy = true, medium = true, hard = true })
  end,

  -- The entropy after token p − 1 is the difficulty of token p; the last entropy has no target.
  positions_are_those_of_the_targets = function()
    local tiers = entropy.tiers({ 0.7, 0.1, 2.0, 1.2, 9.9 }, 5)
    check.equal(tiers, { { 2 }, { 5 }, { 4 } })
  end,

  documents_are_computed_once_per_model = function()
    local calls = 0
    local model = {}
    function model:entropy(ids, given)
      calls = calls + 1
      return { #ids, given.top_k or 0 }
    end
    local first = entropy.documents(model, { { 1, 2 }, { 3 }, { 1, 2 } })
    check.equal(first, { { 2, 0 }, { 1, 0 }, { 2, 0 } })
    entropy.documents(model, { { 3 } })
    check.equal(calls, 2)
    check.equal(entropy.documents(model, { { 3 } }, { top_k = 16 }), { { 1, 16 } })
    check.equal(calls, 3)
    entropy.forget(model)
    entropy.documents(model, { { 3 } })
    check.equal(calls, 4)
  end,
}
