-- What all SVG plots have around their contents: background, title, legend, axes with ticks, marker
-- lines, and labels that stay out of each other's way.

local axes = require "midtrain.axes"

local picture = {}

--- Options that all plots have.
---@type table<string, midtrain.Option>
picture.specification = {
  width = { "integer", default = 720, min = 160, doc = "pixels" },
  height = { "integer", default = 400, min = 120, doc = "pixels" },
  title = { "string" },
  x_label = { "string" },
  y_label = { "string" },
  x_min = { "number" },
  x_max = { "number" },
  min = { "number", doc = "bottom of the y axis" },
  max = { "number", doc = "top of the y axis" },
  y_log = { "boolean", default = false, doc = "logarithmic y axis" },
  horizontal = { "table", doc = "marker lines: y values, or { value =, label = }" },
  vertical = { "table", doc = "marker lines: x values, or { value =, label = }" },
}

-- Okabe and Ito's colours, which most colour-blind people tell apart, without the palest.
local colors = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b88600", "#56b4e9", "#555555" }
-- Once the colours are used up, lines go on dashed.
local dashes = { "none", "7 4", "2 3" }

--- The colour of a series.
---@param i integer
---@return string
function picture.color(i) return colors[(i - 1) % #colors + 1] end

--- The dashes of a series.
---@param i integer
---@return string
function picture.dash(i) return dashes[(i - 1) // #colors % #dashes + 1] end

local SIZE, TITLE_SIZE, LINE = 12, 15, 18 -- of text, of the title, between lines; pixels

-- Text --------------------------------------------------------------------------------------------

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

-- What XML cannot hold is replaced: bytes that are no UTF-8, control characters.
local function escape(text)
  text = utf8.len(text) and text or text:gsub("[\x80-\xff]", "\u{FFFD}")
  return (text:gsub("%c", " "):gsub('[&<>"]', entities))
end

-- Fonts differ; this is about the width in a wide one.
local function text_width(text, size) return (utf8.len(text) or #text) * (size or SIZE) * 0.6 end

-- The text, cut if it is wider than there is room for.
local function fitted(text, room, size)
  local most = math.max(1, math.floor(room / text_width("x", size)))
  if (utf8.len(text) or #text) <= most then return text end
  local cut = utf8.len(text) and utf8.offset(text, most) - 1 or most - 1
  return text:sub(1, cut) .. "…"
end

--- Pixels as text, to a hundredth and no longer than necessary.
---@param v number
---@return string
function picture.px(v)
  local text = ("%.2f"):format(v):gsub("%.?0+$", "")
  return text == "-0" and "0" or text
end

local px = picture.px

-- Elements ----------------------------------------------------------------------------------------

---@class midtrain.Frame
---@field x midtrain.Axis
---@field y midtrain.Axis
---@field left number pixels
---@field right number
---@field top number
---@field bottom number

---@class midtrain.Canvas
---@field parts string[]
local Canvas = {}
Canvas.__index = Canvas

function Canvas:add(format, ...) self.parts[#self.parts + 1] = format:format(...) end

function Canvas:line(x1, y1, x2, y2, style)
  self:add('<line x1="%s" y1="%s" x2="%s" y2="%s" %s/>', px(x1), px(y1), px(x2), px(y2), style)
end

function Canvas:text(x, y, text, anchor, more)
  self:add('<text x="%s" y="%s" text-anchor="%s"%s>%s</text>', px(x), px(y), anchor or "start",
    more and " " .. more or "", escape(text))
end

-- Rows of the legend, each as wide as the picture allows.
local function legend_rows(entries, width)
  local rows, used = {}, math.huge
  for _, entry in ipairs(entries) do
    local label = fitted(entry.label, width - 60)
    local wide = 24 + text_width(label) + 16
    if used + wide > width - 24 then
      rows[#rows + 1], used = {}, 0
    end
    table.insert(rows[#rows], { entry = entry, label = label, x = 12 + used })
    used = used + wide
  end
  return rows
end

local function draw_legend(canvas, rows, top)
  for i, row in ipairs(rows) do
    local y = top + (i - 1) * LINE
    for _, item in ipairs(row) do
      local entry = item.entry
      if entry.is_area then
        canvas:add('<rect x="%s" y="%s" width="18" height="10" fill="%s"/>', px(item.x), px(y - 9),
          entry.color)
      else
        canvas:line(item.x, y - 4, item.x + 18, y - 4,
          ('stroke="%s" stroke-width="2" stroke-dasharray="%s"'):format(entry.color, entry.dash))
      end
      canvas:text(item.x + 24, y, item.label)
    end
  end
end

-- Marker lines with their labels, which are moved out of each other's way.
local function draw_markers(canvas, frame, o)
  local style = 'stroke="#666" stroke-width="1" stroke-dasharray="4 3"'
  local function list(given, axis)
    local markers = {}
    for _, marker in ipairs(given or {}) do
      if type(marker) == "number" then marker = { value = marker } end
      if type(marker) ~= "table" or type(marker.value) ~= "number" then
        error("svg: a marker line is a number or { value = …, label = … }", 0)
      end
      if axis:holds(marker.value) then markers[#markers + 1] = marker end
    end
    table.sort(markers, function(a, b) return a.value < b.value end)
    return markers
  end
  local taken = {} -- by row of labels, where its last one ends
  for _, marker in ipairs(list(o.vertical, frame.x)) do
    local x = frame.x:place(marker.value)
    canvas:line(x, frame.top, x, frame.bottom, style)
    if marker.label then
      local wide, row = text_width(marker.label, 11), 1
      local is_left = x + 4 + wide > frame.right and x - 4 - wide > frame.left
      local from = is_left and x - 4 - wide or x + 4
      while taken[row] and taken[row] > from do row = row + 1 end
      taken[row] = from + wide + 4
      canvas:text(is_left and x - 4 or x + 4, frame.top + 13 * row, marker.label,
        is_left and "end" or "start", 'font-size="11" fill="#444"')
    end
  end
  local lines, last = list(o.horizontal, frame.y), {}
  for i, marker in ipairs(lines) do
    local y = frame.y:place(marker.value)
    canvas:line(frame.left, y, frame.right, y, style)
    if marker.label then
      -- Above the line, unless there is the next one or no room; close lines at different ends.
      local next_y = lines[i + 1] and frame.y:place(lines[i + 1].value) or frame.top - 4
      local is_below = y - next_y < 14
      local label_y = is_below and y + 13 or y - 4
      local is_left = last.y and last.y - label_y < 13 and not last.is_left
      canvas:text(is_left and frame.left + 5 or frame.right - 5, label_y, marker.label,
        is_left and "start" or "end", 'font-size="11" fill="#444"')
      last = { y = label_y, is_left = is_left }
    end
  end
end

--- The text of a picture: title, legend and axes around what `draw(canvas, frame)` puts inside.
---@param o table options, checked against `picture.specification`
---@param ranges { x: midtrain.Range, y: midtrain.Range } of the data
---@param entries { label: string, color: string, dash: string?, is_area: boolean? }[] the legend
---@param draw fun(canvas: midtrain.Canvas, frame: midtrain.Frame)
---@return string
function picture.draw(o, ranges, entries, draw)
  local canvas = setmetatable({ parts = {} }, Canvas)
  local rows = legend_rows(entries, o.width)
  local title_height = o.title and 26 or 0
  local frame = {
    top = 10 + title_height + #rows * LINE + (#rows > 0 and 4 or 2),
    bottom = o.height - 26 - (o.x_label and 20 or 0),
  }
  frame.y = axes.new {
    low = o.min or ranges.y.low, high = o.max or ranges.y.high, log = o.y_log, name = "y",
    fixed_low = o.min ~= nil or ranges.y.fixed_low, fixed_high = o.max ~= nil, round = true,
    from = frame.bottom, to = frame.top, count = math.max(2, (frame.bottom - frame.top) // 45),
    integral = ranges.y.integral,
  }
  local widest = 0
  for _, tick in ipairs(frame.y.ticks) do widest = math.max(widest, text_width(tick.label)) end
  frame.left, frame.right = (o.y_label and 24 or 6) + widest + 10, o.width - 20
  local count = math.max(2, (frame.right - frame.left) // 80)
  repeat
    frame.x = axes.new {
      low = o.x_min or ranges.x.low, high = o.x_max or ranges.x.high, log = o.x_log, name = "x",
      -- Straight to the ends of the data; only a logarithmic axis needs ticks there.
      fixed_low = not o.x_log or o.x_min ~= nil, fixed_high = not o.x_log or o.x_max ~= nil,
      from = frame.left, to = frame.right, count = count, integral = ranges.x.integral,
    }
    local used = 0
    for _, tick in ipairs(frame.x.ticks) do used = used + text_width(tick.label) + 12 end
    local fits = used <= frame.right - frame.left or count <= 2
    count = count // 2
  until fits

  canvas:add('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
    .. 'role="img" font-family="system-ui, -apple-system, \'Segoe UI\', sans-serif" '
    .. 'font-size="%d" fill="#222">', o.width, o.height, o.width, o.height, SIZE)
  if o.title then canvas:add("<title>%s</title>", escape(o.title)) end
  -- A background of its own keeps it readable on dark pages.
  canvas:add('<rect width="%d" height="%d" fill="#ffffff"/>', o.width, o.height)
  if o.title then
    canvas:text(o.width / 2, 24, fitted(o.title, o.width - 24, TITLE_SIZE), "middle",
      ('font-size="%d" font-weight="600"'):format(TITLE_SIZE))
  end
  draw_legend(canvas, rows, 10 + title_height + 12)
  for _, tick in ipairs(frame.y.ticks) do
    local y = frame.y:place(tick.value)
    canvas:line(frame.left, y, frame.right, y, 'stroke="#e4e4e4"')
    canvas:text(frame.left - 7, y + 4, tick.label, "end")
  end
  for _, tick in ipairs(frame.x.ticks) do
    local x = frame.x:place(tick.value)
    canvas:line(x, frame.bottom, x, frame.bottom + 4, 'stroke="#555"')
    canvas:text(x, frame.bottom + 18, tick.label, "middle")
  end
  -- A picture in the picture with the same coordinates cuts off what reaches out of the axes, but
  -- not the half of a dot.
  local left, top = px(frame.left - 4), px(frame.top - 4)
  local wide, high = px(frame.right - frame.left + 8), px(frame.bottom - frame.top + 8)
  canvas:add('<svg x="%s" y="%s" width="%s" height="%s" viewBox="%s %s %s %s">', left, top, wide,
    high, left, top, wide, high)
  draw(canvas, frame)
  canvas:add "</svg>"
  canvas:line(frame.left, frame.bottom, frame.right, frame.bottom, 'stroke="#555"')
  canvas:line(frame.left, frame.top, frame.left, frame.bottom, 'stroke="#555"')
  draw_markers(canvas, frame, o)
  if o.x_label then
    canvas:text((frame.left + frame.right) / 2, o.height - 9,
      fitted(o.x_label, frame.right - frame.left), "middle")
  end
  if o.y_label then
    local y = (frame.top + frame.bottom) / 2
    canvas:text(18, y, fitted(o.y_label, frame.bottom - frame.top), "middle",
      ('transform="rotate(-90 18 %s)"'):format(px(y)))
  end
  canvas:add "</svg>"
  return table.concat(canvas.parts, "\n") .. "\n"
end

-- Files -------------------------------------------------------------------------------------------

local function quoted(path) return "'" .. path:gsub("'", "'\\''") .. "'" end

-- A picture of an SVG file, twice as large as it says, for sharp lines.
local function convert(from, path)
  if not os.execute "command -v rsvg-convert >/dev/null 2>&1" then
    error(("svg: '%s' needs the program rsvg-convert, which is not there; install the package "
      .. "librsvg2-bin, or write an .svg"):format(path), 4)
  end
  local command = ("rsvg-convert --zoom 2 --output %s %s 2>&1"):format(quoted(path), quoted(from))
  local pipe = io.popen(command)
  local said = pipe:read "a"
  if not pipe:close() then error(("svg: %s: %s"):format(path, said), 4) end
end

--- Writes a picture as an SVG file, or as a PNG file where the path ends in .png.
---@param path string? nil: only the text is given
---@param text string
---@return string text
function picture.write(path, text)
  if not path then return text end
  local is_png = path:lower():find "%.png$"
  local target = is_png and os.tmpname() or path
  local file, message = io.open(target, "w")
  if not file then error(("svg: %s"):format(message), 3) end
  file:write(text)
  file:close()
  if is_png then
    local ok, failure = pcall(convert, target, path)
    os.remove(target)
    if not ok then error(failure, 0) end
  end
  return text
end

return picture
