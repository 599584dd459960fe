-- Plots in the terminal: lines drawn with braille dots (2 × 4 to a character), and a list of
-- tokens with a bar for each one's value. Series are told apart by colour, or by solid, dashed and
-- dotted lines where the terminal has none.

local options = require "midtrain.options"

local plot = {}

local specification = {
  width = { "integer", default = 72, min = 10, doc = "characters, without the axis labels" },
  height = { "integer", default = 11, min = 2, doc = "lines" },
  title = { "string" },
  x_label = { "string" },
  first = { "number", default = 1, doc = "x of the first value" },
  min = { "number", doc = "bottom of the y axis" },
  max = { "number", doc = "top of the y axis" },
  color = { "boolean", doc = "if absent: on a terminal, unless NO_COLOR is set" },
  tokens = { "table", doc = "one text per value: bars instead of a line" },
}

local colors = { 34, 31, 32, 35, 36, 33 }

-- Without colours: of every `period` dots, the first `on` are drawn.
local dashes = {
  { on = 1, period = 1, legend = "──" }, { on = 6, period = 10, legend = "╌╌" },
  { on = 1, period = 4, legend = "┈┈" },
}

local function dash(series) return dashes[(series - 1) % #dashes + 1] end

-- Dots of a braille character by column (0, 1) and row (0 … 3, from the top).
local dots = { [0] = { [0] = 0x01, 0x02, 0x04, 0x40 }, { [0] = 0x08, 0x10, 0x20, 0x80 } }

local function is_number(v) return type(v) == "number" and v == v and math.abs(v) ~= math.huge end

local is_terminal

local function with_color(o)
  if o.color ~= nil then return o.color end
  if is_terminal == nil then
    is_terminal = os.getenv "NO_COLOR" == nil and (os.getenv "TERM" or "dumb") ~= "dumb"
      and os.execute "test -t 1" == true
  end
  return is_terminal
end

local function paint(text, series, colored)
  if not colored then return text end
  return ("\27[%dm%s\27[0m"):format(colors[(series - 1) % #colors + 1], text)
end

-- Numbers at most seven characters wide, as short as they can be told apart.
local function label(v)
  if v == 0 then return "0" end
  local size = math.abs(v)
  if size >= 1e5 or size < 1e-3 then return ("%.1e"):format(v) end
  return (("%.3f"):format(v):gsub("0+$", ""):gsub("%.$", ""))
end

-- A list of numbers, a list of series { name =, values = }, or a table of lists by name → series.
local function series_of(data)
  if type(data) ~= "table" then error("plot: expected a list of numbers or of series", 3) end
  if type(data[1]) == "number" then return { { values = data, count = #data } } end
  if type(data[1]) == "table" then
    for _, s in ipairs(data) do
      if not s.values then error("plot: a series is { name = …, values = {…} }", 3) end
    end
    return data
  end
  local names, list = {}, {}
  for name in pairs(data) do names[#names + 1] = tostring(name) end
  table.sort(names)
  for i, name in ipairs(names) do list[i] = { name = name, values = data[name] } end
  return list
end

local function range(series, o)
  local low, high, count = math.huge, -math.huge, 0
  for _, s in ipairs(series) do
    count = math.max(count, #s.values)
    for i = 1, #s.values do
      local v = s.values[i]
      if is_number(v) then low, high = math.min(low, v), math.max(high, v) end
    end
  end
  if low > high then return nil end
  low, high = o.min or low, o.max or high
  -- A constant gets an axis around it.
  if low == high then
    local margin = low == 0 and 1 or math.abs(low) * 0.1
    low, high = low - margin, high + margin
  end
  return low, high, count
end

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
    parts[#parts + 1], run = owner and paint(text, owner, colored) or text, {}
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
---@param data number[]|table
---@param given table? see `specification`
---@return string[]
function plot.lines(data, given)
  local o = options.check("plot", given, specification)
  local series, colored = series_of(data), with_color(o)
  local low, high, count = range(series, o)
  local result = {}
  if o.title then result[1] = o.title end
  if not low then
    result[#result + 1] = "(nothing to plot: no finite values)"
    return result
  end
  local cells, columns, rows = {}, o.width * 2, o.height * 4
  for row = 0, o.height - 1 do cells[row] = {} end
  for number, s in ipairs(series) do
    local x0, y0
    for i = 1, #s.values do
      local v, x, y = s.values[i], nil, nil
      if is_number(v) then
        x = count > 1 and math.floor((i - 1) / (count - 1) * (columns - 1) + 0.5) or columns // 2
        y = math.floor((high - v) / (high - low) * (rows - 1) + 0.5)
        line(cells, x0 or x, y0 or y, x, y, number, colored and dashes[1] or dash(number))
      end
      x0, y0 = x, y
    end
  end

  local labels, wide = {}, 0
  for row = 0, o.height - 1 do
    local marked = row == 0 or row == o.height - 1 or row * 2 == o.height - 1
    local value = row == o.height - 1 and low or high - (high - low) * row / (o.height - 1)
    labels[row] = marked and label(value) or ""
    wide = math.max(wide, #labels[row])
  end
  for row = 0, o.height - 1 do
    result[#result + 1] = ("%s%s %s%s"):format((" "):rep(wide - #labels[row]), labels[row],
      labels[row] ~= "" and "┤" or "│", row_text(cells[row], o.width, colored))
  end
  local left, right = label(o.first), label(o.first + count - 1)
  local middle = o.x_label or ""
  local space = math.max(2, o.width - #left - #right - #middle)
  result[#result + 1] = (" "):rep(wide + 1) .. "└" .. ("─"):rep(o.width)
  result[#result + 1] = (" "):rep(wide + 2) .. left .. (" "):rep(space // 2) .. middle
    .. (" "):rep(space - space // 2) .. right
  local legend = {}
  for number, s in ipairs(series) do
    local mark = colored and dashes[1].legend or dash(number).legend
    if s.name then legend[#legend + 1] = paint(mark, number, colored) .. " " .. s.name end
  end
  if #legend > 0 then
    result[#result + 1] = (" "):rep(wide + 2) .. table.concat(legend, "   ")
  end
  return result
end

-- A token's text on one line, whatever is in it.
local function visible(text)
  text = utf8.len(text) and text or text:gsub("[\x80-\xff]", "\u{FFFD}")
  return (text:gsub("\n", "\\n"):gsub("\t", "\\t"):gsub("%c", "·"))
end

--- The lines of a token view: each token, its value and a bar.
---@param values number[]
---@param tokens string[]
---@param given table?
---@return string[]
function plot.tokens(values, tokens, given)
  local o = options.check("plot", given, specification)
  local colored, top, wide = with_color(o), o.max or 0, 0
  for i, token in ipairs(tokens) do
    if is_number(values[i]) and not o.max then top = math.max(top, values[i]) end
    wide = math.min(24, math.max(wide, utf8.len(visible(token)) + 2))
  end
  local eighths = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" }
  local result = { o.title }
  for i, token in ipairs(tokens) do
    local text = ("'%s'"):format(visible(token))
    if utf8.len(text) > wide then text = text:sub(1, utf8.offset(text, wide) - 1) .. "…" end
    local bar = ""
    if is_number(values[i]) and top > 0 then
      local length = math.max(0, math.min(1, values[i] / top)) * (o.width - wide)
      bar = ("█"):rep(math.floor(length)) .. eighths[math.floor(length % 1 * 8) + 1]
    end
    result[#result + 1] = ("%s%s %7s %s"):format(text, (" "):rep(wide - utf8.len(text)),
      is_number(values[i]) and ("%.2f"):format(values[i]) or "-", paint(bar, 1, colored))
  end
  return result
end

--- Prints a plot: of a list of numbers, of several series { { name = "a", values = {…} }, … } or
--- { a = {…}, b = {…} }, or of values with their tokens (option `tokens`, or a field of that name
--- in the list, which model:entropy provides).
---@param data table
---@param given table? width, height, title, x_label, first, min, max, color, tokens
function plot.print(data, given)
  local tokens = given and given.tokens or type(data) == "table" and rawget(data, "tokens")
  local result = tokens and plot.tokens(data, tokens, given) or plot.lines(data, given)
  print(table.concat(result, "\n"))
end

return setmetatable(plot, { __call = function(_, data, given) return plot.print(data, given) end })
