-- Optimisers beside mid.adamw, averages of weights, clipping. All take a module, a model, or a
-- table of tensors, and train what requires a gradient in it. Lines that begin with `--- > ` are
-- examples, which the tests run.

local blame = require "midtrain.blame"
local native = require "midtrain.native"
local options = require "midtrain.options"

local optim = {}

--- What is to be trained: tensors that require a gradient, with their names, in the order of the
--- names.
---@param source any a module, a model, or a table of tensors by name or number
---@return { name: string, tensor: Tensor }[]
function optim.parameters(source)
  local tensors, kind = source, type(source)
  if kind ~= "userdata" and kind ~= "table" then
    error(("optim: expected a module, a model or a table of tensors, got %s"):format(kind), blame.level())
  end
  if type(source) == "userdata" or type(source.parameters) == "function" then
    tensors = source:parameters()
  end
  local list = {}
  for name, tensor in pairs(tensors) do
    if tensor.requires_grad then list[#list + 1] = { name = tostring(name), tensor = tensor } end
  end
  if #list == 0 then error("optim: nothing here requires a gradient", blame.level()) end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- Scales all gradients so that their norm together is at most `limit`, and gives what it was.
---@param source any
---@param limit number?
---@return number
--- > norm = mid.optim.clip(net, 1)
function optim.clip(source, limit)
  local list, sum = optim.parameters(source), 0
  for _, p in ipairs(list) do
    local grad = p.tensor.grad
    if grad then sum = sum + grad:norm():item() ^ 2 end
  end
  local norm = math.sqrt(sum)
  -- PyTorch's clip_grad_norm_ adds 1e-6 to the norm.
  local scale = limit and limit / (norm + 1e-6) or 1
  if scale < 1 then
    for _, p in ipairs(list) do
      if p.tensor.grad then p.tensor.grad:mul_(scale) end
    end
  end
  return norm
end

-- The constructor of an optimiser whose step for one parameter is update(self, parameter, gradient).
local function optimizer(name, specification, update)
  local Optimizer = { kind = name }
  Optimizer.__index = Optimizer

  function Optimizer:zero_grad()
    for _, p in ipairs(self.parameters) do p.tensor.grad = nil end
  end

  --- Takes a step; one whose gradients are not finite is skipped.
  ---@param given { learning_rate: number?, max_grad_norm: number? }?
  ---@return { grad_norm: number, skipped: boolean }
  function Optimizer:step(given)
    given = options.check(name .. ":step", given or {}, {
      learning_rate = { "number", min = 0 }, max_grad_norm = { "number", min = 0 },
    })
    self.learning_rate = given.learning_rate or self.learning_rate
    local tensors = {}
    for _, p in ipairs(self.parameters) do tensors[p.name] = p.tensor end
    local norm = optim.clip(tensors, given.max_grad_norm)
    local finite = norm == norm and norm < math.huge
    if finite then
      self.steps = self.steps + 1
      native.no_grad(function()
        for _, p in ipairs(self.parameters) do
          if p.tensor.grad then update(self, p, p.tensor.grad) end
        end
      end)
    end
    return { grad_norm = norm, skipped = not finite }
  end

  return function(source, given)
    local self = options.check("mid.optim." .. name, given or {}, specification)
    self.parameters, self.steps, self.buffers = optim.parameters(source), 0, {}
    return setmetatable(self, Optimizer)
  end
end

-- The running sum of a parameter's gradients, after adding this one: m ← momentum·m + g.
local function momentum(self, p, gradient)
  local m = self.buffers[p.name]
  if m then
    m:mul_(self.momentum):add_(gradient)
  else
    m = gradient:clone()
    self.buffers[p.name] = m
  end
  return self.nesterov and gradient + m * self.momentum or m
end

local sgd_options = {
  learning_rate = { "number", default = 1e-2, min = 0 },
  momentum = { "number", default = 0, min = 0 },
  nesterov = { "boolean", default = false }, weight_decay = { "number", default = 0, min = 0 },
}

local new_sgd = optimizer("sgd", sgd_options, function(self, p, gradient)
  if self.weight_decay > 0 then gradient = gradient + p.tensor * self.weight_decay end
  p.tensor:add_(self.momentum > 0 and momentum(self, p, gradient) or gradient, -self.learning_rate)
end)

--- Stochastic gradient descent as in PyTorch: m ← momentum·m + g + weight_decay·w, w ← w −
--- learning_rate·m.
---@param source any
---@param given { learning_rate: number?, momentum: number?, nesterov: boolean?, weight_decay:
--- number? }?
---@return table with `step { learning_rate, max_grad_norm }`, `zero_grad()` and `learning_rate`
--- > opt = mid.optim.sgd(net, { momentum = 0.9 }); loss:backward(); opt:step(); opt:zero_grad()
function optim.sgd(source, given) return new_sgd(source, given) end
options.takes(optim.sgd, sgd_options)

-- Newton and Schulz's iteration towards the nearest matrix with orthonormal rows or columns, with
-- the coefficients of Keller Jordan, "Muon", 2024: singular values end between 0.7 and 1.2.
local function orthogonal(matrix)
  local isTall = matrix.shape[1] > matrix.shape[2]
  local x = matrix / (matrix:norm() + 1e-7)
  if isTall then x = x:transpose() end
  for _ = 1, 5 do
    local a = x:mm(x:transpose())
    x = x * 3.4445 + (a * -4.7750 + a:mm(a) * 2.0315):mm(x)
  end
  return isTall and x:transpose() or x
end

local muon_options = {
  learning_rate = { "number", default = 0.02, min = 0 },
  momentum = { "number", default = 0.95, min = 0 },
  nesterov = { "boolean", default = true }, weight_decay = { "number", default = 0, min = 0 },
}

local new_muon = optimizer("muon", muon_options, function(self, p, gradient)
  local shape = p.tensor.shape
  if #shape ~= 2 then
    error(("muon: %s is no matrix; train it with mid.adamw"):format(p.name), 0)
  end
  local step = orthogonal(momentum(self, p, gradient)) * math.sqrt(math.max(1, shape[1] / shape[2]))
  if self.weight_decay > 0 then p.tensor:mul_(1 - self.learning_rate * self.weight_decay) end
  p.tensor:add_(step, -self.learning_rate)
end)

--- Muon, for matrices inside a network (Jordan 2024): momentum made orthogonal, times √max(1,
--- rows/columns). Train embeddings, heads and vectors with mid.adamw beside it.
---@param source any
---@param given { learning_rate: number?, momentum: number?, nesterov: boolean?, weight_decay:
--- number? }?
---@return table as optim.sgd
--- > opt = mid.optim.muon({ w = mid.nn.parameter(mid.ones { 3, 4 }) }, { learning_rate = 0.02 })
function optim.muon(source, given) return new_muon(source, given) end
options.takes(optim.muon, muon_options)

local Average = {}
Average.__index = Average

--- An exponential moving average of parameters: `update()` after each step, `swap()` to compute
--- with the averages, and again to go back.
---@param source any
---@param decay number?
---@return table
--- > ema = mid.optim.ema(net, 0.99); ema:update(); ema:swap(); ema:swap()
function optim.ema(source, decay)
  local self = { parameters = optim.parameters(source), decay = decay or 0.999, averages = {} }
  for i, p in ipairs(self.parameters) do self.averages[i] = p.tensor:detach():clone() end
  return setmetatable(self, Average)
end

function Average:update()
  native.no_grad(function()
    for i, p in ipairs(self.parameters) do
      self.averages[i]:mul_(self.decay):add_(p.tensor, 1 - self.decay)
    end
  end)
end

function Average:swap()
  native.no_grad(function()
    for i, p in ipairs(self.parameters) do
      local trained = p.tensor:detach():clone()
      p.tensor:copy_(self.averages[i])
      self.averages[i]:copy_(trained)
    end
  end)
end

return optim
