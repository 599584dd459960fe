-- Tensors of 64-bit integers against Lua's own integers, over random shapes and values.

local check = require "support.check"
local mid = require "midtrain"

local random = require("midtrain.random").new(20261126)
local function draw(low, high) return low + math.floor(random:uniform() * (high - low + 1)) end

-- Integers of all sizes, some equal; the small ones make products that fit.
local function value(is_small)
  local sign = draw(0, 1) == 0 and -1 or 1
  if is_small or draw(1, 3) == 1 then return sign * draw(0, 5) end
  return sign * ((draw(0, (1 << 30) - 1) << draw(0, 29)) + draw(0, 1 << 20))
end

local function shape(rank, most)
  local sizes = {}
  for i = 1, rank do sizes[i] = draw(1, most or 4) end
  return sizes
end

-- Elements by function of their places, as lists of lists.
local function build(sizes, f, ...)
  local depth = select("#", ...)
  if depth == #sizes then return f(...) end
  local list, place = {}, table.pack(...)
  for i = 1, sizes[depth + 1] do
    place[depth + 1] = i
    list[i] = build(sizes, f, table.unpack(place, 1, depth + 1))
  end
  return list
end

local function at(list, ...)
  for i = 1, select("#", ...) do list = list[(select(i, ...))] end
  return list
end

local function given(sizes, is_small)
  local list = build(sizes, function() return value(is_small) end)
  return list, mid.tensor(list, "i64")
end

local function is_i64(found, wanted)
  check.equal({ found.dtype, found:tolist() }, { "i64", wanted })
end

local tests = {}

local operators = {
  ["+"] = function(a, b) return a + b end, ["-"] = function(a, b) return a - b end,
  ["*"] = function(a, b) return a * b end, ["//"] = function(a, b) return a // b end,
  ["%"] = function(a, b) return a % b end,
}

function tests.arithmetic_is_luas()
  for _ = 1, 40 do
    local sizes = shape(draw(0, 3))
    for name, operator in pairs(operators) do
      local a, ta = given(sizes, name == "*")
      local b = build(sizes, function()
        local divisor = value(name == "*")
        return divisor == 0 and 7 or divisor
      end)
      local tb = mid.tensor(b, "i64")
      local wanted = build(sizes, function(...) return operator(at(a, ...), at(b, ...)) end)
      is_i64(operator(ta, tb), wanted)
      local c = draw(1, 1000)
      is_i64(operator(ta, c), build(sizes, function(...) return operator(at(a, ...), c) end))
    end
  end
  local large = mid.tensor({ 1 << 40, -(1 << 40) }, "i64")
  is_i64(-large, { -(1 << 40), 1 << 40 })
  is_i64(5 - large, { 5 - (1 << 40), 5 + (1 << 40) })
  is_i64(large + mid.tensor({ 1, 2 }, "i32"), { (1 << 40) + 1, 2 - (1 << 40) })
  is_i64(mid.tensor({ 1, 2 }, "i32") * large, { 1 << 40, -(1 << 41) })
  is_i64(large + mid.tensor { true, false }, { (1 << 40) + 1, -(1 << 40) })
  is_i64(large:abs(), { 1 << 40, 1 << 40 })
  is_i64(mid.tensor({ math.mininteger, -7 }, "i64") % -1, { 0, 0 })
  -- With other numbers it is f32, as far as that is exact.
  check.equal({ (mid.tensor({ 3, 4 }, "i64") / 2).dtype, (mid.tensor({ 3, 4 }, "i64") * 0.5):tolist() },
    { "f32", { 1.5, 2 } })
end

