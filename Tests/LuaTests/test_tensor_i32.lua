-- Tensors of i32 where 32-bit floats stop being whole: the whole range of 32 bits, against Lua's own integers.

local check = require "support.check"
local mid = require "midtrain"

local random = require("midtrain.random").new(20261127)
local function draw(low, high) return low + math.floor(random:uniform() * (high - low + 1)) end

local smallest, largest = -(1 << 31), (1 << 31) - 1

local function is(dtype, found, wanted) check.equal({ found.dtype, found:tolist() }, { dtype, wanted }) end
local function is_i32(found, wanted) is("i32", found, wanted) end

-- Integers around the places where floats or 32 bits end.
local function value()
  local places = { 0, 1 << 12, 1 << 15, 1 << 23, (1 << 24) - 1, 1 << 24, (1 << 24) + 1, 1 << 29 }
  return (draw(0, 1) == 0 and 1 or -1) * (places[draw(1, #places)] + draw(-2, 2))
end

local function vector(n)
  local list = {}
  for i = 1, n do list[i] = value() end
  return list
end

local function map(a, b, f)
  local list = {}
  for i = 1, #a do list[i] = f(a[i], b[i]) end
  return list
end

-- Lua's integers where they fit into 32 bits; else an error is wanted.
local function is_or_raises(wanted, compute)
  for _, x in ipairs(wanted) do
    if x < smallest or x > largest then return check.raises(compute, "more than the 32 bits") end
  end
  is_i32(compute(), wanted)
end

local tests = {}

function tests.arithmetic_is_luas_up_to_32_bits()
  for _ = 1, 200 do
    local a, b = vector(2), vector(2)
    for i = 1, 2 do
      if b[i] == 0 then b[i] = 3 end
    end
    local ta, tb = mid.tensor(a, "i32"), mid.tensor(b, "i32")
    check.equal({ ta:tolist(), tb:tolist() }, { a, b })
    for _, operator in ipairs {
      function(x, y) return x + y end, function(x, y) return x - y end, function(x, y) return x * y end,
      function(x, y) return x // y end, function(x, y) return x % y end,
    } do
      is_or_raises(map(a, b, operator), function() return operator(ta, tb) end)
      local c = b[1]
      is_or_raises(map(a, a, function(x) return operator(x, c) end), function() return operator(ta, c) end)
    end
    is_i32(-ta, map(a, a, function(x) return -x end))
    is_i32(ta:abs(), map(a, a, math.abs))
    is_i32(ta:maximum(tb), map(a, b, math.max))
    is_i32(ta:minimum(b[1]), map(a, b, function(x) return math.min(x, b[1]) end))
    check.equal(ta:lt(tb):tolist(), map(a, b, function(x, y) return x < y end))
    check.equal(ta:eq(a[1]):tolist(), map(a, a, function(x) return x == a[1] end))
    is_or_raises(map(a, a, function(x) return x * x end), function() return ta:square() end)
    is_or_raises({ a[1] + a[2] }, function() return ta:sum(1, true) end)
    is_or_raises({ a[1], a[1] + a[2] }, function() return ta:cumsum() end)
    is_or_raises({ a[1] * a[2] }, function() return ta:prod(1, true) end)
    is_or_raises({ a[1] * b[1] + a[2] * b[2] }, function() return ta:dot(tb):reshape(1) end)
  end
end

-- What leaves 2^24 on the way and comes back would be rounded by floats without a trace.
function tests.sums_that_come_back_are_exact()
  local most = (1 << 24) - 1
  is_i32(mid.tensor({ most, most, 1, -most, -most }, "i32"):sum(), 1)
  is_i32(mid.tensor({ { most, most, 1, -most, -most } }, "i32"):sum(2), { 1 })
  is_i32(mid.tensor({ most, most, 1, -most, -most }, "i32"):dot(mid.ones({ 5 }, "i32")), 1)
  is_i32(mid.zeros({ 2 }, "i32"):scatter_add(1, { 2, 2, 2, 2, 2 }, mid.tensor({ most, most, 1, -most, -most }, "i32")),
    { 0, 1 })
  is_i32(mid.tensor({ 1, 1 }, "i32") * most * 3 - 2 * most, { most, most })
  check.raises(function()
    return mid.einsum("i,i->", mid.tensor({ most, 1 }, "i32"), mid.tensor({ 1, most }, "i32"))
  end, "einsum", "beyond 2^24", "to(\"f32\")")
end

function tests.small_results_are_ordinary_again()
  local t = mid.tensor({ 1 << 30, 5 }, "i32")
  local rest = t % 7
  is_i32(rest, { (1 << 30) % 7, 5 })
  rest[1] = 3 -- only what floats hold can be written to
  is_i32(rest, { 3, 5 })
  check.raises(function() t[1] = 0 end, "beyond 2^24 never changes", "to(\"f32\")")
  is_i32(t[2], 5)
  is_i32(t:flip(1), { 5, 1 << 30 })
end

function tests.types_meet()
  local small, large = mid.tensor({ 3, 4 }, "i32"), mid.tensor({ 1 << 30, 7 }, "i32")
  is("i64", large + mid.tensor({ 1 << 40, 0 }, "i64"), { (1 << 40) + (1 << 30), 7 })
  is("i64", large:to "i64" * 4, { 1 << 32, 28 })
  is("i64", small:maximum(mid.tensor({ 1 << 40, 0 }, "i64")), { 1 << 40, 4 })
  is_i32(large + mid.tensor { true, false }, { (1 << 30) + 1, 7 })
  is("f32", large + 0.5, { 2.0 ^ 30, 7.5 })
  is("f32", large / 2, { 2.0 ^ 29, 3.5 })
  is("f32", large * mid.tensor { 0.5, 0.5 }, { 2.0 ^ 29, 3.5 })
  is("f32", large:to "f32", { 2.0 ^ 30, 7 })
  is("f32", large:sqrt(), { 2.0 ^ 15, math.sqrt(7) // 1 == 2 and mid.tensor { 7 }:sqrt():item() })
  check.equal(mid.cat({ small, large }).dtype, "i32")
  is_i32(mid.cat({ small, large }), { 3, 4, 1 << 30, 7 })
  is("i64", mid.cat({ small, mid.tensor({ 1 }, "i64") }), { 3, 4, 1 })
  is("bool", large:to "bool", { true, true })
  is_i32(mid.full({ 2 }, 20000001, "i32"), { 20000001, 20000001 })
  is("i64", mid.full({ 1 }, (1 << 40) + 1, "i64"), { (1 << 40) + 1 })
  is_i32(mid.arange(20000001, 20000003), { 20000001, 20000002, 20000003 })
  is("i64", mid.arange(1 << 40, (1 << 40) + 2), { 1 << 40, (1 << 40) + 1, (1 << 40) + 2 })
  is_i32(small * 10000001 - 1, { 30000002, 40000003 })
  check.raises(function() return small + (1 << 40) end, "more than the 32 bits of i32 hold; to(\"i64\") first")
  check.raises(function() return mid.tensor({ 1 << 31 }, "i32") end, "2147483648 is more than the 32 bits")
  check.raises(function() return mid.tensor({ 1 << 40 }, "i64"):to "i32" end, "32 bits")
  is_i32(mid.tensor({ smallest, largest }, "i32"), { smallest, largest })
  is_i32(mid.tensor { 2.0 ^ 30, 5 }:to "i32", { 1 << 30, 5 })
  check.raises(function() return mid.tensor { 2.0 ^ 31 }:to "i32" end, "2147483648 is more than the 32 bits")
  check.raises(function() return -mid.tensor({ smallest }, "i32") end, "2147483648 is more than the 32 bits")
  check.raises(function() return mid.tensor({ 0.5 }, "i32") end, "0.5 is no whole number", "round()")
end

-- Integers and floats are compared without rounding either.
function tests.comparisons_with_floats_are_exact()
  local base = 1 << 60
  local t = mid.tensor({ base - 1, base, base + 1 }, "i64")
  local float = mid.tensor(2.0 ^ 60)
  local wanted = {
    lt = { true, false, false }, le = { true, true, false }, eq = { false, true, false },
    ne = { true, false, true }, ge = { false, true, true }, gt = { false, false, true },
  }
  local flipped = { lt = "gt", le = "ge", eq = "eq", ne = "ne", ge = "le", gt = "lt" }
  for name, list in pairs(wanted) do
    check.equal(t[name](t, 2.0 ^ 60):tolist(), list)
    check.equal(float[flipped[name]](float, t):tolist(), list)
  end
  check.equal(mid.tensor({ 16777217, 2 }, "i32"):gt(2.5):tolist(), { true, false })
  check.equal(mid.tensor { 2.0 ^ 24, 2.0 ^ 25 }:lt((1 << 24) + 1):tolist(), { true, false })
  check.equal(t:lt(math.huge):tolist(), { true, true, true })
  check.equal(t:gt(-math.huge):tolist(), { true, true, true })
  check.equal({ t:eq(0 / 0):any():item(), t:ne(0 / 0):all():item(), t:lt(0 / 0):any():item() }, { false, true, false })
  check.equal(mid.tensor({ -3, -2, 3 }, "i64"):lt(-2.5):tolist(), { true, false, false })
  check.equal(mid.tensor({ math.mininteger, math.maxinteger }, "i64"):lt(2.0 ^ 63):tolist(), { true, true })
  check.equal(mid.tensor({ math.mininteger, math.maxinteger }, "i64"):ge(-2.0 ^ 63):tolist(), { true, true })
  check.equal(mid.tensor({ math.mininteger }, "i64"):eq(-2.0 ^ 63):tolist(), { true })
end

-- What somebody found who had not written this.
function tests.what_a_newcomer_found()
  is_i32(mid.tensor({ 16742275 }, "i32") % -2527491, { 16742275 % -2527491 })
  is("f32", mid.tensor { 2.0 ^ 33, 5, -5, 5 } % mid.tensor { 3, math.huge, 3, -3 }, { 2.0 ^ 33 % 3, 5, 1, -1 })
  local x, y = mid.tensor { 7, -7 }, mid.tensor { 3, 3 }
  x.requires_grad, y.requires_grad = true, true
  local rest = x % y
  is("f32", rest:detach(), { 1, 2 })
  rest:sum():backward()
  check.equal({ x.grad:tolist(), y.grad:tolist() }, { { 1, 1 }, { -2, 3 } })

  check.equal(mid.tensor({ 16777219 }, "i64"):eq(16777219.0):tolist(), { true })
  check.equal(mid.tensor({ largest }, "i32"):lt(largest + 0.5):tolist(), { true })
  check.equal(mid.tensor({ 8388609 }, "i32"):lt(8388609.25):tolist(), { true })
  check.equal(mid.tensor({ 3 }, "i32"):lt(3.0000000001):tolist(), { true })
  check.equal(mid.tensor({ 2.0 ^ 24 }, "bf16"):lt(mid.tensor({ 16777217 }, "i32")):tolist(), { true })

  for _, case in ipairs {
    { 1 << 53, (1 << 53) + 3, 1 }, { 1 << 62, (1 << 62) + 3, 1 }, { 1 << 60, (1 << 60) + 10, 5 },
    { math.maxinteger - 2, math.maxinteger, 1 }, { math.maxinteger, 0, -(1 << 62) }, { 0, math.maxinteger, 1 << 62 },
    { math.mininteger, 0, 1 << 62 }, { math.mininteger, math.maxinteger, math.maxinteger }, { 5, 1, 1 }, { 1, 1, -3 },
    { 1, 5, -1 }, { 10, 1, -4 }, { -3, 3, 2 },
  } do
    local wanted = {}
    for i = case[1], case[2], case[3] do wanted[#wanted + 1] = i end
    check.equal(mid.arange(case[1], case[2], case[3]):tolist(), wanted)
  end
  is_i32(mid.arange(3), { 1, 2, 3 })
  check.raises(function() return mid.arange(1, math.maxinteger) end, "arange: a result", "free")
  check.raises(function() return mid.arange(1, 2, 0) end, "step other than 0")

  assert(not mid.tensor({ 16777217 }, "i32"):allclose(mid.tensor({ 16777216 }, "i32"), 0, 0))
  assert(mid.tensor({ math.maxinteger }, "i64"):allclose(mid.tensor({ math.maxinteger - 1 }, "i64"), 0, 1))
  is("i64", mid.tensor({ (1 << 53) + 1 }, "i64") * true, { (1 << 53) + 1 })
  is("i64", mid.tensor({ 3 }, "i64"):masked_fill(mid.tensor { true }, true), { 1 })
  check.raises(function() return mid.tensor({ 2 }, "i32") ^ -200 end, "no negative powers")
  for _, f in ipairs { function(a) return a // 0 end, function(a) return a % 0 end } do
    check.raises(function() return f(mid.tensor({ 0 }, "i32")) end, "an integer is divided by 0")
  end
  local t = mid.tensor({ 1 }, "i32")
  t:copy_(mid.tensor({ 3 }, "i64")):add_(mid.tensor({ 3 }, "i32"), 3)
  is_i32(t, { 12 })
  for _, write in ipairs {
    function() t[1] = 16777217 end, function() t:fill_(1 << 24) end, function() t:add_(mid.tensor({ 1 << 40 }, "i64")) end,
    function() t:mul_(1 << 23) end,
  } do check.raises(write, "in place a tensor of i32 takes integers below 2^24 only") end
  is_i32(t, { 12 })
  check.raises(function() return mid.tensor { 1, 2, 3 }[mid.tensor({ (1 << 32) + 1 }, "i64")] end,
    "places from 1 to 3", "got 4294967297")
  check.raises(function() return mid.tensor({ { 1, 2 } }, "i64"):sum { 1, 1 } end, "named twice")
end

function tests.infinite_bounds_are_none()
  local t = mid.tensor({ -5, 1 << 40 }, "i64")
  is("i64", t:clamp(0, math.huge), { 0, 1 << 40 })
  is("i64", t:clamp(-math.huge, 7), { -5, 7 })
  is("i64", t:clamp(nil, math.huge), { -5, 1 << 40 })
  is("f32", t:clamp(0.5, 2.0 ^ 41), { 0.5, 2.0 ^ 40 })
  is_i32(mid.tensor({ 5 }, "i32"):clamp(20000001), { 20000001 })
end

function tests.products_of_matrices()
  for _ = 1, 20 do
    local n, k, m = draw(1, 4), draw(0, 4), draw(1, 4)
    local function matrix(rows, columns)
      local list = {}
      for i = 1, rows do list[i] = vector(columns) end
      return list
    end
    local a, b = matrix(n, k), matrix(k, m)
    local ta = mid.cat({ mid.zeros({ 0, k }, "i64"), mid.tensor(a, "i64"):reshape(n, k) })
    local tb = mid.tensor(b, "i64"):reshape(k, m)
    local wanted = {}
    for i = 1, n do
      wanted[i] = {}
      for j = 1, m do
        local sum = 0
        for l = 1, k do sum = sum + a[i][l] * b[l][j] end
        wanted[i][j] = sum
      end
    end
    is("i64", ta:mm(tb), wanted)
    is("i64", mid.stack({ ta, ta }):matmul(tb), { wanted, wanted })
    is("i64", mid.stack({ ta, -ta }):bmm(mid.stack({ tb, -tb })), { wanted, wanted })
    is("i64", ta[1]:matmul(tb), wanted[1])
    if k > 0 then is("i64", ta[1]:dot(tb[{ {}, 1 }]), wanted[1][1]) end
  end
  local pair = mid.tensor({ { 1, 2 }, { 3, 4 } }, "i32")
  is_i32(pair:mm(pair), { { 7, 10 }, { 15, 22 } })
  is_i32(mid.einsum("ij,jk->ik", pair, pair), { { 7, 10 }, { 15, 22 } })
  is("f32", pair:mm(mid.ones { 2, 1 }), { { 3 }, { 7 } })
  check.raises(function() return pair:to "i64":mm(mid.tensor({ 1 }, "i64")) end, "2 dimensions", "[2, 2] and [1]")
  check.raises(function() return pair:to "i64":matmul(mid.ones({ 3, 1 }, "i64")) end, "[2, 2] and [3, 1]")
  check.raises(function()
    return mid.tensor({ 1 << 62, 1 << 62 }, "i64"):dot(mid.tensor({ 1, 1 }, "i64"))
  end, "more than 64 bits")
end

function tests.means_and_extremes()
  local t = mid.tensor({ { math.maxinteger, math.maxinteger }, { -4, 7 } }, "i64")
  is("f32", t:mean(), 2.0 ^ 62)
  is("f32", t:mean(2), { 2.0 ^ 63, 1.5 })
  is("f32", t:mean(2, true), { { 2.0 ^ 63 }, { 1.5 } })
  is("f32", mid.tensor({ (1 << 40) + 1, (1 << 40) + 3 }, "i64"):mean(), 2.0 ^ 40)
  assert(mid.zeros({ 0 }, "i64"):mean():isnan():item())
  is("i64", t:max { 1, 2 }, math.maxinteger)
  is("i64", t:min({ 1, 2 }, true), { { -4 } })
  is_i32(mid.tensor({ 1 << 30, -(1 << 30) }, "i32"):sign(), { 1, -1 })
  is_i32(mid.tensor({ 1 << 30, -(1 << 30) }, "i32"):relu(), { 1 << 30, 0 })
  is("i64", mid.zeros({ 2 }, "i64"):scatter_add(1, { 1, 1, 2 }, mid.tensor({ 1 << 40, 1, 2 }, "i64")), {
    (1 << 40) + 1, 2,
  })
end

return tests
