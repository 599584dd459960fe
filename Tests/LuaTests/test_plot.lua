local check = require "support.check"
local plot = require "midtrain.plot"
local scratch = require "support.scratch"

local nan = 0 / 0

return {
  -- 2 × 2 characters are 4 × 8 dots: a falling line from the top left to the bottom right.
  a_line_is_drawn_in_braille = function()
    local lines = plot.lines({ 1, 0 }, { width = 10, height = 2, color = false })
    check.equal(lines, {
      "1 ┤⠉⠒⠢⢄⣀",
      "0 ┤     ⠉⠑⠢⠤⣀",
      "  └──────────",
      "   1        2",
    })
  end,

  values_that_are_not_finite_leave_gaps = function()
    local lines = plot.lines({ 1, 1, nan, 1, 1 },
      { width = 10, height = 2, min = 0, max = 1, color = false })
    check.equal(lines[1], "1 ┤⠉⠉⠉    ⠉⠉⠉")
    check.equal(plot.lines { nan, nan }, { "(nothing to plot: no finite values)" })
    check.equal(plot.lines({}, { title = "T" })[1], "T")
  end,

  a_constant_has_an_axis = function()
    local lines = plot.lines({ 5, 5 }, { width = 10, height = 3, color = false })
    assert(lines[1]:find "^5.5 ┤" and lines[3]:find "^4.5 ┤", table.concat(lines, "\n"))
    assert(plot.lines({ 0 }, { color = false })[1]:find "^ 1 ┤")
  end,

  series_have_a_legend = function()
    local lines = plot.lines({ loss = { 1, 2 }, reward = { 2, 1 } },
      { color = false, x_label = "step", width = 20 })
    assert(lines[#lines]:find "── loss   ╌╌ reward", lines[#lines])
    assert(lines[#lines - 1]:find "step")
    local colored =
      table.concat(plot.lines({ { name = "a", values = { 1, 2 } } }, { color = true }))
    assert(colored:find "\27%[34m" and colored:find "\27%[0m")
  end,

  -- 100, 10, 1 are as far from each other on a logarithmic axis.
  logarithmic_axes_are_straight_for_powers = function()
    local log = plot.lines({ 100, 10, 1 }, { width = 10, height = 3, color = false, y_log = true })
    local straight = plot.lines({ 3, 2, 1 }, { width = 10, height = 3, color = false })
    for i = 1, 3 do check.equal(log[i]:match "┤(.*)$", straight[i]:match "┤(.*)$") end
    check.equal({ log[1]:match "^%s*(%S+) ", log[2]:match "^%s*(%S+) ", log[3]:match "^%s*(%S+) " },
      { "100", "10", "1" })
    local points = { { x = 1, y = 3 }, { x = 10, y = 2 }, { x = 100, y = 1 } }
    local both = plot.lines(points, { width = 10, height = 3, color = false, x_log = true })
    for i = 1, 3 do check.equal(both[i], straight[i]) end
    check.equal(both[5], "   1      100")
    check.equal(plot.lines({ -1, 0 }, { y_log = true }), { "(nothing to plot: no finite values)" })
  end,

  histograms_have_bars = function()
    local values = { 0, 0, 0, 0, 1.5, 1.5, 3.9, 4 }
    check.equal(plot.bars(values, { width = 12, height = 2, bins = 4, color = false, x_label = "nats" }), {
      "4 ┤███",
      "0 ┤██████   ███",
      "  └────────────",
      "   0   nats   4",
    })
    check.equal(plot.bars(values, { width = 12, height = 2, bins = 4, color = false, y_log = true })[1], "4 ┤███▃▃▃   ▃▃▃")
    local tiers = plot.bars(values,
      { width = 12, height = 2, bins = 4, color = false, thresholds = { 1, 2 }, tiers = { "a", "b", "c" } })
    check.equal({ tiers[3], tiers[5] }, { "  └───┴──┴─────", "   a: 50.0 %   b: 25.0 %   c: 25.0 %" })
    local colored = plot.bars(values, { width = 12, height = 2, bins = 4, color = true, thresholds = { 1, 2 } })
    check.equal(colored[2], "0 ┤\27[34m███\27[0m\27[31m███\27[0m   \27[32m███\27[0m")
    check.raises(function() plot.bars(values, { width = 10, bins = 11 }) end, "11 bins do not fit")
    check.raises(function() plot.histogram {} end, "there are no values")
  end,

  -- The same call writes a file.
  files_are_written = function()
    local path = scratch.path() .. ".svg"
    check.equal(check.printed(function() plot({ a = { 1, 2 } }, { y_log = true, title = "T", file = path }) end),
      "wrote " .. path)
    local text = scratch.read(path)
    assert(text:find("<title>T</title>", 1, true) and text:find ">a</text>", text)
    check.printed(function() plot.histogram({ 1, 2, 3 }, { bins = 2, thresholds = { 2 }, file = path }) end)
    assert(scratch.read(path):find("1: 33.3 %", 1, true))
    scratch.remove(path)
  end,

  tokens_get_bars = function()
    local lines = plot.tokens({ 2, 1, nan }, { "The", "\n", "\xe4" }, { width = 15, color = false })
    check.equal(lines, {
      "'The'    2.00 ██████████",
      "'\\n'     1.00 █████",
      "'\u{FFFD}'         - ",
    })
  end,

  wrong_data_is_explained = function()
    check.raises(function() plot.lines(3) end, "expected a list")
    check.raises(function() plot.lines({ { "a" } }) end, "a series is {")
    check.raises(function() plot.lines({ 1 }, { hieght = 3 }) end, "did you mean 'height'?")
  end,
}
