local check = require "support.check"
local plot = require "midtrain.plot"

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
    check.raises(function() plot.lines({ { 1, 2 } }) end, "a series is {")
    check.raises(function() plot.lines({ 1 }, { hieght = 3 }) end, "did you mean 'height'?")
  end,
}
