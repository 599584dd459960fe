-- Axes of plots: from a range of values to places in pixels, with ticks at round numbers, linear
-- or logarithmic.

local axes = {}

--- Whether a value has a place on an axis. What is close to the largest number is as good as
--- infinite: differences of two would overflow.
---@param v any
---@return boolean
function axes.is_number(v) return type(v) == "number" and v == v and math.abs(v) < 1e300 end

---@class midtrain.Range
---@field low number
---@field high number
---@field integral boolean whether only whole numbers were added
local Range = {}
Range.__index = Range

function Range:add(v)
  self.low, self.high = math.min(self.low, v), math.max(self.high, v)
  self.integral = self.integral and v == math.floor(v)
end

--- A range that grows with what is added to it.
---@return midtrain.Range
function axes.range()
  return setmetatable({ low = math.huge, high = -math.huge, integral = true }, Range)
end

--- A range that is more than a point.
---@param low number
---@param high number
---@param integral boolean?
---@return number low, number high
function axes.widened(low, high, integral)
  if low < high then return low, high end
  local margin = integral and 1 or low == 0 and 1 or math.abs(low) * 0.1
  return low - margin, low + margin
end

-- The smallest of 1, 2, 5 times a power of ten that divides a span into at most `count` parts.
local function round_step(span, count)
  local raw = span / count
  local power = 10.0 ^ math.floor(math.log(raw, 10))
  for _, m in ipairs { 1, 2, 5, 10 } do
    if m * power >= raw * (1 - 1e-9) then return m * power end
  end
end

-- 1.5e-05 → 1.5e−5
local function scientific(v, digits)
  local mantissa, exponent = (("%%.%de"):format(digits)):format(v):match "^(.-)e(.*)$"
  if mantissa:find(".", 1, true) then mantissa = mantissa:gsub("%.?0+$", "") end
  return mantissa .. "e" .. math.tointeger(tonumber(exponent))
end

local function with_minus(text) return (text:gsub("-", "−")) end

-- Labels of evenly spaced ticks: as many decimals as tell them apart.
local function linear_label(v, step, largest)
  local place = math.floor(math.log(step, 10) + 1e-9)
  if largest >= 1e6 or place < -4 then
    if v == 0 then return "0" end
    local size = math.floor(math.log(math.abs(v), 10) + 1e-9)
    return with_minus(scientific(v, math.max(0, size - place)))
  end
  return with_minus((("%%.%df"):format(math.max(0, -place))):format(v))
end

local function log_label(v)
  if v >= 1e-3 and v < 1e5 then return ("%g"):format(v) end
  return with_minus(scientific(v, 0))
end

local function linear_ticks(low, high, o)
  local step = round_step(high - low, o.count)
  if o.integral then step = math.max(1, step) end
  if o.round and not o.fixed_low then low = math.floor(low / step + 1e-9) * step end
  if o.round and not o.fixed_high then high = math.ceil(high / step - 1e-9) * step end
  local ticks, largest = {}, math.max(math.abs(low), math.abs(high))
  for i = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do
    ticks[#ticks + 1] = { value = i * step, label = linear_label(i * step, step, largest) }
  end
  return low, high, ticks
end

-- 1, 2, 5 times powers of ten, or powers alone where there are many; both ends are ticks.
local function log_ticks(low, high, o)
  local decades = math.log(high / low, 10)
  local multiples = decades < 3 and { 1, 2, 5 } or { 1 }
  local stride = math.max(1, math.ceil(decades / o.count))
  local candidates = {}
  local first, last = math.floor(math.log(low, 10)) - stride, math.ceil(math.log(high, 10)) + stride
  for exponent = first, last do
    for _, m in ipairs(multiples) do
      if exponent % stride == 0 then candidates[#candidates + 1] = m * 10.0 ^ exponent end
    end
  end
  local from, to
  for i, v in ipairs(candidates) do
    if v <= low * (1 + 1e-9) then from = i end
    if not to and v >= high * (1 - 1e-9) then to = i end
  end
  if from == to then from, to = from - 1, to + 1 end
  if not o.fixed_low then low = candidates[from] end
  if not o.fixed_high then high = candidates[to] end
  local ticks = {}
  for i = from, to do
    local v = candidates[i]
    if v >= low * (1 - 1e-9) and v <= high * (1 + 1e-9) then
      ticks[#ticks + 1] = { value = v, label = log_label(v) }
    end
  end
  return low, high, ticks
end

---@class midtrain.Axis
---@field low number
---@field high number
---@field ticks { value: number, label: string }[]
local Axis = {}
Axis.__index = Axis

--- Pixels of a value.
---@param v number
---@return number
function Axis:place(v)
  local share
  if self.log then
    share = math.log(v / self.low) / math.log(self.high / self.low)
  else
    share = (v - self.low) / (self.high - self.low)
  end
  return self.from + (self.to - self.from) * share
end

--- Whether a value lies on the axis.
---@param v number
---@return boolean
function Axis:holds(v) return axes.is_number(v) and v >= self.low and v <= self.high end

--- An axis for values from `low` to `high` in pixels `from` to `to`, with about `count` ticks. With
--- `round` its ends go on to the next tick, unless they are fixed.
---@param o { low: number, high: number, from: number, to: number, count: integer, log: boolean?,
---  integral: boolean?, round: boolean?, fixed_low: boolean?, fixed_high: boolean?, name: string }
---@return midtrain.Axis
function axes.new(o)
  local low, high, ticks = o.low, o.high, nil
  if low > high then
    error(("svg: the %s axis would end at %g, before it begins at %g"):format(o.name, high, low), 0)
  end
  if o.log then
    if low <= 0 then
      error(("svg: the logarithmic %s axis cannot begin at %g"):format(o.name, low), 0)
    end
    low, high, ticks = log_ticks(low, high, o)
  else
    low, high = axes.widened(low, high, o.integral)
    -- An end that is fixed stays where it is, if the other one can give way.
    if o.fixed_low and not o.fixed_high then low = o.low end
    if o.fixed_high and not o.fixed_low then high = o.high end
    low, high, ticks = linear_ticks(low, high, o)
  end
  return setmetatable({
    low = low, high = high, ticks = ticks, from = o.from, to = o.to, log = o.log,
  }, Axis)
end

return axes
