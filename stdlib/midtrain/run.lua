-- What every training run shares: steps one after another, in the background or at the prompt;
-- knobs that may be assigned at any time and hold from the next step on; the run's folder. What a
-- step does is the policy's business (rmt.lua, coldstart.lua).
--
-- A run is an empty proxy: reading it reaches its fields, knobs and methods, assigning to it is
-- always seen, checked and journaled.

local attach = require "midtrain.attach"
local blame = require "midtrain.blame"
local checkpoint = require "midtrain.checkpoint"
local errors = require "midtrain.errors"
local health = require "midtrain.health"
local history = require "midtrain.history"
local journal = require "midtrain.journal"
local knobs = require "midtrain.knobs"
local mid = require "midtrain.native"
local options = require "midtrain.options"
local progress = require "midtrain.progress"
local proxy = require "midtrain.proxy"
local record = require "midtrain.record"
local replay = require "midtrain.replay"
local resume = require "midtrain.resume"
local tensorboard = require "midtrain.tensorboard"
local training = require "midtrain.training"
local views = require "midtrain.views"
local watch = require "midtrain.watch"

local run = {}

local fields = proxy.fields

-- All runs that somebody still holds.
local live = setmetatable({}, { __mode = "k" })

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
  attach = { "boolean", default = true, doc = "let `midtrain attach` and `midtrain set` reach it, in out" },
  progress = { "boolean", default = true, doc = "print a line per step" },
  learning_rate = { "number", default = 1e-6, min = 0, knob = true, doc = "[K]" },
  max_grad_norm = { "number", default = 1.0, min = 0, knob = true, doc = "0 = no clipping" },
  weight_decay = { "number", default = 0.01, min = 0, doc = "[D, RPT]" },
  adam_beta2 = { "number", default = 0.999, min = 0, max = 1, doc = "[D, RPT]" },
  on_error = {
    "string", default = "pause", choices = { "pause", "fallback" }, knob = true,
    doc = "when a step fails: halt before it, or take back the change that made it fail",
  },
  checkpointing = {
    "string", default = "auto", choices = { "auto", "off", "mlp", "block" }, knob = true,
    doc = "what the backward pass computes again; auto: as much as memory makes necessary",
  },
  memory_limit = { "number", min = 1e-6, knob = true, doc = "GB; what the machine has if absent" },
})

-- Assigns all knobs or none.
local function assign(self, given)
  local own, values = fields(self), {}
  for name, value in pairs(given) do
    values[name] = knobs.checked(own, name, value)
  end
  -- In a replay what the script, a file or a prompt changes is in the journal, with its step.
  if own.changes then return end
  for name, value in pairs(values) do own[name], own.pending[name] = value, mid.client() or true end
end

-- Two processes in one folder would spoil each other's files.
local function claim(name, out)
  local other = mid.lock(out .. "/.lock")
  if other then
    error(("%s: process %d has a run in '%s'; end it, or choose another folder for out"):format(name, other,
      out), 3)
  end
end

---@class midtrain.RunPolicy
---@field name string
---@field options table checked options
---@field specification table<string, midtrain.Option>
---@field step fun(run: midtrain.Run, knobs: table, t: integer): table one step's metrics
---@field line fun(metrics: table): string the policy's part of the progress line
---@field admit (fun(name: string, value: any))? raises an error if the run as it is cannot use a knob's value
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
    changes = replay.changes(o.out), recorded = replay.recorded(o.out),
    status = "ready", history = history.new(), pending = {}, knobs = {}, previous = {}, fresh = {},
    noting = {}, timings = {}, logged = {}, unwritten = {}, num_tokens = 0,
  }, Run)
  for name, option in pairs(policy.specification) do
    if option.knob then
      knobs.admit(own, name, o[name])
      own[name], own.knobs[name] = o[name], o[name]
    end
  end
  if o.resume and not own.out then error(policy.name .. ": resume needs the run's folder, out", 2) end
  local is_there = own.out and mid.exists(own.out .. "/metrics.jsonl")
  if is_there and o.resume then claim(policy.name, own.out) end
  if own.out and not (is_there and o.resume) then
    if is_there then
      error(("%s: '%s' already holds a run; go on with it (resume = true), choose another folder for "
        .. "out, or remove it"):format(policy.name, own.out), 2)
    end
    mid.mkdir(own.out)
    claim(policy.name, own.out)
    journal.write(own.out .. "/config.json", {
      name = policy.name, version = mid.version, options = journal.settings(o),
      script = replay.script(),
    })
  end
  own.in_force = own.knobs
  own.optimizer = mid.adamw(o.model, {
    learning_rate = type(o.learning_rate) == "number" and o.learning_rate or 0,
    weight_decay = o.weight_decay, beta2 = o.adam_beta2,
  })
  if o.resume and (is_there or type(o.resume) == "string") then resume.from(own, o.resume) end
  local self = setmetatable({}, {
    __index = function(self, name) return fields(self)[name] end,
    __newindex = function(self, name, value) assign(self, { [name] = value }) end,
    __fields = own, __name = "Run", __tostring = function(self) return self:describe() end,
  })
  live[self] = true
  if own.out and o.attach then own.server = attach.serve(self, own.out) end
  return self
