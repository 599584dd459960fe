local advantage = require "midtrain.advantage"
local check = require "support.check"

return {
  group_uses_the_corrected_deviation = function()
    -- mean 0.25, squares 0.75, std √(0.75/3) = 0.5
    local A, std = advantage.group { 1, 0, 0, 0 }
    check.near(std, 0.5)
    check.near(A, { 0.75 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001, -0.25 / 0.5001 })
  end,

  equal_rewards_give_no_advantage = function()
    local A, std = advantage.group { 0.3, 0.3 }
    check.equal(std, 0.0)
    check.near(A, { 0, 0 })
    check.near((advantage.group { 5 }), { 0 })
  end,

  unscaled = function()
    check.near((advantage.group({ 1, 0 }, 2, { scale = "none" })), { 0.5, -0.5 })
  end,

  unscored_samples_are_left_out = function()
    local A, std = advantage.group({ 1, nil, 0 }, 3)
    check.near(std, math.sqrt(0.5))
    check.equal(A[2], nil)
    check.near(A[1], 0.5 / (math.sqrt(0.5) + 1e-4))
    local _, _, count = advantage.statistics({ nil, nil }, 2)
    check.equal(count, 0)
  end,

  parts_add_up_to_the_whole = function()
    local match, length, total = { 0.7, 0, 0 }, { 0.1, 0.3, 0.2 }, {}
    for i = 1, 3 do total[i] = match[i] + length[i] end
    local A, std = advantage.group(total)
    local a, b = advantage.part(match, std), advantage.part(length, std)
    for i = 1, 3 do check.near(a[i] + b[i], A[i], 1e-12) end
  end,

  -- All wrong, yet the advantages are as large as ever.
  a_group_of_wrong_answers_learns_length_alone = function()
    local contributions = { 0.101, 0.100, 0.099 }
    local A, std = advantage.group(contributions)
    assert(math.abs(A[1]) > 0.9)
    check.near(advantage.part(contributions, std), A)
    check.near(advantage.part({ 0, 0, 0 }, std), { 0, 0, 0 })
  end,
}
