-- How people look at a run: plots, completions, what seems wrong. Methods of every run (run.lua).

local doctor = require "midtrain.doctor"
local health = require "midtrain.health"
local options = require "midtrain.options"
local plot = require "midtrain.plot"
local progress = require "midtrain.progress"
local proxy = require "midtrain.proxy"
local report = require "midtrain.report"

local views = {}

-- Lines of completions.jsonl as text: where, what was predicted and true, what it earned, and the
-- completion itself.
local function describe(logged, count)
  local lines = {}
  for i = 1, math.min(count, #logged) do
    local s = logged[i]
    local parts = { ("step %d"):format(s.step) }
    if s.tier then parts[#parts + 1] = s.tier end
    if s.target then
      parts[#parts + 1] = ("predicted %s, true %q"):format(
        s.prediction and ("%q"):format(s.prediction) or "nothing", s.target)
    end
    if s.gold then
      parts[#parts + 1] = ("answered %s, gold %s"):format(s.answer or "nothing", s.gold)
    end
    parts[#parts + 1] = s.reward and ("reward %.2f"):format(s.reward) or "no reward"
    lines[#lines + 1] = table.concat(parts, " · ")
    lines[#lines + 1] = "  " .. s.text:gsub("\n", "\n  ")
  end
  return table.concat(lines, "\n")
end

--- Names what looks wrong in the last steps, with the metric that shows it and what to try: a list
--- that prints itself.
---@return midtrain.Finding[]
function views.doctor(self)
  local findings, steps = doctor.examine(self.history), #self.history
  return setmetatable(findings,
    { __tostring = function() return doctor.describe(findings, steps) end })
end

--- Shows completions of the last step: what was predicted, what was true, what it earned.
---@param count integer? 4
function views.samples(self, count)
  count = options.value("run:samples", "count", count or 4, { "integer", min = 1 })
  local logged = self.logged["completions.jsonl"] or self.logged["samples.jsonl"]
  if not logged then return print "no step was taken yet, or none that samples" end
  print(describe(logged, count))
end

-- A metric over the steps of a run.
local function series(one, name, title)
  local values = {}
  for t, metrics in ipairs(one.history) do values[t] = metrics[name] or 0 / 0 end
  return { name = title, values = values }
end

-- Refuses a name that no step of these runs has measured.
local function check_metric(where, name, runs)
  local known = {}
  for _, one in ipairs(runs) do
    for _, metrics in ipairs(one.history) do
      for metric in pairs(metrics) do known[metric] = true end
    end
  end
  if next(known) and not known[name] then error(options.unknown(where, name, known, "metric"), 3) end
end

--- Plots metrics over the steps, in the terminal or as a file.
---@param names string[]|string
---@param given table? options of mid.plot, such as { file = "reward.png" }
function views.plot(self, names, given)
  local list = {}
  options.value("run:plot", "given", given, { "table" })
  for i, name in ipairs(type(names) == "table" and names or { names or "reward" }) do
    check_metric("run:plot", name, { self })
    list[i] = series(self, name, name)
  end
  plot(list, options.merged({ x_label = "step" }, given or {}))
end
options.takes(views.plot, plot.specification)

--- Plots a metric of this run and of another one, such as a fork.
---@param other midtrain.Run
---@param name string? reward
---@param given table? options of mid.plot
function views.compare(self, other, name, given)
  name = name or "reward"
  if not pcall(proxy.fields, other) then
    error(("run:compare: argument 1 (other): expected a run, got %s"):format(
      other == nil and "nothing" or type(other)), 2)
  end
  local mine, others = self.out or "this", proxy.fields(other).out or "other"
  check_metric("run:compare", name, { self, other })
  plot({ series(self, name, mine), series(other, name, others) },
    options.merged({ x_label = "step", title = name }, given or {}))
end
options.takes(views.compare, plot.specification)

--- Writes the run as one HTML page: what looks wrong, charts, changes, completions, settings.
---@param path string? report.html in the run's folder if absent
---@return string path
function views.report(self, path)
  path = path or self.out and self.out .. "/report.html"
  if not path then
    error("run:report: the run has no folder; say where to write: run:report \"report.html\"", 2)
  end
  local file <close> = assert(io.open(path, "w"))
  file:write(report.html(self))
  return path
end

--- The progress line.
---@return string
function views.describe(self)
  local metrics = self.metrics
  local start = ("step %d/%d"):format(self.t, self.T)
  if not metrics then return ("%s · %s"):format(start, self.status) end
  local left = self.status == "running" and progress.left(self.history, self.T) or 0
  if left > 0 then start = ("%s · %s left"):format(start, progress.duration(left)) end
  local halted = { paused = " · paused", failed = " · FAILED: see run.error" }
  local seconds = metrics.step_time < 1 and "%.2f" or "%.1f"
  return ("%s · %s · %.0f tok/s · " .. seconds .. " s/step%s%s"):format(start,
    self.policy.line(metrics), metrics.tokens_per_second, metrics.step_time,
    health.describe(self.history, self.t), halted[self.status] or "")
end

return views
