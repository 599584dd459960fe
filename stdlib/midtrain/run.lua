-- What every training run shares: steps one after another, in the background or at the prompt;
-- knobs that may be assigned at any time and hold from the next step on; the run's folder. What a
-- step does is the policy's business (rmt.lua, coldstart.lua).
--
-- A run is an empty proxy: reading it reaches its fields, knobs and methods, assigning to it is
-- always seen, checked and journaled.

local checkpoint = require "midtrain.checkpoint"
local health = require "midtrain.health"
local history = require "midtrain.history"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"
local options = require "midtrain.options"
local record = require "midtrain.record"
local replay = require "midtrain.replay"
local resume = require "midtrain.resume"
local tensorboard = require "midtrain.tensorboard"
local views = require "midtrain.views"
local watch = require "midtrain.watch"

local run = {}

---@class midtrain.Run
---@field t integer steps taken
---@field T integer steps in all
---@field seed integer
---@field out string? the run's folder
---@field status "ready"|"running"|"paused"|"stopped"|"done"|"failed"
---@field metrics table? those of the last step
---@field history table[] those of every step
---@field model table
---@field optimizer table
local Run = {}
Run.__index = Run

--- Options that every run takes.
---@type table<string, midtrain.Option>
run.specification = options.merged(checkpoint.specification, health.specification, {
  model = { { "userdata", "table" }, required = true, doc = "trained in place" },
  steps = { "integer", default = 100, min = 1, doc = "T" },
  seed = { "integer", default = 0 },
  out = { "string", doc = "the run's folder; without it nothing is written" },
  tensorboard = { "boolean", default = true, doc = "event files in out/tensorboard" },
  resume = {
    { "boolean", "string" }, default = false,
    doc = "go on from the newest checkpoint in out, or from this one",
  },
  progress = { "boolean", default = true, doc = "print a line per step" },
  learning_rate = {
    { "number", "function" }, default = 1e-6, min = 0, knob = true,
    doc = "a number, or a function of (t, T, state); 1e-6 [K]",
  },
  max_grad_norm = { "number", default = 1.0, min = 0, knob = true, doc = "0 = no clipping" },
  weight_decay = { "number", default = 0.01, min = 0, doc = "[D, RPT]" },
  adam_beta2 = { "number", default = 0.999, min = 0, max = 1, doc = "[D, RPT]" },
  checkpointing = {
    "string", default = "auto", choices = { "auto", "off", "mlp", "block" }, knob = true,
    doc = "what the backward pass computes again; auto: as much as memory makes necessary",
  },
  memory_limit = { "number", min = 0, knob = true, doc = "GB; what the machine has if absent" },
})

-- The fields behind the proxy. A job that was interrupted may not have come to say so itself: Ctrl-C also
-- ends what would have noted it.
local function fields(self)
  local own = getmetatable(self).__index
  local over = own.job and (own.job.status == "failed" or own.job.status == "cancelled")
  if over and (own.status == "running" or own.status == "paused") then
    own.status, own.error, own.thread = "failed", own.error or own.job.error, nil
  end
  return own
end

-- The value that a knob takes on, checked.
local function checked(own, name, value, level)
  local option = own.specification[name]
  if not option or not option.knob then
    if option or own[name] ~= nil then
      error(("run: '%s' cannot be assigned"):format(name), level)
    end
    local knobs = {}
    for known, candidate in pairs(own.specification) do
      if candidate.knob then knobs[known] = true end
    end
    error(options.unknown("run", name, knobs), level)
  end
  return options.value("run", name, value, option, level)
end

local function assign(self, name, value)
  local own = fields(self)
  value = checked(own, name, value, 3)
  -- In a replay what the script, a file or a prompt changes is in the journal, with its step.
  if own.changes then return end
  own[name], own.pending[name] = value, true
end

---@class midtrain.RunPolicy
---@field name string
---@field options table checked options
---@field specification table<string, midtrain.Option>
---@field step fun(run: midtrain.Run, knobs: table, t: integer): table one step's metrics
---@field line fun(metrics: table): string the policy's part of the progress line
---@field state (fun(): table)? what a checkpoint must keep besides model and optimiser
---@field restore (fun(state: table))? goes back to such a state; the model is still as it was given
---@field new (fun(options: table): midtrain.Run)? another run of the kind, for forks
---@field shared (fun(): table)? options that a fork gets instead of computing them again

