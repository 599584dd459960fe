-- Numbers that are not what they should be. A step whose loss, gradient or log-probabilities are not
-- finite is skipped, its batch written down for people to look at, and counted; several in a row pause
-- the run. A loss or gradient norm far above those before is flagged.

local history = require "midtrain.history"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"

local health = {}

--- Steps before that a value is compared with [D], and how many of them there must be.
health.window, health.least = 50, 10
--- How far above the median an outlier is, in standard deviations as the median absolute deviation
--- estimates them [D].
health.deviations = 6
--- Batches that are written down in a run's folder at most.
health.dumps = 50

--- Options of every run about what is wrong with numbers.
---@type table<string, midtrain.Option>
health.specification = {
  max_skipped_steps = {
    "integer", default = 5, min = 0, knob = true,
    doc = "steps skipped in a row that pause the run; 0: never",
  },
}

--- Whether a number is neither NaN nor infinite.
---@param value number?
---@return boolean
function health.is_finite(value)
  return value ~= nil and value == value and math.abs(value) ~= math.huge
end

local function median(values)
  table.sort(values)
  local n = #values
  return n % 2 == 1 and values[n // 2 + 1] or (values[n // 2] + values[n // 2 + 1]) / 2
end

--- Whether a value stands out above those before it: by more than `deviations` times 1.4826 × their
--- median absolute deviation (Hampel's rule), or, where they hardly differ, times 2 % of the median.
---@param value number
---@param before number[]
---@return boolean is_outlier, number? median
function health.is_outlier(value, before)
  if #before < health.least then return false end
  local middle = median(table.move(before, 1, #before, 1, {}))
  local distances = {}
  for i, x in ipairs(before) do distances[i] = math.abs(x - middle) end
  local spread = math.max(1.4826 * median(distances), 0.02 * math.abs(middle))
  return value - middle > health.deviations * spread, middle
end

-- A metric in the steps before, without those that were skipped.
local function recent(rows, name, t)
  local values = {}
  for i = math.max(1, t - health.window), t - 1 do
    local value = history.at(rows, i, name)
    if history.at(rows, i, "skipped") ~= 1 and health.is_finite(value) then
      values[#values + 1] = value
    end
  end
  return values
end

--- Counts skipped steps and flags outliers: `skipped_steps`, `outlier/loss`, `outlier/grad_norm`.
---@param rows table[] of the steps before
---@param metrics table of this one
---@param t integer this step's number
function health.note(rows, metrics, t)
  if not metrics.skipped then return end
  local before = history.at(rows, t - 1, "skipped_steps") or 0
  metrics.skipped_steps = before + metrics.skipped
  for _, name in ipairs { "loss", "grad_norm" } do
    if metrics.skipped == 0 and health.is_finite(metrics[name]) then
      local is_outlier = health.is_outlier(metrics[name], recent(rows, name, t))
      metrics["outlier/" .. name] = is_outlier and 1 or 0
    end
  end
end

--- What the progress line says about a step; nothing if all is well.
---@param rows table[]
---@param t integer
---@return string
function health.describe(rows, t)
  local metrics, parts = rows[t], {}
  if metrics.skipped == 1 then parts[1] = " · SKIPPED: loss, gradient or log-probability not finite" end
  for _, name in ipairs { "loss", "grad_norm" } do
    if metrics["outlier/" .. name] == 1 then
      local _, middle = health.is_outlier(metrics[name], recent(rows, name, t))
      parts[#parts + 1] = (" · OUTLIER: %s %.3g, usually %.3g"):format(name, metrics[name], middle)
    end
  end
  return table.concat(parts)
end

-- Segments of a batch as data, with their text where it is text.
local function segments_of(batch, tokenizer)
  local list = batch:tolist()
  for _, segment in ipairs(list) do
    segment.text = tokenizer and journal.describe(tokenizer:decode(segment.ids))
  end
  return list
end

--- Writes down what a skipped step was computed from, as `skipped/step-N.json`.
---@param own table the fields of a run
---@param cause string
---@param metrics table
function health.dump(own, cause, metrics)
  local dir = own.out and own.out .. "/skipped"
  if not dir or mid.exists(dir) and #mid.list(dir) >= health.dumps then return end
  mid.mkdir(dir)
  local seen = own.seen or {}
  journal.write(("%s/step-%d.json"):format(dir, own.t + 1), {
    step = own.t + 1, cause = cause, metrics = metrics, knobs = journal.describe(own.knobs),
    segments = seen.batch and segments_of(seen.batch, own.model.tokenizer),
    logprobs = seen.logprobs and seen.logprobs:tolist(),
  })
end

--- Why the run should pause: too many steps in a row were skipped since it went on; nil if not.
---@param own table the fields of a run
---@return string?
function health.problem(own)
  local limit, first = own.in_force.max_skipped_steps, own.t
  while first > (own.went_on_at or 0) and history.at(own.history, first, "skipped") == 1 do
    first = first - 1
  end
  if not limit or limit == 0 or own.t - first < limit then return nil end
  local cure = "Change what makes them so (learning_rate, reward, loss), then go on"
  for name, weights in pairs(own.model.parameters and own.model:parameters() or {}) do
    if not health.is_finite(weights:sum():item()) then
      cure = ("The weights themselves are not finite (%s): go back to a checkpoint from before (%s)")
        :format(name, own.out and 'resume = "' .. own.out .. '/checkpoints/step-N"' or "run:save makes them")
      break
    end
  end
  return ("run: paused after step %d: loss, gradient or log-probabilities of %d steps in a row were not "
    .. "finite%s. %s"):format(own.t, own.t - first,
    own.out and "; their batches are in " .. own.out .. "/skipped" or "", cure)
end

return health
