-- Runs that go on after an interruption and forks, on the real engine: the same bits as if nothing
-- had happened.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"
local tiny = require "support.tiny"

local docs, model, rmt, timeless, weights = tiny.docs, tiny.model, tiny.rmt, tiny.timeless, tiny.weights

-- Changes while it trains: a number, a schedule that closes over another, a table.
local function swap(run)
  run.temperature = 0.9
  run.budget = mid.budget.linear { initial = 9, final = 4 }
  run.curriculum = { 0.2, 0.3, 0.5 }
end

local function undisturbed()
  local run = rmt()
  run:step(2)
  swap(run)
  run:step(4)
  return run
end

local tests = {}

function tests.a_resumed_run_is_one_that_never_stopped()
  local expected, out = undisturbed(), scratch.path()
  local first = rmt { out = out, save_steps = 2 }
  first:step(2)
  swap(first)
  -- The last step is after the last checkpoint: it is taken again.
  first:step(3)
  local said, run = check.printed(function() return rmt { out = out, save_steps = 2, resume = true } end)
  assert(said:find("going on after step 4 of 6", 1, true), said)
  check.equal({ run.t, run.status, #run.history, run.temperature }, { 4, "ready", 4, 0.9 })
  check.equal(run.budget(3, 6), 6)
  run:step(2)
  check.equal(timeless(run.history), timeless(expected.history))
  assert(weights(run.model) == weights(expected.model), "weights differ")
  local steps = {}
  for i, entry in ipairs(scratch.json_lines(out .. "/metrics.jsonl")) do steps[i] = entry.step end
  check.equal(steps, { 1, 2, 3, 4, 5, 6 })
  check.equal(#scratch.json_lines(out .. "/journal.jsonl"), 3)
  scratch.remove(out)
end

function tests.a_damaged_checkpoint_is_passed_over()
  local out = scratch.path()
  rmt({ out = out, save_steps = 2 }):step(5)
  local newest = out .. "/checkpoints/step-4/model.safetensors"
  local bytes = scratch.read(newest)
  do
    local file <close> = assert(io.open(newest, "w"))
    file:write(bytes:sub(1, #bytes // 2))
  end
  local said, run = check.printed(function() return rmt { out = out, resume = true } end)
  check.equal(run.t, 2)
  assert(said:find("step-4 cannot be used, trying the one before", 1, true), said)
  local expected = rmt()
  expected:step(6)
  run:step(4)
  assert(weights(run.model) == weights(expected.model), "weights differ")
  scratch.remove(out)
end

-- One byte of a weight, its size as before: no number shows it, the checksum does.
function tests.damage_that_leaves_the_size_is_noticed()
  local out = scratch.path()
  rmt({ out = out, save_steps = 2 }):step(5)
  local expected = rmt()
  expected:step(6)
  for _, name in ipairs { "model.safetensors", "optimizer.safetensors", "trainer_state.json" } do
    local newest = out .. "/checkpoints/step-4/" .. name
    local bytes = scratch.read(newest)
    local place = #bytes - 5
    mid.write(newest, bytes:sub(1, place - 1) .. string.char(bytes:byte(place) ~ 1)
      .. bytes:sub(place + 1))
    local said, run = check.printed(function() return rmt { out = out, resume = true, save_steps = 2 } end)
    check.equal(run.t, 2)
    assert(said:find(name .. ": is damaged: its checksum is", 1, true), said)
    assert(said:find("step-4 is kept as step-4.damaged", 1, true), said)
    if name:find "safetensors" then
      check.raises(function() mid.verify(out .. "/checkpoints/step-4.damaged") end, "is damaged")
    end
    if name == "model.safetensors" then
      check.raises(function() mid.load(out .. "/checkpoints/step-4.damaged") end, "is damaged")
    end
    -- The steps are taken again, and saved again.
    check.printed(function() run:step(3) end)
    mid.verify(out .. "/checkpoints/step-4")
  end
  local _, run = check.printed(function() return rmt { out = out, resume = true } end)
  check.equal(run.t, 4)
  run:step(2)
  assert(weights(run.model) == weights(expected.model), "weights differ")
  scratch.remove(out)
end

function tests.going_back_keeps_what_came_after_under_another_name()
  local out = scratch.path()
  rmt({ out = out, save_steps = 1, save_total_limit = 3 }):step(4)
  local said, run = check.printed(function()
    return rmt { out = out, resume = out .. "/checkpoints/step-2", save_steps = 1, save_total_limit = 1 }
  end)
  check.equal(run.t, 2)
  assert(said:find("step-4 is kept as step-4.old", 1, true), said)
  run:step(1)
  check.equal(mid.list(out .. "/checkpoints"), { "step-3", "step-3.old", "step-4.old" })
  scratch.remove(out)
end

function tests.without_a_checkpoint_it_starts_anew()
  local out = scratch.path()
  rmt({ out = out }):step(3)
  local said, run = check.printed(function() return rmt { out = out, resume = true } end)
  assert(said:find("no checkpoint yet; starting anew", 1, true), said)
  check.equal({ run.t, #scratch.json_lines(out .. "/metrics.jsonl") }, { 0, 0 })
  scratch.remove(out)
  -- With nothing there, it is an ordinary start.
  check.equal(rmt({ out = scratch.path(), resume = true }).t, 0)
end

function tests.what_does_not_belong_is_refused()
  local out = scratch.path()
  rmt({ out = out, save_steps = 1 }):step(1)
  check.raises(function() rmt { out = out } end, "already holds a run", "resume = true")
  check.raises(function() rmt { resume = true } end, "resume needs the run's folder")
  check.raises(function() rmt { out = out, resume = out .. "/nowhere" } end, "cannot go on from")
  check.raises(function() check.printed(function() rmt { out = out, resume = true, seed = 9 } end) end,
    "no checkpoint in")
  check.raises(function()
    mid.ntp { model = model(), docs = docs, out = out, resume = out .. "/checkpoints/step-1" }
  end, "it is one of mid.rmt, not of mid.ntp")
  scratch.remove(out)
end

function tests.only_the_newest_checkpoints_are_kept()
  local out = scratch.path()
  rmt({ out = out, save_steps = 1, save_total_limit = 2 }):step(4)
  check.equal(mid.list(out .. "/checkpoints"), { "step-3", "step-4" })
  scratch.remove(out)
end

-- Checkpoints that stay when a metric has these values at steps 1, 2, …
local function kept(values, given)
  local out = scratch.path()
  local run = rmt(mid.options.merged({
    out = out, save_steps = 1, steps = #values, metric_for_best_model = "score",
  }, given))
  local inner, best = run.policy.step, {}
  run.policy.step = function(...)
    local metrics = inner(...)
    metrics.score = values[run.t + 1] or nil
    return metrics
  end
  check.printed(function()
    for t = 1, #values do
      run:step()
      best[t] = (run:best() or ""):match "[^/]*$"
    end
  end)
  local names = mid.list(out .. "/checkpoints")
  scratch.remove(out)
  return names, best
end

function tests.the_best_checkpoint_stays()
  check.equal({ kept({ 1, 5, 2, 3 }, { save_total_limit = 2 }) },
    { { "step-2", "step-4" }, { "step-1", "step-2", "step-2", "step-2" } })
  check.equal({ kept({ 3, 1, 2 }, { save_total_limit = 1, greater_is_better = false }) },
    { { "step-2", "step-3" }, { "step-1", "step-2", "step-2" } })
  -- The newest may be the best; of equals the older is; a step without the metric has that before.
  check.equal({ kept({ 1, 1, 2 }, { save_total_limit = 1 }) },
    { { "step-3" }, { "step-1", "step-1", "step-3" } })
  check.equal({ kept({ 1, 4, false, 3 }, { save_total_limit = 2 }) },
    { { "step-2", "step-4" }, { "step-1", "step-2", "step-2", "step-2" } })
  check.equal((kept({ 1, 2, 3 }, {})), { "step-1", "step-2", "step-3" })
end

function tests.a_loss_is_better_when_it_is_smaller()
  local out = scratch.path()
  local run = rmt { out = out, save_steps = 1, save_total_limit = 1, metric_for_best_model = "ntp_loss" }
  run:step(4)
  local least = 1
  for t = 2, 4 do
    if run.history[t].ntp_loss < run.history[least].ntp_loss then least = t end
  end
  local dir, value = run:best()
  check.equal({ dir, value }, { out .. "/checkpoints/step-" .. least, run.history[least].ntp_loss })
  scratch.remove(out)
  local said = check.printed(function()
    rmt({ out = out, save_steps = 1, metric_for_best_model = "rewrad" }):step()
  end)
  assert(said:find("unknown metric 'rewrad'; did you mean 'reward'?", 1, true), said)
  scratch.remove(out)
end

function tests.a_fork_repeats_its_run_and_leaves_it_alone()
  local out = scratch.path()
  local run = rmt { out = out }
  run:step(2)
  swap(run)
  run:step(1)
  local same, other = run:fork(), run:fork { out = out .. "-other" }
  other.learning_rate = 0
  local expected = undisturbed()
  other:step(3)
  same:step(3)
  run:step(3)
  for name, one in pairs { run = run, fork = same } do
    check.equal(timeless(one.history), timeless(expected.history), name)
    assert(weights(one.model) == weights(expected.model), name .. ": weights differ")
  end
  assert(weights(other.model) ~= weights(expected.model), "the other one went its own way")
  check.equal({ other.t, other.status, #other.history }, { 6, "done", 6 })
  check.equal(#scratch.json_lines(out .. "-other/metrics.jsonl"), 3)
  check.raises(function() run:fork { out = out } end, "already holds a run")
  check.raises(function() run:fork { uot = out } end, "did you mean 'out'")
  scratch.remove(out)
  scratch.remove(out .. "-other")
end

return tests
