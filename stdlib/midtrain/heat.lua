-- Text with a colour for each token's value: how uncertain a model was about it, its tier of
-- difficulty, how much more or less probable it is to one model than to another. Where there are no
-- colours, a line of levels stands below the text.
--
--   mid.heat(model:entropy "Two and two is four.")           -- uncertainty about each token
--   mid.heat(H, { thresholds = mid.entropy.thresholds })     -- tiers
--   mid.heat(model:score(text), { minus = reference:score(text) })     -- log-probabilities compared
--   mid.heat(sample.logprobs, { tokens = sample.ids, tokenizer = model.tokenizer })

local axes = require "midtrain.axes"
local options = require "midtrain.options"
local series = require "midtrain.series"
local terminal = require "midtrain.terminal"

local heat = {}

heat.specification = {
  tokens = { "table", doc = "texts, or ids with a tokenizer; else the field `tokens` of the values" },
  tokenizer = { { "userdata", "table" }, doc = "of tokens that are ids" },
  by = {
    "string", choices = { "entropy", "tier", "difference", "logprob", "value" },
    doc = "what the values are; entropy if absent, tier with thresholds, difference with minus, "
      .. "logprob where there is none for the first token",
  },
  thresholds = { "table", doc = "tiers, ascending, in nats" },
  tiers = { "table", doc = "names of the tiers, one more than thresholds" },
  minus = { "table", doc = "values to subtract" },
  min = { "number", doc = "value of the weakest colour" },
  max = { "number", doc = "value of the strongest colour" },
  width = { "integer", min = 20, doc = "characters; the terminal's, at most 80, if absent" },
  title = { "string" },
  color = { "boolean", doc = "if absent: on a terminal, unless NO_COLOR is set" },
}

-- Scales: backgrounds from weak to strong, and the marks that stand for them without colours; `.`
-- is hardly any.
local rising = {
  colors = { false, 230, 229, 222, 216, 215, 209, 203, 167, 124 },
  marks = { ".", "1", "2", "3", "4", "5", "6", "7", "8", "9" },
}
local diverging = {
  colors = { 26, 68, 110, 153, 189, false, 224, 217, 210, 203, 160 },
  marks = { "e", "d", "c", "b", "a", ".", "1", "2", "3", "4", "5" },
}
local steps = {
  colors = { false, 153, 222, 203, 139, 72 }, marks = { ".", "1", "2", "3", "4", "5" },
}

local titles = {
  entropy = "entropy before each token, nats", tier = "tier of each token",
  logprob = "−log-probability, nats", difference = "difference of log-probabilities, nats", value = "value",
}

-- The texts of tokens.
local function texts_of(values, o)
  local tokens = o.tokens or rawget(values, "tokens")
  if not tokens then
    error("heat: no tokens; give the option tokens, or values of a text: model:entropy(text)", 3)
  end
  local texts = {}
  for i, token in ipairs(tokens) do
    if type(token) == "number" and not o.tokenizer then
      error("heat: tokens that are ids need the option tokenizer", 3)
    end
    texts[i] = type(token) == "number" and o.tokenizer:token(token) or token
  end
  return texts
end

