local budget = require "midtrain.budget"
local check = require "support.check"

local function values(schedule, T, ...)
  local list = {}
  for i, t in ipairs { ... } do list[i] = schedule(t, T) end
  return list
end

return {
  exponential_gives_the_papers_values = function()
    check.equal(values(budget.exponential(), 100, 0, 30, 50, 70, 100), { 800, 493, 357, 259, 160 })
    check.equal(values(budget.exponential(), 7, 0, 7), { 800, 160 })
  end,

  exponential_stops_at_the_minimum = function()
    check.equal(values(budget.exponential { initial = 8, gamma = 0.01 }, 10, 0, 10), { 8, 1 })
    check.equal(values(budget.exponential { initial = 8, minimum = 5 }, 10, 10), { 5 })
  end,

  linear = function()
    check.equal(values(budget.linear(), 100, 0, 50, 100), { 800, 480, 160 })
  end,

  cosine = function()
    -- A quarter: 160 + 640·(1 + cos 45°)/2 = 706.27
    check.equal(values(budget.cosine(), 100, 0, 25, 50, 100), { 800, 706, 480, 160 })
  end,

  step = function()
    check.equal(values(budget.step(), 9, 0, 2, 3, 5, 6, 9), { 800, 800, 400, 400, 200, 200 })
  end,

  constant_and_none = function()
    check.equal(budget.constant(12)(3, 10), 12)
    check.equal(budget.none()(3, 10), nil)
    check.raises(function() budget.constant(0) end, "of 1 or more")
  end,

  -- ×0.5 while the average stays at 0.9 of its best, ×2 when it falls; smoothing ½, no fading.
  adaptive_by_hand = function()
    local schedule = budget.adaptive {
      initial = 100, shrink = 0.5, grow = 2, smoothing = 0.5, fading = 1, minimum = 10,
    }
    local state, budgets, averages = {}, {}, {}
    for i, accuracy in ipairs { 0, 0.8, 0.8, 0.1, 0.1, 0.9, 0.9 } do
      local B, memory = schedule(i - 1, 10, state)
      budgets[i], averages[i] = B, memory["budget/average"] or -1
      -- What a run's metrics would be: the step's accuracy, and what the schedule remembers.
      state = { ["rewards/match/mean"] = accuracy }
      for name, value in pairs(memory) do state[name] = value end
    end
    -- Averages before each step: –, 0, .4, .6, .35, .225, .5625; best .6 from the fourth on.
    -- Nothing happens while nothing was right; then down, down, up, up, and down: .5625 ≥ .54.
    check.near(averages, { -1, 0, .4, .6, .35, .225, .5625 }, 1e-12)
    check.equal(budgets, { 100, 100, 50, 25, 50, 100, 50 })
  end,

  adaptive_stays_between_its_bounds = function()
    local schedule = budget.adaptive { initial = 8, shrink = 0.9, minimum = 7, fading = 1 }
    -- 8·0.9 = 7.2: not rounded in what is remembered, or it would be stuck.
    local B, memory = schedule(1, 9, { ["rewards/match/mean"] = 1 })
    check.equal(B, 7)
    check.near(memory["budget/exact"], 7.2)
    memory["rewards/match/mean"] = 1
    check.near(select(2, schedule(2, 9, memory))["budget/exact"], 7)
    memory["rewards/match/mean"] = -9 -- the average falls: 7.2·1.05, then no further than 8
    check.near(select(2, schedule(2, 9, memory))["budget/exact"], 7.56)
    memory["budget/exact"] = 8
    check.near(select(2, schedule(2, 9, memory))["budget/exact"], 8)
    check.equal(schedule(0, 9, nil), 8)
  end,

  -- The best fades, so that what a harder curriculum makes impossible is no longer asked.
  the_best_fades = function()
    local schedule = budget.adaptive { initial = 100, fading = 0.5, smoothing = 0, shrink = 0.5 }
    local B, memory = schedule(1, 9, {
      ["budget/exact"] = 100, ["budget/best"] = 0.8, ["budget/average"] = 0.8,
      ["rewards/match/mean"] = 0.45,
    })
    check.near(memory["budget/best"], 0.45)
    check.equal(B, 50)
  end,

  measured_by_hand = function()
    local schedule = budget.measured { initial = 200, share = 0.5, smoothing = 0.5, minimum = 8 }
    local name = "completions/mean_think_length"
    check.equal(schedule(0, 9, {}), 200)
    local B, memory = schedule(1, 9, { [name] = 100 })
    check.equal(B, 50)
    memory[name] = 60 -- (100 + 60)/2·0.5
    B, memory = schedule(2, 9, memory)
    check.equal(B, 40)
    check.equal(schedule(3, 9, { [name] = 1000 }), 200)
    check.equal(schedule(3, 9, { [name] = 4 }), 8)
    check.equal(schedule(3, 9, { [name] = 0 / 0, ["budget/average"] = 40 }), 20)
  end,

  misspelt_options_are_named = function()
    check.raises(function() budget.exponential { gama = 0.1 } end, "did you mean 'gamma'?")
  end,
}
