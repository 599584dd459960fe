-- Tensors of random shapes against a plain implementation: nested lists, one element at a time.

local check = require "support.check"
local mid = require "midtrain"
local random = require "midtrain.random"

-- A plain array: its shape, and its elements by row-major number.
local Plain = {}

local function count(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

-- The places of element number i (from 0), counted from 0.
local function places(shape, i)
  local result = {}
  for d = #shape, 1, -1 do
    result[d] = i % shape[d]
    i = i // shape[d]
  end
  return result
end

local function number(shape, index)
  local n = 0
  for d, size in ipairs(shape) do n = n * size + index[d] end
  return n
end

-- Makes the array whose element at `index` is f(index).
function Plain.make(shape, f)
  local values = {}
  for i = 0, count(shape) - 1 do values[i + 1] = f(places(shape, i)) end
  return { shape = shape, values = values }
end

function Plain.at(a, index) return a.values[number(a.shape, index) + 1] end

-- The element that stands at `index` of a shape that a is broadcast to.
function Plain.spread(a, index)
  local own = {}
  for d, size in ipairs(a.shape) do
    own[d] = size == 1 and 0 or index[#index - #a.shape + d]
  end
  return Plain.at(a, own)
end

function Plain.broadcast(a, b)
  local shape, rank = {}, math.max(#a.shape, #b.shape)
  for d = 1, rank do
    local x, y = a.shape[d - rank + #a.shape] or 1, b.shape[d - rank + #b.shape] or 1
    shape[d] = x == 1 and y or x
  end
  return shape
end

-- A random array and the same as a tensor that lies in memory in a random way.
local function arrays(r, shape)
  local plain = Plain.make(shape, function() return r:integer(-8, 8) / 4 end)
  local t = mid.tensor(plain.values):reshape(shape)
  local way = r:integer(3)
  if way == 2 and #shape >= 2 then
    t = t:transpose(1, #shape):clone():transpose(1, #shape)
  elseif way == 3 then
    local gaps = mid.stack({ t, t * 100 + 7 }, -1)
    local index = {}
    for d = 1, #shape do index[d] = {} end
    index[#index + 1] = 1
    t = gaps[index]
  end
  check.equal(t.shape, shape)
  return plain, t
end

local function random_shape(r, most)
  local shape = {}
  for d = 1, r:integer(0, most) do shape[d] = r:choice { 0, 1, 1, 2, 3, 5 } end
  return shape
end

local function same(t, plain, what)
  check.equal(t.shape, plain.shape, what .. ": shape")
  check.near(t:reshape(-1):tolist(), plain.values, 1e-5, what)
end

local function name(...)
  local parts = {}
  for i, shape in ipairs { ... } do parts[i] = "[" .. table.concat(shape, ", ") .. "]" end
  return table.concat(parts, " ")
end

local binary = {
  { "add", function(a, b) return a + b end, function(a, b) return a + b end },
  { "sub", function(a, b) return a - b end, function(a, b) return a - b end },
  { "mul", function(a, b) return a * b end, function(a, b) return a * b end },
  { "maximum", function(a, b) return a:maximum(b) end, math.max },
  { "where", function(a, b) return a:where(a:lt(b), b) end, math.min },
}

return {
  broadcasting = function()
    for seed = 1, 150 do
      local r = random.new(seed, 0, "broadcasting")
      local shape = random_shape(r, 4)
      local function part()
        local own = {}
        for d = r:integer(1, #shape + 1), #shape do
          own[#own + 1] = r:integer(3) == 1 and 1 or shape[d]
        end
        return own
      end
      local a, x = arrays(r, part())
      local b, y = arrays(r, part())
      for _, operation in ipairs(binary) do
        local f = operation[3]
        local expected = Plain.make(Plain.broadcast(a, b), function(index)
          return f(Plain.spread(a, index), Plain.spread(b, index))
        end)
        same(operation[2](x, y), expected, operation[1] .. " " .. name(a.shape, b.shape))
      end
      -- The gradient of Σ w·x·y for x is Σ w·y over what x was repeated along.
      local leaf = x:detach():clone()
      leaf.requires_grad = true
      local w, weights = arrays(r, Plain.broadcast(a, b));
      (weights * leaf * y):sum():backward()
      local sums = Plain.make(a.shape, function() return 0 end)
      for i = 0, count(w.shape) - 1 do
        local index, own = places(w.shape, i), {}
        for d, size in ipairs(a.shape) do
          own[d] = size == 1 and 0 or index[#index - #a.shape + d]
        end
        local n = number(a.shape, own) + 1
        sums.values[n] = sums.values[n] + w.values[i + 1] * Plain.spread(b, index)
      end
      same(leaf.grad, sums, "gradient " .. name(a.shape, b.shape))
    end
  end,

  views = function()
    for seed = 1, 200 do
      local r = random.new(seed, 0, "views")
      local shape = random_shape(r, 4)
      local a, x = arrays(r, shape)
      local steps = {}
      for _ = 1, 4 do
        local way = r:integer(6)
        if way == 1 and #a.shape > 0 then
          local order = r:shuffle(mid.arange(#a.shape):tolist())
          x = x:permute(order)
          local before = a
          local permuted = {}
          for d, from in ipairs(order) do permuted[d] = before.shape[from] end
          a = Plain.make(permuted, function(index)
            local own = {}
            for d, from in ipairs(order) do own[from] = index[d] end
            return Plain.at(before, own)
          end)
          steps[#steps + 1] = "permute"
        elseif way == 2 then
          -- Two neighbours merged, or one dimension more.
          local new = table.move(a.shape, 1, #a.shape, 1, {})
          if #new >= 2 then
            local d = r:integer(#new - 1)
            new[d] = new[d] * table.remove(new, d + 1)
          else
            table.insert(new, r:integer(#new + 1), 1)
          end
          x, a = x:reshape(new), { shape = new, values = a.values }
          steps[#steps + 1] = "reshape"
        elseif way == 3 and #a.shape > 0 then
          local d = r:integer(#a.shape)
          local size = a.shape[d]
          local first = r:integer(1, size + 1)
          local last, step = r:integer(first - 1, size), r:integer(3)
          local index = {}
          for i = 1, d - 1 do index[i] = {} end
          index[d] = { first, last, step }
          x = x[index]
          local before, cut = a, table.move(a.shape, 1, #a.shape, 1, {})
          cut[d] = (last - first + step) // step
          a = Plain.make(cut, function(place)
            place[d] = first - 1 + place[d] * step
            return Plain.at(before, place)
          end)
          steps[#steps + 1] = "range"
        elseif way == 4 and #a.shape > 0 and a.shape[1] > 0 then
          local chosen = r:integer(a.shape[1])
          x = x[r:integer(2) == 1 and chosen or chosen - a.shape[1] - 1]
          local before = a
          a = Plain.make({ table.unpack(a.shape, 2) }, function(index)
            return Plain.at(before, { chosen - 1, table.unpack(index) })
          end)
          steps[#steps + 1] = "place"
        elseif way == 5 then
          local new, before = table.move(a.shape, 1, #a.shape, 2, { r:integer(0, 3) }), a
          for d = 2, #new do if new[d] == 1 then new[d] = r:integer(1, 3) end end
          x = x:expand(new)
          a = Plain.make(new, function(index) return Plain.spread(before, index) end)
          steps[#steps + 1] = "expand"
        elseif way == 6 and #a.shape > 0 and a.shape[1] > 0 then
          local chosen, before = {}, a
          for i = 1, r:integer(0, 4) do chosen[i] = r:integer(a.shape[1]) end
          x = x:index_select(1, chosen)
          a = Plain.make({ #chosen, table.unpack(a.shape, 2) }, function(index)
            index[1] = chosen[index[1] + 1] - 1
            return Plain.at(before, index)
          end)
          steps[#steps + 1] = "index_select"
        end
        same(x, a, ("seed %d: %s"):format(seed, table.concat(steps, ", ")))
      end
    end
  end,

  reductions = function()
    local folds = {
      sum = function(list)
        local s = 0
        for _, v in ipairs(list) do s = s + v end
        return s
      end,
      prod = function(list)
        local p = 1
        for _, v in ipairs(list) do p = p * v end
        return p
      end,
      max = function(list) return math.max(table.unpack(list)) end,
      min = function(list) return math.min(table.unpack(list)) end,
      logsumexp = function(list)
        local s = 0
        for _, v in ipairs(list) do s = s + math.exp(v) end
        return math.log(s)
      end,
    }
    function folds.mean(list) return folds.sum(list) / #list end
    function folds.var(list)
      local mean, s = folds.mean(list), 0
      for _, v in ipairs(list) do s = s + (v - mean) ^ 2 end
      return s / (#list - 1)
    end
    function folds.norm(list)
      local s = 0
      for _, v in ipairs(list) do s = s + v * v end
      return math.sqrt(s)
    end
    for seed = 1, 120 do
      local r = random.new(seed, 0, "reductions")
      local shape = random_shape(r, 4)
      local a, x = arrays(r, shape)
      local gone, dims = {}, {}
      for d = 1, #shape do
        if r:integer(2) == 1 then
          gone[d], dims[#dims + 1] = true, r:integer(2) == 1 and d or d - #shape - 1
        end
      end
      if #dims == 0 then
        dims = nil
        for d = 1, #shape do gone[d] = true end
      end
      local keep = r:integer(2) == 1
      local kept, lines, n = {}, {}, 1
      for d, size in ipairs(shape) do
        kept[d] = gone[d] and 1 or size
        if gone[d] then n = n * size end
      end
      for i = 1, count(kept) do lines[i] = {} end
      for i = 0, count(shape) - 1 do
        local index = places(shape, i)
        for d in pairs(gone) do index[d] = 0 end
        local line = lines[number(kept, index) + 1]
        line[#line + 1] = a.values[i + 1]
      end
      local result = {}
      for d = 1, #shape do if keep or not gone[d] then result[#result + 1] = kept[d] end end
      for operation, fold in pairs(folds) do
        local wants = ({ sum = 0, prod = 0, var = 2 })[operation] or 1
        if n >= wants then
          local values = {}
          for i, line in ipairs(lines) do values[i] = fold(line) end
          local actual
          if operation == "norm" then
            actual = x:norm(2, dims, keep)
          else
            actual = x[operation](x, dims, keep)
          end
          same(actual, { shape = result, values = values },
            ("%s over %s of %s"):format(operation, dims and name(dims) or "all", name(shape)))
        end
      end
    end
  end,
}
