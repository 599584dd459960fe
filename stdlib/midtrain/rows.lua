-- Rows of a table that takes long: each is made once and kept as a file, by one process at a time; what was
-- interrupted goes on.

local journal = require "midtrain.journal"
local mid = require "midtrain.native"

local rows = {}

--- Reads a file of JSON.
---@param path string
---@return any
function rows.read(path)
  local file <close> = assert(io.open(path))
  return mid.json.decode(file:read "a")
end

--- A row's result, from `dir/result.json`; if it is not there yet, it is made and written there, or waited
--- for if another process makes it.
---@param dir string the row's folder
---@param title string printed before it is made
---@param make fun(): table goes on with what the folder holds
---@return table
function rows.kept(dir, title, make)
  local path = dir .. "/result.json"
  if not mid.exists(path) then
    mid.mkdir(dir)
    local other = mid.lock(dir .. "/.lock")
    if other then print(("%s: process %d makes it; waiting"):format(title, other)) end
    while other do
      mid.sleep(0.2)
      other = mid.lock(dir .. "/.lock")
    end
    -- It may have come meanwhile.
    if not mid.exists(path) then
      print(title .. " …")
      journal.write(path, make())
    end
  end
  return rows.read(path)
end

-- Numbers, words and truths of options, also of options inside, by name.
local function plain(given, prefix, into)
  for name, value in pairs(given) do
    local kind = type(value)
    if kind == "number" or kind == "string" or kind == "boolean" then
      into[prefix .. name] = value
    end
  end
  return into
end

--- Errors if the rows in a folder were made with other options: they would compare nothing. Functions and
--- lists are not compared, only their number of elements if that is given.
---@param where string named in errors
---@param out string the folder
---@param given table<string, number|string|boolean|table> options, some of which are tables of options
function rows.check(where, out, given)
  local settings = plain(given, "", {})
  for name, value in pairs(given) do
    if type(value) == "table" then plain(value, name .. ".", settings) end
  end
  local path, now = out .. "/settings.json", mid.json.encode(settings)
  if not mid.exists(path) then
    mid.mkdir(out)
    return mid.write(path, now .. "\n")
  end
  local file <close> = assert(io.open(path))
  local before = file:read "l"
  if before ~= now then
    error(("%s: the rows in '%s' were made with other options; choose another folder for out, or remove it\n"
      .. "  then: %s\n  now:  %s"):format(where, out, before, now), 3)
  end
end

return rows