-- One value for each token, nil where there is none. The entropy after a token is about the next
-- one, and so are scores, which lack the first.
local function values_of(values, count, o)
  if o.minus and #o.minus ~= #values then
    error(("heat: minus has %d values, not %d"):format(#o.minus, #values), 3)
  end
  if #values ~= count and #values ~= count - 1 then
    error(("heat: %d values for %d tokens"):format(#values, count), 3)
  end
  local by = o.by or o.minus and "difference" or o.thresholds and "tier"
    or #values < count and "logprob" or "entropy"
  local shift = (#values < count or by == "entropy" or by == "tier") and 1 or 0
  local result = {}
  for i = 1, count do
    local value = values[i - shift]
    if value and o.minus then value = value - o.minus[i - shift] end
    if value and by == "logprob" then value = -value end
    result[i] = axes.is_number(value) and value or nil
  end
  return by, result
end

-- Levels of the values on a scale, and what the legend says about it: { level or text, … }.
local function levels_of(by, values, count, o)
  local low, high, sum, known, levels = math.huge, -math.huge, 0, 0, {}
  for i = 1, count do
    local v = values[i]
    if v then low, high, sum, known = math.min(low, v), math.max(high, v), sum + v, known + 1 end
  end
  local mean = known > 0 and ("mean %.2f"):format(sum / known) or "no value is finite"
  if by == "tier" then
    local thresholds, counts = o.thresholds or require "midtrain.entropy".thresholds, {}
    for i = 1, count do
      levels[i] = values[i] and math.min(#steps.marks, series.tier(values[i], thresholds))
      if levels[i] then counts[levels[i]] = (counts[levels[i]] or 0) + 1 end
    end
    local legend = {}
    for tier, name in ipairs(series.tier_names(o.tiers, thresholds)) do
      legend[#legend + 1] = math.min(#steps.marks, tier)
      legend[#legend + 1] = ("%s%s: %d   "):format(name,
        thresholds[tier - 1] and (" ≥ %g"):format(thresholds[tier - 1]) or "", counts[tier] or 0)
    end
    return steps, levels, legend
  end
  local scale = by == "difference" and diverging or rising
  local first, last = o.min or by == "value" and low or 0, o.max or high
  if scale == diverging then
    last = o.max or math.max(math.abs(low), math.abs(high))
    first = -last
  end
  for i = 1, count do
    local share = values[i] and (last > first and (values[i] - first) / (last - first) or 0.5)
    -- The middle of a diverging scale is exactly its middle level.
    local level = share and math.floor(share * (#scale.marks - 1) + 1.5)
    levels[i] = level and math.max(1, math.min(#scale.marks, level))
  end
  local legend = { known > 0 and ("%.2f "):format(first) or "" }
  for level = 1, known > 0 and #scale.marks or 0 do legend[#legend + 1] = level end
  legend[#legend + 1] = known > 0 and (" %.2f   %s"):format(last, mean) or mean
  return scale, levels, legend
end

-- A stretch of text at a level: coloured, or with its marks for the line below.
local function part(text, level, scale, colored)
  if colored then
    local background = level and scale.colors[level]
    return background and terminal.shade(text, background) or text
  end
  return text, (level and scale.marks[level] or " "):rep(utf8.len(text))
end

--- The lines of a text with a colour for each token's value.
---@param values number[]
---@param given table?
---@return string[]
function heat.lines(values, given)
  local o = options.check("heat", given, heat.specification)
  if type(values) ~= "table" then
    error("heat: expected a list of numbers, got " .. type(values), 2)
  end
  local tokens = texts_of(values, o)
  local by, of_token = values_of(values, #tokens, o)
  local scale, levels, legend = levels_of(by, of_token, #tokens, o)
  local colored = terminal.is_colored(o.color)
  local result = { o.title }
  local line, below, used = {}, {}, 0
  local width = o.width or math.max(20, terminal.columns(80))
  local function finish()
    if #line == 0 then return end
    result[#result + 1] = table.concat(line)
    local marks = table.concat(below):gsub(" +$", "")
    if marks ~= "" then result[#result + 1] = marks end
    line, below, used = {}, {}, 0
  end
  local function add(text, level)
    if text == "" then return end
    local length = utf8.len(text)
    if used > 0 and used + length > width then finish() end
    line[#line + 1], below[#below + 1] = part(text, level, scale, colored)
    used = used + length
  end
  for i, token in ipairs(tokens) do
    local from = 1
    for at in token:gmatch "()\n" do
      add(terminal.visible(token:sub(from, at - 1)) .. "↵", levels[i])
      finish()
      from = at + 1
    end
    add(terminal.visible(token:sub(from)), levels[i])
  end
  finish()
  local parts = { titles[by], ":  " }
  for _, item in ipairs(legend) do
    if type(item) == "string" then
      parts[#parts + 1] = item
    else
      parts[#parts + 1] = colored and part(" ", item, scale, true) or scale.marks[item]
      if by == "tier" then parts[#parts + 1] = " " end
    end
  end
  result[#result + 1] = (table.concat(parts):gsub("%s+$", ""))
  return result
end
options.takes(heat.lines, heat.specification)

--- Prints a text with a colour for each token's value.
---@param values number[] what model:entropy or model:score gives, or one for each of `tokens`
---@param given table?
function heat.print(values, given) print(table.concat(heat.lines(values, given), "\n")) end
options.takes(heat.print, heat.specification)

return setmetatable(heat, {
  __call = function(_, values, given) return heat.print(values, given) end,
})
