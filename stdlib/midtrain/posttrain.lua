-- What mid-training is worth to what comes after it: the same GRPO, with the same seed, from the
-- checkpoint of each method of a finished comparison, and task accuracy before and after. Every
-- finished row is a file, so that an interrupted one goes on where it stopped.

local comparison = require "midtrain.comparison"
local grpo = require "midtrain.grpo"
local methods = require "midtrain.methods"
local mid = require "midtrain.native"
local options = require "midtrain.options"
local rows = require "midtrain.rows"
local tasks = require "midtrain.tasks"

local posttrain = {}

local specification = {
  comparison = { "string", required = true, doc = "comparison.run's out" },
  out = { "string", required = true, doc = "folder of these results" },
  tasks = { "table", required = true, doc = "to train on" },
  evaluated = { "table", required = true, doc = "tasks to measure accuracy on" },
  methods = { "table", doc = "names; all of methods.list that have a checkpoint if absent" },
  seeds = { "table", doc = "numbers; those of the comparison if absent" },
  grpo = { "table", default = {}, doc = "options of mid.grpo that all rows share" },
  eval = { "table", default = {}, doc = "options of tasks.evaluate" },
}

-- What was before GRPO: the row that is not trained is the start itself.
local function title_of(method)
  return method.kind == "none" and "no mid-training" or method.title
end

--- The folder of a method's checkpoint in a comparison: the last of its run, or the start for the
--- method that is not trained; nil if the comparison has not finished it.
---@param dir string of the comparison
---@param method midtrain.Method
---@param seed integer
---@return string?
function posttrain.checkpoint(dir, method, seed)
  local path = dir .. "/start"
  if method.kind ~= "none" then
    local row = ("%s/seed-%d/%s"):format(dir, seed, method.name)
    if not mid.exists(row .. "/result.json") then return nil end
    local steps = rows.read(row .. "/run/config.json").options.steps
    path = ("%s/run/checkpoints/step-%d"):format(row, steps)
  end
  return mid.exists(path .. "/config.json") and path or nil
end

