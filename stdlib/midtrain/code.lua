-- Lua code as it is being typed: which brackets, blocks and strings are open at its end.

local code = {}

--- Lua's own words.
code.keywords = {
  "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in",
  "local", "nil", "not", "or", "repeat", "return", "then", "true", "until", "while",
}

local is_keyword = {}
for _, word in ipairs(code.keywords) do is_keyword[word] = true end

--- Whether a key can be written as a name.
---@param key any
---@return boolean
function code.is_name(key)
  return type(key) == "string" and key:find "^[%a_][%w_]*$" ~= nil and not is_keyword[key]
end

local opens_block = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local closing = { [")"] = "(", ["}"] = "{", ["]"] = "[" }

--- The name like `mid.rmt` or `model:generate` that a text ends with; nil if it ends otherwise.
---@param text string
---@return string?
function code.name_at_end(text)
  -- No name is longer; looking through all of a long text for each bracket in it would take long.
  local before, name = text:sub(-200):match "^(.-)([%a_][%w_.:]*)%s*$"
  if not name or is_keyword[name] or before:find "[.:%w]$" then return nil end
  return name
end

--- Goes over code that may be incomplete. Gives the open brackets and blocks, outermost first, each
--- with kind ("(", "{", "[" or "block"), head (the name before it), commas (how many lie behind),
--- is_fresh (whether nothing stands behind the bracket, the last comma or `=`), is_argument
--- (whether it begins an argument of a call), given (the keys so far) and key (whose value is being
--- written); and the opening of a string or comment that is not closed, if there is one, and where
--- it is.
---@param text string
---@return table[] stack
---@return string? open a quote, or "long"
---@return integer? at
function code.scan(text)
  local stack, at = {}, 1
  local function top() return stack[#stack] or {} end
  while at <= #text do
    local character = text:sub(at, at)
    local long = text:match("^%-%-%[(=*)%[", at) or text:match("^%[(=*)%[", at)
    if text:find("^%s", at) then
      at = text:match("^%s+()", at)
    elseif long then
      local _, last = text:find("]" .. long .. "]", at, true)
      if not last then return stack, "long", at end
      at, top().is_fresh = last + 1, text:sub(at, at) == "-" and top().is_fresh
    elseif text:find("^%-%-", at) then
      local last = text:find("\n", at, true)
      if not last then return stack, "long", at end
      at = last + 1
    elseif character == '"' or character == "'" then
      local last = at + 1
      while last <= #text and text:sub(last, last) ~= character do
        last = last + (text:sub(last, last) == "\\" and 2 or 1)
      end
      if last > #text then return stack, character, at end
      at, top().is_fresh = last + 1, false
    elseif character == "(" or character == "{" or character == "[" then
      stack[#stack + 1] = {
        kind = character, head = code.name_at_end(text:sub(1, at - 1)), commas = 0, is_fresh = true,
        given = {},
        is_argument = top().kind == "(" and top().is_fresh,
      }
      at = at + 1
    elseif closing[character] then
      if top().kind == closing[character] then stack[#stack] = nil end
      at, top().is_fresh = at + 1, false
    elseif character == "," or character == ";" then
      local open = top()
      at, open.commas, open.is_fresh, open.key = at + 1, (open.commas or 0) + 1, true, nil
    elseif text:find("^[%a_]", at) then
      local word, after = text:match("^([%w_]+)()", at)
      local value = text:match("^%s*=()", after)
      if opens_block[word] then
        top().is_fresh = false
        stack[#stack + 1] = { kind = "block" }
      elseif word == "end" or word == "until" then
        if top().kind == "block" then stack[#stack] = nil end
      elseif top().kind == "{" and top().is_fresh and value and text:sub(value, value) ~= "=" then
        top().given[word], top().key, after = true, word, value
      else
        top().is_fresh = false
      end
      at = after
    else
      at, top().is_fresh = at + 1, false
    end
  end
  return stack
end

return code
