-- Gradients of functions, custom gradients, changes in place, and what must be refused.

local check = require "support.check"
local mid = require "midtrain"

local function leaf(values)
  local t = mid.tensor(values)
  t.requires_grad = true
  return t
end

local tests = {}

function tests.grad_gives_gradients_and_leaves_grad_alone()
  local w = leaf { 2, 3 }
  w:sum():backward()
  local function f(x, y) return (x * x * y * w):sum() end
  local gx, gy = mid.grad(f, mid.tensor { 1, 2 }, mid.tensor { 5, 7 })
  check.equal(gx:tolist(), { 2 * 1 * 5 * 2, 2 * 2 * 7 * 3 })
  check.equal(gy:tolist(), { 2, 12 })
  check.equal(w.grad:tolist(), { 1, 1 })
  check.equal(mid.grad(function(x) return x end, mid.tensor(4)):item(), 1)
  local _, unused = mid.grad(function(x, y) return (x + 0 * x):sum() end, mid.ones(1), mid.ones(1))
  check.equal(unused:tolist(), { 0 })
  local loss = (w * w):sum()
  check.equal(loss:gradients({ w, leaf { 1 } })[2]:tolist(), { 0 })
  check.equal(w.grad:tolist(), { 1, 1 })
  check.raises(function() mid.grad(function(x) return x * x end, mid.tensor { 1, 2 }) end,
    "one element")
  check.raises(function() (w * w):sum():gradients { mid.tensor { 1 } } end,
    "does not require a gradient")
end

function tests.custom_functions_have_the_gradient_that_they_say()
  local calls = 0
  local cube = mid.custom(function(x, scale) return x * x * x * scale end, function(dy, y, x, scale)
    calls = calls + 1
    check.equal(y.shape, x.shape)
    return dy * 3 * x * x * scale
  end)
  local x = leaf { 1, -2 }
  local y = cube(x * 2, 0.5)
  check.equal(y:tolist(), { 4, -32 });
  -- Below, above and beside other operations, twice.
  ((y + x):exp():log() * x + cube(x, 1)):sum():backward()
  check.equal(calls, 2)
  -- y = 4x³: d/dx (4x⁴ + x² + x³) = 16x³ + 2x + 3x².
  check.near(x.grad:tolist(), { 16 + 2 + 3, -128 - 4 + 12 }, 1e-3)
  mid.gradcheck(function(t) return cube(t, 1) end, mid.tensor { 0.5, -1 })
  check.raises(function()
    mid.gradcheck(mid.custom(function(t) return t * t end, function(dy) return dy end),
      mid.tensor { 2 })
  end, "element 1 of argument 1", "backward gives")
  -- Not recorded: no rule is kept.
  check.equal(mid.no_grad(cube, x, 1):tolist(), { 1, -8 })
end

function tests.custom_functions_work_in_jobs_and_beside_other_jobs()
  local double = mid.custom(function(x) return x * 2 end, function(dy)
    return dy * mid.tensor { 1, 10 }
  end)
  local x = leaf { 1, 1 }
  local other = mid.spawn(function()
    for _ = 1, 5 do leaf({ 1, 2 }):sum():backward() mid.sleep(0.001) end
    return "over"
  end)
  local job = mid.spawn(function()
    local y = double(double(x:exp()))
    y:sum():backward()
    return x.grad
  end)
  check.near(job:wait():tolist(), { math.exp(1), 100 * math.exp(1) }, 1e-4)
  check.equal(other:wait(), "over")
end

function tests.errors_in_a_rule_reach_the_caller()
  local thrown = {}
  local bad = mid.custom(function(x) return x * 1 end, function() error(thrown) end)
  local ok, caught = pcall(function() bad(leaf { 1 }):sum():backward() end)
  assert(not ok and caught == thrown)
  local shapeless = mid.custom(function(x) return x * 1 end, function() return mid.ones(3) end)
  check.raises(function() shapeless(leaf { 1 }):sum():backward() end,
    "of its input's shape [1], got [3]")
  local none = mid.custom(function(x) return x * 1 end, function() return "no" end)
  check.raises(function() none(leaf { 1 }):sum():backward() end, "not a Tensor or nil")
  local x = leaf { 1 }
  local blocked = mid.custom(function(t) return t * 1 end, function() return nil end);
  (blocked(x) + x):sum():backward()
  check.equal(x.grad:tolist(), { 1 })
end

function tests.changes_in_place_are_found()
  local x = leaf { 1, 2 }
  local c = mid.tensor { 3, 4 }
  local loss = (x * c):sum()
  c:add_(1)
  check.raises(function() loss:backward() end, "multiply", "changed in place")
  assert(x.grad == nil, "a refused backward leaves gradients as they were")
  -- Through a view of the same memory, and of a result that a rule reads.
  loss = (x * c):sum()
  c:reshape(2, 1)[1] = 9
  check.raises(function() loss:backward() end, "changed in place")
  local y = x:exp()
  y:detach():mul_(2)
  check.raises(function() y:sum():backward() end, "exp", "changed in place")
  -- What is recorded cannot be changed, nor a leaf outside no_grad.
  check.raises(function() (x * 2):fill_(0) end, "its gradient is recorded")
  check.raises(function() x[1] = 0 end, "requires a gradient")
  check.raises(function() x:add_(1) end, "inside mid.no_grad")
  mid.no_grad(function() x[1] = 7 end)
  check.equal(x:tolist(), { 7, 2 });
  (x * c):sum():backward()
  check.equal(x.grad:tolist(), c:tolist())
  check.raises(function() mid.ones({ 1 }):expand(3):fill_(2) end, "share memory")
  check.raises(function() mid.tensor({ 1, 2 }, "i32"):add_(0.5) end,
    "f32 values into a tensor of i32")