end

-- The policy's part of a step, tried again without a change that made it fail, if that is wanted.
local function attempt(self)
  local own = fields(self)
  while true do
    record.begin(own)
    own.has_updated = false
    local ok, result = xpcall(function()
      own.in_force = knobs.in_force(own)
      return own.policy.step(self, own.in_force, own.t)
    end, errors.traced)
    if ok then return result end
    local is_again = not own.has_updated
      and knobs.fall_back(own, result, own.in_force.on_error == "fallback")
    if not is_again then error(result, 0) end
  end
end

--- The runs that somebody still holds and that have one of these states.
---@param states table<string, boolean>
---@return midtrain.Run[]
function run.having(states)
  local found = {}
  for one in pairs(live) do
    if states[fields(one).status] then found[#found + 1] = one end
  end
  return found
end

--- Saves what a signal ends between two steps.
---@param signal string its name
function run.save_all(signal)
  local runs = run.having { ready = true, running = true, paused = true, stopped = true }
  checkpoint.save_all(runs, signal)
end

-- Whose line of progress it is, where there are several runs.
local function named(own)
  if #run.having { running = true } < 2 then return "" end
  return (own.out and own.out:match "[^/]*$" or own.name) .. ": "
end

local function take_step(self)
  local own = fields(self)
  if own.changes then
    replay.apply(own.changes, own.t + 1,
      function(name, value) own[name], own.pending[name] = value, true end)
  elseif own.watched then
    watch.update(own.watched, function(given) assign(self, given) end)
  end
  knobs.apply(own)
  own.timings, own.histograms, own.is_stepping = {}, {}, true
  local held <close> = setmetatable({}, { __close = mid.release_interrupts })
  local started = mid.clock()
  local metrics = attempt(self)
  local seconds = mid.clock() - started
  -- What a schedule gave is to be seen, too.
  for name, value in pairs(own.in_force) do
    local is_given = type(own.knobs[name]) == "function" and type(value) == "number"
    if is_given and metrics[name] == nil then metrics[name] = value end
  end
  own.t, own.is_stepping = own.t + 1, false
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
  if own.policy.options.progress then progress.show(named(own) .. self:describe(), own.t, own.T, own) end
  record.finish(own)
  local every = own.policy.options.save_steps
  if own.out and every > 0 and own.t % every == 0 then self:checkpoint() end
end

-- Steps until `last`, a stop, or an error; the error leaves the run where it was before the step.
local function advance(self, last, pausable)
  local own = fields(self)
  -- In this order: an interrupt may come between two assignments, and see fields().
  own.thread = coroutine.running()
  if pausable then own.job_thread = own.thread end
  own.status, own.error = "running", nil
  mid.hold_termination()
  local held <close> = setmetatable({}, { __close = mid.release_termination })
  local ok, message = xpcall(function()
    record.flush(own)
    while own.t < last and not own.stopping and not mid.is_terminated() do
      if pausable and own.pausing then
        own.status = "paused"
        if own.problem and mid.is_unattended() then error(own.problem, 0) end
        mid.sleep(0.02)
      else
        own.status = "running"
        if own.t == own.recorded then
          self:checkpoint()
          replay.reached(own.policy.options.out)
        end
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
    if own.t == own.T and own.changes then replay.finish(own.policy.options.out) end
  end, errors.traced)
  local signal, holders = mid.is_terminated()
  -- The last of several runs that are saved ends the process.
  if ok and signal and holders == 1 then
    run.save_all(signal)
    os.exit(signal == "SIGINT" and 130 or 143)
  end
  if own.policy.options.progress then progress.finish() end
  if not ok then
    own.status, own.error, own.is_stepping = "failed", message, false
    if pausable then
      print(("%s: halted before step %d%s; mend what is wrong, then run:resume()"):format(own.name,
        own.t + 1, own.out and " of " .. own.out or ""))
    end
    -- What was learned up to here is not lost with the process. An interrupt stops this, too.
    if own.t > 0 and not own.has_updated then pcall(self.checkpoint, self) end
    -- Which of several runs it was.
    local prefix = pausable and ("run %s: "):format(own.out or own.name) or ""
    error(prefix .. message, 0)
  end
end

local function check_can_start(own, verb)
  if own.t >= own.T and own.status ~= "failed" then
    error(("run: all %d steps are done%s"):format(own.T, own.out
      and "; to train longer, make it again with more steps, out and resume = true" or ""), 3)
  end
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
  if own.status == "failed" and own.has_updated then
    print(("run: step %d had changed the weights before it failed; it comes on top of that")
      :format(own.t + 1))
  end
  own.stopping, own.pausing, own.is_inline, own.thread = false, false, false, nil
  own.job = mid.spawn(function()
    advance(self, own.T, true)
    own.status = own.t >= own.T and "done" or "stopped"
  end)
  own.status = "running"
  return self
end

--- Takes `count` steps (1) here and now, and returns the last one's metrics.
---@param count integer?
---@return table metrics
function Run:step(count)
  local own = fields(self)
  check_can_start(own, "step")
  local before, thread = own.status, own.thread
  if before ~= "paused" then own.job = nil end
  count = options.value("run:step", "count", count or 1, { "integer", min = 1 })
  local last = math.min(own.T, own.t + count)
  own.stopping, own.is_inline = false, not coroutine.isyieldable()
  -- A coroutine of its own tells afterwards whether it was interrupted.
  local ok, message = pcall(own.is_inline and coroutine.wrap(advance) or advance, self, last, false)
  own.thread = thread
  if before == "paused" then
    own.status = own.t >= own.T and "done" or "paused"
  elseif ok then
    own.status = own.t >= own.T and "done" or "ready"
  end
  if not ok then error(message, 0) end
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

--- Goes on after a pause or a stop, or after an error whose cause is mended: with the step that failed.
---@return midtrain.Run
function Run:resume()
  local own = fields(self)
  if own.status == "failed" or own.status == "stopped" then return self:start() end
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
  step = options.value("run:wait", "step", step, { "integer", min = 0 })
  if own.pausing and not own.problem then
    error("run: it is paused, so waiting would never end; resume it first", blame.level())
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

---@type table<string, midtrain.Option>
local forking = { out = { "string", doc = "the fork's folder; without it nothing is written" } }

--- A second future from the same state: a run of its own that has taken the same steps, with a copy
--- of the model, the optimiser's state and the settings in force. Random numbers depend on seed and
--- step, so a fork of which nothing is changed repeats this run to the bit.
---@param given table?
---@return midtrain.Run
function Run:fork(given)
  local own = fields(self)
  local o = options.check("run:fork", given, forking)
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
options.takes(Run.fork, forking)

--- Assigns several settings at once, all or none; they are in force from the next step.
---@param given table<string, any>
---@return midtrain.Run
function Run:set(given)
  if type(given) ~= "table" then
    error(("run:set: expected a table of settings, got %s"):format(type(given)), blame.level())
  end
  assign(self, given)
  return self
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

-- What a policy's step calls, and how people look at a run.
for _, methods in ipairs { training, views } do
  for name, method in pairs(methods) do Run[name] = method end
end

--- What every run can do, by name.
run.methods = Run

--- Ends every run that trains or is paused at its next step boundary, with a checkpoint.
function run.stop_all()
  for _, one in ipairs(run.having { running = true, paused = true }) do
    one:stop()
    if one.out then print(("run: step %d of %s is saved"):format(one.t, one.out)) end
  end
end

return run
