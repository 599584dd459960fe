-- Counter-based random numbers: a generator is a pure function of (seed, step, stream), so that a
-- draw does not depend on what was drawn elsewhere, and a resumed run needs no generator state.
-- splitmix64 (Steele, Lea, Flood 2014): output i is a mix of key + i · golden ratio.

local random = {}

local GOLDEN = 0x9E3779B97F4A7C15

local function mix(z)
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

--- FNV-1a of 64 bits, so that a stream may have a name; `start` goes on from an earlier text's.
---@param text string
---@param start integer?
---@return integer
function random.hash(text, start)
  local h = start or 0xCBF29CE484222325
  for i = 1, #text do h = (h ~ text:byte(i)) * 0x100000001B3 end
  return h
end

---@class midtrain.Random
---@field private key integer
---@field private counter integer
local Random = {}
Random.__index = Random

--- A generator for one purpose (`stream`) in one step of one seed.
---@param seed integer
---@param step integer?
---@param stream integer|string?
---@return midtrain.Random
function random.new(seed, step, stream)
  if type(stream) == "string" then stream = random.hash(stream) end
  local key = mix(seed + GOLDEN)
  key = mix((key ~ (step or 0)) + GOLDEN)
  key = mix((key ~ (stream or 0)) + GOLDEN)
  return setmetatable({ key = key, counter = 0 }, Random)
end

--- 64 random bits, as a Lua integer.
---@return integer
function Random:bits()
  self.counter = self.counter + 1
  return mix(self.key + self.counter * GOLDEN)
end

--- A number in [0, 1), of 53 random bits.
---@return number
function Random:uniform()
  return (self:bits() >> 11) * 0x1p-53
end

--- An integer in 1…n, or in low…high; every value exactly equally likely.
---@param low integer
---@param high integer?
---@return integer
function Random:integer(low, high)
  if not high then low, high = 1, low end
  local n = high - low + 1
  assert(n >= 1, "random:integer: empty range")
  -- Values past the last whole multiple of n would favour the small remainders: draw again.
  local limit = math.maxinteger - math.maxinteger % n
  local value
  repeat value = self:bits() >> 1 until value < limit
  return low + value % n
end

--- An element of `list`; with `weights`, with probability proportional to its weight.
---@generic T
---@param list T[]
---@param weights number[]?
---@return T, integer index
function Random:choice(list, weights)
  if not weights then
    local index = self:integer(#list)
    return list[index], index
  end
  local total = 0
  for i = 1, #list do total = total + weights[i] end
  assert(total > 0, "random:choice: weights must have a positive sum")
  local left, last = self:uniform() * total, nil
  for i = 1, #list do
    if weights[i] > 0 then
      last = i
      left = left - weights[i]
      if left < 0 then break end
    end
  end
  return list[last], last
end

--- Shuffles `list` in place (Fisher–Yates) and returns it.
---@generic T
---@param list T[]
---@return T[]
function Random:shuffle(list)
  for i = #list, 2, -1 do
    local j = self:integer(i)
    list[i], list[j] = list[j], list[i]
  end
  return list
end

--- A number from the normal distribution (Box–Muller).
---@param mean number?
---@param deviation number?
---@return number
function Random:normal(mean, deviation)
  local radius = math.sqrt(-2 * math.log(1 - self:uniform()))
  return (mean or 0) + (deviation or 1) * radius * math.cos(2 * math.pi * self:uniform())
end

return random
