-- The checkpoints of a run: Hugging Face folders with the trainer's state and checksums, each complete
-- or not there at all, and which of them are kept.

local history = require "midtrain.history"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"
local options = require "midtrain.options"

local checkpoint = {}

--- Options of every run about what is saved.
---@type table<string, midtrain.Option>
checkpoint.specification = {
  save_steps = { "integer", default = 0, min = 0, doc = "0: checkpoint at the end only" },
  save_total_limit = { "integer", default = 0, min = 0, doc = "checkpoints that are kept; 0: all" },
  metric_for_best_model = {
    "string", doc = "the checkpoint where this metric is best is kept beside the newest",
  },
  greater_is_better = { "boolean", doc = "of that metric; true unless its name ends with loss" },
}

--- What is in the checkpoints' folder of a run, and that folder.
---@param out string
---@return string[] names, string dir
function checkpoint.names(out)
  local dir = out .. "/checkpoints"
  return mid.exists(dir) and mid.list(dir) or {}, dir
end

--- The checkpoints of a run's folder, newest first. One that was not finished has another name.
---@param out string
---@return string[] folders, integer[] steps
function checkpoint.list(out)
  local names, dir = checkpoint.names(out)
  local steps, folders = {}, {}
  for _, name in ipairs(names) do
    local step = math.tointeger(name:match "^step%-(%d+)$")
    if step then steps[#steps + 1] = step end
  end
  table.sort(steps, function(a, b) return a > b end)
  for i, step in ipairs(steps) do folders[i] = ("%s/step-%d"):format(dir, step) end
  return folders, steps
end

local function write(own, dir)
  own.model:save(dir)
  if own.model.adapter_rank then own.model:save_adapter(dir .. "/adapter") end
  own.optimizer:save(dir)
  journal.write(dir .. "/trainer_state.json", {
    name = own.name, step = own.t, steps = own.T, seed = own.seed, num_tokens = own.num_tokens,
    knobs = journal.describe(own.knobs), policy = own.policy.state and own.policy.state() or nil,
    -- What schedules get as `state`, and where adaptive ones keep what they remember.
    metrics = journal.describe(own.metrics),
  })
  mid.seal(dir)
end

--- An empty folder that nobody else has, for state that is kept for a moment.
---@return string dir
function checkpoint.scratch()
  local dir = os.tmpname()
  os.remove(dir)
  mid.mkdir(dir)
  return dir
end

--- Writes a run's state as a folder that does not exist yet. What could not be finished is removed:
--- it may be what fills the disk.
---@param own table the fields of a run
---@param dir string
function checkpoint.save(own, dir)
  local temporary = dir .. ".tmp"
  if mid.exists(temporary) then mid.remove(temporary) end
  mid.mkdir(temporary)
  local ok, problem = pcall(write, own, temporary)
  if not ok then
    pcall(mid.remove, temporary)
    error(problem, 0)
  end
  mid.rename(temporary, dir)
end

--- Saves runs that a signal ends, and says so.
---@param runs midtrain.Run[]
---@param signal string its name
function checkpoint.save_all(runs, signal)
  for _, run in ipairs(runs) do
    -- Half a step's state belongs to no step, and what never began has none.
    if not run.is_stepping and (run.t > 0 or run.status ~= "ready") then
      local ok, problem = pcall(run.checkpoint, run)
      io.stderr:write(("run: ended by %s after step %d%s\n"):format(signal, run.t,
        not run.out and "; without out nothing is saved"
        or ok and ", which is saved; resume = true goes on"
        or (", which could not be saved: %s"):format(problem)))
    end
  end
end

-- A metric at a step, or before it if it is not computed at every step.
local function value_at(rows, name, step)
  for t = step, 1, -1 do
    local value = history.at(rows, t, name)
    if value and value == value then return value end
  end
end

--- The checkpoint at which `metric_for_best_model` was best, the older of equals; nil without that
--- option, or as long as there is no such checkpoint.
---@param own table the fields of a run
---@return string? dir, number? value
function checkpoint.best(own)
  local o = own.policy.options
  local name, best, best_value = o.metric_for_best_model, nil, nil
  if not name or not own.out then return nil end
  local is_greater_better = o.greater_is_better
  if is_greater_better == nil then is_greater_better = not name:find "loss$" end
  local folders, steps = checkpoint.list(own.out)
  for i, dir in ipairs(folders) do
    local value = value_at(own.history, name, steps[i])
    local is_better = value and
      (not best or value == best_value or (value > best_value) == is_greater_better)
    if is_better then best, best_value = dir, value end
  end
  return best, best_value
end

--- Removes checkpoints above the limit, the oldest first; the best and the newest stay.
---@param own table the fields of a run
function checkpoint.prune(own)
  local limit, name = own.policy.options.save_total_limit, own.policy.options.metric_for_best_model
  local best = checkpoint.best(own)
  if name and not best and own.metrics and not own.told_of_metric then
    own.told_of_metric = true
    print(options.unknown("metric_for_best_model", name, own.metrics, "metric"))
  end
  if limit == 0 then return end
  local room = limit - (best and 1 or 0)
  for i, dir in ipairs((checkpoint.list(own.out))) do
    if dir ~= best then
      room = room - 1
      if i > 1 and room < 0 then mid.remove(dir) end
    end
  end
end

--- Gives checkpoints of steps that will be taken again other names, so that they are neither taken
--- for what the run saves from now on nor lost.
---@param own table the fields of a run
---@param damaged table<string, boolean> folders that are not what they were
function checkpoint.set_aside(own, damaged)
  local folders, steps = checkpoint.list(own.out)
  for i, dir in ipairs(folders) do
    if steps[i] > own.t then
      local name = dir .. (damaged[dir] and ".damaged" or ".old")
      if mid.exists(name) then mid.remove(name) end
      mid.rename(dir, name)
      print(("run: %s is kept as %s"):format(dir, name:match "[^/]*$"))
    end
  end
end

return checkpoint
