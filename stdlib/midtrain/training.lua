-- What the step of a policy calls on its run: log-probabilities with gradient, the optimiser, and what is
-- to be measured and written down. Methods of every run (run.lua).

local health = require "midtrain.health"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"
local proxy = require "midtrain.proxy"
local record = require "midtrain.record"

local training = {}

local fields = proxy.fields

--- Times a call under `timing_s/name` of this step's metrics, and returns its results.
---@param name string
---@param f function
function training.time(self, name, f, ...)
  local timings, started = fields(self).timings, mid.clock()
  local results = table.pack(f(...))
  timings[name] = (timings[name] or 0) + mid.clock() - started
  return table.unpack(results, 1, results.n)
end

--- The cheapest way to take a step that memory allows; what that is, is said before the first one.
--- An error if nothing fits.
---@param batch any
---@param sampling { segments: integer[], options: table }? completions that are to be sampled of segments of the
---  batch first, with these options of model:rollout: planned for the longest that they can be
---@return table plan see model:memory_plan
function training.plan(self, batch, sampling)
  local own = fields(self)
  local given = {
    optimizer = own.optimizer, checkpointing = own.in_force.checkpointing,
    memory_limit = own.in_force.memory_limit, reference_model = own.policy.options.reference_model,
  }
  if sampling then
    given.completions_of, given.cache_dtype = sampling.segments, sampling.options.cache_dtype
    given.num_generations = sampling.options.num_generations
    given.max_completion_length = sampling.options.max_completion_length
  end
  local plan = own.model:memory_plan(batch, given)
  if own.t == 0 and own.policy.options.progress and not own.planned then print(plan.summary) end
  own.planned = true
  return plan
end

--- Completions of segments of a batch, planned for before they are sampled.
---@param batch any
---@param segments integer[]
---@param given table options of model:rollout
---@return table[][] groups
function training.rollout(self, batch, segments, given)
  local model = fields(self).model
  given.cache_memory = self:plan(batch, { segments = segments, options = given }).cache_memory
  return self:time("rollout", model.rollout, model, batch, segments, given)
end

--- Log-probabilities of a batch, with gradient, computed in the cheapest way that memory allows.
---@param batch any
---@param given { entropy: boolean? }?
---@return any logprobs, any entropies
function training.logprobs(self, batch, given)
  local own = fields(self)
  local plan = self:plan(batch)
  local logprobs, entropies = self:time("forward", own.model.logprobs, own.model, batch, {
    entropy = given and given.entropy, checkpointing = plan.checkpointing,
    max_rows = plan.max_rows, step = own.t,
  })
  own.keeps_activations = plan.checkpointing == "off"
  own.seen = { batch = batch, logprobs = logprobs:detach() }
  return logprobs, entropies
end

--- One optimiser step on a loss: backward pass, clipping, AdamW. A loss or gradient that is not
--- finite changes nothing, is counted in `skipped` and written down with its batch.
---@param loss any scalar tensor
---@param metrics table gets loss, grad_norm, learning_rate, skipped
---@param problem string? that something else is not finite: the step is skipped for that
function training.optimize(self, loss, metrics, problem)
  local own = fields(self)
  local rate, limit = own.in_force.learning_rate, own.in_force.max_grad_norm
  metrics.loss, metrics.learning_rate, metrics.skipped = loss:item(), rate, 1
  problem = not health.is_finite(metrics.loss) and "the loss is not finite" or problem
  if problem then return health.dump(own, problem, metrics) end
  own.optimizer:zero_grad { keep_memory = true }
  self:time("backward", loss.backward, loss)
  -- Once a step has changed the weights, Ctrl-C waits for its end.
  if own.is_inline then mid.hold_interrupts() end
  own.has_updated = true
  local result = self:time("optimizer", own.optimizer.step, own.optimizer,
    { learning_rate = rate, max_grad_norm = limit > 0 and limit or nil })
  -- Where all activations fit at once there is room for gradients beside the next ones, too.
  own.optimizer:zero_grad { keep_memory = own.keeps_activations }
  metrics.grad_norm, metrics.skipped = result.grad_norm, result.skipped and 1 or 0
  if result.skipped then health.dump(own, "the gradient is not finite", metrics) end
end

--- Values whose distribution the step's TensorBoard record shows.
---@param name string
---@param values number[]
function training.histogram(self, name, values)
  if #values > 0 then fields(self).histograms[name] = values end
end

--- Adds a line to a file of the run's folder; those of the last step are kept at hand, too.
---@param file string
---@param entry table
function training.record(self, file, entry)
  local own = fields(self)
  local last = own.logged[file]
  if not last or last[1].step ~= entry.step then last = {} end
  last[#last + 1], own.logged[file] = entry, last
  record.add(own, file, journal.line(entry))
end

return training
