-- Difficulty of positions: the entropy, in nats, of the entropy model's next-token
-- distribution, computed once per document, and the tiers made of it.
--
-- `model:entropy(ids)[i]` is the entropy *after* ids[1 … i], the difficulty of the token behind
-- them. Here a position p is always that of the token to be predicted: its entropy is H[p − 1].

local mid = require "midtrain.native"
local options = require "midtrain.options"

local entropy = {}

--- Tier names in the order of their numbers 1, 2, 3.
entropy.names = { "easy", "medium", "hard" }

--- RPT's thresholds, in nats [D].
entropy.thresholds = { 0.5, 1.0, 1.5 }

--- The exclusive tier of an entropy: nil below the first threshold (never sampled for RL),
--- then 1 easy [0.5, 1.0), 2 medium [1.0, 1.5], 3 hard above 1.5.
---@param h number nats
---@param thresholds number[]?
---@return integer?
function entropy.tier(h, thresholds)
  local easy, medium, hard = table.unpack(thresholds or entropy.thresholds)
  if h > hard then return 3 end
  if h >= medium then return 2 end
  if h >= easy then return 1 end
  return nil
end

--- The cumulative splits that RPT evaluates on: H > 0.5, > 1.0, > 1.5 [K].
---@param h number nats
---@param thresholds number[]?
---@return { easy: boolean, medium: boolean, hard: boolean }
function entropy.cumulative(h, thresholds)
  local easy, medium, hard = table.unpack(thresholds or entropy.thresholds)
  return { easy = h > easy, medium = h > medium, hard = h > hard }
end

--- Positions of each tier in a document of `n` tokens, from its list of next-token entropies.
---@param H number[]
---@param n integer
---@param thresholds number[]?
---@return integer[][] positions three lists of positions 2 … n
function entropy.tiers(H, n, thresholds)
  local positions = { {}, {}, {} }
  for p = 2, n do
    local tier = entropy.tier(H[p - 1], thresholds)
    if tier then table.insert(positions[tier], p) end
  end
  return positions
end

local specification = {
  top_k = { "integer", min = 2, doc = "renormalise over this many tokens; RPT uses 16 [K]" },
  progress = { "boolean", default = false, doc = "print how far it is, every few seconds" },
}

-- One cache per model, dropped with it.
local caches = setmetatable({}, { __mode = "k" })

--- Entropies of documents (lists of token ids), each computed once per model and `top_k`.
---@param model table
---@param documents integer[][]
---@param given { top_k: integer?, progress: boolean? }?
---@return number[][]
function entropy.documents(model, documents, given)
  local o = options.check("entropy.documents", given, specification)
  local cache = caches[model] or {}
  caches[model] = cache
  local result, reported = {}, mid.clock()
  for i, ids in ipairs(documents) do
    local key = (o.top_k or "all") .. ":" .. table.concat(ids, ",")
    cache[key] = cache[key] or model:entropy(ids, { top_k = o.top_k })
    result[i] = cache[key]
    if o.progress and mid.clock() - reported > 5 then
      print(("entropies of %d/%d documents"):format(i, #documents))
      reported = mid.clock()
    end
  end
  return result
end

--- Forgets what was computed for `model`; needed when its weights changed and the new model is
--- meant to be the entropy model.
---@param model table
function entropy.forget(model)
  caches[model] = nil
end

return entropy
