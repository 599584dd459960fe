-- Values as the prompt prints them: tables with their fields, cut off where they get too deep or
-- too long; functions by what they are called or made by.

local code = require "midtrain.code"
local functions = require "midtrain.functions"
local terminal = require "midtrain.terminal"

-- Of a list of numbers inside of other tables, such as the ids of a completion, a few say enough, and
-- of each of many texts its beginning.
local show = {
  max_depth = 4, max_items = 40, max_inner_numbers = 6, max_text = 400, many = 8, max_of_many = 70,
  max_width = 100,
}

-- Numbers before strings before the rest, each in order.
local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then
    if ta == "number" or tb == "number" then return ta == "number" end
    if ta == "string" or tb == "string" then return ta == "string" end
    return ta < tb
  end
  if ta == "number" or ta == "string" then return a < b end
  return tostring(a) < tostring(b)
end

local escapes = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t", ['"'] = '\\"', ["\\"] = "\\\\" }

-- A text in quotes, on one line, of at most so many characters; bytes that are no text as \xNN.
local function quote(text, most)
  local left = 0
  if #text > most then
    local last = utf8.len(text) and (utf8.offset(text, most + 1) or #text + 1) - 1 or most
    left, text = #text - last, text:sub(1, last)
  end
  local quoted = '"' .. text:gsub('[%c"\\]', function(character)
    return escapes[character] or ("\\x%02x"):format(character:byte())
  end) .. '"'
  if not utf8.len(quoted) then
    quoted = quoted:gsub("[\x80-\xff]", function(byte) return ("\\x%02x"):format(byte:byte()) end)
  end
  return left > 0 and ("%s… %d more bytes"):format(quoted, left) or quoted
end

-- A number in a table: six digits tell what it is like, and keep lists readable.
local function number(value)
  if math.type(value) == "integer" or #tostring(value) <= 8 then return tostring(value) end
  return ("%.6g"):format(value)
end

local format

-- Of a line in what is being formatted.
local width

local function length_of(text) return utf8.len(text) or #text end

-- How many items of a table are shown.
local function limit_of(value, length, depth)
  if depth == 0 then return show.max_items end
  for i = 1, length do
    if type(rawget(value, i)) ~= "number" then return show.max_items end
  end
  return length > show.max_inner_numbers + 2 and show.max_inner_numbers or show.max_items
end

-- The items of a table as text and how many were left out.
local function items_of(value, depth, seen)
  local items, length, left = {}, rawlen(value), 0
  local limit = limit_of(value, length, depth)
  local most = length > show.many and show.max_of_many or show.max_text
  for i = 1, length do
    if #items < limit then
      items[#items + 1] = format(rawget(value, i), depth + 1, seen, most)
    else
      left = left + 1
    end
  end
  local keys = {}
  for key in next, value do
    local is_shown = math.type(key) == "integer" and key >= 1 and key <= length
    if not is_shown then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  limit = show.max_items + #items
  for _, key in ipairs(keys) do
    if #items < limit then
      local name = code.is_name(key) and key or "[" .. format(key, depth + 1, seen) .. "]"
      items[#items + 1] = name .. " = " .. format(rawget(value, key), depth + 1, seen)
    else
      left = left + 1
    end
  end
  return items, left
end

local function format_table(value, depth, seen)
  if seen[value] then return "{ the table around it }" end
  if next(value) == nil then return "{}" end
  if depth >= show.max_depth then return "{…}" end
  seen[value] = true
  local items, left = items_of(value, depth, seen)
  seen[value] = nil
  if left > 0 then items[#items + 1] = "… " .. left .. " more" end

  local line = "{ " .. table.concat(items, ", ") .. " }"
  local indent = ("  "):rep(depth)
  if not line:find "\n" and #indent + length_of(line) + 2 <= width then return line end
  -- Short items share lines; long ones get their own.
  local lines, current = {}, ""
  for i, item in ipairs(items) do
    local text = i < #items and item .. "," or item
    local is_long = #indent + length_of(current) + length_of(text) + 3 > width
    if current ~= "" and (is_long or text:find "\n" or current:find "\n") then
      lines[#lines + 1] = current
      current = ""
    end
    current = current == "" and text or current .. " " .. text
  end
  lines[#lines + 1] = current
  local inner = "\n" .. indent .. "  "
  return "{" .. inner .. table.concat(lines, inner) .. "\n" .. indent .. "}"
end

-- An object as it says itself; inside of a table the first line of that, such as a tensor's shape.
local function object(value, depth)
  local text = tostring(value)
  return depth > 0 and text:match "[^\n]*" or text
end

function format(value, depth, seen, most)
  local kind = type(value)
  if kind == "string" then return quote(value, most or show.max_text) end
  if kind == "number" then return number(value) end
  if kind == "function" then return functions.title(value) end
  local metatable = debug.getmetatable(value)
  local is_object = type(metatable) == "table" and rawget(metatable, "__tostring")
  if kind ~= "table" or is_object then return object(value, depth) end
  return format_table(value, depth, seen)
end

--- The text for one value. A string is quoted inside a table only.
function show.format(value)
  if type(value) == "string" or type(value) == "number" then return tostring(value) end
  width = terminal.columns(show.max_width)
  return format(value, 0, {})
end

return show