--- A run of a policy. Its optimiser is AdamW.
---@param policy midtrain.RunPolicy
---@return midtrain.Run
function run.new(policy)
  local o = policy.options
  local own = setmetatable({
    name = policy.name, policy = policy, specification = policy.specification,
    model = o.model, t = 0, T = o.steps, seed = o.seed, out = replay.folder(o.out),
    changes = replay.changes(o.out),
    status = "ready", history = history.new(), pending = {}, knobs = {}, timings = {}, logged = {}, num_tokens = 0,
    unwritten = {},
  }, Run)
  for name, option in pairs(policy.specification) do
    if option.knob then own[name], own.knobs[name] = o[name], o[name] end
  end
  if o.resume and not own.out then error(policy.name .. ": resume needs the run's folder, out", 2) end
  local is_there = own.out and mid.exists(own.out .. "/metrics.jsonl")
  if own.out and not (is_there and o.resume) then
    if is_there then
      error(("%s: '%s' already holds a run; go on with it (resume = true), choose another folder for "
        .. "out, or remove it"):format(policy.name, own.out), 2)
    end
    mid.mkdir(own.out)
    journal.write(own.out .. "/config.json", {
      name = policy.name, version = mid.version, options = journal.settings(o),
      script = replay.script(),
    })
  end
  own.optimizer = mid.adamw(o.model, {
    learning_rate = type(o.learning_rate) == "number" and o.learning_rate or 0,
    weight_decay = o.weight_decay, beta2 = o.adam_beta2,
  })
  if o.resume and (is_there or type(o.resume) == "string") then resume.from(own, o.resume) end
  return setmetatable({}, {
    __index = own, __newindex = assign, __name = "Run",
    __tostring = function(self) return self:describe() end,
  })
end

-- Puts what was assigned since the last step into force, and writes it down.
local function apply_knobs(own)
  local names = {}
  for name in pairs(own.pending) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    if own.out then
      journal.append(own.out .. "/journal.jsonl", {
        step = own.t + 1, name = name,
        old = journal.describe(own.knobs[name]), new = journal.describe(own[name]),
      })
    end
    own.knobs[name], own.pending[name] = own[name], nil
  end
end

local function take_step(self)
  local own = fields(self)
  if own.changes then
    replay.apply(own.changes, own.t + 1,
      function(name, value) own[name], own.pending[name] = value, true end)
  elseif own.watched then
    watch.update(own.watched, function(name, value) assign(self, name, value) end,
      function(name, value) checked(own, name, value, 0) end)
  end
  apply_knobs(own)
  record.begin(own)
  own.timings, own.histograms = {}, {}
  local started = mid.clock()
  local metrics = own.policy.step(self, own.knobs, own.t)
  local seconds = mid.clock() - started
  own.t = own.t + 1
  own.num_tokens = own.num_tokens + metrics.num_tokens
  metrics.tokens_per_second = metrics.num_tokens / math.max(seconds, 1e-9)
  metrics.step, metrics.num_tokens, metrics.step_time = own.t, own.num_tokens, seconds
  for name, spent in pairs(own.timings) do metrics["timing_s/" .. name] = spent end
  own.metrics, own.seen = metrics, nil
  health.note(own.history, metrics, own.t)
  own.history[own.t] = metrics
  if own.out then
    local finite = {}
    for name, value in pairs(metrics) do
      if health.is_finite(value) then finite[name] = value end
    end
    record.add(own, "metrics.jsonl", journal.line(finite))
    if own.policy.options.tensorboard then record.add(own, tensorboard.step(own, finite)) end
  end
  if own.policy.options.progress then print(self:describe()) end
  record.finish(own)
  local every = own.policy.options.save_steps
  if own.out and every > 0 and own.t % every == 0 then self:checkpoint() end
end

-- Steps until `last`, a stop, or an error; the error leaves the run where it was before the step.
local function advance(self, last, pausable)
  local own = fields(self)
  local thread = own.thread
  own.status, own.error, own.thread = "running", nil, coroutine.running()
  mid.hold_termination()
  local held <close> = setmetatable({}, { __close = mid.release_termination })
  local ok, message = xpcall(function()
    record.flush(own)
    while own.t < last and not own.stopping and not mid.is_terminated() do
      if pausable and own.pausing then
        own.status = "paused"
        mid.sleep(0.02)
      else
        own.status = "running"
        take_step(self)
        own.problem = health.problem(own)
        if own.problem then
          own.went_on_at = own.t
          self:checkpoint()
          if not pausable then error(own.problem, 0) end
          own.pausing = true
          print(own.problem)
        end
      end
    end
    if own.t == own.T or own.stopping or mid.is_terminated() then self:checkpoint() end
  end, debug.traceback)
  own.thread = thread
  local is_terminated, holders = mid.is_terminated()
  -- The last of several runs that are saved ends the process.
  if ok and is_terminated and holders == 1 then
    io.stderr:write(("run: ended by SIGTERM after step %d%s\n"):format(own.t,
      own.out and ", which is saved; resume = true goes on" or "; without out nothing is saved"))
    os.exit(143)
  end
  if not ok then
    own.status, own.error = "failed", message
    error(message, 0)
  end
