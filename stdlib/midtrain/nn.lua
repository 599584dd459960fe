-- Modules: parts of networks with their parameters, in Lua on tensors. A module is called like a
-- function; its fields that are tensors are its parameters, and its fields that are modules, or
-- lists of them, are its parts, so parameters have names like a checkpoint's:
-- "layers.0.self_attn.q_proj.weight". A name that begins with "_" is neither.
--
--   local net = mid.nn.Sequential { mid.nn.Linear(2, 16), mid.nn.RMSNorm(16), mid.nn.Linear(16, 1) }
--   local optimizer = mid.adamw(net:parameters(), { learning_rate = 1e-2 })
--   local loss = (net(x) - y):square():mean()
--
-- First weights are drawn with `mid.nn.generator`, one of seed 0 unless you set another. Lines that
-- begin with `--- > ` are examples, which the tests run.

local autograd = require "midtrain.autograd"
local native = require "midtrain.native"

local nn = { generator = native.generator(0) }

---@class midtrain.Module
local Module = {}
nn.Module = Module

--- A kind of module with a name: give it `new(...)`, which returns `kind:make { … }`, and
--- `forward(self, ...)`.
---@param name string what such a module prints as
---@return table
--- > Tanh = mid.nn.kind "Tanh"; function Tanh.new() return Tanh:make {} end
function nn.kind(name)
  local kind = setmetatable({ kind = name }, {
    __index = Module, __call = function(self, ...) return self.new(...) end,
  })
  kind.__index = kind
  kind.__call = function(self, ...) return self:forward(...) end
  kind.__tostring = function(self)
    local count, lines = 0, {}
    for _, tensor in pairs(self:parameters()) do count = count + tensor.count end
    lines[1] = ("%s with %d parameters"):format(name, count)
    for _, parameter in ipairs(self:named_parameters()) do
      local shape = table.concat(parameter.tensor.shape, ", ")
      lines[#lines + 1] = ("  %s [%s]"):format(parameter.name, shape)
    end
    return table.concat(lines, "\n")
  end
  return kind
end

--- A module of this kind with these fields.
---@param fields table
---@return midtrain.Module
function Module:make(fields) return setmetatable(fields, self) end

--- A tensor as a parameter: it requires a gradient.
---@param tensor Tensor
---@return Tensor
--- > w = mid.nn.parameter(mid.zeros { 2, 3 })
function nn.parameter(tensor)
  tensor.requires_grad = true
  return tensor
end

-- Adds what is in a table of parts to a list; lists count from 0 in names, as checkpoints do.
local function collect(part, prefix, list, seen)
  for key, value in next, part do
    local name = math.type(key) == "integer" and key - 1 or key
    if type(key) ~= "string" or key:sub(1, 1) ~= "_" then
      if autograd.is_tensor(value) then
        if not seen[value] then
          seen[value] = true
          list[#list + 1] = { name = prefix .. name, tensor = value }
        end
      elseif type(value) == "table" then
        collect(value, prefix .. name .. ".", list, seen)
      end
    end
  end
end

--- All parameters with their names, in the order of the names.
---@return { name: string, tensor: Tensor }[]
function Module:named_parameters()
  local list = {}
  collect(self, "", list, {})
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

--- All parameters by name, as model:parameters() gives those of a model.
---@return table<string, Tensor>
function Module:parameters()
  local result = {}
  for _, p in ipairs(self:named_parameters()) do result[p.name] = p.tensor end
  return result
end

--- Forgets all gradients.
function Module:zero_grad()
  for _, tensor in pairs(self:parameters()) do tensor.grad = nil end
end

local function set_training(self, pattern, is_wanted)
  for name, tensor in pairs(self:parameters()) do
    if not pattern or name:find(pattern) then tensor.requires_grad = is_wanted end
  end
  return self
end

--- Lets the parameters whose names contain `pattern`, all without it, be trained no longer.
---@param pattern string?
---@return midtrain.Module itself
function Module:freeze(pattern) return set_training(self, pattern, false) end

--- Lets them be trained (again).
---@param pattern string?
---@return midtrain.Module itself
function Module:unfreeze(pattern) return set_training(self, pattern, true) end

--- Takes over values by name, as mid.load_tensors gives them; every parameter must be there.
---@param values table<string, Tensor>
---@return midtrain.Module itself
function Module:load(values)
  native.no_grad(function()
    for _, parameter in ipairs(self:named_parameters()) do
      local value = values[parameter.name]
      if not value then error("load: there is no " .. parameter.name, 3) end
      parameter.tensor:copy_(value)
    end
  end)
  return self
end

-- MARK: Layers

-- Without a generator weights are zeros that take no memory, to be replaced (see Transformer.of).
local function drawn(draw, shape)
  return nn.generator and draw(shape, nn.generator) or native.zeros(1):expand(shape)
end

-- Uniform from -bound to bound, as PyTorch's layers begin.
local function uniform(shape, bound)
  return drawn(function(...) return (native.rand(...) * 2 - 1) * bound end, shape)
end

local function normal(shape, deviation)
  return drawn(function(...) return native.randn(...) * deviation end, shape)
end

local Linear = nn.kind "Linear"
nn.Linear = Linear

--- x · weightᵀ + bias over the last dimension: (…, inputs) → (…, outputs).
---@param inputs integer
---@param outputs integer
---@param given { bias: boolean?, deviation: number? }? bias (true); deviation: of normal weights,
--- else uniform ones
---@return midtrain.Module
--- > y = mid.nn.Linear(3, 2)(mid.ones { 4, 3 })
function Linear.new(inputs, outputs, given)
  local o, bound = given or {}, 1 / math.sqrt(inputs)
  local shape = { outputs, inputs }
  local weight = o.deviation and normal(shape, o.deviation) or uniform(shape, bound)
  local bias
  if o.bias ~= false then
    bias = nn.parameter(o.deviation and native.zeros(outputs) or uniform(outputs, bound))
  end
  return Linear:make { weight = nn.parameter(weight), bias = bias }
end

function Linear:forward(x) return x:linear(self.weight, self.bias) end

local Embedding = nn.kind "Embedding"
nn.Embedding = Embedding

--- Rows of a table by place: ids (…) from 1 to `count` → (…, size).
---@param count integer
---@param size integer
---@param given { deviation: number? }? of the normal distribution that they begin with (1)
---@return midtrain.Module
--- > y = mid.nn.Embedding(10, 4)({ 1, 2, 2 })
function Embedding.new(count, size, given)
  local weight = normal({ count, size }, given and given.deviation or 1)
  return Embedding:make { weight = nn.parameter(weight) }
end

function Embedding:forward(ids) return self.weight:embedding(ids) end

local RMSNorm = nn.kind "RMSNorm"
nn.RMSNorm = RMSNorm

--- weight · x / √(mean(x²) + epsilon) over the last dimension.
---@param size integer
---@param epsilon number?
---@return midtrain.Module
--- > y = mid.nn.RMSNorm(3)(mid.ones { 4, 3 })
function RMSNorm.new(size, epsilon)
  return RMSNorm:make { weight = nn.parameter(native.ones(size)), _epsilon = epsilon or 1e-6 }
end

function RMSNorm:forward(x) return x:rms_norm(self.weight, self._epsilon) end

local LayerNorm = nn.kind "LayerNorm"
nn.LayerNorm = LayerNorm

--- weight · (x − mean) / √(variance + epsilon) + bias over the last dimension.
---@param size integer
---@param epsilon number?
---@return midtrain.Module
--- > y = mid.nn.LayerNorm(3)(mid.randn({ 4, 3 }, 1))
function LayerNorm.new(size, epsilon)
  return LayerNorm:make {
    weight = nn.parameter(native.ones(size)), bias = nn.parameter(native.zeros(size)),
    _epsilon = epsilon or 1e-5,
  }
end

function LayerNorm:forward(x)
  local centred = x - x:mean(-1, true)
  local variance = centred:square():mean(-1, true)
  return centred * (variance + self._epsilon):rsqrt() * self.weight + self.bias
end

local Sequential = nn.kind "Sequential"
nn.Sequential = Sequential

--- Modules, or functions, one after another.
---@param parts (midtrain.Module|function)[]
---@return midtrain.Module
--- > net = mid.nn.Sequential { mid.nn.Linear(2, 8), function(x) return x:relu() end }
function Sequential.new(parts) return Sequential:make(table.move(parts, 1, #parts, 1, {})) end

function Sequential:forward(x, ...)
  for _, part in ipairs(self) do x = part(x, ...) end
  return x
end

-- Attention, MLP and Transformer.
require "midtrain.transformer"(nn)

return nn
