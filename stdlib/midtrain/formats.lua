-- Rows of data files: each format reads the next row from a source and gives its text, or says what is
-- wrong with the row.

local mid = require "midtrain.native"
local lines = require "midtrain.lines"

local formats = {}

-- A quoted value that is longer is taken for one that is never closed.
local LONGEST = 1 << 24

---@class midtrain.Row
---@field offset integer where it begins
---@field line integer its first line
---@field text string? none: it is malformed
---@field problem string? what is wrong with it
---@field keys string[]? the names that it has instead of the field

---@alias midtrain.RowReader fun(): midtrain.Row? nil at the end

local function bare(line) return (line:gsub("\r?\n$", "")) end

local function names_of(row)
  local names = {}
  for name in pairs(row) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return table.move(names, 1, math.min(8, #names), 1, {})
end

local function missing(field, names)
  return ("no text in field '%s'; there are %s"):format(field,
    #names > 0 and table.concat(names, ", ") or "none")
end

-- JSON lines -----------------------------------------------------------------------------------------

local function jsonl(from, field)
  return function()
    local line, at
    repeat line, at = from:read() until not line or line:find "%S"
    if not line then return nil end
    local row = { offset = at, line = from.line }
    local ok, value = pcall(mid.json.decode, line)
    if not ok then
      row.problem = "no JSON: " .. tostring(value):gsub("^.-text:1:%d+: ", "")
    elseif type(value) ~= "table" then
      row.problem = "expected an object, found a " .. type(value)
    elseif value[field] == nil then
      row.keys = names_of(value)
      row.problem = missing(field, row.keys)
    elseif type(value[field]) ~= "string" then
      row.problem = ("field '%s' is a %s, not a string"):format(field, type(value[field]))
    else
      row.text = value[field]
    end
    return row
  end
end

-- CSV (RFC 4180) -------------------------------------------------------------------------------------

-- The values of the record that begins with a line; else nil, what is wrong, and lines that were read
-- in search of a closing quote that never came.
local function record(from, line, separator)
  local values, at, read = {}, 1, {}
  while true do
    local value
    if line:byte(at) == 34 then
      local parts, size = {}, 0
      at = at + 1
      while true do
        local quote = line:find('"', at, true)
        if not quote then
          parts[#parts + 1] = line:sub(at)
          size = size + #line
          line, at = size < LONGEST and from:read() or nil, 1
          if not line then return nil, "a quote that is never closed", read end
          read[#read + 1] = line
        else
          parts[#parts + 1] = line:sub(at, quote - 1)
          at = quote + 1
          if line:byte(at) ~= 34 then break end
          parts[#parts + 1], at = '"', at + 1
        end
      end
      value = table.concat(parts)
    else
      local stop = line:find("[" .. separator .. "\r\n]", at) or #line + 1
      -- A carriage return by itself is part of a value.
      while line:byte(stop) == 13 and line:byte(stop + 1) ~= 10 and stop < #line do
        stop = line:find("[" .. separator .. "\r\n]", stop + 1) or #line + 1
      end
      value, at = line:sub(at, stop - 1), stop
      if value:find('"', 1, true) then return nil, "a stray quote" end
    end
    values[#values + 1] = value
    if line:sub(at, at) == separator then
      at = at + 1
    elseif line:find("^\r?\n?$", at) then
      return values
    else
      return nil, "a stray quote"
    end
  end
end

-- The next record that is not an empty line.
local function next_record(from, separator)
  local line, at
  repeat line, at = from:read() until not line or bare(line) ~= ""
  if not line then return nil end
  local row = { offset = at, line = from.line }
  local values, problem, read = record(from, line, separator)
  -- The lines after an open quote may be good rows.
  if read then from:unread(read) end
  row.problem = problem
  return row, values
end

local function csv(from, field)
  local name = lines.unpacked(from.path):lower()
  local separator = name:find "%.tsv$" and "\t" or ","
  local header, columns = next_record(from, separator)
  if header and not columns then
    error(("stream: %s:%d: the row of names has %s"):format(from.path, header.line, header.problem), 0)
  end
  local column
  for i, title in ipairs(columns or {}) do column = column or title == field and i end
  if header and not column then
    error(("stream: '%s': no column '%s'; there are %s"):format(from.path, field,
      table.concat(columns, ", ")), 0)
  end
  return function()
    local row, values = next_record(from, separator)
    if not row then return nil end
    if values and #values ~= #columns then
      row.problem = ("%d columns instead of %d"):format(#values, #columns)
    elseif values then
      row.text = values[column]
    end
    return row
  end
end

-- Plain text -----------------------------------------------------------------------------------------

-- Documents as mid.data.text has them: blank lines between them, or of a size, ending with a line.
local function text(from, _, size)
  return function()
    local parts, row, length = {}, nil, 0
    while true do
      local line, at = from:read()
      if not line then break end
      local is_blank = not line:find "%S"
      if is_blank and not size and row then break end
      if row or size or not is_blank then
        row = row or { offset = at, line = from.line }
        parts[#parts + 1] = bare(line)
        length = length + #parts[#parts] + 1
      end
      if size and length >= size then break end
    end
    if row then row.text = table.concat(parts, "\n") .. (size and "\n" or "") end
    return row
  end
end

local readers = { jsonl = jsonl, csv = csv, text = text, parquet = jsonl }
local endings = {
  jsonl = "jsonl", json = "jsonl", ndjson = "jsonl", csv = "csv", tsv = "csv", txt = "text",
  parquet = "parquet",
}

--- The format that a file's name tells.
---@param path string
---@return string
function formats.of(path)
  local ending = lines.unpacked(path):match "%.(%w+)$"
  local format = ending and endings[ending:lower()]
  if not format then
    error(("stream: what kind of file is '%s'? Say format = \"jsonl\", \"csv\", \"text\" or \"parquet\"")
      :format(path), 0)
  end
  return format
end

--- A reader of a file's rows.
---@param from midtrain.Source
---@param format string
---@param field string
---@param size integer? bytes of a document of plain text
---@return midtrain.RowReader
function formats.reader(from, format, field, size)
  local next_row = readers[format](from, field, size)
  return function()
    local row = next_row()
    if row and row.text and not utf8.len(row.text) then
      row.text, row.problem = nil, "the text is not UTF-8"
    end
    return row
  end
end

return formats
