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

  -- v = 1 before anything is known; smoothing ½: easy (1 + .5)/2, hard (1 + 0)/2.
  feedback_by_hand = function()
    local f = curriculum.feedback { floor = 0, smoothing = 0.5 }
    check.near(f(0, 9, {}), { 1 / 3, 1 / 3, 1 / 3 })
    local p, per_position, memory = f(1, 9, {
      ["curriculum/easy/frac_match_nonzero_std"] = .5,
      ["curriculum/easy/frac_reward_nonzero_std"] = 1,
      ["curriculum/hard/frac_reward_nonzero_std"] = 0,
    })
    check.near(p, { .75 / 2.25, 1 / 2.25, .5 / 2.25 })
    check.equal(per_position, nil)
    check.near(memory["curriculum/easy/signal"], .75)
    check.near(memory["curriculum/medium/signal"], 1)
    check.near(memory["curriculum/hard/signal"], .5)
    -- A step without results keeps what is remembered.
    check.near(f(2, 9, memory), p)
  end,

  feedback_weighs_a_base_and_keeps_a_floor = function()
    local f = curriculum.feedback {
      base = curriculum.constant { .5, .3, .2 }, floor = 0.5, smoothing = 0,
    }
    local none = { ["curriculum/easy/frac_match_nonzero_std"] = 0 }
    -- Half of the base, and half of (0, .3, .2)/.5.
    check.near(f(1, 9, none), { .25, .15 + .3, .1 + .2 })
    for _, tier in ipairs { "medium", "hard" } do
      none[("curriculum/%s/frac_match_nonzero_std"):format(tier)] = 0
    end
    check.near(f(1, 9, none), { .5, .3, .2 })
    local _, per_position = curriculum.feedback { base = curriculum.all_positions() }(0, 9, {})
    check.equal(per_position, true)
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

  -- A checkpoint that is made after a step failed goes on with that step.
  the_state_before_a_step_is_without_what_it_drew = function()
    local p = { .4, .3, .3 }
    local sampler = curriculum.sampler(pools(), 5)
    for step = 1, 9 do
      local before = sampler:state()
      sampler:draw(p, step, 2, 2)
      sampler:draw(p, step, 1, 1, { round = 1 })
      check.equal(sampler:state(step), before)
      check.equal(sampler:state(step + 1), sampler:state())
      assert(sampler:state().taken > before.taken)
    end
    assert(sampler.restarts > 0)
  end,

  a_sampler_is_over_when_every_document_was_drawn = function()
    local p = { .4, .3, .3 }
    local sampler = curriculum.sampler(pools(), 5)
    sampler:draw(p, 1, 1, 1)
    sampler:draw(p, 2, 1, 1)
    check.equal({ sampler:is_over(2), sampler:is_over(3) }, { false, true })
  end,

  further_rounds_of_a_step_draw_other_positions = function()
    local p = { .4, .3, .3 }
    local sampler = curriculum.sampler(pools(), 5)
    local function round(n)
      local seen = {}
      for _, draw in ipairs(sampler:draw(p, 1, 2, 1, { round = n })) do
        for _, position in ipairs(draw.positions) do
          seen[#seen + 1] = ("%d:%d"):format(draw.document, position)
        end
      end
      return seen
    end
    local first, second = round(nil), round(1)
    for _, a in ipairs(first) do
      for _, b in ipairs(second) do assert(a ~= b, "drawn twice: " .. a) end
    end
    -- The step again, from its beginning: both rounds are undone.
    check.equal({ round(nil), round(1) }, { first, second })
  end,

  -- One document, one tier. Positions 2 and 3 taught something, 4 did not: with revisit = 1 the two come
  -- again and 4 does not, while 5 stays unused.
  positions_that_taught_something_come_again = function()
    local function sampler()
      local s = curriculum.sampler({ { { 2, 3, 4, 5 }, {}, {} } }, 3)
      s:restore { taken = 1, restarts = 0, used = { { 2, 3, 4 } }, teaching = { { 2, 3 } } }
      return s
    end
    local p, seen = { 1, 0, 0 }, { 0, 0, 0, 0, 0 }
    local s = sampler()
    for step = 1, 400 do
      local position = s:draw(p, step, 1, 1, { revisit = 1 })[1].positions[1]
      seen[position] = seen[position] + 1
    end
    check.equal({ seen[4], seen[5], seen[2] + seen[3], s.restarts }, { 0, 0, 400, 0 })
    -- Half each, within four standard deviations.
    assert(math.abs(seen[2] - 200) < 40, seen[2])
    -- Two of a step differ; further ones, also of another round, are unused ones again.
    local draw = sampler():draw(p, 1, 1, 3, { revisit = 1 })
    check.equal(draw[1].positions, { 2, 3, 5 })
    s = sampler()
    check.equal(s:draw(p, 1, 1, 2, { revisit = 1 })[1].positions, { 2, 3 })
    check.equal(s:draw(p, 1, 1, 1, { revisit = 1, round = 1 })[1].positions, { 5 })
    -- A position whose answers became all alike is left; without revisit nothing is gone back to.
    s = sampler()
    s:note(1, 2, false)
    s:note(1, 3, false)
    s:note(1, 4, true)
    check.equal(s:state().teaching, { { 4 } })
    check.equal(s:draw(p, 1, 1, 1, { revisit = 1 })[1].positions, { 4 })
    check.equal(sampler():draw(p, 1, 1, 1)[1].positions, { 5 })
    -- A share of the draws, within four standard deviations: 0.25 of 400.
    local again = 0
    for seed = 1, 400 do
      s = curriculum.sampler({ { { 2, 3, 4, 5 }, {}, {} } }, seed)
      s:restore { taken = 1, restarts = 0, used = { { 2 } }, teaching = { { 2 } } }
      again = again + (s:draw(p, 1, 1, 1, { revisit = 0.25 })[1].positions[1] == 2 and 1 or 0)
    end
    assert(math.abs(again - 100) < 4 * math.sqrt(400 * 0.25 * 0.75), again)
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
