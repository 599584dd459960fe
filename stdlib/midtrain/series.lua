-- What plots draw, in the terminal (plot.lua) and as files (svg.lua): series of points from several
-- forms of data, and the bars of histograms.

local axes = require "midtrain.axes"
local blame = require "midtrain.blame"

local series = {}

--- Options of line plots.
---@type table<string, midtrain.Option>
series.line_specification = {
  x_log = { "boolean", default = false, doc = "logarithmic x axis" },
  first = { "number", default = 1, doc = "x of the first value of a series without x" },
}

--- Options of histograms.
---@type table<string, midtrain.Option>
series.histogram_specification = {
  bins = { "integer", min = 1, doc = "if absent, the square root of the count, at most 60" },
  thresholds = { "table", doc = "tiers, ascending: marked, coloured, and their shares written" },
  tiers = { "table", doc = "names of the tiers, one more than thresholds" },
}

-- One series as points { x, y, low, high }.
local function points_of(one, first)
  local list = one.values or one.points or one
  local points = {}
  for i = 1, #list do
    local item, x, y, low, high = list[i], nil, nil, nil, nil
    if type(item) == "table" then
      x, y, low, high = item.x or item[1], item.y or item[2], item.low, item.high
      if item.error and y then low, high = y - item.error, y + item.error end
    else
      x, y = one.x and one.x[i] or first + i - 1, item
      low, high = one.low and one.low[i], one.high and one.high[i]
      local margin = one.error and one.error[i]
      if margin then low, high = y - margin, y + margin end
    end
    points[i] = { x = x, y = y, low = low, high = high }
  end
  return points
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

-- All of them: { name, points }. Data are a list of numbers or points, a list of series
-- { name =, values = } or { name =, points = }, or a table of lists by name.
local function named(where, data, first)
  local level = blame.level()
  if type(data) ~= "table" then
    error(where .. ": expected a list of numbers, of points, or of series", level)
  end
  local item, list = data[1], {}
  local is_point = type(item) == "table" and not (item.values or item.points)
    and (item.x ~= nil or type(item[1]) == "number")
  if type(item) == "table" and not is_point then
    for i, one in ipairs(data) do
      if type(one) ~= "table" or not (one.values or one.points) then
        error(where .. ": a series is { name = …, values = {…} } or { name = …, points = {…} }", level)
      end
      list[i] = { name = one.name, points = points_of(one, first) }
    end
  elseif item ~= nil or next(data) == nil then
    list[1] = { points = points_of(data, first) }
  else
    local names = {}
    for name in pairs(data) do names[#names + 1] = tostring(name) end
    table.sort(names)
    for i, name in ipairs(names) do
      if type(data[name]) ~= "table" then
        error(("%s: series '%s' is a %s, not a list"):format(where, name, type(data[name])), level)
      end
      list[i] = { name = name, points = points_of(data[name], first) }
    end
  end
  return list
end

--- The series in data: { name =, points =, stretches = }, stretches being lists of points { x, y, low,
--- high } that can be joined; and the ranges of those.
---@param where string named in errors
---@param data table
---@param o { first: number, x_log: boolean, y_log: boolean }
---@return table[] list, midtrain.Range x, midtrain.Range y
function series.of(where, data, o)
  local list, x, y = named(where, data, o.first), axes.range(), axes.range()
  for _, one in ipairs(list) do
    one.stretches = stretches(one.points, o)
    for _, p in ipairs(one.points) do
      if is_shown(p.x, o.x_log) then x:add(p.x) end
    end
    for _, stretch in ipairs(one.stretches) do
      for _, p in ipairs(stretch) do
        for _, v in ipairs { p.y, p.low or p.y, p.high or p.y } do
          if is_shown(v, o.y_log) then y:add(v) end
        end
      end
    end
  end
  return list, x, y
end

-- Histograms --------------------------------------------------------------------------------------

--- The tier of a value: how many thresholds it is not below, plus one.
---@param v number
---@param thresholds number[] ascending
---@return integer
function series.tier(v, thresholds)
  local tier = 1
  for _, threshold in ipairs(thresholds) do
    if v >= threshold then tier = tier + 1 end
  end
  return tier
end

local default_tiers = { "below", "easy", "medium", "hard" }

--- Names of the tiers: those given, those of difficulty if there are three thresholds, else numbers.
---@param tiers string[]?
---@param thresholds number[]
---@return string[]
function series.tier_names(tiers, thresholds)
  local names = tiers or #thresholds == 3 and default_tiers or {}
  local result = {}
  for i = 1, #thresholds + 1 do result[i] = tostring(names[i] or i) end
  return result
end

--- The bars of a histogram: from `low` to `high`, `counts` of equally wide bins, `most` of them;
--- `labels` of the tiers with their shares, and `x_label` with how many values were left out.
---@param where string named in errors
---@param values number[]
---@param o table see series.histogram_specification; x_min, x_max, x_label
---@return { low: number, high: number, counts: integer[], most: integer, thresholds: number[],
---  labels: string[], x_label: string? }
function series.histogram(where, values, o)
  if type(values) ~= "table" then
    error(("%s: expected a list of numbers, got %s"):format(where, type(values)), 3)
  end
  local thresholds, shown, range = o.thresholds or {}, {}, axes.range()
  for i = 1, #values do
    if axes.is_number(values[i]) then
      shown[#shown + 1] = values[i]
      range:add(values[i])
    end
  end
  if #shown == 0 then
    error(("%s: %s"):format(where,
      #values == 0 and "there are no values" or "no value is finite"), 3)
  end
  local low, high = axes.widened(o.x_min or range.low, o.x_max or range.high)
  local bins = o.bins or math.max(8, math.min(60, math.ceil(math.sqrt(#shown))))
  local counts, in_tier, most = {}, {}, 0
  for i = 1, bins do counts[i] = 0 end
  for tier = 1, #thresholds + 1 do in_tier[tier] = 0 end
  for _, v in ipairs(shown) do
    local tier = series.tier(v, thresholds)
    in_tier[tier] = in_tier[tier] + 1
    if v >= low and v <= high then
      local bin = math.min(bins, math.floor((v - low) / (high - low) * bins) + 1)
      counts[bin] = counts[bin] + 1
      most = math.max(most, counts[bin])
    end
  end
  local labels, x_label, left_out = {}, o.x_label, #values - #shown
  for tier, name in ipairs(#thresholds > 0 and series.tier_names(o.tiers, thresholds) or {}) do
    labels[tier] = ("%s: %.1f %%"):format(name, 100 * in_tier[tier] / #shown)
  end
  if left_out > 0 then
    x_label = ("%s%d not finite, left out"):format(x_label and x_label .. " · " or "", left_out)
  end
  return {
    low = low, high = high, counts = counts, most = most, thresholds = thresholds, labels = labels,
    x_label = x_label,
  }
end

return series
