-- Numbers that are not what they should be: outliers by hand, runs whose loss is not finite.

local check = require "support.check"
local fake = require "support.fake"
local health = require "midtrain.health"
local mid = require "midtrain"
local options = require "midtrain.options"
local runs = require "midtrain.run"
local scratch = require "support.scratch"

-- A run that learns one segment; `factor(t)` multiplies its loss.
local function make(factor, given)
  local model = fake.fake_model()
  local o = options.check("test",
    options.merged({ steps = 12, progress = false, model = model, learning_rate = 0.1 }, given or {}),
    runs.specification)
  return runs.new {
    name = "test", options = o, specification = runs.specification,
    line = function() return "line" end,
    step = function(run, _, t)
      local batch = mid.batch()
      local trunk = batch:segment { 65, 66 }
      batch:segment({ 67 }, { parent = trunk, temperature = 0.5 })
      local metrics = { num_tokens = #batch }
      run:optimize((run:logprobs(batch) * factor(t)):sum(), metrics)
      return metrics
    end,
  }
end

local tests = {}

function tests.outliers_stand_out_above_their_past()
  -- Median 5.5, deviations from it 0.5, 0.5, 1.5 … 4.5: their median is 2.5.
  local before = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }
  local limit = 5.5 + 6 * 1.4826 * 2.5
  check.equal({ health.is_outlier(limit - 0.01, before) }, { false, 5.5 })
  check.equal({ health.is_outlier(limit + 0.01, before) }, { true, 5.5 })
  check.equal(health.is_outlier(-1000, before), false, "only what is too large")
  check.equal(health.is_outlier(1000, { 1, 2, 3 }), false, "too little to compare with")
  -- Values that hardly differ: two per cent of the median stand for their spread.
  local same = { 4, 4, 4, 4, 4, 4, 4, 4, 4, 4 }
  check.equal({ (health.is_outlier(4.47, same)), (health.is_outlier(4.49, same)) }, { false, true })
  check.equal(before, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })
end

function tests.a_jump_is_flagged_and_said()
  local run = make(function(t) return t == 11 and -100 or -1 end)
  run:step(11)
  check.equal({ run.metrics["outlier/grad_norm"], run.metrics["outlier/loss"] }, { 0, 0 })
  run:step()
  check.equal({ run.metrics["outlier/grad_norm"], run.metrics["outlier/loss"] }, { 1, 1 })
  assert(run:describe():find("OUTLIER: grad_norm %d+, usually"), run:describe())
end

function tests.skipped_steps_change_nothing_and_are_counted_and_written_down()
  local out = scratch.path()
  local run = make(function(t) return t % 2 == 1 and 0 / 0 or -1 end, { out = out })
  run:step()
  local before = run.model:score { 65, 66 }
  run:step()
  check.equal(run.model:score { 65, 66 }, before)
  check.equal({ run.metrics.skipped, run.metrics.skipped_steps }, { 1, 1 })
  assert(run:describe():find "SKIPPED", run:describe())
  run:step(2)
  check.equal({ run.metrics.skipped, run.metrics.skipped_steps }, { 1, 2 })
  run:step()
  check.equal({ run.metrics.skipped, run.metrics.skipped_steps }, { 0, 2 })
  check.equal(mid.list(out .. "/skipped"), { "step-2.json", "step-4.json" })
  local dump = mid.json.decode(scratch.read(out .. "/skipped/step-4.json"))
  check.equal({ dump.step, dump.cause }, { 4, "the loss is not finite" })
  check.equal({ dump.segments[1].ids, dump.segments[1].text }, { { 65, 66 }, "AB" })
  check.equal({ dump.segments[2].ids, dump.segments[2].parent, dump.segments[2].offset,
    dump.segments[2].temperature }, { { 67 }, 1, 2, 0.5 })
  check.equal(#dump.logprobs, 3)
  check.equal(dump.knobs.max_skipped_steps, 5)
  scratch.remove(out)
end

function tests.a_gradient_that_is_not_finite_is_a_cause_of_its_own()
  local out = scratch.path()
  local run = make(function() return -1 end, { out = out })
  run.model.grads = setmetatable({}, { __newindex = function() end })
  local step = run.optimizer.step
  run.optimizer.step = function(...)
    run.model.grads = { { math.huge } }
    return step(...)
  end
  run:step()
  check.equal({ run.metrics.skipped, run.metrics.grad_norm }, { 1, math.huge })
  check.equal(mid.json.decode(scratch.read(out .. "/skipped/step-1.json")).cause,
    "the gradient is not finite")
  scratch.remove(out)
end

function tests.several_in_a_row_pause_the_run()
  local broken = true
  local out = scratch.path()
  local run = make(function(t) return broken and t >= 2 and 0 / 0 or -1 end,
    { out = out, max_skipped_steps = 3 })
  local said = check.printed(function()
    run:start()
    check.raises(function() run:wait() end, "paused after step 5", "of 3 steps in a row", out)
  end)
  assert(said:find("paused after step 5", 1, true), said)
  check.equal({ run.t, run.status, run.history[5].skipped_steps }, { 5, "paused", 3 })
  assert(mid.exists(out .. "/checkpoints/step-5"), "nothing is lost if the process ends here")
  -- After going on the count begins anew.
  said = check.printed(function()
    run:resume()
    check.raises(function() run:wait() end, "paused after step 8")
  end)
  broken = false
  run:resume()
  run:wait()
  check.equal({ run.t, run.status, run.metrics.skipped_steps }, { 12, "done", 6 })
  scratch.remove(out)
end

function tests.steps_at_the_prompt_end_with_an_error()
  local run = make(function() return 0 / 0 end, { max_skipped_steps = 2 })
  check.raises(function() run:step(9) end, "paused after step 2")
  check.equal(run.t, 2)
  local never = make(function() return 0 / 0 end, { max_skipped_steps = 0 })
  never:step(12)
  check.equal({ never.t, never.status, never.metrics.skipped_steps }, { 12, "done", 12 })
end

function tests.a_full_disk_loses_no_line()
  local out = scratch.path()
  local run = make(function() return -1 end, { out = out, steps = 4 })
  run:step()
  local append, full = fake.append, true
  fake.append = function(path, text)
    if full then error(path .. ": No space left on device", 0) end
    append(path, text)
  end
  check.raises(function() run:step() end, "No space left on device")
  check.equal({ run.t, run.status }, { 2, "failed" })
  full = false
  run:step(2)
  fake.append = append
  local steps = {}
  for i, line in ipairs(scratch.json_lines(out .. "/metrics.jsonl")) do steps[i] = line.step end
  check.equal(steps, { 1, 2, 3, 4 })
  check.equal(run.status, "done")
  scratch.remove(out)
end

return tests
