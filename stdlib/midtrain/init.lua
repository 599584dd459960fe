-- `mid`: the engine's native functions, and the method's Lua modules, loaded when first used.

local mid = require "midtrain.native"

---@type table<string, string> what each module is for, also shown by help()
local modules = {
  advantage = "group advantages",
  budget = "token budget schedules B_t",
  coldstart = "supervised stage that teaches a small model the answer format",
  corpus = "generated mathematical text",
  curriculum = "tier probabilities p_t and the position sampler",
  entropy = "difficulty tiers from next-token entropies",
  objective = "policy losses, next-token loss and their sum",
  options = "checked tables of options",
  plot = "terminal plots",
  prompt = "the prompt around a document, arranged to share prefixes",
  random = "counter-based random numbers",
  reward = "match and length rewards",
  rmt = "reinforcement mid-training",
  run = "what every training run shares",
}

setmetatable(mid, {
  __index = function(self, name)
    if not modules[name] then return nil end
    local module = require("midtrain." .. name)
    rawset(self, name, module)
    return module
  end,
  -- For completion and help(), which look without loading.
  __modules = modules,
})

return mid
