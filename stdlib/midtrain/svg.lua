-- Plots as SVG files: line charts over x, and histograms with tiers. Each is one self-contained
-- text, without scripts or outside fonts, that a browser, an editor or a README shows.
--
--   mid.svg.lines("reward.svg", { reward = { 0.1, 0.3, 0.5 } }, { x_label = "step" })
--   mid.svg.histogram("entropy.svg", H, { thresholds = { 0.5, 1, 1.5 } })

local axes = require "midtrain.axes"
local options = require "midtrain.options"
local picture = require "midtrain.picture"

local svg = {}

local px = picture.px

local function extended(extra)
  for name, option in pairs(picture.specification) do extra[name] = option end
  return extra
end

local line_options = extended {
  x_log = { "boolean", default = false, doc = "logarithmic x axis" },
  first = { "number", default = 1, doc = "x of the first value of a series without x" },
  dots = { "boolean", doc = "mark every point; if absent, where a series has 40 or fewer" },
}

local histogram_options = extended {
  bins = { "integer", min = 1, doc = "if absent, the square root of the count, at most 60" },
  thresholds = { "table", doc = "tiers, ascending: marked, coloured, and their shares written" },
  tiers = { "table", doc = "names of the tiers, one more than thresholds" },
}

local function finish(path, text)
  if path then
    local file, message = io.open(path, "w")
    if not file then error(("svg: %s"):format(message), 3) end
    file:write(text)
    file:close()
  end
  return text
end

-- Line charts -------------------------------------------------------------------------------------

-- One series as points { x, y, low, high }.
local function points_of(series, first)
  local list = series.values or series.points or series
  local points = {}
  for i = 1, #list do
    local item, x, y, low, high = list[i], nil, nil, nil, nil
    if type(item) == "table" then
      x, y, low, high = item.x or item[1], item.y or item[2], item.low, item.high
      if item.error and y then low, high = y - item.error, y + item.error end
    else
      x, y = series.x and series.x[i] or first + i - 1, item
      low, high = series.low and series.low[i], series.high and series.high[i]
      local margin = series.error and series.error[i]
      if margin then low, high = y - margin, y + margin end
    end
    points[i] = { x = x, y = y, low = low, high = high }
  end
  return points
end

