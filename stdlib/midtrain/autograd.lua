-- Gradients of functions, functions with gradients of their own, and a check of both. Lines that
-- begin with `--- > ` are examples, which the tests run.

local native = require "midtrain.native"
local random = require "midtrain.random"

local autograd = {}

--- Whether a value is a tensor.
---@param value any
---@return boolean
--- > assert(mid.autograd.is_tensor(mid.ones(2)))
function autograd.is_tensor(value)
  return type(value) == "userdata" and getmetatable(value) == "Tensor"
end

local is_tensor = autograd.is_tensor

-- Tensors with the same values that gradients can be asked for.
local function leaves_of(tensors)
  local leaves = {}
  for i, x in ipairs(tensors) do
    if not is_tensor(x) then
      error(("mid.grad: expected a Tensor as argument %d after the function, got %s")
        :format(i, type(x)), 3)
    end
    leaves[i] = x:detach()
    leaves[i].requires_grad = true
  end
  return leaves
end

--- The gradients of a function that gives a scalar, at each of its arguments. The `grad` of tensors
--- stays as it is.
---@param f fun(...: Tensor): Tensor
---@param ... Tensor
---@return Tensor ... one for each argument
--- > g = mid.grad(function(x) return (x * x):sum() end, mid.tensor { 1, 2 })
function autograd.grad(f, ...)
  if type(f) ~= "function" and type(f) ~= "table" then
    error(("mid.grad: expected a function first, got %s"):format(type(f)), 2)
  end
  local leaves = leaves_of { ... }
  local value = f(table.unpack(leaves))
  if not is_tensor(value) or value.count ~= 1 then
    error("mid.grad: expected a function that gives a tensor with one element", 2)
  end
  return table.unpack(value:gradients(leaves))
end

--- A function whose gradient is what `backward` says: called with the gradient of the result, the
--- result, and the arguments, it returns a gradient for each argument, or nil.
---@param forward fun(...): Tensor it is not recorded
---@param backward fun(gradient: Tensor, result: Tensor, ...): Tensor?, ...
---@return fun(...): Tensor
--- > straight_through = mid.custom(function(x) return x:round() end, function(dy) return dy end)
function autograd.custom(forward, backward)
  return function(...)
    local arguments, inputs, numbers = table.pack(...), {}, {}
    for i = 1, arguments.n do
      if is_tensor(arguments[i]) then
        inputs[#inputs + 1], numbers[#numbers + 1] = arguments[i], i
      end
    end
    local result = native.no_grad(forward, ...)
    if not is_tensor(result) then error("mid.custom: the function gave no Tensor", 2) end
    result = result:detach()
    return native.with_gradient(result, inputs, function(gradient)
      local given = table.pack(backward(gradient, result, table.unpack(arguments, 1, arguments.n)))
      local gradients = {}
      for place, i in ipairs(numbers) do gradients[place] = given[i] end
      return table.unpack(gradients, 1, #numbers)
    end)
  end
end

-- Σ w·f(inputs) in double precision, with fixed weights, and the tensor that f gave.
local function weighed(f, inputs)
  local result = f(table.unpack(inputs))
  local weights, sum = random.new(1, 0, "gradcheck"), 0
  local list = {}
  for i, value in ipairs(result:detach():reshape(-1):tolist()) do
    list[i] = weights:uniform() * 2 - 1
    sum = sum + list[i] * value
  end
  return sum, result, list
end

--- Compares the gradients that `backward` gives for a function with differences of its values, at
--- `x` or at a list of arguments. An error names the first element where they differ.
---@param f fun(...: Tensor): Tensor of any shape; it must give the same for the same arguments
---@param x Tensor|Tensor[]
---@param given { epsilon: number?, tolerance: number?, elements: integer? }? step (5e-3), allowed
--- difference relative
--- to the largest gradient and 1 (1e-2), how many elements of each argument are tried (100)
---@return number the largest difference
--- > mid.gradcheck(function(x) return x:tanh() end, mid.linspace(-1, 1, 5))
function autograd.gradcheck(f, x, given)
  local o = given or {}
  local epsilon, tolerance, most = o.epsilon or 5e-3, o.tolerance or 1e-2, o.elements or 100
  local inputs = {}
  for i, tensor in ipairs(is_tensor(x) and { x } or x) do inputs[i] = tensor:detach():clone() end
  local leaves = leaves_of(inputs)
  local _, result, weights = weighed(f, leaves)
  local loss = (result * native.tensor(weights):reshape(result.shape)):sum()
  local gradients, worst = loss:gradients(leaves), 0
  native.no_grad(function()
    for i, input in ipairs(inputs) do
      local flat, gradient = input:reshape(-1), gradients[i]:reshape(-1):tolist()
      local scale = 1
      for _, g in ipairs(gradient) do scale = math.max(scale, math.abs(g)) end
      local stride = math.max(1, #gradient // most)
      for j = 1, #gradient, stride do
        local value = flat[j]:item()
        local function at(moved)
          flat[j] = moved
          return flat[j]:item(), (weighed(f, inputs))
        end
        local above, high = at(value + epsilon)
        local below, low = at(value - epsilon)
        flat[j] = value
        local difference = (high - low) / (above - below)
        local off = math.abs(difference - gradient[j])
        worst = math.max(worst, off)
        if not (off <= tolerance * scale) then
          error(("mid.gradcheck: element %d of argument %d: backward gives %.6g, differences %.6g")
            :format(j, i, gradient[j], difference), 0)
        end
      end
    end
  end)
  return worst
end

return autograd
