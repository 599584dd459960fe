local axes = require "midtrain.axes"
local check = require "support.check"
local markup = require "support.markup"
local scratch = require "support.scratch"
local svg = require "midtrain.svg"

local nan, inf = 0 / 0, 1 / 0

local well_formed = markup.well_formed

local function labels(ticks)
  local result = {}
  for i, tick in ipairs(ticks) do result[i] = tick.label end
  return result
end

local function axis(o)
  o.from, o.to, o.count, o.name = o.from or 0, o.to or 100, o.count or 5, "x"
  return axes.new(o)
end

return {
  linear_ticks_are_round = function()
    local a = axis { low = 0.13, high = 0.87, round = true }
    check.equal(labels(a.ticks), { "0.0", "0.2", "0.4", "0.6", "0.8", "1.0" })
    check.near({ a.low, a.high, a:place(0.5) }, { 0, 1, 50 })
    a = axis { low = 0, high = 0, round = true, fixed_low = true }
    check.near({ a.low, a.high }, { 0, 1 })
    check.equal(labels(axis { low = 1, high = 3, integral = true }.ticks), { "1", "2", "3" })
    check.equal(labels(axis { low = -2e-5, high = 2e-5 }.ticks),
      { "−2e−5", "−1e−5", "0", "1e−5", "2e−5" })
    check.equal(labels(axis { low = 0, high = 2e6, count = 4 }.ticks),
      { "0", "5e5", "1e6", "1.5e6", "2e6" })
  end,

  logarithmic_ticks_are_powers = function()
    local a = axis { low = 3, high = 4000, log = true }
    check.equal(labels(a.ticks), { "1", "10", "100", "1000", "10000" })
    check.near(a:place(100), 50)
    check.equal(labels(axis { low = 3, high = 30, log = true }.ticks),
      { "2", "5", "10", "20", "50" })
    check.equal(labels(axis { low = 2, high = 2, log = true }.ticks), { "1", "2", "5" })
    check.equal(labels(axis { low = 1e-9, high = 1, log = true }.ticks),
      { "1e−10", "1e−8", "1e−6", "1e−4", "0.01", "1" })
  end,

  a_line_goes_where_it_should = function()
    local text = svg.lines(nil, { { x = 0, y = 0 }, { x = 10, y = 1 } }, { dots = false })
    local x1, y1, x2, y2 = text:match 'd="M([%d.]+) ([%d.]+)L([%d.]+) ([%d.]+)"'
    check.equal({ x2, y2 }, { "700", "12" })
    assert(tonumber(x1) < 50 and tonumber(y1) == 374, x1 .. " " .. y1)
    check.equal(well_formed(text).circle, nil)
  end,

  series_come_in_several_forms = function()
    local forms = {
      { 1, 2, 3 },
      { { x = 1, y = 1 }, { x = 2, y = 2 }, { 3, 3 } },
      { { values = { 1, 2, 3 } } },
      { { values = { 1, 2, 3 }, x = { 1, 2, 3 } } },
      { { points = { { 1, 1 }, { 2, 2 }, { 3, 3 } } } },
    }
    for i, form in ipairs(forms) do
      check.equal(svg.lines(nil, form), svg.lines(nil, forms[1]), "form " .. i)
    end
    local text = svg.lines(nil, { loss = { 3, 2 }, reward = { { 1, 1 }, { 2, 2 } } })
    assert(text:find ">loss<" and text:find ">reward<")
  end,

  values_that_are_not_finite_leave_gaps = function()
    local counts = well_formed(svg.lines(nil, { 1, 2, nan, 3, inf, 4, 5 }, { dots = false }))
    -- Two stretches, and one point between gaps, which is shown as a dot.
    check.equal({ counts.path, counts.circle }, { 2, 1 })
    check.equal(well_formed(svg.lines(nil, { -1, 1, 2 }, { y_log = true, dots = false })).path, 1)
  end,

  single_points_and_constants_have_axes = function()
    check.equal(well_formed(svg.lines(nil, { 7 })).circle, 1)
    for _, value in ipairs { 0, 3, -1e-9, 1e9 } do
      well_formed(svg.lines(nil, { value, value }, { y_log = value > 0 }))
    end
    well_formed(svg.histogram(nil, { 2, 2, 2 }))
  end,

  bands_and_markers_are_drawn = function()
    local o = {
      title = "<a> & \"b\" \1\xff", x_label = "step", y_label = "reward",
      horizontal = { 1.5, { value = 1.6, label = "chance" } },
      vertical = { { value = 2, label = "t1" } },
    }
    local points = { { x = 1, y = 1, error = 0.5 }, { x = 3, y = 2, low = 1, high = 4 } }
    local text = svg.lines(nil, { { name = "r", points = points } }, o)
    check.equal(well_formed(text).path, 2)
    assert(text:find("&lt;a&gt; &amp; &quot;b&quot;  \u{FFFD}", 1, true))
    assert(text:find ">chance<" and text:find ">t1<" and text:find "fill%-opacity")
    local same = svg.lines(nil, { { name = "r", values = { 1, 2 }, x = { 1, 3 }, low = { 0.5, 1 },
      high = { 1.5, 4 } } }, o)
    check.equal(same, text)
  end,

  histograms_count_and_know_tiers = function()
    local values = { 0.1, 0.2, 0.6, 0.7, 1.2, 1.9, 2.0, 0.3, nan, inf }
    local text =
      svg.histogram(nil, values, { thresholds = { 0.5, 1, 1.5 }, bins = 4, x_label = "nats" })
    local counts = well_formed(text)
    for _, entry in ipairs { "below: 37.5 %", "easy: 25.0 %", "medium: 12.5 %", "hard: 25.0 %" } do
      assert(text:find(entry, 1, true), entry)
    end
    assert(text:find("nats · 2 not finite, left out", 1, true))
    -- Background, four of the legend, four bars of which one each is cut by 1.0 and 1.5, and one
    -- by 0.5: the bins end at 0.575, 1.05, 1.525.
    check.equal(counts.rect, 1 + 4 + 4 + 3)
    well_formed(svg.histogram(nil, values,
      { y_log = true, thresholds = { 1 }, tiers = { "a", "b" } }))
  end,

  a_file_is_written = function()
    local path = scratch.path() .. ".svg"
    check.equal(svg.lines(path, { 1, 2 }), scratch.read(path))
    scratch.remove(path)
  end,

  wrong_data_is_explained = function()
    check.raises(function() svg.lines(nil, {}) end, "no point that can be drawn: it is empty")
    check.raises(function() svg.lines(nil, { a = {} }) end, "series 'a'", "it is empty")
    check.raises(function() svg.lines(nil, { a = { nan } }) end, "no value is finite")
    check.raises(function() svg.lines(nil, { -1 }, { y_log = true }) end, "finite numbers above 0")
    check.raises(function() svg.lines(nil, { a = 3 }) end, "series 'a' is a number")
    check.raises(function() svg.lines(nil, { 1, 2 }, { min = 5 }) end, "y axis would end at 2")
    check.raises(function() svg.lines(nil, { 1, 2 }, { horizontal = { "a" } }) end, "a marker line")
    check.raises(function() svg.lines(nil, { 1 }, { tilte = "x" }) end, "did you mean 'title'?")
    check.raises(function() svg.lines("/no/such/folder/a.svg", { 1 }) end, "/no/such/folder/a.svg")
    check.raises(function() svg.histogram(nil, {}) end, "there are no values")
    check.raises(function() svg.histogram(nil, { nan }) end, "no value is finite")
  end,

  -- The picture has twice the size, and the colours of the SVG file.
  a_path_to_a_png_gets_a_picture = function()
    local path = scratch.path() .. ".png"
    if not os.execute "command -v rsvg-convert >/dev/null 2>&1" then
      print "rsvg-convert (package librsvg2-bin) is not there: only the error of PNG files is tested"
      check.raises(function() svg.lines(path, { 1, 2 }) end, "install the package librsvg2-bin")
      return
    end
    svg.lines(path, { 1, 2 }, { width = 300, height = 200 })
    check.equal(scratch.read(path):sub(1, 8), "\137PNG\r\n\26\n")
    check.equal({ string.unpack(">I4I4", scratch.read(path), 17) }, { 600, 400, 25 })
    scratch.remove(path)
    check.raises(function() svg.lines("/no/such/folder/it's.png", { 1, 2 }) end, "/no/such/folder/it's.png")
  end,

  without_the_program_the_error_names_the_package = function()
    local execute = os.execute
    os.execute = function() return nil, "exit", 127 end
    local ok, message = pcall(svg.lines, "a.png", { 1, 2 })
    os.execute = execute
    assert(not ok and message:find("install the package librsvg2-bin", 1, true), message)
  end,
}