-- All of them: { name, points }. Data are a list of numbers or points, a list of series
-- { name =, values = } or { name =, points = }, or a table of lists by name.
local function series_of(data, first)
  if type(data) ~= "table" then error("svg.lines: expected a table of values or series", 3) end
  local item, list = data[1], {}
  local is_series = type(item) == "table" and (item.values or item.points)
  if is_series then
    for i, series in ipairs(data) do
      if type(series) ~= "table" or not (series.values or series.points) then
        error("svg.lines: a series is { name = …, values = {…} } or { name = …, points = {…} }", 3)
      end
      list[i] = { name = series.name, points = points_of(series, first) }
    end
  elseif item ~= nil or next(data) == nil then
    list[1] = { points = points_of(data, first) }
  else
    local names = {}
    for name in pairs(data) do names[#names + 1] = tostring(name) end
    table.sort(names)
    for i, name in ipairs(names) do
      if type(data[name]) ~= "table" then
        error(("svg.lines: series '%s' is a %s, not a list"):format(name, type(data[name])), 3)
      end
      list[i] = { name = name, points = points_of(data[name], first) }
    end
  end
  return list
end

-- Whether a number can be drawn on an axis.
local function is_shown(v, log) return axes.is_number(v) and (not log or v > 0) end

-- Stretches of points that can be joined; what is not finite leaves a gap.
local function stretches(points, o)
  local result, current = {}, nil
  for _, p in ipairs(points) do
    if is_shown(p.x, o.x_log) and is_shown(p.y, o.y_log) then
      if not current then
        current = {}
        result[#result + 1] = current
      end
      current[#current + 1] = p
    else
      current = nil
    end
  end
  return result
end

local function draw_series(canvas, frame, number, series, o)
  local function at(x, y) return px(frame.x:place(x)) .. " " .. px(frame.y:place(y)) end
  for _, stretch in ipairs(series.stretches) do
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
    if dotted == nil then dotted = #series.points <= 40 end
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
  local list = series_of(data, o.first)
  local x, y = axes.range(), axes.range()
  local entries = {}
  for i, series in ipairs(list) do
    series.stretches = stretches(series.points, o)
    if #series.stretches == 0 then
      error(("svg.lines: %s has no point that can be drawn: %s"):format(
        series.name and ("series '%s'"):format(series.name) or "the series",
        #series.points == 0 and "it is empty"
          or (o.x_log or o.y_log) and "a logarithmic axis needs finite numbers above 0"
          or "no value is finite"), 2)
    end
    for _, stretch in ipairs(series.stretches) do
      for _, p in ipairs(stretch) do
        x:add(p.x)
        for _, v in ipairs { p.y, p.low or p.y, p.high or p.y } do
          if is_shown(v, o.y_log) then y:add(v) end
        end
      end
    end
    if series.name then
      entries[#entries + 1] =
        { label = series.name, color = picture.color(i), dash = picture.dash(i) }
    end
  end
  if #list == 0 then error("svg.lines: no series", 2) end
  -- Only over x do whole numbers mean that there is nothing between them: steps, not accuracies.
  y.integral = false
  return finish(path, picture.draw(o, { x = x, y = y }, entries, function(canvas, frame)
    for i, series in ipairs(list) do draw_series(canvas, frame, i, series, o) end
  end))
end

-- Histograms --------------------------------------------------------------------------------------

-- The tier of a value: how many thresholds it is not below, plus one.
local function tier_of(v, thresholds)
  local tier = 1
  for _, threshold in ipairs(thresholds) do
    if v >= threshold then tier = tier + 1 end
  end
  return tier
end

local default_tiers = { "below", "easy", "medium", "hard" }

-- Names of the tiers: those given, those of difficulty if there are three thresholds, else numbers.
local function tier_names(o, thresholds)
  local names = o.tiers or #thresholds == 3 and default_tiers or {}
  local result = {}
  for i = 1, #thresholds + 1 do result[i] = tostring(names[i] or i) end
  return result
end

--- A histogram. With `thresholds` the bars change colour at them, and the legend gives each tier's
--- share of the values. Values that are not finite are left out, and counted below the axis.
---@param path string? the file to write; nil: only the text is given
---@param values number[]
---@param given table? see histogram_options in svg.lua
---@return string text of the file
function svg.histogram(path, values, given)
  local o = options.check("svg.histogram", given, histogram_options)
  local thresholds = o.thresholds or {}
  local shown, range = {}, axes.range()
  for i = 1, #values do
    if axes.is_number(values[i]) then
      shown[#shown + 1] = values[i]
      range:add(values[i])
    end
  end
  if #shown == 0 then
    error(("svg.histogram: %s"):format(
      #values == 0 and "there are no values" or "no value is finite"), 2)
  end
  local low, high = axes.widened(o.x_min or range.low, o.x_max or range.high)
  local bins = o.bins or math.max(8, math.min(60, math.ceil(math.sqrt(#shown))))
  local counts, in_tier, most = {}, {}, 0
  for i = 1, bins do counts[i] = 0 end
  for tier = 1, #thresholds + 1 do in_tier[tier] = 0 end
  for _, v in ipairs(shown) do
    local tier = tier_of(v, thresholds)
    in_tier[tier] = in_tier[tier] + 1
    if v >= low and v <= high then
      local bin = math.min(bins, math.floor((v - low) / (high - low) * bins) + 1)
      counts[bin] = counts[bin] + 1
      most = math.max(most, counts[bin])
    end
  end
  local entries, vertical = {}, {}
  for _, marker in ipairs(o.vertical or {}) do vertical[#vertical + 1] = marker end
  for _, v in ipairs(thresholds) do
    vertical[#vertical + 1] = { value = v, label = ("%g"):format(v) }
  end
  if #thresholds > 0 then
    for tier, name in ipairs(tier_names(o, thresholds)) do
      entries[tier] = {
        label = ("%s: %.1f %%"):format(name, 100 * in_tier[tier] / #shown),
        color = picture.color(tier), is_area = true,
      }
    end
  end
  o.vertical, o.y_label = vertical, o.y_label or "count"
  local left_out = #values - #shown
  if left_out > 0 then
    local before = o.x_label and o.x_label .. " · " or ""
    o.x_label = ("%s%d not finite, left out"):format(before, left_out)
  end
  -- On a logarithmic axis a count of 1 still needs a bar.
  local ranges = {
    x = { low = low, high = high },
    y = { low = o.y_log and 0.5 or 0, high = math.max(1, most), fixed_low = true, integral = true },
  }
  return finish(path, picture.draw(o, ranges, entries, function(canvas, frame)
    for bin, count in ipairs(counts) do
      local from, to = low + (high - low) * (bin - 1) / bins, low + (high - low) * bin / bins
      local top = frame.y:place(math.max(count, frame.y.low))
      -- Cut where a tier begins inside of it.
      local edges = { from }
      for _, threshold in ipairs(thresholds) do
        if threshold > from and threshold < to then edges[#edges + 1] = threshold end
      end
      edges[#edges + 1] = to
      for i = 1, count > 0 and #edges - 1 or 0 do
        local x, gap = frame.x:place(edges[i]), i == #edges - 1 and 1 or 0
        canvas:add('<rect x="%s" y="%s" width="%s" height="%s" fill="%s" fill-opacity="0.85"/>',
          px(x), px(top), px(math.max(0.5, frame.x:place(edges[i + 1]) - x - gap)),
          px(math.max(0, frame.bottom - top)), picture.color(tier_of(edges[i], thresholds)))
      end
    end
  end))
end

return svg