end

local function check_can_start(own, verb)
  if own.t >= own.T and own.status ~= "failed" then error(("run: all %d steps are done"):format(own.T), 3) end
  if own.status == "running" then
    error(("run: cannot %s while it trains; pause it first"):format(verb), 3)
  end
end

--- Trains in the background until all steps are done; after an error, tries the step again.
---@return midtrain.Run
function Run:start()
  local own = fields(self)
  if own.status == "paused" then return self:resume() end
  check_can_start(own, "start")
  own.stopping, own.pausing, own.status = false, false, "running"
  own.job = mid.spawn(function()
    advance(self, own.T, true)
    own.status = own.t >= own.T and "done" or "stopped"
  end)
  return self
end

--- Takes `count` steps (1) here and now, and returns the last one's metrics.
---@param count integer?
---@return table metrics
function Run:step(count)
  local own = fields(self)
  check_can_start(own, "step")
  local before = own.status
  own.stopping, own.job = false, nil
  advance(self, math.min(own.T, own.t + (count or 1)), false)
  own.status = own.t >= own.T and "done" or before == "paused" and "paused" or "ready"
  return own.metrics
end

-- Lets jobs go on until `condition`, unless this is the run's own coroutine, which would wait for
-- itself.
local function wait_until(self, condition)
  if coroutine.running() == fields(self).thread then return end
  while fields(self).status == "running" and not condition() do mid.sleep(0.02) end
end

--- Holds the run at the next step boundary, and waits for it.
---@return midtrain.Run
function Run:pause()
  local own = fields(self)
  own.pausing = true
  wait_until(self, function() return own.status == "paused" end)
  return self
end

--- Goes on after a pause.
---@return midtrain.Run
function Run:resume()
  local own = fields(self)
  if own.status == "failed" then
    error("run: it failed, it is not paused; mend what run.error says, then start()", 2)
  end
  own.pausing, own.problem = false, nil
  if own.status == "paused" then own.status = "running" end
  return self
end

--- Ends the run at the next step boundary, with a checkpoint; start() would go on from there.
---@return midtrain.Run
function Run:stop()
  local own = fields(self)
  own.stopping, own.pausing = true, false
  if own.status == "paused" then own.status = "running" end
  wait_until(self, function() return false end)
  return self
end

--- Waits until `step` steps are taken, or until the run is over; raises its error, or why it paused
--- itself.
---@param step integer?
---@return midtrain.Run
function Run:wait(step)
  local own = fields(self)
  if own.pausing and not own.problem then
    error("run: it is paused, so waiting would never end; resume it first", 2)
  end
  wait_until(self, function() return own.problem or step and own.t >= step end)
  if own.problem then error(own.problem, 0) end
  if step then
    if own.status == "failed" then error(own.error, 0) end
  elseif own.job then
    own.job:wait()
  end
  return self
end

--- Times a call under `timing_s/name` of this step's metrics, and returns its results.
---@param name string
---@param f function
function Run:time(name, f, ...)
  local timings, started = fields(self).timings, mid.clock()
  local results = table.pack(f(...))
  timings[name] = (timings[name] or 0) + mid.clock() - started
  return table.unpack(results, 1, results.n)
end

--- Log-probabilities of a batch, with gradient, computed in the cheapest way that memory allows;
--- what that is, is said before the first step. An error if nothing fits.
---@param batch any
---@param given { entropy: boolean? }?
---@return any logprobs, any entropies
function Run:logprobs(batch, given)
  local own = fields(self)
  local plan = own.model:memory_plan(batch, {
    optimizer = own.optimizer, checkpointing = own.knobs.checkpointing,
    memory_limit = own.knobs.memory_limit,
  })
  local way = ("%s, %d rows"):format(plan.checkpointing, plan.max_rows)
  if own.t == 0 and own.policy.options.progress and own.planned ~= way then print(plan.summary) end
  own.planned = way
  local logprobs, entropies = self:time("forward", own.model.logprobs, own.model, batch, {
    entropy = given and given.entropy, checkpointing = plan.checkpointing,
    max_rows = plan.max_rows, step = own.t,
  })
  own.seen = { batch = batch, logprobs = logprobs:detach() }
  return logprobs, entropies
end

