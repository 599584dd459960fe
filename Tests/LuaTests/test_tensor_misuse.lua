-- Calls of everything that tensors offer with arguments that make sense or do not: each gives
-- something or a Lua error, and the process lives.

local mid = require "midtrain"
local random = require "midtrain.random"

local methods = {}
for _, entry in ipairs(mid.registry()) do
  local name = entry.name:match "^tensor:(.*)"
  if name and name ~= "save" then methods[#methods + 1] = name end
end

local functions = {
  "zeros", "ones", "full", "arange", "linspace", "eye", "rand", "randn", "randint", "randperm",
  "cat", "stack",
  "einsum", "tensor", "rotary", "with_gradient",
}

local operators = {
  function(a, b) return a + b end, function(a, b) return a - b end, function(a, b) return a * b end,
  function(a, b) return a / b end, function(a, b) return a // b end, function(a,
  b) return a % b end,
  function(a, b) return a ^ b end, function(a, b) return a & b end, function(a, b) return a | b end,
  function(a, b) return a ~ b end, function(a) return ~a end, function(a) return -a end,
  function(a) return #a end,
}

-- None between what is small and what no machine holds: a tensor of 8 GB is a sensible wish.
local numbers = {
  0.5, -0.5, 1e30, math.huge, -math.huge, 0 / 0, 2 ^ 40, 2 ^ 60, math.maxinteger, math.mininteger,
  -1e30, -3000000000,
}
local words = {
  "ij,jk->ik", "ij->ji", "i,i", "...i->...", "ii->i", "x", "f32", "i32", "bool", "bf16", "i64", "int8", "",
  "->", "é",
}

local function new_tensor(r)
  local shape = {}
  for d = 1, r:integer(0, 4) do shape[d] = r:choice { 0, 1, 1, 2, 3, 5 } end
  local t, kind = mid.randn(shape, r:integer(100)), r:integer(9)
  if kind == 1 then return (t * 5):round():to "i32" end
  if kind == 2 then return t:gt(0) end
  if kind == 3 then return t / 0 end
  if kind == 4 and #shape > 1 then return t:transpose() end
  if kind == 5 then return t:unsqueeze(1):expand(2, table.unpack(shape)) end
  if kind == 6 then t.requires_grad = true end
  if kind == 8 then return t:to "bf16" end
  if kind == 9 then return (t * 5):round():to "i64" end
  return t
end

local function new_value(r, pool, depth)
  local kind = r:integer(17)
  if kind <= 5 then return pool[r:integer(#pool)] end
  if kind <= 8 then return r:integer(-4, 6) end
  if kind == 9 then return r:choice(numbers) end
  if kind == 10 then return r:integer(2) == 1 end
  if kind == 11 then return r:choice(words) end
  if kind == 12 then return nil end
  if kind == 13 then return r:choice(pool).shape end
  if kind == 14 then return { heads = r:integer(-1, 3), theta = r:choice(numbers),
    entropy = true } end
  if kind == 15 then return function(x) return x end end
  local list = {}
  if depth < 3 then
    for i = 1, r:integer(0, 4) do
      list[i] = kind == 16 and r:integer(-3, 5) or new_value(r, pool, depth + 1)
    end
  end
  return list
end

local function call(r, pool)
  local arguments = table.pack(new_value(r, pool, 0), new_value(r, pool, 0), new_value(r, pool, 0),
    new_value(r, pool, 0))
  local n, t, way = r:integer(0, 4), r:choice(pool), r:integer(12)
  if way <= 7 then return t[r:choice(methods)](t, table.unpack(arguments, 1, n)) end
  if way == 8 then return mid[r:choice(functions)](table.unpack(arguments, 1, n)) end
  if way == 9 then return t[arguments[1]] end
  if way == 10 then t[arguments[1]] = arguments[2] return t end
  return r:choice(operators)(t, arguments[1])
end

return {
  wrong_arguments_give_errors_and_never_end_the_process = function()
    local worked, seeds = 0, tonumber(os.getenv "MIDTRAIN_MISUSE_SEEDS") or 60
    for seed = 1, seeds do
      local r, pool = random.new(seed, 0, "misuse"), {}
      for i = 1, 6 do pool[i] = new_tensor(r) end
      for _ = 1, 40 do
        local ok, result = pcall(call, r, pool)
        if ok then
          worked = worked + 1
          if type(result) == "userdata" and getmetatable(result):find "Tensor"
            and result.count < 1000 then
            pool[r:integer(#pool)] = result
            assert(#tostring(result) > 0 and result:tolist() ~= nil)
            if r:integer(4) == 1 then pcall(function() result:sum():backward() end) end
          end
        else
          assert(type(result) == "string" and #result > 0, "an error is a message")
        end
      end
    end
    assert(worked > 10 * seeds, worked)
  end,
}
