-- Going back to a state: a run goes on from a checkpoint as if it had never stopped, and a fork takes
-- over the state of another run.

local checkpoint = require "midtrain.checkpoint"
local history = require "midtrain.history"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"

local resume = {}

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
    local option = own.specification[entry.name]
    if not option or not option.knob then
      print(("run: an entry of the journal is passed over: there is no setting %s"):format(entry.name))
    elseif problem then
      print(("run: %s was changed before step %s, and %s cannot be made again from the journal: "
        .. "assign it again"):format(entry.name, entry.step, problem))
    else
      own[entry.name], own.knobs[entry.name] = value, value
    end
  end
end

--- Goes on from a checkpoint: the newest that is whole, or the one given. What the folder says about
--- later steps is taken out; they will be taken again. Checkpoints of later steps get other names.
---@param own table the fields of a run that is new
---@param from boolean|string
function resume.from(own, from)
  local folders = type(from) == "string" and { from } or checkpoint.list(own.out)
  local names, checkpoints = checkpoint.names(own.out)
  for _, name in ipairs(names) do
    -- What a run wrote when it was killed.
    if name:find "%.tmp$" then mid.remove(checkpoints .. "/" .. name) end
  end
  local found
  local damaged = {}
  for _, dir in ipairs(folders) do
    local ok, problem = pcall(mid.verify, dir)
    damaged[dir] = not ok
    if ok then ok, problem = pcall(read, own, dir) end
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
  if found then checkpoint.set_aside(own, damaged) end
  if not found then print(("run: %s has no checkpoint yet; starting anew"):format(own.out)) end
  own.history = history.new()
  for _, entry in ipairs(journal.cut(own.out .. "/metrics.jsonl", own.t)) do
    if math.tointeger(entry.step) then own.history[math.tointeger(entry.step)] = entry end
  end
  -- It may have been killed between saving one and removing another.
  if found then checkpoint.prune(own) end
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
  local dir = checkpoint.scratch()
  own.optimizer:save(dir)
  fork.optimizer:load(dir)
  mid.remove(dir)
  fork.t, fork.num_tokens, fork.metrics = own.t, own.num_tokens, own.metrics
  fork.history = table.move(own.history, 1, #own.history, 1, history.new())
  for name in pairs(own.knobs) do
    fork[name], fork.knobs[name], fork.pending[name] = own[name], own.knobs[name], own.pending[name]
  end
  if own.policy.state and fork.policy.restore then fork.policy.restore(own.policy.state()) end
end

return resume
