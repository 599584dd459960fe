-- Difficulty of positions: the entropy, in nats, of the entropy model's next-token
-- distribution, computed once per document, and the tiers made of it.
--
-- `model:entropy(ids)[i]` is the entropy *after* ids[1 … i], the difficulty of the token behind
-- them. Here a position p is always that of the token to be predicted: its entropy is H[p − 1].

local mid = require "midtrain.native"
local options = require "midtrain.options"
local random = require "midtrain.random"

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

--- The q-quantile of numbers, linearly interpolated between the two nearest.
---@param values number[] not empty
---@param q number 0 … 1
---@return number
function entropy.quantile(values, q)
  local sorted = table.move(values, 1, #values, 1, {})
  table.sort(sorted)
  local place = 1 + q * (#sorted - 1)
  local below = math.floor(place)
  local low, high = sorted[below], sorted[math.min(#sorted, below + 1)]
  return low + (place - below) * (high - low)
end

--- Thresholds at quantiles of the data's own entropies, for the option `thresholds`: with thirds,
--- the tiers are equally large whatever the model. Positions below `floor` are never sampled, and
--- do not count [D].
---@param H number[][] per document, after each token
---@param quantiles number[]? two; thirds if absent
---@param floor number? nats; 0.5 if absent [D, RPT's lowest threshold]
---@return number[] thresholds
function entropy.quantiles(H, quantiles, floor)
  local q = quantiles or { 1 / 3, 2 / 3 }
  floor = floor or entropy.thresholds[1]
  local values = {}
  for _, list in ipairs(H) do
    -- The entropy after the last token has no target.
    for i = 1, #list - 1 do
      if list[i] >= floor then values[#values + 1] = list[i] end
    end
  end
  if #values == 0 then
    error(("entropy.quantiles: no entropy reaches %g; lower the floor"):format(floor), 2)
  end
  return { floor, entropy.quantile(values, q[1]), entropy.quantile(values, q[2]) }
end

local specification = {
  cache = { "string", doc = "folder that keeps them from one process to the next" },
  top_k = { "integer", min = 2, doc = "renormalise over this many tokens; RPT uses 16 [K]" },
  forget = {
    "boolean", default = false, doc = "hold these in memory only, and none of the model's earlier documents",
  },
  progress = { "boolean", default = false, doc = "print how far it is, every few seconds" },
}

-- One cache per model, dropped with it.
local caches = setmetatable({}, { __mode = "k" })

-- Identity of a model's values: its size and what it says of a fixed sequence of tokens. Time and
-- size of its files say nothing of a model that was trained since.
local function fingerprint(model)
  local V, probe = model.config.vocab_size, {}
  for i = 1, 32 do probe[i] = i * 7919 % V end
  local parts = { model:num_parameters() }
  for i, lp in ipairs(model:score(probe)) do parts[i + 1] = ("%.9g"):format(lp) end
  return table.concat(parts, " ")
end

-- Name of the cache file for exactly this: another model, text or top_k has another.
local function cache_path(folder, model, documents, top_k)
  local h = random.hash(("%s; top_k %s"):format(fingerprint(model), top_k))
  for _, ids in ipairs(documents) do h = random.hash(table.concat(ids, ",") .. ";", h) end
  return ("%s/entropies-%016x"):format(folder, h)
end

-- A cache file: per document the number of values (4 bytes) and the values (8 bytes each, little
-- endian), then the hash of all that, by which a damaged file is found out.
local function write_cache(path, lists)
  local parts = {}
  for _, list in ipairs(lists) do
    parts[#parts + 1] = string.pack("<I4", #list)
    for _, h in ipairs(list) do parts[#parts + 1] = string.pack("<d", h) end
  end
  local data = table.concat(parts)
  local file <close> = assert(io.open(path .. ".tmp", "wb"))
  assert(file:write(data, string.pack("<i8", random.hash(data))))
  file:close()
  mid.rename(path .. ".tmp", path)
end

-- What a cache file holds; nil if there is none, or if it is damaged, which is said.
local function read_cache(path, documents)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  local data = text:sub(1, -9)
  local is_whole = #text >= 8 and string.unpack("<i8", text, #text - 7) == random.hash(data)
  local lists, at = {}, 1
  for d, ids in ipairs(documents) do
    if not is_whole or at + 4 + 8 * #ids > #data + 1 or string.unpack("<I4", data, at) ~= #ids then
      print(("entropies: %s is damaged; they are computed again"):format(path))
      return nil
    end
    at, lists[d] = at + 4, {}
    for i = 1, #ids do lists[d][i], at = string.unpack("<d", data, at) end
  end
  return lists
end

--- Entropies of documents (lists of token ids), each computed once per model and `top_k`; with
--- `cache`, once for all processes.
---@param model table
---@param documents integer[][]
---@param given { top_k: integer?, forget: boolean?, progress: boolean?, cache: string? }?
---@return number[][]
function entropy.documents(model, documents, given)
  local o = options.check("entropy.documents", given, specification)
  local path = o.cache and cache_path(o.cache, model, documents, o.top_k)
  local kept = path and read_cache(path, documents)
  if kept then return kept end
  -- The one in memory may hold what a model said before it was trained: not for the file's name.
  local earlier = not path and caches[model] or {}
  local cache = (path or o.forget) and {} or earlier
  if not path then caches[model] = cache end
  local result, reported = {}, mid.clock()
  for i, ids in ipairs(documents) do
    local key = (o.top_k or "all") .. ":" .. table.concat(ids, ",")
    cache[key] = cache[key] or earlier[key] or model:entropy(ids, { top_k = o.top_k })
    result[i] = cache[key]
    if o.progress and mid.clock() - reported > 5 then
      print(("entropies of %d/%d documents"):format(i, #documents))
      reported = mid.clock()
    end
  end
  if path then
    mid.mkdir(o.cache)
    write_cache(path, result)
  end
  return result
end
options.takes(entropy.documents, specification)

--- Forgets what was computed for `model`; needed when its weights changed and the new model is
--- meant to be the entropy model.
---@param model table
function entropy.forget(model)
  caches[model] = nil
end

return entropy
