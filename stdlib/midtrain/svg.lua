-- Plots as SVG files: line charts over x, and histograms with tiers. Each is one self-contained
-- text, without scripts or outside fonts, that a browser, an editor or a README shows. A path that
-- ends in .png gets a picture of it instead.
--
--   mid.svg.lines("reward.svg", { reward = { 0.1, 0.3, 0.5 } }, { x_label = "step" })
--   mid.svg.histogram("entropy.svg", H, { thresholds = { 0.5, 1, 1.5 } })

local axes = require "midtrain.axes"
local options = require "midtrain.options"
local picture = require "midtrain.picture"
local series = require "midtrain.series"

local svg = {}

local px = picture.px

local line_options = options.merged(picture.specification, series.line_specification, {
  dots = { "boolean", doc = "mark every point; if absent, where a series has 40 or fewer" },
})

local histogram_options = options.merged(picture.specification, series.histogram_specification)

-- Line charts -------------------------------------------------------------------------------------

local function draw_series(canvas, frame, number, one, o)
  local function at(x, y) return px(frame.x:place(x)) .. " " .. px(frame.y:place(y)) end
  for _, stretch in ipairs(one.stretches) do
    local upper, lower, path = {}, {}, {}
    for i, p in ipairs(stretch) do
      path[i] = (i == 1 and "M" or "L") .. at(p.x, p.y)
      if axes.is_number(p.low) and axes.is_number(p.high) then
        -- What a logarithmic axis has no place for reaches down to its end.
        upper[#upper + 1] = at(p.x, math.max(p.high, frame.y.low))
        table.insert(lower, 1, at(p.x, math.max(p.low, frame.y.low)))
      end
    end
    if #upper > 1 then
      canvas:add('<path d="M%sL%sZ" fill="%s" fill-opacity="0.18"/>', table.concat(upper, "L"),
        table.concat(lower, "L"), picture.color(number))
    end
    if #stretch > 1 then
      canvas:add('<path d="%s" fill="none" stroke="%s" stroke-width="2" stroke-linejoin="round"'
        .. ' stroke-dasharray="%s"/>', table.concat(path), picture.color(number),
        picture.dash(number))
    end
    local dotted = o.dots
    if dotted == nil then dotted = #one.points <= 40 end
    if dotted or #stretch == 1 then
      for _, p in ipairs(stretch) do
        canvas:add('<circle cx="%s" cy="%s" r="3" fill="%s"/>', px(frame.x:place(p.x)),
          px(frame.y:place(p.y)), picture.color(number))
      end
    end
  end
end

--- A line chart. `data` is a list of numbers, of points { x =, y = } or { x, y }, of series
--- { name =, values =, x? =, error? =, low? =, high? = } or { name =, points = }, or a table of
--- lists by name; a point may have `error`, or `low` and `high`, and then gets a band.
---@param path string? the file to write; nil: only the text is given
---@param data table
---@param given table? see line_options in svg.lua
---@return string text of the file
function svg.lines(path, data, given)
  local o = options.check("svg.lines", given, line_options)
  local list, x, y = series.of("svg.lines", data, o)
  local entries = {}
  for i, one in ipairs(list) do
    if #one.stretches == 0 then
      error(("svg.lines: %s has no point that can be drawn: %s"):format(
        one.name and ("series '%s'"):format(one.name) or "the series",
        #one.points == 0 and "it is empty"
          or (o.x_log or o.y_log) and "a logarithmic axis needs finite numbers above 0"
          or "no value is finite"), 2)
    end
    if one.name then
      entries[#entries + 1] = { label = one.name, color = picture.color(i), dash = picture.dash(i) }
    end
  end
  if #list == 0 then error("svg.lines: no series", 2) end
  -- Only over x do whole numbers mean that there is nothing between them: steps, not accuracies.
  y.integral = false
  return picture.write(path, picture.draw(o, { x = x, y = y }, entries, function(canvas, frame)
    for i, one in ipairs(list) do draw_series(canvas, frame, i, one, o) end
  end))
end
options.takes(svg.lines, line_options)

-- Histograms --------------------------------------------------------------------------------------

--- A histogram. With `thresholds` the bars change colour at them, and the legend gives each tier's
--- share of the values. Values that are not finite are left out, and counted below the axis.
---@param path string? the file to write; nil: only the text is given
---@param values number[]
---@param given table? see histogram_options in svg.lua
---@return string text of the file
function svg.histogram(path, values, given)
  local o = options.check("svg.histogram", given, histogram_options)
  local h = series.histogram("svg.histogram", values, o)
  local low, high, entries, vertical = h.low, h.high, {}, {}
  for _, marker in ipairs(o.vertical or {}) do vertical[#vertical + 1] = marker end
  for _, v in ipairs(h.thresholds) do
    vertical[#vertical + 1] = { value = v, label = ("%g"):format(v) }
  end
  for tier, label in ipairs(h.labels) do
    entries[tier] = { label = label, color = picture.color(tier), is_area = true }
  end
  o.vertical, o.y_label = vertical, o.y_label or "count"
  o.x_label = h.x_label
  -- On a logarithmic axis a count of 1 still needs a bar.
  local ranges = {
    x = { low = low, high = high },
    y = { low = o.y_log and 0.5 or 0, high = math.max(1, h.most), fixed_low = true, integral = true },
  }
  return picture.write(path, picture.draw(o, ranges, entries, function(canvas, frame)
    for bin, count in ipairs(h.counts) do
      local from, to = low + (high - low) * (bin - 1) / #h.counts, low + (high - low) * bin / #h.counts
      local top = frame.y:place(math.max(count, frame.y.low))
      -- Cut where a tier begins inside of it.
      local edges = { from }
      for _, threshold in ipairs(h.thresholds) do
        if threshold > from and threshold < to then edges[#edges + 1] = threshold end
      end
      edges[#edges + 1] = to
      for i = 1, count > 0 and #edges - 1 or 0 do
        local x, gap = frame.x:place(edges[i]), i == #edges - 1 and 1 or 0
        canvas:add('<rect x="%s" y="%s" width="%s" height="%s" fill="%s" fill-opacity="0.85"/>',
          px(x), px(top), px(math.max(0.5, frame.x:place(edges[i + 1]) - x - gap)),
          px(math.max(0, frame.bottom - top)), picture.color(series.tier(edges[i], h.thresholds)))
      end
    end
  end))
end
options.takes(svg.histogram, histogram_options)

return svg
