local chain_tasks = require "midtrain.chain_tasks"
local check = require "support.check"
local fake = require "support.fake"
local journal = require "midtrain.journal"
local methods = require "midtrain.methods"
local posttrain = require "midtrain.posttrain"
local scratch = require "support.scratch"

-- A comparison's folder: two seeds of RMT and one of RPT, of four steps each, and RPT's second
-- seed interrupted.
local function comparison()
  local dir = scratch.path()
  local function checkpoint(path)
    fake.mkdir(path)
    journal.write(path .. "/config.json", {})
  end
  checkpoint(dir .. "/start")
  for _, row in ipairs { "seed-1/rmt", "seed-2/rmt", "seed-1/rpt", "seed-2/rpt" } do
    local path = ("%s/%s"):format(dir, row)
    checkpoint(path .. "/run/checkpoints/step-4")
    journal.write(path .. "/run/config.json", { options = { steps = 4 } })
    if row ~= "seed-2/rpt" then journal.write(path .. "/result.json", {}) end
  end
  return dir
end

-- Loads a model that answers "1" or ends at once.
local function with_models(f)
  local loaded = {}
  fake.load = function(path)
    loaded[#loaded + 1] = path
    return fake.fake_model(function(_, next)
      return (next == ("1"):byte() or next == 256) and 8 or 0
    end)
  end
  local print_before = print
  print = function() end
  local ok, message = pcall(f, loaded)
  print, fake.load = print_before, nil
  if not ok then error(message, 0) end
end

local function options(dir)
  local shared = {
    prompt = { instructions = "", template = false }, grade = chain_tasks.grade,
    extract = function(text) return text ~= "" and text or nil end, max_completion_length = 3,
  }
  local training = { steps = 2, num_generations = 4, questions_per_step = 2, learning_rate = 0.1 }
  for name, value in pairs(shared) do training[name] = value end
  return {
    comparison = dir, out = dir .. "/posttrain", tasks = chain_tasks.generate(6, { seed = 3 }),
    evaluated = chain_tasks.generate(4, { seed = 3, first = 100 }), grpo = training, eval = shared,
  }
end

local function entry(method, seed, before, after)
  local function of(accuracy)
    return { accuracy = accuracy, interval = { 0, 1 }, answered = 1, length = 10, truncated = 0,
      questions = 4 }
  end
  return { method = method, seed = seed, before = of(before), after = of(after),
    rewards = { before, after }, seconds = 2 }
end

return {
  tasks_of_the_small_world_are_its_lines = function()
    local list = chain_tasks.generate(20, { seed = 3 })
    for _, task in ipairs(list) do
      local name, start, rest = task.question:match "^(%l):a(%d)(.*)=$"
      local value = math.tointeger(start)
      for operation, operand in rest:gmatch "%l([+*])(%d)" do
        value = (operation == "*" and value * operand or value + operand) % 10
      end
      local divisor = ({ p = 2, t = 3, v = 10 })[name]
      check.equal(task.answer, tostring(math.tointeger(value % divisor)))
    end
    check.equal(chain_tasks.generate(1, { seed = 3, first = 20 })[1], list[20])
    check.equal({ chain_tasks.grade("3", "3"), chain_tasks.grade("3", "4") }, { true, false })
  end,

  checkpoints_are_found = function()
    local dir = comparison()
    local function found(name, seed)
      return posttrain.checkpoint(dir, methods.named(name), seed)
    end
    check.equal(found("rmt", 2), dir .. "/seed-2/rmt/run/checkpoints/step-4")
    check.equal(found("ntr", 2), dir .. "/start")
    check.equal({ found("rpt", 2), found("ntp", 1) }, {})
    check.equal(posttrain.seeds(dir), { 1, 2 })
    scratch.remove(dir)
  end,

  every_finished_row_is_trained_once = function()
    local dir = comparison()
    with_models(function(loaded)
      local results = posttrain.run(options(dir))
      check.equal({ #results.ntr, #results.rmt, #results.rpt, results.ntp }, { 2, 2, 1 })
      check.equal(#loaded, 5)
      local r = results.rmt[2]
      check.equal({ r.seed, r.before.questions, #r.rewards, r.before.records }, { 2, 4, 2 })
      local row = dir .. "/posttrain/seed-2/rmt"
      check.equal(#scratch.json_lines(row .. "/before.jsonl"), 4)
      check.equal(fake.exists(row .. "/run/checkpoints/step-2"), true)
      -- The second time everything is there, but for what was interrupted before its first checkpoint.
      os.remove(row .. "/result.json")
      scratch.remove(row .. "/run")
      check.equal(posttrain.run(options(dir)).rmt[2].after.accuracy, r.after.accuracy)
      check.equal(#loaded, 6)
      local other = options(dir)
      other.grpo.learning_rate = 0.2
      check.raises(function() posttrain.run(other) end, "made with other options", "0.2")
    end)
    scratch.remove(dir)
  end,

  the_tables_show_gains = function()
    local results = {
      ntr = { entry("ntr", 1, 0.25, 0.5) },
      rmt = { entry("rmt", 1, 0.5, 0.75), entry("rmt", 2, 0.6, 0.95) },
    }
    local text = posttrain.markdown(results)
    local first = "| no mid-training | 25.0 | 50.0 | 25.0 | 100.0 | 100.0 | 10.0 | 10.0 |"
    assert(text:find(first, 1, true))
    -- Of 25 and 35 the mean is 30 and the standard deviation √50; Student's t is 12.706.
    assert(text:find("| RMT | 55.0 ± 63.5 | 85.0 ± 127.1 | 30.0 ± 63.5 |", 1, true), text)
    assert(text:find("| RMT, Qwen3 | 25.17 | 64.33 | 39.16 |", 1, true))
    local lines = {}
    for line in posttrain.csv(results):gmatch "[^\n]+" do lines[#lines + 1] = line end
    check.equal(#lines, 7)
    check.equal(lines[3], "ntr,1,after,0.5,0,1,1,10,0,4,2.0")
    check.equal(posttrain.curves(results)[2], { name = "RMT", values = { 0.55, 0.85 } })
  end,

  nothing_to_train_is_said = function()
    with_models(function()
      check.raises(function() posttrain.run(options "/no/such/folder") end,
        "there is no comparison '/no/such/folder'", "run experiments/table.lua first")
      local dir = comparison()
      local o = options(dir)
      o.methods, o.seeds = { "rpt" }, { 2 }
      check.raises(function() posttrain.run(o) end, "no finished checkpoint that was asked for")
      o.grpo.grade = nil
      check.raises(function() posttrain.run(o) end, "posttrain.run: this engine has no mid.grade")
      scratch.remove(dir)
    end)
  end,
}
