-- The metrics of a run's steps, kept as a column of numbers for each metric: half or a third of the
-- memory that a table for each step takes. Read like a list of tables; what a step's table is changed to after it
-- was stored is not kept.

local history = {}

local Rows = {}

-- The metrics of one step, as a table made anew; nil if there is no such step.
function Rows.__index(rows, t)
  local row
  for name, column in pairs(rows.columns) do
    if column[t] then
      row = row or {}
      row[name] = column[t]
    end
  end
  return row
end

function Rows.__newindex(rows, t, metrics)
  for name, value in pairs(metrics or {}) do
    local column = rows.columns[name] or {}
    rows.columns[name] = column
    -- Steps without the metric; a hole would make a hash of the list.
    for i = #column + 1, t - 1 do column[i] = false end
    column[t] = value
  end
  if metrics then rows.count = math.max(rows.count, t) end
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
function history.new() return setmetatable({ columns = {}, count = 0 }, Rows) end

--- One metric of one step; nil if it has none.
---@param rows table
---@param t integer
---@param name string
---@return number?
function history.at(rows, t, name)
  local column = rows.columns[name]
  return column and column[t] or nil
end

return history
