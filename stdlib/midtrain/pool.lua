-- The documents that a run draws positions from, every position in a tier by its entropy, with the sampler
-- of them. A list of texts is one pool, for the whole run. A stream is gone through pool by pool, so that
-- its text may be larger than memory: when every document of a pool was drawn once, the next step takes so
-- many further ones from the stream and scores them. A step stays with the pool that it began with: where
-- the last documents of a pool are fewer than the step wants, it draws on from the pool's first ones.
--
--   run = mid.rmt { model = model, docs = mid.stream { files = "texts.jsonl.zst" },
--                   entropy_model = model:copy { dtype = "int8" }, documents_per_pool = 1000 }

local blame = require "midtrain.blame"
local curriculum = require "midtrain.curriculum"
local documents = require "midtrain.documents"
local entropy = require "midtrain.entropy"
local random = require "midtrain.random"
local streams = require "midtrain.stream"

local pool = {}

pool.specification = {
  docs = { "table", required = true, doc = "list of texts, or a mid.stream of them" },
  max_document_length = { "integer", default = 512, min = 2, doc = "tokens; the rest is cut" },
  documents_per_pool = {
    "integer", default = 1000, min = 1, doc = "of a stream, in memory at a time and drawn once each [D]",
  },
  entropies = { "table", doc = "per document, H after each token; else from entropy_model" },
  entropy_model = {
    { "userdata", "table" },
    doc = "the model itself, before training, if absent; for a stream another one, which stays as it is",
  },
  entropy_top_k = { "integer", min = 2, doc = "16 in RPT [K]; the whole vocabulary if absent" },
  entropy_cache = { "string", doc = "folder that keeps entropies from one process to the next" },
  thresholds = {
    { "table", "function" }, default = entropy.thresholds,
    doc = "tiers, nats [D, RPT]; or made of all entropies (a stream's: a pool's), as entropy.quantiles does",
  },
}

-- Pools without a position in any tier, after which no other is expected.
local MOST_EMPTY = 10

---@class midtrain.Pool
---@field private options table
---@field private stream midtrain.Stream? what further pools are taken from
---@field private beginning table? state of the stream where the present pool begins
---@field private documents integer[][]? token ids
---@field private entropies number[][]? of a list
---@field private sampler midtrain.Sampler? nil as long as the present pool is not scored
local Pool = {}
Pool.__index = Pool

local function check_thresholds(thresholds)
  local last = -math.huge
  for i = 1, 3 do
    local value = thresholds[i]
    if type(value) ~= "number" or value ~= value or value < last then
      error("docs: thresholds must be three numbers, none smaller than the one before", blame.level())
    end
    last = value
  end
  return thresholds
end

-- Tiers of documents, and the entropies that they are made of.
local function score(o, ids, is_passing)
  local H = o.entropies or entropy.documents(o.entropy_model or o.model, ids,
    { top_k = o.entropy_top_k, progress = o.progress, cache = o.entropy_cache, forget = is_passing })
  local thresholds, tiers = o.thresholds, {}
  if type(thresholds) == "function" then thresholds = check_thresholds(thresholds(H)) end
  for d in ipairs(ids) do tiers[d] = entropy.tiers(H[d], #ids[d], thresholds) end
  return tiers, H
end

local function score_list(self)
  local tiers
  tiers, self.entropies = score(self.options, self.documents, false)
  self.sampler = curriculum.sampler(tiers, self.options.seed)
end

-- The stream's next documents that have a position in any tier.
local function take(self)
  local o = self.options
  -- What could not be scored to its end is taken again.
  if self.beginning and not self.sampler then self.stream:restore(self.beginning) end
  self.sampler = nil
  for _ = 1, MOST_EMPTY do
    self.beginning = self.stream:state()
    self.documents =
      documents.next(o.model.tokenizer, self.stream, o.documents_per_pool, o.max_document_length)
    local tiers = score(o, self.documents, true)
    if #curriculum.eligible(tiers) > 0 then
      -- Another order of documents in each pool.
      local seed = random.new(o.seed, self.beginning.given, "pool"):bits()
      self.sampler = curriculum.sampler(tiers, seed)
      return
    end
  end
  error(("docs: %d pools of the stream in a row have no position in any tier; lower the thresholds")
    :format(MOST_EMPTY), 0)
end

--- The documents of a step and their sampler; the same ones when the step is tried again.
---@param run midtrain.Run
---@param t integer
---@return integer[][] documents token ids
---@return midtrain.Sampler
function Pool:at(run, t)
  if not self.stream then
    -- Once, before anything is learned; in the first step, so that the prompt stays live meanwhile.
    if not self.sampler then run:time("entropy", score_list, self) end
  elseif not self.sampler or self.sampler:is_over(t) then
    run:time("entropy", take, self)
  end
  return self.documents, self.sampler
end

--- Raises an error if a curriculum gives probabilities to tiers that no document has. What a function will
--- give is not known yet, nor what a stream's next pools have.
---@param f midtrain.Curriculum
function Pool:admit(f)
  local p = curriculum.probabilities(f)
  if p and self.sampler and not self.stream then self.sampler:check(p) end
end

--- Tokens of the longest document that may come.
---@return integer
function Pool:longest()
  if self.stream then return self.options.max_document_length end
  local longest = 0
  for _, ids in ipairs(self.documents) do longest = math.max(longest, #ids) end
  return longest
end

--- What a checkpoint must keep: the pool's place in the stream, not its documents.
---@param t integer the next step
---@return table
function Pool:state(t)
  return {
    stream = self.stream and (self.beginning or self.stream:state()),
    sampler = self.sampler and self.sampler:state(t),
  }
end

--- Goes back to a state; a pool that was drawn from is scored again.
---@param state table
function Pool:restore(state)
  if (state.stream ~= nil) ~= (self.stream ~= nil) then
    error(("docs: they were a %s; give the same as before"):format(state.stream and "stream" or "list"), 0)
  end
  self.beginning, self.sampler = nil, nil
  if self.stream then self.stream:restore(state.stream) end
  if state.sampler then
    if self.stream then take(self) else score_list(self) end
    self.sampler:restore(state.sampler)
  end
end

--- Options that a fork gets. The entropies of a stream's pool are still in memory, with their model.
---@return table
function Pool:shared()
  return self.stream and { docs = self.stream:copy() } or { entropies = self.entropies }
end

--- The documents of a run; they are scored when its first step asks for them.
---@param where string named in errors
---@param o table checked options: see pool.specification; also model, seed and progress
---@return midtrain.Pool
function pool.new(where, o)
  local self = setmetatable({ options = o }, Pool)
  if type(o.thresholds) == "table" then check_thresholds(o.thresholds) end
  if not streams.is(o.docs) then
    self.documents = documents.encode(o.model.tokenizer, o.docs, o.max_document_length)
    if o.entropies and #o.entropies ~= #self.documents then
      error(("%s: %d entropies for %d documents"):format(where, #o.entropies, #self.documents), blame.level())
    end
    return self
  end
  self.stream = o.docs
  if o.entropies then
    error(where .. ": entropies are those of a list of documents; a stream's are computed pool by pool, by "
      .. "entropy_model", blame.level())
  end
  if not o.entropy_model or o.entropy_model == o.model then
    error(where .. ": a stream's documents are scored while the model learns, and by one that does not: set "
      .. 'entropy_model = model:copy { dtype = "int8" }, say', blame.level())
  end
  return self
end

return pool
