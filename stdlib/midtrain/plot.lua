-- Plots in the terminal: lines drawn with braille dots (2 × 4 to a character), histograms, and a list
-- of tokens with a bar for each one's value. Series are told apart by colour, or by solid, dashed and
-- dotted lines where the terminal has none. With the option `file` the same call writes a picture.
--
--   mid.plot { reward = { 0.1, 0.3, 0.5 }, loss = { 2, 1, 0.5 } }
--   mid.plot.histogram(H, { thresholds = { 0.5, 1, 1.5 }, file = "entropy.png" })

local options = require "midtrain.options"
local series = require "midtrain.series"
local svg = require "midtrain.svg"
local terminal = require "midtrain.terminal"

local plot = {}

local common = {
  width = {
    "integer", min = 10, doc = "characters, without the axis labels; 72, or what fits, if absent",
  },
  height = { "integer", default = 11, min = 2, doc = "lines" },
  title = { "string" },
  x_label = { "string" },
  y_log = { "boolean", default = false, doc = "logarithmic y axis" },
  color = { "boolean", doc = "if absent: on a terminal, unless NO_COLOR is set" },
  file = { "string", doc = "an .svg or .png to write instead; its size in pixels is mid.svg's" },
}

local specification = options.merged(common, series.line_specification, {
  min = { "number", doc = "bottom of the y axis" },
  max = { "number", doc = "top of the y axis" },
  tokens = { "table", doc = "one text per value: bars instead of a line" },
})

local histogram_options = options.merged(common, series.histogram_specification)

-- Checked options; a plot with its labels fits into the terminal.
local function checked(where, given, known)
  local o = options.check(where, given, known)
  o.width = o.width or math.max(10, terminal.columns(81) - 9)
  return o
end

-- Without colours: of every `period` dots, the first `on` are drawn.
local dashes = {
  { on = 1, period = 1, legend = "──" }, { on = 6, period = 10, legend = "╌╌" },
  { on = 1, period = 4, legend = "┈┈" },
}

