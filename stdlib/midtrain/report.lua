-- A run as one HTML page that needs nothing else: what looks wrong, charts with the changes that were
-- made under way, the journal, completions, settings.

local doctor = require "midtrain.doctor"
local health = require "midtrain.health"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"
local svg = require "midtrain.svg"

local report = {}

-- Charts: a title and the metrics in it, by the names that they get there. One without any of its
-- metrics is left out.
local charts = {
  { "reward", { { "reward", "reward" }, { "rewards/match/mean", "match" },
    { "rewards/length/mean", "length" } } },
  { "tokens of a thought", { { "completions/mean_think_length", "mean" }, { "budget", "budget" } } },
  { "tokens of a completion", { { "completions/mean_length", "mean" },
    { "completions/max_length", "longest" } } },
  { "loss", { { "loss", "loss" }, { "policy_loss", "policy" }, { "ntp_loss", "next token" },
    { "sft_loss", "supervised" } } },
  { "shares", { { "frac_reward_zero_std", "groups without variance" },
    { "completions/clipped_ratio", "cut off" }, { "completions/boxed_ratio", "boxed" } } },
  { "entropy, nats", { { "entropy", "policy" } } },
  { "gradient norm", { { "grad_norm", "before clipping" } } },
  { "learning rate", { { "learning_rate", "learning rate" } } },
  { "seconds a step", { { "step_time", "whole" }, { "timing_s/rollout", "rollouts" },
    { "timing_s/backward", "backward" } } },
}

local style = [[
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: #222; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30em, 100%), 1fr)); gap: 1em; }
.charts svg { width: 100%; height: auto; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .2em .8em .2em 0; }
td { border-top: 1px solid #ddd; } pre { margin: 0; white-space: pre-wrap; font-size: .85em; }
td, pre, .wrong { overflow-wrap: anywhere; }
.wrong { background: #fff3e0; border-left: 4px solid #e08000; padding: .5em 1em; white-space: pre-wrap; }
.fine { background: #eef7ee; border-left: 4px solid #4a4; padding: .5em 1em; }
]]

-- Half characters and control characters, which models write, have no place in a page.
local function escaped(text)
  text = journal.describe(tostring(text)):gsub("[%z\1-\8\11\12\14-\31\127]", "\u{FFFD}")
  return (text:gsub("[&<>\"]",
    { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

-- A setting's value: functions as they were written, with what they close over; the rest as data.
local function value_cell(value)
  if value == nil then return "–" end
  local source = type(value) == "table" and value["function"]
  if not source then
    return "<pre>" .. escaped(type(value) == "table" and mid.json.encode(value) or value) .. "</pre>"
  end
  local names, lines = {}, { source }
  for name in pairs(value.upvalues or {}) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local closed_over = value.upvalues[name]
    if type(closed_over) ~= "table" then
      lines[#lines + 1] = ("  where %s = %s"):format(name, closed_over)
    end
  end
  return "<pre>" .. escaped(table.concat(lines, "\n")) .. "</pre>"
end

local function table_of(heading, rows)
  local lines = { "<table><tr><th>" .. table.concat(heading, "</th><th>") .. "</th></tr>" }
  for _, row in ipairs(rows) do
    lines[#lines + 1] = "<tr><td>" .. table.concat(row, "</td><td>") .. "</td></tr>"
  end
  lines[#lines + 1] = "</table>"
  return table.concat(lines, "\n")
end

local function chart(title, metrics, history, changes)
  local series = {}
  for _, metric in ipairs(metrics) do
    local points = {}
    for t, step in pairs(history) do
      local value = step[metric[1]]
      if health.is_finite(value) then
        points[#points + 1] = { x = t, y = value }
      end
    end
    table.sort(points, function(a, b) return a.x < b.x end)
    if #points > 0 then series[#series + 1] = { name = metric[2], points = points } end
  end
  if #series == 0 then return nil end
  local text = svg.lines(nil, series, { title = title, x_label = "step", vertical = changes })
  return (text:gsub("^<%?xml.-%?>%s*", ""))
end

-- Where settings were changed, one marker a step.
local function markers(entries)
  local names, steps = {}, {}
  for _, entry in ipairs(entries) do
    if not names[entry.step] then steps[#steps + 1], names[entry.step] = entry.step, {} end
    table.insert(names[entry.step], entry.name)
  end
  for i, step in ipairs(steps) do
    steps[i] = { value = step, label = table.concat(names[step], ", ") }
  end
  return steps
end

local function settings_of(run)
  local file <close> = run.out and io.open(run.out .. "/config.json")
  local options = file and mid.json.decode(file:read "a").options or {}
  local rows = {}
  for name, value in pairs(options) do rows[#rows + 1] = { escaped(name), value_cell(value) } end
  table.sort(rows, function(a, b) return a[1] < b[1] end)
  return rows
end

--- The page of a run.
---@param run midtrain.Run
---@return string html
function report.html(run)
  local parts, history = {}, run.history
  local function add(...) parts[#parts + 1] = string.format(...) end
  local title = ("%s%s"):format(run.name, run.out and " · " .. run.out or "")
  add('<!doctype html>\n<html lang="en"><head><meta charset="utf-8"/><title>%s</title>', escaped(title))
  add("<style>%s</style></head><body>\n<h1>%s</h1>", style, escaped(title))
  add("<p>%d of %d steps, seed %d, %s.</p>", run.t, run.T, run.seed, run.status)

  local findings = doctor.examine(history)
  add('<p class="%s">%s</p>', #findings > 0 and "wrong" or "fine",
    escaped(doctor.describe(findings, #history)))

  local entries = run.out and journal.read(run.out .. "/journal.jsonl") or {}
  add '<h2>Metrics</h2>\n<div class="charts">'
  for _, one in ipairs(charts) do
    local text = chart(one[1], one[2], history, markers(entries))
    if text then parts[#parts + 1] = "<div>" .. text .. "</div>" end
  end
  parts[#parts + 1] = "</div>"

  if #entries > 0 then
    local rows = {}
    for i, e in ipairs(entries) do
      rows[i] = { tostring(e.step), escaped(e.name), value_cell(e.old), value_cell(e.new) }
    end
    parts[#parts + 1] = "<h2>Changes under way</h2>\n"
      .. table_of({ "from step", "setting", "before", "after" }, rows)
  end

  local logged = run.logged["completions.jsonl"] or {}
  if #logged > 0 then
    local rows = {}
    for i, s in ipairs(logged) do
      rows[i] = {
        escaped(s.tier or "–"), value_cell(s.target or s.gold), value_cell(s.prediction or s.answer),
        s.reward and ("%.2f"):format(s.reward) or "–", value_cell(s.text),
      }
    end
    parts[#parts + 1] = ("<h2>Completions of step %d</h2>\n"):format(logged[1].step)
      .. table_of({ "tier", "true", "predicted", "reward", "completion" }, rows)
  end

  local settings = settings_of(run)
  if #settings > 0 then
    parts[#parts + 1] = "<h2>Settings at the start</h2>\n" .. table_of({ "name", "value" }, settings)
  end
  parts[#parts + 1] = "</body></html>\n"
  return table.concat(parts, "\n")
end

return report