--- The seeds that a comparison was run with: 1, 2, … as far as they go.
---@param dir string
---@return integer[]
function posttrain.seeds(dir)
  local seeds = {}
  while mid.exists(("%s/seed-%d"):format(dir, #seeds + 1)) do seeds[#seeds + 1] = #seeds + 1 end
  return seeds
end

-- Evaluates, trains, evaluates.
local function run_row(o, method, seed, checkpoint, dir)
  local started, model, rewards = mid.clock(), mid.load(checkpoint), {}
  local function evaluate(name)
    local result = tasks.evaluate(model, o.evaluated,
      options.merged(o.eval, { out = ("%s/%s.jsonl"):format(dir, name) }))
    result.records = nil
    return result
  end
  local before = evaluate "before"
  local run = grpo(options.merged(o.grpo, {
    model = model, tasks = o.tasks, seed = seed, out = dir .. "/run", progress = false, resume = true,
    save_steps = math.max(1, (o.grpo.steps or 100) // 5), save_total_limit = 1,
  }))
  if run.t < run.T then run:step(run.T) end
  for t, metrics in ipairs(run.history) do rewards[t] = metrics.reward end
  return {
    method = method.name, seed = seed, checkpoint = checkpoint, before = before,
    after = evaluate "after", rewards = rewards, seconds = mid.clock() - started,
  }
end

--- Runs what is not there yet and returns all results: by method, one for each seed.
---@param given table see the specification in posttrain.lua
---@return table<string, table[]> results
function posttrain.run(given)
  local o = options.check("posttrain.run", given, specification)
  if not mid.exists(o.comparison) then
    error(("posttrain.run: there is no comparison '%s'; run experiments/table.lua first")
      :format(o.comparison), 2)
  end
  tasks.grader(o.grpo.grade, "posttrain.run")
  rows.check("posttrain.run", o.out, {
    comparison = o.comparison, train_questions = #o.tasks, evaluated = #o.evaluated, grpo = o.grpo,
    eval = o.eval,
  })
  local results, count, list = {}, 0, {}
  for i, name in ipairs(o.methods or {}) do list[i] = methods.named(name) end
  if not o.methods then list = methods.list end
  for _, seed in ipairs(o.seeds or posttrain.seeds(o.comparison)) do
    for _, method in ipairs(list) do
      local checkpoint = posttrain.checkpoint(o.comparison, method, seed)
      local title = ("%s, seed %d"):format(title_of(method), seed)
      if checkpoint then
        local dir = ("%s/seed-%d/%s"):format(o.out, seed, method.name)
        local result = rows.kept(dir, title, function()
          return run_row(o, method, seed, checkpoint, dir)
        end)
        print(("%s: %.1f %% → %.1f %%, %.0f s"):format(title, 100 * result.before.accuracy,
          100 * result.after.accuracy, result.seconds))
        results[method.name] = results[method.name] or {}
        table.insert(results[method.name], result)
        count = count + 1
      elseif o.methods then
        print(title .. ": the comparison has no finished checkpoint of it; left out")
      end
    end
  end
  if count == 0 then
    error(("posttrain.run: '%s' holds no finished checkpoint that was asked for")
      :format(o.comparison), 2)
  end
  return results
end
options.takes(posttrain.run, specification)

-- Tables -----------------------------------------------------------------------------------------

--- The paper's own figures [K]: GRPO with verifiable rewards on Skywork's mathematics, in percent.
posttrain.paper = {
  { "R1-Distill", 23.00, 51.00 }, { "Qwen3", 12.84, 54.17 }, { "RPT", 23.17, 48.50 },
  { "RMT, R1-Distill", 24.08, 54.67 }, { "RMT, Qwen3", 25.17, 64.33 },
}

local columns = {
  { "before", function(r) return 100 * r.before.accuracy end },
  { "after", function(r) return 100 * r.after.accuracy end },
  { "gain", function(r) return 100 * (r.after.accuracy - r.before.accuracy) end },
  { "answered before", function(r) return 100 * r.before.answered end },
  { "answered after", function(r) return 100 * r.after.answered end },
  { "length before", function(r) return r.before.length end },
  { "length after", function(r) return r.after.length end },
}

--- The table as rows of cells: mean over the seeds and half width of its 95 % interval.
---@param results table<string, table[]> see posttrain.run
---@return { name: string, title: string, cells: { mean: number?, half_width: number? }[] }[]
function posttrain.rows(results)
  local rows = {}
  for _, method in ipairs(methods.all) do
    if results[method.name] then
      local row = { name = method.name, title = title_of(method), cells = {} }
      for i, column in ipairs(columns) do
        local values = {}
        for k, result in ipairs(results[method.name]) do values[k] = column[2](result) end
        row.cells[i] = comparison.estimate(values)
      end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- The table in Markdown, the paper's own figures below it.
---@param results table<string, table[]>
---@return string
function posttrain.markdown(results)
  local heading = { "GRPO after" }
  for i, column in ipairs(columns) do heading[i + 1] = column[1] end
  local lines = comparison.lines(heading, posttrain.rows(results))
  lines[#lines + 1] = "\nThe paper's own figures, 14B models, mathematics of Skywork:\n"
  lines[#lines + 1] = comparison.line { "", "before", "after", "gain" }
  lines[#lines + 1] = "|---|--:|--:|--:|"
  for _, paper in ipairs(posttrain.paper) do
    lines[#lines + 1] = comparison.line { paper[1], ("%.2f"):format(paper[2]),
      ("%.2f"):format(paper[3]), ("%.2f"):format(paper[3] - paper[2]) }
  end
  return table.concat(lines, "\n") .. "\n"
end

--- The table as comma-separated values, one line per method, seed and time of measurement.
---@param results table<string, table[]>
---@return string
function posttrain.csv(results)
  local lines = { "method,seed,when,accuracy,low,high,answered,length,truncated,questions,seconds" }
  for _, method in ipairs(methods.all) do
    for _, r in ipairs(results[method.name] or {}) do
      for _, time in ipairs { "before", "after" } do
        local m = r[time]
        local texts = { method.name, tostring(r.seed), time }
        for _, value in ipairs {
          m.accuracy, m.interval[1], m.interval[2], m.answered, m.length, m.truncated, m.questions,
        } do
          texts[#texts + 1] = ("%.6g"):format(value)
        end
        texts[#texts + 1] = ("%.1f"):format(r.seconds)
        lines[#lines + 1] = table.concat(texts, ",")
      end
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Mean reward over the seeds at each step, as series for mid.svg.lines or mid.plot.
---@param results table<string, table[]>
---@return { name: string, values: number[] }[]
function posttrain.curves(results)
  local series = {}
  for _, method in ipairs(methods.all) do
    local seeds = results[method.name]
    if seeds then
      local values = {}
      for t in ipairs(seeds[1].rewards) do
        local sum = 0
        for _, result in ipairs(seeds) do sum = sum + (result.rewards[t] or 0 / 0) end
        values[t] = sum / #seeds
      end
      series[#series + 1] = { name = title_of(method), values = values }
    end
  end
  return series
end

return posttrain
