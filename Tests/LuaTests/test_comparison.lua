-- Intervals over seeds, the table's texts, what each method changes.

local check = require "support.check"
local comparison = require "midtrain.comparison"
local curriculum = require "midtrain.curriculum"
local methods = require "midtrain.methods"

local function result(mean, length)
  return {
    seed = 1, seconds = 1, curve = {},
    reasoning = { easy = mean, medium = mean, hard = mean, mean = mean, think_length = length },
    direct = { easy = 0.5, medium = 0.25, hard = 0, mean = 0.25 },
  }
end

return {
  intervals_are_students = function()
    check.equal({ comparison.interval {} }, {})
    check.equal({ comparison.interval { 3 } }, { 3 })
    -- 1, 2, 3: standard deviation 1, quantile 4.303.
    local mean, half = comparison.interval { 1, 2, 3 }
    check.near(mean, 2, 1e-12)
    check.near(half, 4.303 / math.sqrt(3), 1e-9)
  end,

  tables_have_a_line_for_each_method = function()
    local results = { rmt = { result(0.6, 10), result(0.8, 12) }, ntr = { result(0.2, 30) } }
    local text = comparison.markdown(results)
    -- 60 and 80: deviation 14.142, quantile 12.706 for one degree of freedom.
    assert(text:find("| RMT | 70.0 ± 127.1 | 70.0 ± 127.1", 1, true), text)
    assert(text:find("| NTR (reasoning, untrained) | 20.0 | 20.0 |", 1, true), text)
    assert(text:find("| RMT, Qwen3 | 76.92 | 55.79 | 44.64 | 59.12 | 186 |", 1, true), text)
    local csv = comparison.csv(results)
    check.equal(select(2, csv:gsub("\n", "")), 1 + 2 * 3)
    assert(csv:find("rmt,1,reasoning,0.6,0.6,0.6,0.6,,10,,,1.0", 1, true), csv)
  end,

  differences_are_of_the_same_seed = function()
    local results = {
      rmt = { result(0.6, 10), result(0.8, 12) }, rpt = { result(0.5, 30), result(0.6, 34) },
      ntp = { { direct = { mean = 0.25 } }, { direct = { mean = 0.25 } } },
    }
    local rows = comparison.differences(results, "rmt")
    check.equal({ rows[1].title, rows[2].title, #rows },
      { "NTP (continual pre-training)", "RPT", 2 })
    -- 35 and 55; no length without reasoning. 10 and 20; −20 and −22. Deviation d/√2, over √2.
    check.near(rows[1].cells[1].mean, 45, 1e-9)
    check.equal(rows[1].cells[2], {})
    check.near(rows[2].cells[1].mean, 15, 1e-9)
    check.near(rows[2].cells[1].half_width, 12.706 * 5, 1e-9)
    check.near(rows[2].cells[2].mean, -21, 1e-9)
    check.near(rows[2].cells[2].half_width, 12.706, 1e-9)
    assert(comparison.markdown(results):find("| RPT | 15.0 ± 63.5 | -21.0 ± 12.7 |", 1, true))
    assert(not comparison.markdown { rpt = results.rpt }:find("RMT minus", 1, true))
  end,

  one_seed_has_intervals_over_positions = function()
    local function of_one(mean, influences)
      local one = result(mean, 10)
      one.reasoning.half_width = { easy = 0.02, medium = 0.02, hard = 0.02, mean = 0.01 }
      one.reasoning.influences = influences
      return { one }
    end
    local results = { rmt = of_one(0.6, { 0.3, 0.1 }), ntr = of_one(0.2, { 0, 0.5 }) }
    local text = comparison.markdown(results, { "rmt", "ntr" })
    assert(text:find("| RMT | 60.0 ± 2.0 | 60.0 ± 2.0 | 60.0 ± 2.0 | 60.0 ± 1.0 |", 1, true), text)
    -- 1.96·√(0.3² + 0.4²)
    assert(text:find("| NTR (reasoning, untrained) | 40.0 ± 98.0 | 0.0 |", 1, true), text)
    assert(text:find("| RMT | -40.0 ± 98.0 | 0.0 |", 1, true), text)
    assert(text:find("NTR (reasoning, untrained) minus each other method", 1, true), text)
  end,

  methods_change_one_thing_each = function()
    local function changed(name)
      local names = {}
      for option in pairs(methods.named(name).options()) do names[#names + 1] = option end
      table.sort(names)
      return table.concat(names, " ")
    end
    check.equal(changed "rmt", "")
    check.equal(changed "rmt-cas", "curriculum")
    check.equal(changed "rmt-ntp", "lambda")
    check.equal(changed "rmt-dtb", "budget reward")
    check.equal(changed "rpt", "budget curriculum lambda reward")
    check.equal(changed "rmt-flat", "reward")
    check.equal(changed "rmt-floor", "budget")
    local floor = methods.named "rmt-floor".options {
      budget = require "midtrain.budget".exponential { initial = 40, minimum = 8 },
    }
    check.equal({ floor.budget(0, 60), floor.budget(59, 60) }, { 8, 8 })
    check.raises(function() methods.named "rl_ntp" end, "rl+ntp")
    local p, per_position = curriculum.all_positions()()
    check.equal({ #p, per_position }, { 3, true })
  end,

  positions_are_drawn_by_their_number_without_a_curriculum = function()
    -- One easy position and nine hard ones.
    local hard = {}
    for p = 3, 11 do hard[#hard + 1] = p end
    local tiers, easy = { { { 2 }, {}, hard } }, 0
    for seed = 1, 600 do
      local draw = curriculum.sampler(tiers, seed)
        :draw({ 1 / 3, 1 / 3, 1 / 3 }, 0, 1, 1, { per_position = true })
      easy = easy + (draw[1].positions[1] == 2 and 1 or 0)
    end
    -- A tenth, within four standard deviations.
    assert(math.abs(easy / 600 - 0.1) < 4 * math.sqrt(0.09 / 600), easy)
  end,
}
