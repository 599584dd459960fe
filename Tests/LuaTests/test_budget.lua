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
    check.raises(function() budget.constant(0) end, "between 1")
  end,

  misspelt_options_are_named = function()
    check.raises(function() budget.exponential { gama = 0.1 } end, "did you mean 'gamma'?")
  end,
}