function tests.shapes_are_broadcast()
  for _ = 1, 40 do
    local sizes = shape(draw(1, 3))
    local mine, other = {}, {}
    for i, size in ipairs(sizes) do mine[i], other[i] = size, size end
    mine[draw(1, #sizes)], other[draw(1, #sizes)] = 1, 1
    local a, ta = given(mine)
    local b, tb = given(other)
    local both = {}
    for i in ipairs(sizes) do both[i] = math.max(mine[i], other[i]) end
    local function clipped(list, own, ...)
      local place = { ... }
      for i, size in ipairs(own) do place[i] = math.min(place[i], size) end
      return at(list, table.unpack(place))
    end
    is_i64(ta:maximum(tb),
      build(both, function(...) return math.max(clipped(a, mine, ...), clipped(b, other, ...)) end))
    check.equal(ta:lt(tb):tolist(),
      build(both, function(...) return clipped(a, mine, ...) < clipped(b, other, ...) end))
  end
end

function tests.what_does_not_fit_is_an_error()
  local t = mid.tensor({ math.maxinteger, math.mininteger }, "i64")
  check.raises(function() return t + 1 end, "9223372036854775807 and 1 give more than 64 bits hold")
  check.raises(function() return t * 2 end, "more than 64 bits")
  check.raises(function() return -t end, "no negative of 64 bits")
  check.raises(function() return t:abs() end, "no absolute value of 64 bits")
  check.raises(function() return t // -1 end, "more than 64 bits")
  check.raises(function() return mid.tensor({ math.maxinteger, 1 }, "i64"):sum() end, "sum: ", "64 bits")
  check.raises(function() return mid.tensor({ 1 << 62, 1 << 62 }, "i64"):cumsum() end, "cumsum: ")
  check.raises(function() return t // 0 end, "divided by 0")
  check.raises(function() return t % 0 end, "divided by 0")
  check.raises(function() return t + mid.tensor({ 1, 2, 3 }, "i64") end, "[2] and [3]")
end

local comparisons = {
  lt = function(a, b) return a < b end, le = function(a, b) return a <= b end,
  eq = function(a, b) return a == b end, ne = function(a, b) return a ~= b end,
  ge = function(a, b) return a >= b end, gt = function(a, b) return a > b end,
}

function tests.neighbours_differ()
  -- As 32-bit or 64-bit floats these are all equal.
  local base = 1 << 60
  local t, u = mid.tensor({ base, base + 1, base + 2 }, "i64"), base + 1
  for name, compare in pairs(comparisons) do
    check.equal(t[name](t, u):tolist(), { compare(base, u), compare(base + 1, u), compare(base + 2, u) })
  end
  check.equal({ t:max():item(), t:argmax():item(), t:argmin():item() }, { base + 2, 3, 1 })
  is_i64(t:where(t:gt(u), u), { u, u, base + 2 })
  is_i64(t:masked_fill(t:eq(u), -1), { base, -1, base + 2 })
  is_i64(t[t:ne(u)], { base, base + 2 })
end

-- What moves elements, on places that f32 holds and on integers that it does not.
function tests.elements_move_as_in_other_tensors()
  local sizes = { 2, 3, 4 }
  local a, t = given(sizes)
  local places = mid.arange(24):reshape(sizes)
  local flat = t:flatten():tolist()
  local function same(move)
    local found, where = move(t), move(places)
    local function look_up(list)
      if type(list) == "number" then return flat[math.tointeger(list)] end
      local copy = {}
      for i, item in ipairs(list) do copy[i] = look_up(item) end
      return copy
    end
    if type(found) == "table" then
      check.equal(#found, #where)
      for i = 1, #found do is_i64(found[i], look_up(where[i]:tolist())) end
    else
      check.equal(found.shape, where.shape)
      is_i64(found, look_up(where:tolist()))
    end
  end
  check.equal(t:tolist(), a)
  for _, move in ipairs {
    function(x) return x[1] end, function(x) return x[{ 2, {}, -1 }] end,
    function(x) return x[{ {}, { 1, 3, 2 }, { 2, 3 } }] end, function(x) return x[{ {}, mid.tensor({ 3, 1 }, "i32") }] end,
    function(x) return x:slice(3, 2, -1) end, function(x) return x:reshape(4, -1) end,
    function(x) return x:transpose(1, 3) end, function(x) return x:permute(3, 1, 2) end,
    function(x) return x:unsqueeze(2):expand(2, 2, 3, 4) end, function(x) return x:unsqueeze(1):squeeze() end,
    function(x) return x:flip(3) end, function(x) return x:split(3, 3) end, function(x) return x:chunk(2, 2) end,
    function(x) return x:unbind(2) end, function(x) return x[{ {}, { 2, 3 }, 1 }]:diagonal() end,
    function(x) return x:index_select(2, { 3, 3, 1 }) end, function(x) return x:contiguous() end,
    function(x) return x:gather(3, mid.ones({ 2, 3, 1 }, "i32")) end, function(x) return x:transpose():clone() end,
    function(x) return mid.cat({ x, x:flip(2) }, 2) end, function(x) return mid.stack({ x, x }, -1) end,
    function(x) return x[{ 1, 2, 3 }] end,
  } do same(move) end
  is_i64(mid.cat({ t[1][1], mid.tensor({ 1, 2 }, "i32") }), {
    a[1][1][1], a[1][1][2], a[1][1][3], a[1][1][4], 1, 2,
  })
  check.raises(function() return t[3] end, "place from 1 to 2")
  check.raises(function() return t:reshape(5, -1) end, "[2, 3, 4]")
end

function tests.sums_and_order_along_dimensions()
  for _ = 1, 30 do
    local sizes = shape(3)
    local a, t = given(sizes)
    local n1, n2, n3 = table.unpack(sizes)
    local sums, largest, places, running, ordered, origins = {}, {}, {}, {}, {}, {}
    for i = 1, n1 do
      sums[i], largest[i], places[i], running[i], ordered[i], origins[i] = {}, {}, {}, {}, {}, {}
      for j = 1, n2 do running[i][j], ordered[i][j], origins[i][j] = {}, {}, {} end
      for k = 1, n3 do
        local sum, column = 0, {}
        for j = 1, n2 do
          sum = sum + a[i][j][k]
          running[i][j][k] = sum
          column[j] = { a[i][j][k], j }
        end
        table.sort(column, function(x, y) return x[1] > y[1] or x[1] == y[1] and x[2] < y[2] end)
        sums[i][k], largest[i][k], places[i][k] = sum, column[1][1], column[1][2]
        for j = 1, n2 do ordered[i][j][k], origins[i][j][k] = column[j][1], column[j][2] end
      end
    end
    is_i64(t:sum(2), sums)
    is_i64(t:cumsum(2), running)
    local values, where = t:max(2)
    is_i64(values, largest)
    check.equal({ where.dtype, where:tolist(), t:argmax(2):tolist() }, { "i32", places, places })
    values, where = t:sort(2, true)
    is_i64(values, ordered)
    check.equal(where:tolist(), origins)
    values = t:topk(1, 2)
    check.equal(values:tolist(), t:max(2, true):tolist())
    local total = 0
    for i = 1, n1 do
      for k = 1, n3 do total = total + sums[i][k] end
    end
    is_i64(t:sum(), total)
    check.equal(t:sum({ 1, 2, 3 }, true).shape, { 1, 1, 1 })
    check.equal(t:sum({ 3, 1 }):tolist(), t:sum(1):sum(2):tolist())
    check.equal(t:min():item(), -(-t):max():item())
  end
  is_i64(mid.zeros({ 0, 2 }, "i64"):sum(1), { 0, 0 })
  is_i64(mid.zeros({ 0 }, "i64"):cumsum(), {})
  check.raises(function() return mid.zeros({ 0 }, "i64"):max() end, "expected at least 1")
end

function tests.signs_powers_and_bounds()
  for _ = 1, 30 do
    local sizes = shape(draw(0, 3))
    local a, t = given(sizes)
    local low, high = value(), value()
    low, high = math.min(low, high), math.max(low, high)
    local function each(f) return build(sizes, function(...) return f(at(a, ...)) end) end
    is_i64(t:sign(), each(function(x) return x > 0 and 1 or x < 0 and -1 or 0 end))
    is_i64(t:clamp(low, high), each(function(x) return math.max(low, math.min(high, x)) end))
    is_i64(t:clamp(nil, high), each(function(x) return math.min(high, x) end))
    is_i64(t:clamp(low), each(function(x) return math.max(low, x) end))
    for _, name in ipairs { "floor", "ceil", "round", "detach" } do is_i64(t[name](t), a) end
    check.equal(t:ne(0):tolist(), each(function(x) return x ~= 0 end))
    check.equal(t:isnan():tolist(), each(function() return false end))
    check.equal(t:isfinite():tolist(), each(function() return true end))
    if #sizes > 0 then
      check.equal(t:any(1):tolist(), t:ne(0):any(1):tolist())
      check.equal(t:all(1):tolist(), t:ne(0):all(1):tolist())
      check.equal(t:nonzero():tolist(), t:ne(0):nonzero():tolist())
    end
    local b, u = given(sizes, true)
    local exponent = draw(0, 20)
    local function power(x)
      local result = 1
      for _ = 1, exponent do result = result * x end
      return result
    end
    is_i64(u ^ exponent, build(sizes, function(...) return power(at(b, ...)) end))
    is_i64(u:pow(2), u:square():tolist())
  end
  is_i64(mid.tensor({ -2, 3 }, "i64") ^ mid.tensor({ 63, 39 }, "i32"), { math.mininteger, 4052555153018976267 })
  check.raises(function() return mid.tensor({ 2 }, "i64") ^ 63 end, "more than 64 bits")
  check.raises(function() return mid.tensor({ 2 }, "i64") ^ -1 end, "pow: integers have no negative powers, got 2 ^ -1")
  check.raises(function() return mid.tensor({ 1 << 40 }, "i64"):square() end, "more than 64 bits")
  check.equal((mid.tensor({ 4 }, "i64") ^ 0.5):tolist(), { 2 })
  check.equal(mid.tensor({ 3, 4 }, "i64"):clamp(3.5):tolist(), { 3.5, 4 })
end

function tests.products_and_triangles()
  local big = 1 << 40
  local t = mid.tensor({ { big, 2, 3 }, { 4, big + 1, 6 }, { 7, 8, -big } }, "i64")
  is_i64(t:tril(), { { big, 0, 0 }, { 4, big + 1, 0 }, { 7, 8, -big } })
  is_i64(t:triu(1), { { 0, 2, 3 }, { 0, 0, 6 }, { 0, 0, 0 } })
  is_i64(t:prod(2), { 6 * big, 24 * (big + 1), -56 * big })
  is_i64(t[{ 1, { 2, 3 } }]:prod(), 6)
  is_i64(mid.zeros({ 0 }, "i64"):prod(), 1)
  check.raises(function() return t:prod() end, "prod: ", "64 bits")
  -- What does not fit on the way may fit at the end.
  is_i64(mid.tensor({ big, big, 0 }, "i64"):prod(), 0)
  is_i64(mid.tensor({ math.maxinteger, 5, -7 }, "i64"):sum(), math.maxinteger - 2)
end

-- Integers of files are not rounded, whatever their size.
function tests.integers_of_files_are_exact()
  local path = require("support.scratch").path() .. ".npy"
  local function stored(descriptor, format, numbers)
    local head = ("{'descr': '%s', 'fortran_order': False, 'shape': (%d,), }"):format(descriptor, #numbers)
    head = head .. (" "):rep(-(10 + #head + 1) % 64) .. "\n"
    local file <close> = assert(io.open(path, "wb"))
    file:write("\x93NUMPY\1\0", string.pack("<s2", head))
    for _, number in ipairs(numbers) do file:write(string.pack(format, number)) end
  end
  for _, case in ipairs {
    { "<i4", "<i4", { (1 << 24) + 1, -5 }, "i32" }, { "<i4", "<i4", { 7, -5 }, "i32" },
    { "<u4", "<I4", { (1 << 32) - 1 }, "i64" }, { "<i8", "<i8", { 7 }, "i64" }, { "|u1", "B", { 255 }, "i32" },
  } do
    stored(case[1], case[2], case[3])
    local read = mid.load_tensors(path)
    check.equal({ read.dtype, read:tolist() }, { case[4], case[3] })
  end
  os.remove(path)
end

return tests
