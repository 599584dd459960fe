-- Methods side by side: each trained from one start checkpoint with the same text, steps and seeds,
-- evaluated on the same positions. Every finished row is a file, so that a comparison that was
-- interrupted goes on where it stopped.

local advantage = require "midtrain.advantage"
local eval = require "midtrain.eval"
local journal = require "midtrain.journal"
local methods = require "midtrain.methods"
local mid = require "midtrain.native"
local ntp = require "midtrain.ntp"
local options = require "midtrain.options"
local rmt = require "midtrain.rmt"
local rows = require "midtrain.rows"
local svg = require "midtrain.svg"

local comparison = {}

local merged = options.merged

local specification = {
  start = { "string", required = true, doc = "folder of the start checkpoint" },
  docs = { "table", required = true, doc = "texts to train on" },
  set = { "table", required = true, doc = "what is evaluated: eval.set" },
  out = { "string", required = true, doc = "the comparison's folder" },
  methods = { "table", doc = "names; all of methods.list if absent" },
  seeds = { "table", default = { 1, 2, 3 } },
  rmt = { "table", required = true, doc = "options of mid.rmt that all rows share" },
  ntp = { "table", default = {}, doc = "options of mid.ntp for the row that only does that" },
  eval = { "table", default = {}, doc = "options of eval.next_token" },
  curve_every = { "integer", default = 0, min = 0, doc = "steps between points of curves; 0: none" },
  curve_set = { "table", doc = "what the points are measured on; set if absent" },
}

-- A run of a method, not yet started; nil for one that is not trained.
local function new_run(o, method, model, seed, out)
  -- Evaluations of a curve are points to go on from.
  local common = {
    model = model, docs = o.docs, seed = seed, out = out, progress = false, resume = true,
    save_steps = o.curve_every, save_total_limit = 1,
  }
  if method.kind == "ntp" then
    local same = { steps = o.rmt.steps, documents_per_step = o.rmt.documents_per_step }
    return ntp(merged(same, { learning_rate = o.rmt.learning_rate }, o.ntp, common))
  elseif method.kind == "rl" then
    return rmt(merged(o.rmt, method.options(o.rmt), common))
  end
end

local function evaluate(o, method, model, set, budget)
  local result = { direct = eval.next_token(model, set, merged(o.eval, { mode = "direct" })) }
  if not method.is_direct then
    result.reasoning = eval.next_token(model, set,
      merged(o.eval, { mode = "reasoning", prompt = o.rmt.prompt, budget = budget }))
  end
  return result
end

