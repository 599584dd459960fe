-- Assertions of the Lua tests.

local check = {}

local function show(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local keys, parts = {}, {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(keys) do
    parts[#parts + 1] = ("[%s]=%s"):format(show(key), show(value[key]))
  end
  return "{" .. table.concat(parts, ", ") .. "}"
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b end
  for key, value in pairs(a) do if not same(value, b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

--- Deep equality.
function check.equal(actual, expected, what)
  if not same(actual, expected) then
    error(("%s: expected %s, got %s"):format(what or "value", show(expected), show(actual)), 2)
  end
end

--- Numbers, or lists of numbers, within an absolute tolerance.
function check.near(actual, expected, tolerance, what)
  tolerance = tolerance or 1e-9
  if type(expected) == "table" then
    check.equal(#actual, #expected, (what or "list") .. " length")
    for i, value in ipairs(expected) do
      check.near(actual[i], value, tolerance, ("%s[%d]"):format(what or "list", i))
    end
  elseif not (math.abs(actual - expected) <= tolerance) then
    error(("%s: expected %.9g ± %g, got %s"):format(
      what or "value", expected, tolerance, tostring(actual)), 2)
  end
end

--- Calls f and expects an error whose message contains every given text.
function check.raises(f, ...)
  local ok, message = pcall(f)
  if ok then error("expected an error", 2) end
  for _, text in ipairs { ... } do
    if not tostring(message):find(text, 1, true) then
      error(("expected an error with %q, got: %s"):format(text, message), 2)
    end
  end
end

--- What f prints, line by line, and what it returns.
function check.printed(f)
  local lines, original = {}, print
  print = function(...)
    local words = table.pack(...)
    for i = 1, words.n do words[i] = tostring(words[i]) end
    lines[#lines + 1] = table.concat(words, " ")
  end
  local ok, result = pcall(f)
  print = original
  if not ok then error(result, 0) end
  return table.concat(lines, "\n"), result
end

return check
