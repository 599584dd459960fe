-- A stand-in for the engine's tensors: vectors and scalars with reverse-mode gradients, written
-- to be obviously right. Scalars broadcast against vectors.

local Tensor = {}

local function size(t) return #t.data end

local function new(data, shape, parents, backward)
  local t = setmetatable({ data = data, shape = shape, requires_grad = false }, Tensor)
  for _, parent in ipairs(parents or {}) do
    if parent.requires_grad then
      t.requires_grad, t.parents, t.back = true, parents, backward
    end
  end
  return t
end

local function lift(value)
  return type(value) == "number" and new({ value }, {}) or value
end

local function accumulate(t, index, amount)
  if not t.requires_grad then return end
  t.g = t.g or {}
  t.g[index] = (t.g[index] or 0) + amount
end

-- f(a, b) → value, ∂/∂a, ∂/∂b
local function binary(f)
  return function(a, b)
    a, b = lift(a), lift(b)
    local n = math.max(size(a), size(b))
    local function at(t, i) return size(t) == 1 and 1 or i end
    local data, da, db = {}, {}, {}
    for i = 1, n do data[i], da[i], db[i] = f(a.data[at(a, i)], b.data[at(b, i)]) end
    local shape = size(a) >= size(b) and #a.shape >= #b.shape and a.shape or b.shape
    return new(data, shape, { a, b }, function(out)
      for i = 1, n do
        accumulate(a, at(a, i), out.g[i] * da[i])
        accumulate(b, at(b, i), out.g[i] * db[i])
      end
    end)
  end
end

-- f(x) → value, derivative
local function unary(f)
  return function(a, ...)
    local data, da = {}, {}
    for i = 1, size(a) do data[i], da[i] = f(a.data[i], ...) end
    return new(data, a.shape, { a }, function(out)
      for i = 1, size(a) do accumulate(a, i, out.g[i] * da[i]) end
    end)
  end
end

local function mask(compare)
  return binary(function(a, b) return compare(a, b) and 1 or 0, 0, 0 end)
end

local methods = {
  exp = unary(function(x) return math.exp(x), math.exp(x) end),
  log = unary(function(x) return math.log(x), 1 / x end),
  abs = unary(function(x) return math.abs(x), x < 0 and -1 or 1 end),
  clamp = unary(function(x, low, high)
    return math.max(low, math.min(high, x)), (x >= low and x <= high) and 1 or 0
  end),
  minimum = binary(function(a, b)
    local share = a == b and 0.5 or (a < b and 1 or 0)
    return math.min(a, b), share, 1 - share
  end),
  lt = mask(function(a, b) return a < b end),
  gt = mask(function(a, b) return a > b end),
  item = function(t) return t.data[1] end,
  tolist = function(t) return { table.unpack(t.data) } end,
  detach = function(t) return new({ table.unpack(t.data) }, t.shape) end,
}

function methods.sum(a)
  local total = 0
  for i = 1, size(a) do total = total + a.data[i] end
  return new({ total }, {}, { a }, function(out)
    for i = 1, size(a) do accumulate(a, i, out.g[1]) end
  end)
end

function methods.mean(a) return methods.sum(a) / size(a) end

function methods.max(a) return new({ math.max(table.unpack(a.data)) }, {}) end

function methods.slice(a, dim, first, last)
  assert(dim == 1 and first >= 1 and last <= size(a), "slice")
  return new({ table.unpack(a.data, first, last) }, { last - first + 1 }, { a }, function(out)
    for i = 1, last - first + 1 do accumulate(a, first + i - 1, out.g[i] or 0) end
  end)
end

function methods.backward(root)
  local order, seen = {}, {}
  local function visit(t)
    if seen[t] or not t.requires_grad then return end
    seen[t] = true
    for _, parent in ipairs(t.parents or {}) do visit(parent) end
    order[#order + 1] = t
  end
  visit(root)
  root.g = { 1 }
  for i = #order, 1, -1 do
    local t = order[i]
    for j = 1, size(t) do t.g[j] = t.g[j] or 0 end
    if t.back then t.back(t) else t.grad = new(t.g, t.shape) end
  end
end

Tensor.__index = methods
Tensor.__add = binary(function(a, b) return a + b, 1, 1 end)
Tensor.__sub = binary(function(a, b) return a - b, 1, -1 end)
Tensor.__mul = binary(function(a, b) return a * b, b, a end)
Tensor.__div = binary(function(a, b) return a / b, 1 / b, -a / (b * b) end)
Tensor.__unm = unary(function(x) return -x, -1 end)

return {
  new = new,
  tensor = function(value)
    if type(value) == "number" then return new({ value }, {}) end
    return new(table.move(value, 1, #value, 1, {}), { #value })
  end,
}
