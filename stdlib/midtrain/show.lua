-- Values as the prompt prints them: tables with their fields, cut off where they get too deep or too long.

local show = { max_depth = 4, max_items = 40, width = 100 }

local keywords = {}
for word in ("and break do else elseif end false for function goto if in local nil not or repeat return then true " ..
  "until while"):gmatch "%a+" do
  keywords[word] = true
end

function show.is_name(key)
  return type(key) == "string" and key:find "^[%a_][%w_]*$" ~= nil and not keywords[key]
end

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

local function quote(text)
  local quoted = string.format("%q", text):gsub("\\\n", "\\n"):gsub("\r", "\\r"):gsub("\t", "\\t")
  return quoted
end

local format

-- The items of a table as text, at most `max_items`, and how many were left out.
local function items_of(value, depth, seen)
  local items, length, left = {}, rawlen(value), 0
  for i = 1, length do
    if #items < show.max_items then
      items[#items + 1] = format(rawget(value, i), depth + 1, seen)
    else
      left = left + 1
    end
  end
  local keys = {}
  for key in next, value do
    if not (math.type(key) == "integer" and key >= 1 and key <= length) then keys[#keys + 1] = key end
  end
  table.sort(keys, before)
  for _, key in ipairs(keys) do
    if #items < show.max_items then
      local name = show.is_name(key) and key or "[" .. format(key, depth + 1, seen) .. "]"
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
  if not line:find "\n" and #indent + #line <= show.width then return line end
  -- Short items share lines; long ones get their own.
  local lines, current = {}, ""
  for i, item in ipairs(items) do
    local text = i < #items and item .. "," or item
    if current ~= "" and (#indent + #current + #text + 3 > show.width or text:find "\n" or current:find "\n") then
      lines[#lines + 1] = current
      current = ""
    end
    current = current == "" and text or current .. " " .. text
  end
  lines[#lines + 1] = current
  local inner = "\n" .. indent .. "  "
  return "{" .. inner .. table.concat(lines, inner) .. "\n" .. indent .. "}"
end

function format(value, depth, seen)
  local kind = type(value)
  if kind == "string" then return quote(value) end
  if kind ~= "table" then return tostring(value) end
  local metatable = debug.getmetatable(value)
  if type(metatable) == "table" and rawget(metatable, "__tostring") then return tostring(value) end
  return format_table(value, depth, seen)
end

-- The text for one value. A string is quoted inside a table only.
function show.format(value)
  if type(value) == "string" then return value end
  return format(value, 0, {})
end

return show
