-- Going back to a state: a run goes on from a checkpoint as if it had never stopped, and a fork takes
-- over the state of another run.

local journal = require "midtrain.journal"
local mid = require "midtrain.native"

local resume = {}

--- What is in the checkpoints' folder of a run, and that folder.
---@param out string
---@return string[] names, string dir
function resume.names(out)
  local dir = out .. "/checkpoints"
  return mid.exists(dir) and mid.list(dir) or {}, dir
end

--- The checkpoints of a run's folder, newest first. One that was not finished has another name.
---@param out string
---@return string[] folders
function resume.checkpoints(out)
  local names, dir = resume.names(out)
  local steps = {}
  for _, name in ipairs(names) do
    local step = math.tointeger(name:match "^step%-(%d+)$")
    if step then steps[#steps + 1] = step end
  end
  table.sort(steps, function(a, b) return a > b end)
  for i, step in ipairs(steps) do steps[i] = ("%s/step-%d"):format(dir, step) end
  return steps
end

--- Removes all but the newest checkpoints.
---@param out string
---@param limit integer how many stay; 0: all
function resume.prune(out, limit)
  for i, old in ipairs(limit > 0 and resume.checkpoints(out) or {}) do
    if i > limit then mid.remove(old) end
  end
end

-- JSON has no numbers that are not finite; they were written as Lua prints them.
local function numbers(metrics)
  for name, value in pairs(metrics or {}) do
    if type(value) == "string" then
      metrics[name] = value:find "nan" and 0 / 0 or value:find "^%-" and -math.huge or math.huge
    end
  end
  return metrics
end

-- Reads a checkpoint into a run that is new. The policy's state comes first: what it computes from
-- the model, it computes from the one that the run began with.
local function read(own, dir)
  local file <close> = assert(io.open(dir .. "/trainer_state.json"))
  local state = mid.json.decode(file:read "a")
  if state.name ~= own.name then
    error(("it is one of %s, not of %s"):format(state.name, own.name), 0)
  end
  if state.seed ~= own.seed then
    error(("it has seed %d, this run %d"):format(state.seed, own.seed), 0)
  end
  if own.policy.restore then own.policy.restore(state.policy or {}) end
  own.model:restore(own.model.adapter_rank and dir .. "/adapter" or dir)
  own.optimizer:load(dir)
  own.t, own.num_tokens, own.metrics = state.step, state.num_tokens, numbers(state.metrics)
end

-- What was assigned while the run trained is in force again. Later changes are gone with their steps.
local function replay_knobs(own)
  for _, entry in ipairs(journal.cut(own.out .. "/journal.jsonl", own.t)) do
    local value, problem = journal.revive(entry.new)
    if problem then
      print(("run: %s was changed before step %d, and %s cannot be made again from the journal: "
        .. "assign it again"):format(entry.name, entry.step, problem))
    else
      own[entry.name], own.knobs[entry.name] = value, value
    end
  end
end

--- Goes on from a checkpoint: the newest that is whole, or the one given. What the folder says about
--- later steps is taken out; they will be taken again.
---@param own table the fields of a run that is new
---@param from boolean|string
function resume.from(own, from)
  local folders = type(from) == "string" and { from } or resume.checkpoints(own.out)
  local names, checkpoints = resume.names(own.out)
  for _, name in ipairs(names) do
    -- What a run wrote when it was killed.
    if name:find "%.tmp$" then mid.remove(checkpoints .. "/" .. name) end
  end
  local found
  for _, dir in ipairs(folders) do
    local ok, problem = pcall(read, own, dir)
    if ok then
      found = dir
      break
    end
    if type(from) == "string" then
      error(("%s: cannot go on from '%s': %s"):format(own.name, dir, problem), 0)
    end
    print(("run: the checkpoint %s cannot be used, trying the one before: %s"):format(dir, problem))
  end
  if not found and #folders > 0 then
    error(("%s: no checkpoint in '%s' can be used"):format(own.name, own.out), 0)
  end
  -- It may have been killed between saving one and removing another. A damaged one does not count.
  if found and found == folders[1] and from == true then
    resume.prune(own.out, own.policy.options.save_total_limit)
  end
  if not found then print(("run: %s has no checkpoint yet; starting anew"):format(own.out)) end
  own.history = {}
  for _, entry in ipairs(journal.cut(own.out .. "/metrics.jsonl", own.t)) do
    own.history[entry.step] = entry
  end
  for _, name in ipairs { "completions.jsonl", "samples.jsonl" } do
    journal.cut(own.out .. "/" .. name, own.t)
  end
  replay_knobs(own)
  if found then
    local done = own.t >= own.T
    print(("run: going on after step %d of %d, from %s"):format(own.t, own.T, found))
    own.status = done and "done" or "ready"
  end
end

--- Gives a new run the state of another one.
---@param own table the fields of the other run
---@param fork table the fields of the new one, whose model is a copy already
function resume.copy(own, fork)
  local dir = os.tmpname()
  os.remove(dir)
  mid.mkdir(dir)
  own.optimizer:save(dir)
  fork.optimizer:load(dir)
  mid.remove(dir)
  fork.t, fork.num_tokens, fork.metrics = own.t, own.num_tokens, own.metrics
  fork.history = table.move(own.history, 1, #own.history, 1, {})
  for name in pairs(own.knobs) do
    fork[name], fork.knobs[name], fork.pending[name] = own[name], own.knobs[name], own.pending[name]
  end
  if own.policy.state and fork.policy.restore then fork.policy.restore(own.policy.state()) end
end

return resume