end

function tests.writing_parts()
  local t = mid.zeros { 3, 4 }
  t[1] = mid.tensor { 1, 2, 3, 4 }
  t[{ {}, 2 }] = 9
  t[{ { 2, 3 }, { 3, 4 } }] = mid.tensor { { 5, 6 }, { 7, 8 } }
  check.equal(t:tolist(), { { 1, 9, 3, 4 }, { 0, 9, 5, 6 }, { 0, 9, 7, 8 } })
  t[{ mid.tensor({ 3, 1 }, "i32"), { 1, 2 } }] = mid.tensor { { -1, -2 }, { -3, -4 } }
  check.equal(t:tolist(), { { -3, -4, 3, 4 }, { 0, 9, 5, 6 }, { -1, -2, 7, 8 } })
  t[t:lt(0)] = 0
  check.equal(t:tolist(), { { 0, 0, 3, 4 }, { 0, 9, 5, 6 }, { 0, 0, 7, 8 } })
  t[t:gt(6)] = mid.tensor { 1, 2, 3 }
  check.equal(t:tolist(), { { 0, 0, 3, 4 }, { 0, 1, 5, 6 }, { 0, 0, 2, 3 } })
  t:transpose()[{ { 1, -1, 2 } }] = -1
  check.equal(t:tolist(), { { -1, 0, -1, 4 }, { -1, 1, -1, 6 }, { -1, 0, -1, 3 } })
  -- A part of itself, shifted.
  local v = mid.arange(5):to "f32"
  v[{ { 2, 5 } }] = v[{ { 1, 4 } }]
  check.equal(v:tolist(), { 1, 1, 2, 3, 4 })
  check.raises(function() t[{ 1, 1, 1 }] = 0 end, "3 places for the 2 dimensions")
  check.raises(function() t[4] = 0 end, "place from 1 to 3", "in dimension 1 of [3, 4]")
  check.raises(function() t[1] = mid.zeros(3) end, "cannot broadcast [3] to [4]")
  check.raises(function() return t[0] end, "place from 1 to 3 (or from the end, -1)", "got number 0")
  check.raises(function() return t[{ { 1, 5 } }] end,
    "1 to 5 lies outside of 1 to 3, dimension 1 of [3, 4]")
  check.raises(function() return t[mid.ones { 2 }:gt(0)] end, "a mask of shape [2]")
end

function tests.gradcheck_finds_nothing_wrong_with_operations()
  local g = mid.generator(3)
  local x, w = mid.randn({ 3, 4 }, g), mid.randn({ 4, 2 }, g)
  for _, f in ipairs {
    function(a) return a:softmax():log() end, function(a) return a:gelu() end,
    function(a) return a:std(2) end, function(a) return a:quantile({ 0.2, 0.7 }, 1) end,
    function(a) return (a / a:norm(2, 2, true)):cumsum() end,
    function(a) return a:softplus():prod(1) end,
    function(a) return (a:topk(2)) end, function(a) return a[{ {}, { 1, -1, 2 } }]:logsumexp(1) end,
  } do
    assert(mid.gradcheck(f, x) < 0.05)
  end
  mid.gradcheck(function(a, b) return a:matmul(b):tanh() end, { x, w })
  mid.gradcheck(function(a, b) return mid.einsum("ij,jk->ki", a, b) end, { x, w })
end

function tests.generators_repeat()
  local a, b = mid.generator(7), mid.generator(7)
  local first, second = mid.randn({ 1000 }, a), mid.randn({ 1000 }, a)
  check.equal(first:tolist(), mid.randn({ 1000 }, b):tolist())
  check.equal(second:tolist(), mid.randn({ 1000 }, b):tolist())
  check.equal(first:tolist(), mid.randn({ 1000 }, 7):tolist())
  assert(not first:allclose(second))
  b.draws = 1
  check.equal(second:tolist(), mid.randn({ 1000 }, b):tolist())
  check.near(first:mean():item(), 0, 0.15)
  check.near(first:std():item(), 1, 0.1)
  local u = mid.rand(2000, a)
  assert(u:ge(0):all():item() and u:lt(1):all():item())
  check.near(u:mean():item(), 0.5, 0.03)
  local dice = mid.randint(1, 6, 3000, a)
  check.equal({ dice:min():item(), dice:max():item() }, { 1, 6 })
  check.near(dice:to("f32"):mean():item(), 3.5, 0.15)
  check.equal((mid.randperm(50, a):sort()):tolist(), mid.arange(50):tolist())
  local picked = mid.tensor { 0, 1, 3 }:multinomial(4000, a)
  check.near(picked:eq(3):to("f32"):mean():item(), 0.75, 0.03)
  assert(not picked:eq(1):any():item())
  check.near(mid.ones(4000):dropout(0.25, a):mean():item(), 1, 0.05)
  check.raises(function() mid.randn({ 2 }) end, "argument 2 (generator)",
    "a whole number as a seed")
end

return tests
