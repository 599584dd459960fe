local check = require "support.check"
local random = require "midtrain.random"

return {
  bits_depend_only_on_the_key = function()
    local a, b = random.new(1, 2, "x"), random.new(1, 2, "x")
    for _ = 1, 10 do check.equal(a:bits(), b:bits()) end
    local seen = {}
    for seed = 0, 3 do
      for step = 0, 3 do
        for stream = 0, 3 do
          local bits = random.new(seed, step, stream):bits()
          check.equal(seen[bits], nil, "repeated bits")
          seen[bits] = true
        end
      end
    end
  end,

  uniform_has_the_right_moments = function()
    local r, sum, squares, n = random.new(7), 0, 0, 20000
    for _ = 1, n do
      local u = r:uniform()
      assert(u >= 0 and u < 1)
      sum, squares = sum + u, squares + u * u
    end
    check.near(sum / n, 1 / 2, 0.01)
    check.near(squares / n, 1 / 3, 0.01)
  end,

  normal_has_the_right_moments = function()
    local r, sum, squares, n = random.new(8), 0, 0, 20000
    for _ = 1, n do
      local z = r:normal(3, 2)
      sum, squares = sum + z, squares + (z - 3) ^ 2
    end
    check.near(sum / n, 3, 0.06)
    check.near(squares / n, 4, 0.15)
  end,

  integers_cover_their_range_evenly = function()
    local r, counts = random.new(9), {}
    for _ = 1, 7000 do
      local i = r:integer(5, 11)
      counts[i] = (counts[i] or 0) + 1
    end
    for i = 5, 11 do check.near(counts[i], 1000, 150) end
    check.equal(counts[4], nil)
    check.equal(counts[12], nil)
  end,

  choice_follows_weights = function()
    local r, counts = random.new(10), { a = 0, b = 0, c = 0 }
    for _ = 1, 4000 do
      local item, index = r:choice({ "a", "b", "c" }, { 1, 0, 3 })
      check.equal(({ "a", "b", "c" })[index], item)
      counts[item] = counts[item] + 1
    end
    check.equal(counts.b, 0)
    check.near(counts.c / 4000, 0.75, 0.03)
  end,

  shuffle_permutes = function()
    local list = random.new(11):shuffle { 1, 2, 3, 4, 5, 6, 7, 8 }
    assert(table.concat(list) ~= "12345678")
    table.sort(list)
    check.equal(list, { 1, 2, 3, 4, 5, 6, 7, 8 })
  end,
}
