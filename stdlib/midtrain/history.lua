-- The metrics of a run's steps, eight bytes a number, and those of older steps in a temporary file: a long
-- run's memory does not grow with them. Read like a list of tables; what a step's table is changed to after
-- it was stored is not kept.

local history = {}

local Rows = {}

-- Steps whose metrics stay in memory: those that health and progress look at are among them.
local RECENT = 500

-- How steps with the same metrics are packed: the names, and where each one's bytes are.
local function layout_of(rows, metrics)
  local names, formats = {}, {}
  for name, value in pairs(metrics) do
    if type(value) == "number" then names[#names + 1] = name end
  end
  table.sort(names)
  for i, name in ipairs(names) do formats[i] = math.type(metrics[name]) == "integer" and "j" or "d" end
  local key = table.concat(names, "\0") .. "\0" .. table.concat(formats)
  local layout = rows.layouts[key]
  if not layout then
    layout = { names = names, format = "<" .. table.concat(formats), places = {} }
    for i, name in ipairs(names) do layout.places[name] = { "<" .. formats[i], 8 * i - 7 } end
    rows.layouts[key] = layout
  end
  return layout
end

-- Moves a row to the file; where there is none, or no room, it stays in memory.
local function put_away(rows, t)
  local packed = rows.packed[t]
  if type(packed) ~= "string" then return end
  rows.file = rows.file or io.tmpfile() or false
  local place = rows.file and rows.file:seek "end"
  if place and rows.file:write(packed) and rows.file:flush() then rows.packed[t] = place end
end

-- The bytes of a row.
local function packed_row(rows, t)
  local packed = rows.packed[t]
  if type(packed) == "string" then return packed end
  rows.file:seek("set", packed)
  return rows.file:read(8 * #rows.layout[t].names)
end

-- The metrics of one step, as a table made anew; nil if there is no such step.
function Rows.__index(rows, t)
  local layout = rows.layout[t]
  if not layout then return nil end
  local values, row = { layout.format:unpack(packed_row(rows, t)) }, {}
  for i, name in ipairs(layout.names) do row[name] = values[i] end
  return row
end

function Rows.__newindex(rows, t, metrics)
  if not metrics then return end
  local layout, values = layout_of(rows, metrics), {}
  for i, name in ipairs(layout.names) do values[i] = metrics[name] end
  -- Steps that are missing; a hole would make a hash of the lists.
  for i = rows.count + 1, t - 1 do rows.layout[i], rows.packed[i] = false, false end
  rows.layout[t], rows.packed[t] = layout, layout.format:pack(table.unpack(values))
  rows.count = math.max(rows.count, t)
  put_away(rows, t - RECENT)
end

function Rows.__len(rows) return rows.count end

function Rows.__pairs(rows)
  local function next_step(_, t)
    for i = t + 1, rows.count do
      local row = rows[i]
      if row then return i, row end
    end
  end
  return next_step, rows, 0
end

--- The metrics of no steps yet.
---@return table<integer, table<string, number>>
function history.new()
  return setmetatable({ layouts = {}, layout = {}, packed = {}, count = 0, file = false }, Rows)
end

--- One metric of one step; nil if it has none.
---@param rows table
---@param t integer
---@param name string
---@return number?
function history.at(rows, t, name)
  local layout = rows.layout[t]
  local place = layout and layout.places[name]
  return place and (string.unpack(place[1], packed_row(rows, t), place[2])) or nil
end

return history
