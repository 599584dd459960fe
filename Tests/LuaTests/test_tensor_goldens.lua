-- Expressions on tensors beside what PyTorch computed for the same, forward and gradient; see
-- Tests/Goldens/tensors/make_cases.py, which also says what the inputs are.

local check = require "support.check"
local mid = require "midtrain"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "Tests/LuaTests"

local function cases()
  local file <close> = assert(io.open(here .. "/../Goldens/tensors/cases.json"))
  return mid.json.decode(file:read "a")
end

local function count(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

local function numbers(n, seed)
  local list = {}
  for i = 1, n do list[i] = ((7919 * i + 104729 * seed) % 2003) / 1001.5 - 1 end
  return list
end

local special = { nan = 0 / 0, inf = math.huge, ["-inf"] = -math.huge }

local function real(value)
  if type(value) == "table" then
    local list = {}
    for i, v in ipairs(value) do list[i] = real(v) end
    return list
  end
  return special[value] or value
end

local function input(spec)
  local dtype = spec.dtype or "f32"
  if spec.values then return mid.tensor(real(spec.values), dtype) end
  local list = numbers(count(spec.shape), spec.seed)
  for i, u in ipairs(list) do
    if dtype == "i32" then
      list[i] = math.min(spec.high, spec.low + (u + 1) / 2 * (spec.high - spec.low + 1) // 1)
    elseif dtype == "bool" then
      list[i] = u > 0
    else
      list[i] = u * spec.scale + spec.shift
    end
  end
  local t = mid.tensor(list)
  if dtype == "i32" then t = t:to "i32" end
  return t:reshape(spec.shape)
end

local function flat(t)
  local list = t:reshape(-1):tolist()
  return list
end

-- Values within a tolerance times the largest finite one (at least 1); NaN equals NaN.
local function near(actual, expected, tolerance, what)
  check.equal(#actual, #expected, what .. ": number of values")
  local scale = 1
  for _, e in ipairs(expected) do
    local value = real(e)
    if type(value) == "number" and math.abs(value) < math.huge then
      scale = math.max(scale, math.abs(value))
    end
  end
  for i, e in ipairs(expected) do
    local a, value = actual[i], real(e)
    local same = a == value or (a ~= a and value ~= value)
    if not same and type(a) == "number" and type(value) == "number" then
      same = math.abs(a - value) <= tolerance * scale
    end
    if not same then
      error(("%s: element %d is %s, expected %s"):format(what, i, tostring(a), tostring(value)), 2)
    end
  end
end

local function run(case)
  local inputs = {}
  for i, spec in ipairs(case.inputs) do
    inputs[i] = input(spec)
    if inputs[i].dtype == "f32" then inputs[i].requires_grad = true end
  end
  local tolerance = case.tolerance or 2e-5
  local f = assert(load("local mid, x, y, z = ... return " .. case.lua, "=" .. case.lua))
  local results = { f(mid, table.unpack(inputs)) }
  local loss
  for k, expected in ipairs(case.results) do
    local result, what = results[k], case.lua .. " result " .. k
    check.equal(result.shape, expected.shape, what .. ": shape")
    check.equal(result.dtype, expected.dtype, what .. ": dtype")
    near(flat(result), expected.values, tolerance, what)
    if case.gradients and expected.dtype == "f32" then
      local w = mid.tensor(numbers(result.count, 100 + k)):reshape(result.shape)
      local term = (w * result):sum()
      loss = loss and loss + term or term
    end
  end
  if not case.gradients then return end
  loss:backward()
  for i, expected in ipairs(case.gradients) do
    local what = case.lua .. " gradient " .. i
    local grad = inputs[i].grad
    if not expected then
      assert(grad == nil, what)
    elseif expected.sums then
      local g, total, weighted = flat(grad), 0, 0
      for j, w in ipairs(numbers(#g, 200)) do
        total, weighted = total + g[j], weighted + w * g[j]
      end
      near({ total, weighted }, expected.sums, 1e-4, what)
    else
      near(flat(grad), expected, tolerance, what)
    end
  end
end

return {
  expressions_give_what_pytorch_computes = function()
    local all, failures = cases(), {}
    assert(#all >= 300)
    for _, case in ipairs(all) do
      local ok, message = pcall(run, case)
      if not ok then failures[#failures + 1] = message end
    end
    if #failures > 0 then
      error(("%d of %d cases:\n%s"):format(#failures, #all, table.concat(failures, "\n")), 0)
    end
  end,
}
