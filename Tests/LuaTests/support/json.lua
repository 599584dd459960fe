-- JSON for the stand-in engine: enough for goldens and for a run's files.

local json = {}

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

function json.encode(value)
  local kind = type(value)
  if kind == "string" then
    return '"' .. value:gsub('[%c"\\]', function(c)
      return escapes[c] or ("\\u%04x"):format(c:byte())
    end) .. '"'
  elseif kind == "table" then
    local parts = {}
    if #value > 0 or next(value) == nil then
      for i, item in ipairs(value) do parts[i] = json.encode(item) end
      return "[" .. table.concat(parts, ",") .. "]"
    end
    local keys = {}
    for key in pairs(value) do keys[#keys + 1] = key end
    table.sort(keys)
    for i, key in ipairs(keys) do parts[i] = json.encode(key) .. ":" .. json.encode(value[key]) end
    return "{" .. table.concat(parts, ",") .. "}"
  elseif kind == "number" then
    assert(value == value and math.abs(value) ~= math.huge, "JSON has no such number")
    return math.type(value) == "integer" and tostring(value) or ("%.17g"):format(value)
  end
  return tostring(value)
end

local unescapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

local function parse(text, at)
  at = text:find("%S", at)
  local c = text:sub(at, at)
  if c == "{" or c == "[" then
    local result, close = {}, c == "{" and "}" or "]"
    at = text:find("%S", at + 1)
    while text:sub(at, at) ~= close do
      if at > #text then error "json: unexpected end" end
      local item, key
      item, at = parse(text, at)
      if c == "{" then
        key = item
        item, at = parse(text, text:match("^%s*:()", at))
        result[key] = item
      else
        result[#result + 1] = item
      end
      at = text:match("^%s*,?%s*()", at)
    end
    return result, at + 1
  elseif c == '"' then
    local stop = at + 1
    while text:sub(stop, stop) ~= '"' do
      if stop > #text then error "json: unexpected end" end
      stop = stop + (text:sub(stop, stop) == "\\" and 2 or 1)
    end
    local s = text:sub(at + 1, stop - 1):gsub("\\u(%x%x%x%x)", function(hex)
      return utf8.char(tonumber(hex, 16))
    end):gsub("\\(.)", function(e) return unescapes[e] or e end)
    return s, stop + 1
  end
  local word, after = text:match("^([%w%.%+%-]+)()", at)
  if word == "true" or word == "false" then return word == "true", after end
  if word == "null" then return nil, after end
  return tonumber(word), after
end

function json.decode(text)
  return (parse(text, 1))
end

return json
