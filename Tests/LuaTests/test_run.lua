local check = require "support.check"
local fake = require "support.fake"
local mid = require "midtrain"
local runs = require "midtrain.run"
local scratch = require "support.scratch"

local specification = {
  width = { "integer", default = 3, min = 1, knob = true },
  shape = { "function", default = function() return 1 end, knob = true },
  docs = { "table", default = {} },
}
for name, option in pairs(runs.specification) do specification[name] = option end

-- A run whose steps note the knobs that they saw, and give other code a turn.
local function make(given, step)
  local seen = {}
  local o = { steps = 4, progress = false, model = fake.fake_model(), docs = {} }
  for name, value in pairs(given or {}) do o[name] = value end
  o = require "midtrain.options".check("test", o, specification)
  local run = runs.new {
    name = "test", options = o, specification = specification,
    line = function() return "line" end,
    state = function() return { cursor = #seen } end,
    step = function(run, knobs, t)
      if step then step(run, t) end
      seen[#seen + 1] = knobs.width
      mid.sleep(0)
      return { num_tokens = 10, odd = 0 / 0 }
    end,
  }
  return run, seen
end

local tests = {}

function tests.steps_run_one_by_one()
  local run, seen = make()
  check.equal({ run.t, run.T, run.status }, { 0, 4, "ready" })
  local metrics = run:step()
  check.equal({ metrics.step, metrics.num_tokens, run.status }, { 1, 10, "ready" })
  metrics = run:step(2)
  check.equal({ metrics.step, metrics.num_tokens, #seen }, { 3, 30, 3 })
  run:step(9)
  check.equal({ run.t, run.status, #run.history }, { 4, "done", 4 })
  check.raises(function() run:step() end, "all 4 steps are done")
end

function tests.knobs_hold_from_the_next_step_on()
  local run, seen = make()
  run:step()
  run.width = 5
  check.equal(run.width, 5)
  run:step()
  check.equal(seen, { 3, 5 })
end

function tests.knobs_assigned_inside_a_step_wait_for_the_next()
  local run, seen = make({}, function(run, t) if t == 1 then run.width = 9 end end)
  run:step(3)
  check.equal(seen, { 3, 3, 9 })
end

function tests.assignments_are_checked()
  local run = make()
  check.raises(function() run.widht = 5 end, "run: unknown option 'widht'; did you mean 'width'?")
  check.raises(function() run.width = 0 end, "'width' must be a finite number of 1 or more")
  check.raises(function() run.shape = 4 end, "'shape' must be function, got number")
  check.raises(function() run.width = "4" end,
    "'width' must be integer or a function of (t, T, state), got string")
  check.raises(function() run.t = 3 end, "'t' cannot be assigned")
  check.raises(function() run.seed = 3 end, "'seed' cannot be assigned")
  check.equal(run.width, 3)
  check.equal(run.nonsense, nil)
end

function tests.background_run_can_be_paused_changed_and_stopped()
  local run, seen = make { steps = 50 }
  run:start()
  check.raises(function() run:start() end, "cannot start while it trains")
  check.raises(function() run:step() end, "cannot step while it trains")
  run:wait(3)
  assert(run.t >= 3 and run.status == "running")
  run:pause()
  local t = run.t
  check.equal(run.status, "paused")
  mid.sleep(0)
  check.equal(run.t, t)
  check.raises(function() run:wait() end, "resume it first")
  run.width = 8
  run:step()
  check.equal({ run.t, run.status, seen[#seen] }, { t + 1, "paused", 8 })
  run:resume()
  run:wait(t + 3)
  run:stop()
  check.equal(run.status, "stopped")
  local stopped = run.t
  assert(stopped < 50)
  run:start():wait()
  check.equal({ run.t, run.status }, { 50, "done" })
end

function tests.an_error_leaves_the_step_to_be_tried_again()
  local broken = true
  local run = make({}, function(_, t) if t == 2 and broken then error "broken knob" end end)
  run:start()
  check.raises(function() run:wait() end, "broken knob")
  check.equal({ run.t, run.status }, { 2, "failed" })
  assert(run.error:find "broken knob")
  assert(run:describe():find "FAILED")
  check.raises(function() run:plot "reword" end, "run:plot: unknown metric 'reword'")
  broken = false
  run:resume():wait()
  check.equal({ run.t, run.status }, { 4, "done" })
end

-- A run that calls its knob `shape` in every step, at T = 6.
local function shaped(given)
  local out = scratch.path()
  local o = { steps = 6, out = out }
  for name, value in pairs(given) do o[name] = value end
  local results = {}
  local run = make(o, function(run, t)
    results[#results + 1] = run.in_force.shape(t)
    require "midtrain.options".value("test", "shape(t, T)", results[#results], { "number", min = 0 })
  end)
  return run, results, function() return scratch.json_lines(out .. "/journal.jsonl") end
end

function tests.a_change_that_makes_a_step_fail_is_taken_back_if_wanted()
  local run, results, journal = shaped { on_error = "fallback" }
  run:step(2)
  -- It works for a step, and is still what fails later.
  run.shape = function(t) return t < 3 and 7 or error "oh" end
  run.width = 9
  local printed = check.printed(function() run:step(4) end)
  assert(printed:find("step 4 failed, shape is again what it was: ", 1, true), printed)
  assert(printed:find("oh", 1, true))
  check.equal({ run.t, run.status, run.width }, { 6, "done", 9 })
  check.equal(results, { 1, 1, 7, 1, 1, 1 })
  local entries = journal()
  check.equal({ entries[1].step, entries[1].name, entries[2].step, entries[2].name },
    { 3, "shape", 3, "width" })
  check.equal({ entries[3].step, entries[3].name, #entries }, { 4, "shape", 3 })
  assert(entries[3].reason:find "oh")
  check.equal(entries[3].new, entries[1].old)
end

function tests.a_wrong_value_of_a_function_is_a_failure_of_that_knob()
  local run, results = shaped { on_error = "fallback" }
  run.shape = function() return -1 end
  check.printed(function() run:step() end)
  check.equal(results, { -1, 1 })
  check.equal(run.shape(), 1)
end

function tests.what_changed_with_the_step_is_suspected_where_no_function_failed()
  local failing = false
  local run
  run = make({ on_error = "fallback" }, function(given)
    if given.in_force.width == 8 then error "width 8 does not work" end
    if failing then error "nothing changed" end
  end)
  run:step()
  run.width = 8
  check.printed(function() run:step() end)
  check.equal({ run.t, run.width }, { 2, 3 })
  -- Without a change there is nothing to take back.
  failing = true
  check.raises(function() run:step() end, "nothing changed")
  check.equal({ run.t, run.status }, { 2, "failed" })
end

function tests.a_failing_change_pauses_the_run_by_default()
  local run, results, journal = shaped {}
  run:step(2)
  run.shape = function() error "oh" end
  run:start()
  check.raises(function() run:wait() end, "oh")
  check.equal({ run.t, run.status }, { 2, "failed" })
  -- What was learned is saved.
  assert(mid.exists(run.out .. "/checkpoints/step-2/config.json"))
  run.shape = function() return 5 end
  run:resume():wait()
  check.equal({ run.t, run.status }, { 6, "done" })
  check.equal(results, { 1, 1, 5, 5, 5, 5 })
  check.equal(#journal(), 2)
end

function tests.several_settings_are_assigned_together_or_not_at_all()
  local run = make()
  check.raises(function() run:set { width = 5, shape = 4 } end, "'shape' must be function, got number")
  check.equal(run.width, 3)
  check.raises(function() run:set(5) end, "run:set: expected a table of settings")
  run:set { width = 5, max_grad_norm = 2 }
  check.equal({ run.width, run.max_grad_norm }, { 5, 2 })
end

function tests.a_run_is_a_folder()
  local out = scratch.path()
  local run = make { out = out, save_steps = 2, steps = 3 }
  run:step(2)
  run.shape = function(x) return x + 40 end
  run.width = 4
  run:step()
  local metrics = scratch.json_lines(out .. "/metrics.jsonl")
  check.equal({ #metrics, metrics[3].step, metrics[3].num_tokens }, { 3, 3, 30 })
  check.equal(metrics[1].odd, nil)
  local entries = scratch.json_lines(out .. "/journal.jsonl")
  check.equal(#entries, 2)
  check.equal({ entries[1].step, entries[1].name }, { 3, "shape" })
  assert(entries[1].new["function"]:find("return x + 40", 1, true))
  check.equal({ entries[2].name, entries[2].old, entries[2].new }, { "width", 3, 4 })
  local config = mid.json.decode(scratch.read(out .. "/config.json"))
  check.equal({ config.name, config.options.width, config.options.docs },
    { "test", 3, "0 documents" })
  for _, step in ipairs { 2, 3 } do
    local dir = out .. "/checkpoints/step-" .. step
    local state = mid.json.decode(scratch.read(dir .. "/trainer_state.json"))
    check.equal({ state.step, state.steps, state.policy.cursor }, { step, 3, step })
    assert(mid.exists(dir .. "/config.json"))
    assert(not mid.exists(dir .. ".tmp"))
  end
  check.raises(function() make { out = out } end, "already holds a run")
  check.raises(function() run:save(out .. "/checkpoints/step-2") end, "already exists")
  run:save(out .. "/named")
  assert(mid.exists(out .. "/named/trainer_state.json"))
  scratch.remove(out)
end

function tests.a_loss_that_is_not_finite_is_skipped()
  local model = fake.fake_model()
  local run = make({ model = model })
  local metrics = {}
  run:optimize(mid.tensor(0 / 0), metrics)
  check.equal({ metrics.skipped, run.optimizer.steps }, { 1, 0 })
  local loss = mid.tensor(1)
  loss.requires_grad = true
  run:optimize(loss, metrics)
  check.equal({ metrics.skipped, metrics.loss, run.optimizer.steps }, { 0, 1, 1 })
end

function tests.any_setting_may_be_a_schedule()
  local optimized = {}
  local run, seen = make({
    learning_rate = function(t, T) return (T - t) / T end,
    width = function(t, _, state) return 2 * t + (state.num_tokens or 5) // 1 end,
  }, function(run)
    local metrics = {}
    local loss = mid.tensor(1)
    loss.requires_grad = true
    run:optimize(loss, metrics)
    optimized[#optimized + 1] = metrics.learning_rate
  end)
  run:step(2)
  check.equal(optimized, { 1.0, 0.75 })
  check.equal(seen, { 5, 12 })
  check.equal({ run.history[1].width, run.history[2].width }, { 5, 12 })
  run.checkpointing = function() return "block" end
  run:step()
  check.raises(function() run.docs = function() return {} end end, "cannot be assigned")
end

function tests.what_a_schedule_gives_is_checked()
  local run, seen = make()
  for given, said in pairs {
    [0] = "run: option 'width(t, T)' must be a finite number of 1 or more",
    [1.5] = "run: option 'width(t, T)' must be integer, got number (1.5)",
    [print] = "run: option 'width(t, T)' must be integer, got function",
  } do
    run.width = function() return given end
    check.raises(function() run:step() end, said)
  end
  run.width = function() end
  check.raises(function() run:step() end, "run: option 'width(t, T)' gave nothing")
  check.equal({ run.t, run.status, #seen }, { 0, "failed", 0 })
  run.on_error = "fallback"
  run.width = 4
  run:step()
  run.width = function() return -1 end
  check.printed(function() run:step() end)
  check.equal({ seen, run.width }, { { 4, 4 }, 4 })
end

function tests.times_are_summed_by_name()
  local run = make({}, function(run)
    check.equal({ run:time("work", function(a) return a, 2 end, 1) }, { 1, 2 })
  end)
  assert(run:step()["timing_s/work"] >= 0)
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

function tests.a_watched_file_steers_the_run()
  local path = scratch.path()
  write(path, "return { width = 7 }")
  local run, seen = make { steps = 9 }
  check.raises(function() run:watch(path .. "-nowhere") end, "there is no file")
  run:watch(path)
  run:step(2)
  check.equal(seen, { 7, 7 })
  -- What was assigned since stays until the file changes again.
  run.width = 2
  run:step()
  write(path, "return { width = 1 + #'four' }")
  run:step()
  check.equal(seen, { 7, 7, 2, 5 })
  for text, problem in pairs {
    ["return { width = 0 }"] = "width", ["return { width = 9, widht = 1 }"] = "did you mean 'width'",
    ["return 3"] = "must return a table", ["return {"] = "unexpected symbol",
    ["error 'no'"] = "no",
  } do
    write(path, text)
    local said = check.printed(function() run:step() end)
    assert(said:find("changes nothing", 1, true) and said:find(problem, 1, true), said)
    check.equal(seen[#seen], 5)
  end
  scratch.remove(path)
end

function tests.completions_of_the_last_step_are_at_hand()
  local run = make({}, function(run, t)
    for i = 1, 2 do
      run:record("completions.jsonl", {
        step = t + 1, tier = "easy", text = ("thought %d of %d\nmore"):format(i, t + 1), target = "6",
        prediction = i == 1 and "6" or nil, reward = i == 1 and 1 or nil,
      })
    end
  end)
  check.equal(check.printed(function() run:samples() end), "no step was taken yet, or none that samples")
  run:step(2)
  check.equal(check.printed(function() run:samples() end), table.concat({
    'step 2 · easy · predicted "6", true "6" · reward 1.00', "  thought 1 of 2", "  more",
    'step 2 · easy · predicted nothing, true "6" · no reward', "  thought 2 of 2", "  more",
  }, "\n"))
  local said = check.printed(function() run:samples(1) end)
  assert(not said:find("thought 2", 1, true), said)
  check.equal(#run:doctor(), 0)
  check.equal(tostring(run:doctor()), "nothing looks wrong in the last 2 steps")
end

return tests
