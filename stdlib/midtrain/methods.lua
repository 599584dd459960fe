-- The rows of the paper's table: RMT, what it is compared with, and RMT without each of its parts.
-- Each is what it changes in the options of mid.rmt; everything else is the same for all.

local budget = require "midtrain.budget"
local curriculum = require "midtrain.curriculum"
local options = require "midtrain.options"
local reward = require "midtrain.reward"

local methods = {}

---@class midtrain.Method
---@field name string
---@field title string
---@field kind "none"|"ntp"|"rl" trained not at all, by next-token prediction alone, or by rmt
---@field options (fun(rmt: table): table)? changes to the options of mid.rmt that all rows share
---@field is_direct boolean? scored without reasoning only

--- Match reward alone; `weight` 0 leaves nothing to the length.
local function match_only() return reward.rmt { weight = 0 } end

---@type midtrain.Method[]
methods.list = {
  { name = "ntp", title = "NTP (continual pre-training)", kind = "ntp", is_direct = true },
  { name = "ntr", title = "NTR (reasoning, untrained)", kind = "none" },
  {
    name = "rpt", title = "RPT", kind = "rl",
    options = function()
      return {
        budget = budget.none(), reward = match_only(), lambda = 0,
        curriculum = curriculum.all_positions(),
      }
    end,
  },
  { name = "rmt", title = "RMT", kind = "rl", options = function() return {} end },
  {
    name = "rmt-dtb", title = "RMT without budget", kind = "rl",
    options = function() return { budget = budget.none(), reward = match_only() } end,
  },
  {
    name = "rmt-cas", title = "RMT without curriculum", kind = "rl",
    options = function() return { curriculum = curriculum.all_positions() } end,
  },
  {
    name = "rmt-ntp", title = "RMT without NTP", kind = "rl",
    options = function() return { lambda = 0 } end,
  },
  {
    name = "rl+ntp", title = "RL + NTP, no length reward", kind = "rl",
    options = function()
      return {
        budget = budget.none(), reward = match_only(), curriculum = curriculum.all_positions(),
      }
    end,
  },
}

--- Rows that are not in the paper's table, to find out what makes its rows differ; asked for by name.
---@type midtrain.Method[]
local more = {
  {
    name = "rmt-flat", title = "RMT, shorter is never worse", kind = "rl",
    options = function() return { reward = reward.rmt { length = reward.flat_then_decay() } } end,
  },
  {
    name = "rmt-floor", title = "RMT, B_min from the start", kind = "rl",
    options = function(rmt)
      return { budget = function(t, T, state) return (rmt.budget(T, T, state)) end }
    end,
  },
}

---@type midtrain.Method[]
methods.all = table.move(more, 1, #more, #methods.list + 1, { table.unpack(methods.list) })

--- The method of a name.
---@param name string
---@return midtrain.Method
function methods.named(name)
  local known = {}
  for _, method in ipairs(methods.all) do
    if method.name == name then return method end
    known[method.name] = true
  end
  error(options.unknown("methods", name, known, "method"), 2)
end

--- The paper's own figures [K]: 14B models on OmniMATH, accuracies in percent, length in tokens.
methods.paper = {
  { "NTP, R1-Distill", 42.04, 31.71, 19.64, 31.13 },
  { "NTP, Qwen3", 47.89, 34.61, 25.01, 35.84 },
  { "NTR, R1-Distill", 4.76, 2.43, 2.09, 3.09 },
  { "NTR, Qwen3", 8.47, 5.08, 4.51, 6.02, 1577 },
  { "RPT", 48.67, 35.84, 23.03, 35.85, 872 },
  { "RMT, R1-Distill", 62.50, 43.96, 34.14, 46.87, 188 },
  { "RMT, Qwen3", 76.92, 55.79, 44.64, 59.12, 186 },
  { "RMT, R1-Distill, without budget", 60.35, 32.79, 27.59, 40.24 },
  { "RMT, R1-Distill, without curriculum", 59.32, 42.66, 27.68, 43.22 },
  { "RMT, R1-Distill, without NTP", 40.00, 34.26, 27.27, 33.84 },
}

return methods