local function dash(number) return dashes[(number - 1) % #dashes + 1] end

-- Dots of a braille character by column (0, 1) and row (0 … 3, from the top).
local dots = { [0] = { [0] = 0x01, 0x02, 0x04, 0x40 }, { [0] = 0x08, 0x10, 0x20, 0x80 } }

-- Numbers at most seven characters wide, as short as they can be told apart.
local function label(v)
  if v == 0 then return "0" end
  local size = math.abs(v)
  if size >= 1e5 or size < 1e-3 then return ("%.1e"):format(v) end
  return (("%.3f"):format(v):gsub("0+$", ""):gsub("%.$", ""))
end

-- Axes --------------------------------------------------------------------------------------------

-- A straight or logarithmic axis; one that is a point gets something around it.
local function axis(low, high, log)
  if low == high then
    local margin = low == 0 and 1 or math.abs(low) * 0.1
    low, high = log and low / 2 or low - margin, log and high * 2 or high + margin
  end
  local a = { low = low, high = high }
  -- Where a value lies, 0 at the low end and 1 at the high one.
  function a.share(v)
    if log then return math.log(v / low) / math.log(high / low) end
    return (v - low) / (high - low)
  end
  function a.value(share)
    return log and low * (high / low) ^ share or low + (high - low) * share
  end
  return a
end

-- Rows of a plot with labels of their values in front, as many as `labels` has, and what is below.
local function framed(rows, labels, o, x, marks)
  local result, wide = { o.title }, 0
  for row = 1, #rows do wide = math.max(wide, #(labels[row] or "")) end
  for row, text in ipairs(rows) do
    local name = labels[row] or ""
    result[#result + 1] = ("%s%s %s%s"):format((" "):rep(wide - #name), name, name ~= "" and "┤" or "│",
      text)
  end
  local line = {}
  for column = 1, o.width do line[column] = marks and marks[column] or "─" end
  local left, right, middle = label(x.low), label(x.high), o.x_label or ""
  local space = math.max(2, o.width - #left - #right - (utf8.len(middle) or #middle))
  result[#result + 1] = (" "):rep(wide + 1) .. "└" .. table.concat(line)
  result[#result + 1] = (" "):rep(wide + 2) .. left .. (" "):rep(space // 2) .. middle
    .. (" "):rep(space - space // 2) .. right
  return result, wide
end

local function add_legend(result, wide, legend)
  if #legend > 0 then result[#result + 1] = (" "):rep(wide + 2) .. table.concat(legend, "   ") end
end

-- Lines -------------------------------------------------------------------------------------------

-- Sets the dots from one point to the next; cells[row][column] = { bits, series }.
local function line(cells, x1, y1, x2, y2, number, pattern)
  local steps = math.max(math.abs(x2 - x1), math.abs(y2 - y1), 1)
  for i = 0, steps do
    local x = math.floor(x1 + (x2 - x1) * i / steps + 0.5)
    local y = math.floor(y1 + (y2 - y1) * i / steps + 0.5)
    local row = cells[y // 4]
    if row and x % pattern.period < pattern.on then
      local cell = row[x // 2] or { bits = 0 }
      cell.bits, cell.series, row[x // 2] = cell.bits | dots[x % 2][y % 4], number, cell
    end
  end
end

-- The characters of a row, each stretch of one series in its colour.
local function row_text(row, width, colored)
  local parts, run, owner = {}, {}, nil
  local function flush()
    local text = table.concat(run)
    parts[#parts + 1], run = owner and terminal.paint(text, owner, colored) or text, {}
  end
  for column = 0, width - 1 do
    local cell = row[column]
    if (cell and cell.series) ~= owner then flush() end
    owner = cell and cell.series
    run[#run + 1] = cell and utf8.char(0x2800 + cell.bits) or " "
  end
  if owner then flush() end
  return table.concat(parts)
end

--- The lines of a line plot. Values that are not finite leave a gap.
---@param data number[]|table see svg.lines; bands are not drawn
---@param given table? see `specification`
---@return string[]
function plot.lines(data, given)
  local o = checked("plot", given, specification)
  local list, x_range, y_range = series.of("plot", data, o)
  local colored = terminal.is_colored(o.color)
  if y_range.low > y_range.high then
    return { o.title or "(nothing to plot: no finite values)",
      o.title and "(nothing to plot: no finite values)" or nil }
  end
  local x = axis(x_range.low, x_range.high, o.x_log)
  local y = axis(o.min or y_range.low, o.max or y_range.high, o.y_log)
  local cells, columns, rows = {}, o.width * 2, o.height * 4
  for row = 0, o.height - 1 do cells[row] = {} end
  local legend = {}
  for number, one in ipairs(list) do
    local pattern = colored and dashes[1] or dash(number)
    for _, stretch in ipairs(one.stretches) do
      local x0, y0
      for _, p in ipairs(stretch) do
        local px = math.floor(x.share(p.x) * (columns - 1) + 0.5)
        local py = math.floor((1 - y.share(p.y)) * (rows - 1) + 0.5)
        line(cells, x0 or px, y0 or py, px, py, number, pattern)
        x0, y0 = px, py
      end
    end
    if one.name then
      legend[#legend + 1] = terminal.paint(pattern.legend, number, colored) .. " " .. one.name
    end
  end
  local texts, labels, last = {}, {}, o.height - 1
  for row = 0, last do
    texts[row + 1] = row_text(cells[row], o.width, colored)
    if row == 0 or row == last or row * 2 == last then
      labels[row + 1] = label(row == last and y.low or y.value(1 - row / last))
    end
  end
  local result, wide = framed(texts, labels, o, x_range)
  add_legend(result, wide, legend)
  return result
end

-- Histograms --------------------------------------------------------------------------------------

local eighths = { [0] = " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" }

--- The lines of a histogram. With `thresholds` the bars have the colours of tiers, the axis has marks
--- where they begin, and the legend gives each one's share of the values.
---@param values number[]
---@param given table?
---@return string[]
function plot.bars(values, given)
  local o = checked("plot.histogram", given, histogram_options)
  local colored = terminal.is_colored(o.color)
  if o.bins and o.bins > o.width then
    error(("plot.histogram: %d bins do not fit into %d characters"):format(o.bins, o.width), 2)
  end
  local h = series.histogram("plot.histogram", values, o)
  local wide = o.width // #h.counts
  o.width, o.x_label = wide * #h.counts, h.x_label
  -- On a logarithmic axis a count of 1 still needs a bar.
  local y = axis(o.y_log and 0.5 or 0, math.max(1, h.most), o.y_log)
  local rows, labels = {}, { label(h.most), [o.height] = o.y_log and "" or "0" }
  for row = 1, o.height do
    local parts = {}
    for bin, count in ipairs(h.counts) do
      local full = count > 0 and math.max(1, math.floor(y.share(count) * o.height * 8 + 0.5)) or 0
      local part = math.max(0, math.min(8, full - (o.height - row) * 8))
      local middle = h.low + (h.high - h.low) * (bin - 0.5) / #h.counts
      local text = eighths[part]:rep(wide)
      parts[bin] = part == 0 and text
        or terminal.paint(text, series.tier(middle, h.thresholds), colored)
    end
    rows[row] = table.concat(parts):gsub(" +$", "")
  end
  local marks, legend = {}, {}
  for _, threshold in ipairs(h.thresholds) do
    if threshold > h.low and threshold < h.high then
      marks[math.floor((threshold - h.low) / (h.high - h.low) * o.width) + 1] = "┴"
    end
  end
  for tier, text in ipairs(h.labels) do
    legend[tier] = (colored and terminal.paint("█ ", tier, true) or "") .. text
  end
  local result, margin = framed(rows, labels, o, h, marks)
  add_legend(result, margin, legend)
  return result
end
options.takes(plot.bars, histogram_options)

-- Tokens ------------------------------------------------------------------------------------------

--- The lines of a token view: each token, its value and a bar.
---@param values number[]
---@param tokens string[]
---@param given table?
---@return string[]
function plot.tokens(values, tokens, given)
  local o = checked("plot", given, specification)
  local colored, top, wide = terminal.is_colored(o.color), o.max or 0, 0
  local function is_number(v) return type(v) == "number" and v == v and math.abs(v) ~= math.huge end
  for i, token in ipairs(tokens) do
    if is_number(values[i]) and not o.max then top = math.max(top, values[i]) end
    wide = math.min(24, math.max(wide, utf8.len(terminal.visible(token)) + 2))
  end
  local parts = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }
  local result = { o.title }
  for i, token in ipairs(tokens) do
    local text = ("'%s'"):format(terminal.visible(token))
    if utf8.len(text) > wide then text = text:sub(1, utf8.offset(text, wide) - 1) .. "…" end
    local bar = ""
    if is_number(values[i]) and top > 0 then
      local length = math.max(0, math.min(1, values[i] / top)) * (o.width - wide)
      bar = ("█"):rep(math.floor(length)) .. (parts[math.floor(length % 1 * 8)] or "")
    end
    result[#result + 1] = ("%s%s %7s %s"):format(text, (" "):rep(wide - utf8.len(text)),
      is_number(values[i]) and ("%.2f"):format(values[i]) or "-", terminal.paint(bar, 1, colored))
  end
  return result
end

-- Printing ----------------------------------------------------------------------------------------

-- Writes a file with what the options of mid.svg have in common with those here.
local function write(draw, data, o, known)
  local given = {}
  for name in pairs(known) do
    if name ~= "width" and name ~= "height" then given[name] = o[name] end
  end
  draw(o.file, data, given)
  print(("wrote %s"):format(o.file))
end

--- Prints a plot: of a list of numbers, of several series { { name = "a", values = {…} }, … } or
--- { a = {…}, b = {…} }, of points { { x =, y = }, … }, or of values with their tokens (option
--- `tokens`, or a field of that name in the list, which model:entropy gives for a text).
---@param data table
---@param given table?
function plot.print(data, given)
  local o = checked("plot", given, specification)
  if o.file then return write(svg.lines, data, o, options.of(svg.lines)) end
  local tokens = o.tokens or type(data) == "table" and rawget(data, "tokens")
  local result = tokens and plot.tokens(data, tokens, given) or plot.lines(data, given)
  print(table.concat(result, "\n"))
end

--- Prints a histogram of numbers.
---@param values number[]
---@param given table?
function plot.histogram(values, given)
  local o = checked("plot.histogram", given, histogram_options)
  if o.file then return write(svg.histogram, values, o, options.of(svg.histogram)) end
  print(table.concat(plot.bars(values, given), "\n"))
end
options.takes(plot.histogram, histogram_options)

for _, f in ipairs { plot.lines, plot.tokens, plot.print } do options.takes(f, specification) end
plot.specification = specification

return setmetatable(plot, { __call = function(_, data, given) return plot.print(data, given) end })