--- One optimiser step on a loss: backward pass, clipping, AdamW. A loss or gradient that is not
--- finite changes nothing, is counted in `skipped` and written down with its batch.
---@param loss any scalar tensor
---@param metrics table gets loss, grad_norm, learning_rate, skipped
---@param problem string? that something else is not finite: the step is skipped for that
function Run:optimize(loss, metrics, problem)
  local own = fields(self)
  local rate = options.at("run", "learning_rate", own.knobs.learning_rate,
    { "number", required = true, min = 0 }, own.t, own.T, own.metrics)
  metrics.loss, metrics.learning_rate, metrics.skipped = loss:item(), rate, 1
  problem = not health.is_finite(metrics.loss) and "the loss is not finite" or problem
  if problem then return health.dump(own, problem, metrics) end
  own.optimizer:zero_grad()
  local limit = own.knobs.max_grad_norm
  self:time("backward", loss.backward, loss)
  local result = self:time("optimizer", own.optimizer.step, own.optimizer,
    { learning_rate = rate, max_grad_norm = limit > 0 and limit or nil })
  metrics.grad_norm, metrics.skipped = result.grad_norm, result.skipped and 1 or 0
  if result.skipped then health.dump(own, "the gradient is not finite", metrics) end
end

--- Saves a checkpoint: a Hugging Face folder plus the trainer's state and checksums, complete or not
--- there at all.
---@param dir string must not exist yet
---@return string dir
function Run:save(dir)
  local own = fields(self)
  if mid.exists(dir) then error(("run:save: '%s' already exists"):format(dir), 2) end
  local holding = own.status == "running" and coroutine.running() ~= own.thread
  if holding then self:pause() end
  local ok, problem = pcall(checkpoint.save, own, dir)
  if holding then self:resume() end
  if not ok then error(problem, 0) end
  return dir
end

--- Saves `out/checkpoints/step-N` unless it is there, and removes those above the limit.
function Run:checkpoint()
  local own = fields(self)
  if not own.out then return end
  local dir = ("%s/checkpoints/step-%d"):format(own.out, own.t)
  if mid.exists(dir) then return end
  record.sync(own)
  self:save(dir)
  checkpoint.prune(own)
end

--- The checkpoint at which `metric_for_best_model` was best so far, and the metric there.
---@return string? dir, number? value
function Run:best() return checkpoint.best(fields(self)) end

--- A second future from the same state: a run of its own that has taken the same steps, with a copy
--- of the model, the optimiser's state and the settings in force. Random numbers depend on seed and
--- step, so a fork of which nothing is changed repeats this run to the bit.
---@param given { out: string? }? the fork's folder; without it nothing is written
---@return midtrain.Run
function Run:fork(given)
  local own = fields(self)
  local o = options.check("run:fork", given, { out = { "string" } })
  if not own.policy.new then error(("run:fork: %s cannot be forked"):format(own.name), 2) end
  if own.model.adapter_rank then error("run:fork: the model has adapters; save the run instead", 2) end
  local holding = own.status == "running" and coroutine.running() ~= own.thread
  if holding then self:pause() end
  local shared = own.policy.shared and own.policy.shared() or {}
  local given_to_fork = options.merged(own.policy.options, shared,
    { model = own.model:copy { dtype = "f32" }, resume = false })
  given_to_fork.out = o.out
  local fork = own.policy.new(given_to_fork)
  resume.copy(own, fields(fork))
  if holding then self:resume() end
  return fork
end

--- Reads a file before every step and assigns the settings in the table that it returns, whenever
--- its text has changed: schedules that are edited while the run trains. Nil ends it.
---@param path string? a Lua file: return { budget = function(t, T) … end, lambda = 0.2 }
---@return midtrain.Run
function Run:watch(path)
  if path and not mid.exists(path) then
    error(("run:watch: there is no file '%s'"):format(path), 2)
  end
  fields(self).watched = path and { path = path }
  return self
end

-- How a run is looked at: views.lua.
for _, name in ipairs { "plot", "compare", "samples", "doctor", "report" } do
  Run[name] = views[name]
end

--- Values whose distribution the step's TensorBoard record shows.
---@param name string
---@param values number[]
function Run:histogram(name, values)
  if #values > 0 then fields(self).histograms[name] = values end
end

--- Adds a line to a file of the run's folder; those of the last step are kept at hand, too.
---@param file string
---@param entry table
function Run:record(file, entry)
  local own = fields(self)
  local last = own.logged[file]
  if not last or last[1].step ~= entry.step then last = {} end
  last[#last + 1], own.logged[file] = entry, last
  record.add(own, file, journal.line(entry))
end

--- The progress line.
---@return string
function Run:describe()
  local own, metrics = fields(self), self.metrics
  local start = ("step %d/%d"):format(own.t, own.T)
  if not metrics then return ("%s · %s"):format(start, own.status) end
  local halted = { paused = " · paused", failed = " · FAILED: see run.error" }
  return ("%s · %s · %.0f tok/s · %.1f s/step%s%s"):format(start, own.policy.line(metrics),
    metrics.tokens_per_second, metrics.step_time, health.describe(own.history, own.t),
    halted[own.status] or "")
end

return run