-- Trains and evaluates one row with one seed, or goes on with that.
local function run_row(o, method, seed, dir)
  local started = mid.clock()
  local model = mid.load(o.start)
  local run, curve = new_run(o, method, model, seed, dir .. "/run"), {}
  local path, every = dir .. "/curve.json", o.curve_every
  if mid.exists(path) then curve = rows.read(path) end
  while run do
    local is_due = every > 0 and run.t > 0 and (run.t % every == 0 or run.t == run.T)
    if is_due and (#curve == 0 or curve[#curve].step < run.t) then
      local budget = run.metrics.budget
      local now = evaluate(o, method, model, o.curve_set or o.set, budget)
      local main = now.reasoning or now.direct
      table.insert(curve, {
        step = run.t, accuracy = main.mean, length = main.think_length, budget = budget,
      })
      journal.write(path, curve)
    end
    if run.t == run.T then break end
    run:step(every > 0 and every - run.t % every or run.T)
  end
  -- The prompts ask for what they asked for in the last step.
  local result = evaluate(o, method, model, o.set, run and run.metrics.budget)
  result.method, result.seed, result.curve = method.name, seed, curve
  result.seconds = mid.clock() - started
  return result
end

--- Runs what is not there yet and returns all results: by method, one for each seed.
---@param given table see the specification in comparison.lua
---@return table<string, table[]> results
function comparison.run(given)
  local o = options.check("comparison.run", given, specification)
  rows.check("comparison.run", o.out, {
    docs = #o.docs, positions = #o.set.places, rmt = o.rmt, ntp = o.ntp, eval = o.eval,
    curve_every = o.curve_every,
  })
  local names, results = o.methods, {}
  if not names then
    names = {}
    for i, method in ipairs(methods.list) do names[i] = method.name end
  end
  for _, seed in ipairs(o.seeds) do
    for _, name in ipairs(names) do
      local method = methods.named(name)
      -- What is not trained is the same for all seeds.
      local dir = ("%s/seed-%d/%s"):format(o.out, method.kind == "none" and o.seeds[1] or seed, name)
      local result = rows.kept(dir, ("%s, seed %d"):format(method.title, seed),
        function() return run_row(o, method, seed, dir) end)
      local main = result.reasoning or result.direct
      print(("%s, seed %d: mean %.1f %%, think length %s, %.0f s"):format(method.title, seed,
        100 * (main.mean or 0 / 0),
        main.think_length and ("%.1f"):format(main.think_length) or "–", result.seconds))
      results[name] = results[name] or {}
      table.insert(results[name], result)
    end
  end
  return results
end
options.takes(comparison.run, specification)

-- 97.5 % quantiles of Student's t for 1 … 10 degrees of freedom.
local student = { 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228 }

--- Mean of values over seeds and the half width of its 95 % confidence interval (Student's t); the
--- latter nil for one value. Beyond eleven values the normal quantile is used.
---@param values number[]
---@return number? mean, number? half_width
function comparison.interval(values)
  local mean, std, n = advantage.statistics(values)
  if n == 0 then return nil end
  if n == 1 then return mean end
  return mean, (student[n - 1] or 1.96) * std / math.sqrt(n)
end

--- The cell of a table for values over seeds: see `comparison.interval`.
---@param values number[]
---@param of_places number? half width over positions, for one seed alone
---@return { mean: number?, half_width: number? }
function comparison.estimate(values, of_places)
  local mean, half_width = comparison.interval(values)
  return { mean = mean, half_width = half_width or mean and of_places }
end

local columns = { "easy", "medium", "hard", "mean" }

--- The table as rows of cells: for each method its accuracies in percent in reasoning and in direct
--- mode, and the length of its thoughts, with intervals over the seeds; over positions where there is one
--- seed and the evaluation had the option `intervals`.
---@param results table<string, table[]> see comparison.run
---@return { title: string, cells: { mean: number?, half_width: number? }[] }[]
function comparison.rows(results)
  local rows = {}
  for _, method in ipairs(methods.all) do
    local seeds = results[method.name]
    if seeds then
      local row = { name = method.name, title = method.title, cells = {} }
      local function add(read_value, read_half_width)
        local values = {}
        for _, result in ipairs(method.kind == "none" and { seeds[1] } or seeds) do
          values[#values + 1] = read_value(result)
        end
        row.cells[#row.cells + 1] =
          comparison.estimate(values, read_half_width and read_half_width(seeds[1]))
      end
      for _, mode in ipairs { "reasoning", "direct" } do
        for _, column in ipairs(columns) do
          add(function(r) return r[mode] and r[mode][column] and 100 * r[mode][column] end, function(r)
            local half = r[mode] and r[mode].half_width
            return half and half[column] and 100 * half[column]
          end)
        end
      end
      add(function(r) return r.reasoning and r.reasoning.think_length end)
      rows[#rows + 1] = row
    end
  end
  return rows
end

local heading = {
  "", "easy", "medium", "hard", "mean", "direct: easy", "medium", "hard", "mean", "length",
}

--- A cell as text: mean and half width of its interval.
---@param cell { mean: number?, half_width: number? }
---@return string
function comparison.cell(cell)
  if not cell.mean then return "–" end
  return cell.half_width and ("%.1f ± %.1f"):format(cell.mean, cell.half_width)
    or ("%.1f"):format(cell.mean)
end

--- A line of a Markdown table.
---@param texts string[]
---@return string
function comparison.line(texts) return "| " .. table.concat(texts, " | ") .. " |" end

--- Lines of a table of rows with a title and cells.
---@param names string[] of the columns, the titles' first
---@param rows { title: string, cells: table[] }[]
---@return string[]
function comparison.lines(names, rows)
  local lines = { comparison.line(names), "|---" .. ("|--:"):rep(#names - 1) .. "|" }
  for _, row in ipairs(rows) do
    local texts = { row.title }
    for _, cell in ipairs(row.cells) do texts[#texts + 1] = comparison.cell(cell) end
    lines[#lines + 1] = comparison.line(texts)
  end
  return lines
end

--- How far a method is from each other one: differences of results of the same seed, so that what a
--- seed does to all methods falls out. Mean of the tiers in percent (directly where a method does not
--- reason) and length of thoughts, with intervals over the seeds, or over positions as in the rows.
---@param results table<string, table[]>
---@param name string
---@return { title: string, cells: { mean: number?, half_width: number? }[] }[]
function comparison.differences(results, name)
  local function mean_accuracy(result)
    local mean = (result.reasoning or result.direct).mean
    return mean and 100 * mean
  end
  local function length(result) return result.reasoning and result.reasoning.think_length end
  local function of_places(a, b)
    local of_a, of_b = (a.reasoning or a.direct).influences, (b.reasoning or b.direct).influences
    return of_a and of_b and 100 * eval.half_width(of_a, of_b)
  end
  local rows = {}
  for _, method in ipairs(methods.all) do
    local others = results[method.name]
    if others and method.name ~= name then
      local row = { title = method.title, cells = {} }
      for i, value in ipairs { mean_accuracy, length } do
        local values = {}
        for seed, result in ipairs(results[name] or {}) do
          local a, b = value(result), others[seed] and value(others[seed])
          if a and b then values[#values + 1] = a - b end
        end
        row.cells[i] = comparison.estimate(values)
      end
      if #(results[name] or {}) == 1 and others[1] then
        row.cells[1].half_width = of_places(results[name][1], others[1])
      end
      rows[#rows + 1] = row
    end
  end
  return rows
end

--- The table in Markdown, below it what sets RMT (or methods by name) apart from each other method, and
--- the paper's own figures.
---@param results table<string, table[]>
---@param compared string[]? rmt alone if absent
---@return string
function comparison.markdown(results, compared)
  local lines = comparison.lines(heading, comparison.rows(results))
  for _, name in ipairs(compared or { "rmt" }) do
    if results[name] then
      lines[#lines + 1] =
        ("\n%s minus each other method, by seed:\n"):format(methods.named(name).title)
      local differences =
        comparison.lines({ "", "mean", "length" }, comparison.differences(results, name))
      table.move(differences, 1, #differences, #lines + 1, lines)
    end
  end
  lines[#lines + 1] = "\nThe paper's own figures, 14B models on OmniMATH:\n"
  lines[#lines + 1] = comparison.line { "", "easy", "medium", "hard", "mean", "length" }
  lines[#lines + 1] = "|---|--:|--:|--:|--:|--:|"
  for _, paper in ipairs(methods.paper) do
    local texts = { paper[1] }
    for i = 2, 5 do texts[i] = ("%.2f"):format(paper[i]) end
    texts[6] = paper[6] and tostring(paper[6]) or "–"
    lines[#lines + 1] = comparison.line(texts)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- The table as comma-separated values, one line per method and seed.
---@param results table<string, table[]>
---@return string
function comparison.csv(results)
  local lines = { "method,seed,mode,easy,medium,hard,mean,length,think_length,closed,boxed,seconds" }
  for _, method in ipairs(methods.all) do
    for _, r in ipairs(results[method.name] or {}) do
      for _, mode in ipairs { "reasoning", "direct" } do
        local m = r[mode]
        if m then
          local texts = { method.name, tostring(r.seed), mode }
          for _, field in ipairs {
            "easy", "medium", "hard", "mean", "length", "think_length", "closed", "boxed",
          } do
            texts[#texts + 1] = m[field] and ("%.6g"):format(m[field]) or ""
          end
          texts[#texts + 1] = ("%.1f"):format(r.seconds)
          lines[#lines + 1] = table.concat(texts, ",")
        end
      end
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- For each method a series over the steps: the mean over seeds of a field of the curves' points.
local function curves(results, field, scale)
  local series = {}
  for _, method in ipairs(methods.all) do
    local by_step, steps = {}, {}
    for _, result in ipairs(results[method.name] or {}) do
      for _, point in ipairs(result.curve) do
        if point[field] then
          if not by_step[point.step] then steps[#steps + 1], by_step[point.step] = point.step, {} end
          table.insert(by_step[point.step], scale * point[field])
        end
      end
    end
    table.sort(steps)
    local points = {}
    for i, step in ipairs(steps) do
      points[i] = { x = step, y = (advantage.statistics(by_step[step])) }
    end
    if #points > 0 then series[#series + 1] = { name = method.name, points = points } end
  end
  return series
end

--- Writes the plots accuracy.svg, length.svg, budget.svg and, of the entropies, entropy.svg.
---@param results table<string, table[]> see comparison.run
---@param dir string
---@param entropies number[] of all positions that may be chosen
---@param thresholds number[]
function comparison.plots(results, dir, entropies, thresholds)
  local function lines(name, field, scale, o)
    local series = curves(results, field, scale)
    if #series > 0 then svg.lines(("%s/%s.svg"):format(dir, name), series, o) end
  end
  lines("accuracy", "accuracy", 100,
    { title = "accuracy, mean of tiers", x_label = "step", y_label = "%" })
  lines("length", "length", 1,
    { title = "length of thoughts", x_label = "step", y_label = "tokens" })
  lines("budget", "budget", 1,
    { title = "budget asked for", x_label = "step", y_label = "tokens" })
  svg.histogram(dir .. "/entropy.svg", entropies, {
    title = "entropies of the positions", x_label = "nats", thresholds = thresholds,
    tiers = { "never chosen", "easy", "medium", "hard" },
  })
end

return comparison
