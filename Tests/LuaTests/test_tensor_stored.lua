-- Tensors of bf16 and i64: what they hold to the bit, what is computed with them, what is refused.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"

-- Of bfloat16 by its definition: the upper half of a 32-bit float, rounded to nearest, ties to even.
local function rounded(x)
  local bits = string.unpack("<I4", string.pack("<f", x))
  local upper, lower = bits >> 16, bits & 0xffff
  if lower > 0x8000 or lower == 0x8000 and upper & 1 == 1 then upper = upper + 1 end
  return (string.unpack("<f", string.pack("<I4", upper << 16)))
end

local tests = {}

function tests.bf16_keeps_half_of_the_bits()
  local x = mid.cat({
    mid.randn({ 60 }, 3) * 1e3, mid.tensor { 0, -0.0, 1, 1.00390625, 1.01171875, 3.4e38, 1e-40 },
  }, 1)
  local wanted = x:tolist()
  for i, value in ipairs(wanted) do wanted[i] = rounded(value) end
  local kept = x:to "bf16"
  check.equal(kept:tolist(), wanted)
  check.equal({ kept.dtype, kept.count, kept.bytes, #kept }, { "bf16", 67, 134, 67 })
  check.equal(kept:to("f32"):to("bf16"):tolist(), wanted)
  check.equal(mid.tensor({ 0 / 0 }, "bf16"):to("f32"):isnan():tolist(), { true })
end

function tests.views_are_kept_in_their_order()
  local t = mid.arange(6):reshape(2, 3):transpose()
  check.equal(t:to("bf16"):tolist(), t:tolist())
  check.equal(t:to("i64"):tolist(), { { 1, 4 }, { 2, 5 }, { 3, 6 } })
  check.equal(mid.zeros({ 0, 4 }, "bf16").shape, { 0, 4 })
end

function tests.i64_holds_integers_of_any_size()
  local large = { 1 << 60, -3, math.mininteger, math.maxinteger, (1 << 24) + 1 }
  local kept = mid.tensor(large, "i64")
  check.equal(kept:tolist(), large)
  check.equal(mid.tensor({ { 1 << 40 }, { 2 } }, "i64"):tolist(), { { 1 << 40 }, { 2 } })
  check.equal(mid.tensor(1 << 62, "i64"):item(), 1 << 62)
  check.equal(kept:to("bool"):tolist(), { true, true, true, true, true })
  check.equal(kept:to("f32"):tolist()[1], 2.0 ^ 60)
  check.raises(function() return kept:to "i32" end, "1152921504606846976 is more than the 32 bits")
  check.equal((kept + 0.5).dtype, "f32")
  check.raises(function() return kept:one_hot(3) end, "beyond 2^24", "to(\"f32\")")
  check.raises(function() return mid.tensor({ 0.5 }):to "i64" end, "0.5 is no whole number")
  check.raises(function() return mid.tensor({ 2.0 ^ 63 }):to "i64" end, "no whole number of 64 bits")
  check.raises(function() return mid.tensor({ 1, { 2 } }, "i64") end, "expected list of numbers")
  check.equal(#kept, 5)
  assert(tostring(kept):find("9223372036854775807", 1, true))
end

function tests.what_is_computed_with_bf16_is_f32()
  local h, n = mid.tensor({ { 1.5, 2 }, { 3, 4 } }, "bf16"), mid.tensor({ 2, 1 }, "i64")
  local f = h:to "f32"
  for _, operation in ipairs {
    function(x) return x + 1 end, function(x) return 2 ^ x end, function(x) return -x end,
    function(x) return x:mm(x) end, function(x) return x:sum(1) end, function(x) return x:transpose() end,
    function(x) return x[{ {}, 1 }] end, function(x) return f:mm(x) end, function(x) return x:softmax() end,
    function(x) return mid.cat({ f, x }, 1) end, function(x) return x:gt(2):to "f32" end,
  } do
    local found = operation(h)
    check.equal(found.dtype, "f32")
    check.equal(found:tolist(), operation(f):tolist())
  end
  check.equal({ (n * 2).dtype, (n * 2):tolist() }, { "i64", { 4, 2 } })
  check.equal(f[n]:tolist(), { { 3, 4 }, { 1.5, 2 } })
  check.equal({ h.rank, h.requires_grad, h.grad }, { 2, false })
  local w = mid.ones { 2, 2 }
  w.requires_grad = true
  w:mm(h):sum():backward()
  check.equal(w.grad:tolist(), { { 3.5, 7 }, { 3.5, 7 } })
end

function tests.they_are_not_changed()
  local h = mid.tensor({ 1, 2 }, "bf16")
  for _, change in ipairs {
    function() h[1] = 3 end, function() h:fill_(0) end, function() h:backward() end,
    function() h.requires_grad = true end,
  } do
    check.raises(change, "never changes", "to(\"f32\")")
  end
  check.equal(h:tolist(), { 1, 2 })
  check.raises(function() return h.nonsense end, "no field 'nonsense'")
end

function tests.files_keep_them()
  local path = scratch.path()
  local given = {
    half = mid.tensor({ { 1.5, -2 } }, "bf16"), large = mid.tensor({ 1 << 50 }, "i64"),
    small = mid.tensor({ 7 }, "i64"),
  }
  local function dtypes(tensors)
    return { tensors.half.dtype, tensors.large.dtype, tensors.small.dtype }
  end
  mid.save_tensors(path .. ".safetensors", given)
  local kept = mid.load_tensors(path .. ".safetensors", { keep_dtype = true })
  check.equal(dtypes(kept), { "bf16", "i64", "i64" })
  for name, tensor in pairs(given) do check.equal(kept[name]:tolist(), tensor:tolist()) end
  check.equal(dtypes(mid.load_tensors(path .. ".safetensors")), { "f32", "i64", "i64" })
  given.large:save(path .. ".npy")
  check.equal(mid.load_tensors(path .. ".npy"):tolist(), { 1 << 50 })
  check.raises(function() given.half:save(path .. ".npy") end, "cannot hold BF16", "save_tensors")
  scratch.remove(path .. ".npy")
  scratch.remove(path .. ".safetensors")
end

function tests.memory_is_what_the_elements_take()
  local function held() return mid.memory().native end
  collectgarbage()
  local before = held()
  local kept = mid.zeros({ 512, 512 }, "bf16")
  collectgarbage()
  local grown = held() - before
  assert(grown < 1.1 * kept.bytes, grown)
end

return tests
