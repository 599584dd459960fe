local check = require "support.check"
local curriculum = require "midtrain.curriculum"

local function pools()
  return {
    { { 2, 3 }, { 4 }, {} },
    { {}, {}, {} },
    { { 5 }, {}, { 6, 7 } },
  }
end

return {
  papers_probabilities = function()
    local p = curriculum.paper()
    check.near(p(0, 100), { .6, .3, .1 })
    check.near(p(29, 100), { .6, .3, .1 })
    check.near(p(30, 100), { .6, .3, .1 })
    check.near(p(40, 100), { .475, .3, .225 })
    check.near(p(50, 100), { .35, .3, .35 })
    check.near(p(70, 100), { .1, .3, .6 })
    check.near(p(100, 100), { .1, .3, .6 })
  end,

  fixed_probabilities = function()
    check.near(curriculum.uniform()(3, 9), { 1 / 3, 1 / 3, 1 / 3 })
    check.equal(curriculum.tier("hard")(3, 9), { 0, 0, 1 })
    check.raises(function() curriculum.tier("hrad") end, "did you mean 'hard'?")
    check.raises(function() curriculum.constant { .5, .5, .5 } end, "sum to 1, got 1.5")
    check.raises(function() curriculum.constant { .5, .5 } end, "three probabilities")
    check.raises(function() curriculum.paper { t1 = .8 } end, "t1 must not exceed t2")
  end,

  -- Tiers at the asked-for frequencies, each position once.
  draws_follow_p = function()
    local large = { {}, {}, {} }
    for p = 1, 3000 do table.insert(large[(p - 1) % 3 + 1], p + 1) end
    local sampler = curriculum.sampler({ large }, 1)
    local counts, seen = { 0, 0, 0 }, {}
    for step = 1, 500 do
      local draw = sampler:draw({ .6, .3, .1 }, step, 1, 2)[1]
      for i, position in ipairs(draw.positions) do
        check.equal((position - 2) % 3 + 1, draw.tiers[i], "tier of the position")
        check.equal(seen[position], nil, "position used twice")
        seen[position] = true
        counts[draw.tiers[i]] = counts[draw.tiers[i]] + 1
      end
    end
    check.near(counts, { 600, 300, 100 }, 50)
    check.equal(sampler.restarts, 0)
  end,

  documents_without_positions_are_never_drawn = function()
    local sampler = curriculum.sampler(pools(), 1)
    for step = 1, 6 do
      for _, draw in ipairs(sampler:draw({ .4, .3, .3 }, step, 2, 1)) do
        assert(draw.document ~= 2)
      end
    end
    check.raises(function() curriculum.sampler({ { {}, {}, {} } }, 1) end, "lower the thresholds")
  end,

  -- Three positions per document: both run out after one draw of three, then all start again.
  exhausted_positions_come_back = function()
    local sampler = curriculum.sampler(pools(), 1)
    local first = sampler:draw({ .4, .3, .3 }, 1, 2, 5)
    check.equal(#first, 2)
    for _, draw in ipairs(first) do check.equal(#draw.positions, 3) end
    check.equal(sampler.restarts, 0)
    check.equal(#sampler:draw({ .4, .3, .3 }, 2, 2, 1), 2)
    check.equal(sampler.restarts, 1)
  end,

  a_tier_that_no_document_has_is_an_error = function()
    local sampler = curriculum.sampler({ { { 2 }, {}, {} } }, 1)
    check.raises(function() sampler:draw({ 0, 0, 1 }, 1, 1, 1) end, "p_t = (0, 0, 1)")
  end,

  -- So that a step that failed can be tried again, also where it used up the last positions.
  the_same_step_again_gives_the_same_positions = function()
    local p = { .4, .3, .3 }
    local once, twice = curriculum.sampler(pools(), 5), curriculum.sampler(pools(), 5)
    for step = 1, 9 do
      local draws = once:draw(p, step, 2, 2)
      twice:draw(p, step, 2, 2)
      check.equal(twice:draw(p, step, 2, 2), draws)
      check.equal(twice:state(), once:state())
    end
    assert(once.restarts > 0)
  end,

  a_restored_sampler_continues_alike = function()
    local a = curriculum.sampler(pools(), 5)
    a:draw({ .4, .3, .3 }, 1, 1, 1)
    a:draw({ .4, .3, .3 }, 2, 1, 1)
    local state = a:state()
    local b = curriculum.sampler(pools(), 5)
    b:restore(state)
    for step = 3, 9 do
      check.equal(b:draw({ .4, .3, .3 }, step, 1, 1), a:draw({ .4, .3, .3 }, step, 1, 1))
    end
  end,
}
