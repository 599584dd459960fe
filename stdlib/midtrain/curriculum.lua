-- Curriculum-based adaptive sampling: tier probabilities p_t over (easy, medium, hard),
-- and the sampler that draws a tier from p_t, then a position uniformly among that tier's still
-- unused tokens.

local blame = require "midtrain.blame"
local entropy = require "midtrain.entropy"
local options = require "midtrain.options"
local random = require "midtrain.random"

-- A curriculum returns p_t, whether that weighs positions instead of tiers, and what it must
-- remember: named numbers that become metrics, as with a budget (see budget.lua).
---@alias midtrain.Curriculum
---| fun(t: integer, T: integer, state: table?): number[], boolean?, midtrain.Memory?

local curriculum = {}

local function check_probabilities(where, p)
  local sum = 0
  for tier = 1, 3 do
    local value = type(p) == "table" and p[tier]
    if type(value) ~= "number" or not (value >= 0) then
      error(where .. ": expected three probabilities (easy, medium, hard), none negative", blame.level())
    end
    sum = sum + value
  end
  if not (math.abs(sum - 1) < 1e-6) then
    error(("%s: probabilities must sum to 1, got %g"):format(where, sum), blame.level())
  end
  return p
end

local paper_options = {
  p1 = { "table", default = { .6, .3, .1 }, doc = "early probabilities [D]" },
  p2 = { "table", default = { .1, .3, .6 }, doc = "late probabilities [D]" },
  t1 = { "number", default = 0.3, min = 0, max = 1, doc = "share of T [K]" },
  t2 = { "number", default = 0.7, min = 0, max = 1, doc = "share of T [K]" },
}

--- The paper's: p1 before t1 = 0.3T, p2 from t2 = 0.7T on, linear in between [K];
--- p1 = (.6, .3, .1), p2 = (.1, .3, .6) [D].
---@param given { p1: number[]?, p2: number[]?, t1: number?, t2: number? }? t1, t2 as shares of T
---@return midtrain.Curriculum
function curriculum.paper(given)
  local o = options.check("curriculum.paper", given, paper_options)
  local p1 = check_probabilities("curriculum.paper, p1", o.p1)
  local p2 = check_probabilities("curriculum.paper, p2", o.p2)
  local share1, share2 = o.t1, o.t2
  if share1 > share2 then error("curriculum.paper: t1 must not exceed t2", 2) end
  return function(t, T)
    local t1, t2 = share1 * T, share2 * T
    if t < t1 then return p1 end
    if t >= t2 then return p2 end
    local s = (t - t1) / (t2 - t1)
    local p = {}
    for tier = 1, 3 do p[tier] = (1 - s) * p1[tier] + s * p2[tier] end
    return p
  end
end
options.takes(curriculum.paper, paper_options)

-- Probabilities of those that are the same at every step.
local constants = setmetatable({}, { __mode = "k" })

--- The same probabilities at every step.
---@param p number[]
---@return midtrain.Curriculum
function curriculum.constant(p)
  check_probabilities("curriculum.constant", p)
  local function same() return p end
  constants[same] = p
  return same
end

--- The probabilities of a curriculum that has the same ones at every step; nil for another.
---@param f midtrain.Curriculum
---@return number[]?
function curriculum.probabilities(f) return constants[f] end

--- Every tier equally likely.
---@return midtrain.Curriculum
function curriculum.uniform()
  return curriculum.constant { 1 / 3, 1 / 3, 1 / 3 }
end

--- No curriculum: every unused position of a document is equally likely, whatever its tier.
---@return midtrain.Curriculum
function curriculum.all_positions()
  return function() return { 1 / 3, 1 / 3, 1 / 3 }, true end
end

--- One tier only.
---@param tier "easy"|"medium"|"hard"
---@return midtrain.Curriculum
function curriculum.tier(tier)
  tier = options.value("curriculum.tier", "tier", tier,
    { "string", required = true, choices = { "easy", "medium", "hard" } })
  return curriculum.constant {
    tier == "easy" and 1 or 0, tier == "medium" and 1 or 0, tier == "hard" and 1 or 0,
  }
end

-- Metrics of scoring that tell which share of a tier's groups taught something: by their matches,
-- or by their rewards where those have no such part.
local function signal(state, tier)
  return state[("curriculum/%s/frac_match_nonzero_std"):format(tier)]
    or state[("curriculum/%s/frac_reward_nonzero_std"):format(tier)]
end

local feedback_options = {
  base = { "function", default = curriculum.uniform(), doc = "what results are weighed with" },
  floor = { "number", default = 0.2, min = 0, max = 1, doc = "share of the base kept [D]" },
  smoothing = { "number", default = 0.8, min = 0, max = 1, doc = "of v that is kept [D]" },
}

--- Fed back from results: p_i ∝ base_i·v_i, where v_i is the moving average of the share of the
--- tier's groups whose answers were not all alike, since only these have a gradient (the reason of
--- DAPO's dynamic sampling). A tier not seen yet has v = 1; `floor` of the base's probability is
--- kept whatever v is, so that every tier is looked at again [D].
---@param given { base: midtrain.Curriculum?, floor: number?, smoothing: number? }?
---@return midtrain.Curriculum
function curriculum.feedback(given)
  local o = options.check("curriculum.feedback", given, feedback_options)
  return function(t, T, state)
    state = state or {}
    local base, per_position, memory = o.base(t, T, state)
    memory = memory or {}
    local weights, sum = {}, 0
    for tier, name in ipairs(entropy.names) do
      local key = ("curriculum/%s/signal"):format(name)
      local v, share = state[key] or 1, signal(state, name)
      if share and share == share then v = o.smoothing * v + (1 - o.smoothing) * share end
      memory[key], weights[tier] = v, base[tier] * v
      sum = sum + weights[tier]
    end
    local p = {}
    for tier = 1, 3 do
      local learned = sum > 0 and weights[tier] / sum or base[tier]
      p[tier] = (1 - o.floor) * learned + o.floor * base[tier]
    end
    return p, per_position, memory
  end
end
options.takes(curriculum.feedback, feedback_options)

---@class midtrain.Draw
---@field document integer
---@field positions integer[] ascending
---@field tiers integer[] the tier of each

---@class midtrain.Sampler
---@field restarts integer how often the used positions were forgotten because none was left
---@field private seed integer
---@field private pools integer[][][] per document and tier, its positions
---@field private used table<integer, true>[] per document, its used positions
---@field private teaching table<integer, true>[] per document, positions whose last answers differed
---@field private now table<integer, table<integer, true>> by document, positions of this step
---@field private eligible integer[] documents with any position
---@field private taken integer documents drawn so far: epoch and place in it
---@field private drawn table<table, table<integer, true>> by set of used ones, what the last step added, and…
---@field private before table? …what was before it, to undo it
local Sampler = {}
Sampler.__index = Sampler

--- Documents with a position in any tier.
---@param tiers integer[][][] see entropy.tiers
---@return integer[]
function curriculum.eligible(tiers)
  local eligible = {}
  for d, pool in ipairs(tiers) do
    if #pool[1] + #pool[2] + #pool[3] > 0 then eligible[#eligible + 1] = d end
  end
  return eligible
end

--- A sampler over documents given by the positions of their tiers (see entropy.tiers). Documents
--- come in a seeded order, each once per epoch; those without any position are never drawn.
---@param tiers integer[][][]
---@param seed integer
---@return midtrain.Sampler
function curriculum.sampler(tiers, seed)
  local eligible, used, teaching = curriculum.eligible(tiers), {}, {}
  for d in ipairs(tiers) do used[d], teaching[d] = {}, {} end
  if #eligible == 0 then
    error("curriculum.sampler: no document has a position in any tier; lower the thresholds")
  end
  return setmetatable({
    seed = seed, pools = tiers, eligible = eligible, used = used, teaching = teaching, taken = 0,
    restarts = 0,
  }, Sampler)
end

function Sampler:next_document()
  local epoch = self.taken // #self.eligible
  if epoch ~= self.epoch then
    self.epoch = epoch
    self.order = random.new(self.seed, epoch, "documents")
      :shuffle(table.move(self.eligible, 1, #self.eligible, 1, {}))
  end
  local document = self.order[self.taken % #self.eligible + 1]
  self.taken = self.taken + 1
  return document
end

function Sampler:unused(document, tier)
  local positions = {}
  for _, p in ipairs(self.pools[document][tier]) do
    if not self.used[document][p] then positions[#positions + 1] = p end
  end
  return positions
end

-- A position of the tier that was used before and taught something then, with probability `revisit`;
-- nil without luck or such a position. None comes twice in a step.
function Sampler:again(document, tier, revisit, generator)
  if revisit == 0 or generator:uniform() >= revisit then return nil end
  local positions = {}
  for _, p in ipairs(self.pools[document][tier]) do
    if self.teaching[document][p] and not self.now[document][p] then
      positions[#positions + 1] = p
    end
  end
  return positions[1] and generator:choice(positions)
end

-- Up to `count` positions of one document. A tier without unused positions leaves its probability
-- to the document's others; tiers with p = 0 are never drawn.
function Sampler:draw_from(document, p, count, generator, given)
  local left = { self:unused(document, 1), self:unused(document, 2), self:unused(document, 3) }
  local chosen, now = {}, self.now[document] or {}
  self.now[document] = now
  for _ = 1, count do
    local weights, any = {}, false
    for tier = 1, 3 do
      weights[tier] = #left[tier] > 0 and p[tier] * (given.per_position and #left[tier] or 1) or 0
      any = any or weights[tier] > 0
    end
    if not any then break end
    local tier = generator:choice({ 1, 2, 3 }, weights)
    local position = self:again(document, tier, given.revisit or 0, generator)
    if not position then
      position = generator:choice(left[tier])
      local used = self.used[document]
      used[position], self.drawn[used] = true, self.drawn[used] or {}
      self.drawn[used][position] = true
    end
    -- One that is gone back to may be unused as well, after a restart.
    for i, p in ipairs(left[tier]) do
      if p == position then table.remove(left[tier], i) end
    end
    now[position] = true
    chosen[#chosen + 1] = { position = position, tier = tier }
  end
  if #chosen == 0 then return nil end
  table.sort(chosen, function(a, b) return a.position < b.position end)
  local draw = { document = document, positions = {}, tiers = {} }
  for i, choice in ipairs(chosen) do
    draw.positions[i], draw.tiers[i] = choice.position, choice.tier
  end
  return draw
end

--- Raises an error if no document has a position, used or not, that could be drawn.
---@param p number[] tier probabilities
function Sampler:check(p)
  for _, d in ipairs(self.eligible) do
    for tier = 1, 3 do
      if p[tier] > 0 and #self.pools[d][tier] > 0 then return end
    end
  end
  error(("curriculum: no document has a position of the tiers in p_t = (%g, %g, %g)"):format(
    table.unpack(p, 1, 3)), blame.level())
end

-- The counters and sets of a step's beginning, in which what was drawn for it since is still marked; the
-- present ones if nothing was.
function Sampler:beginning(step)
  local before = self.before
  return before and before.step == step and before or self
end

-- Undoes what was drawn for the same step: a step that failed after it is tried again, and must
-- get the same positions.
function Sampler:begin(step)
  local before = self:beginning(step)
  if before ~= self then
    for used, positions in pairs(self.drawn) do
      for p in pairs(positions) do used[p] = nil end
    end
    self.taken, self.restarts, self.used = before.taken, before.restarts, before.used
  end
  self.drawn, self.now = {}, {}
  self.before =
    { step = step, taken = self.taken, restarts = self.restarts, used = self.used }
end

--- The positions C of one step: `count` of each of `documents` documents, which are all different
--- unless there are fewer. A document with no unused position left is passed over; when all are,
--- the used ones of all documents become available again and `restarts` is counted up. The same
--- step drawn twice in a row gives the same positions.
---@param p number[] tier probabilities
---@param step integer
---@param documents integer
---@param count integer positions per document; fewer where a document has fewer
---@param given { per_position: boolean?, round: integer?, revisit: number? }? per_position: p_t is
---  the weight of each position of a tier, not of the tier; round: 1, 2, … for further positions of
---  the step beside those already drawn; revisit: probability of taking, instead of an unused
---  position, one of its tier that was noted to teach something (see Sampler:note)
---@return midtrain.Draw[]
function Sampler:draw(p, step, documents, count, given)
  check_probabilities("curriculum: p_t", p)
  self:check(p)
  given = given or {}
  if not given.round then self:begin(step) end
  local generator = random.new(self.seed, step, "positions" .. (given.round or ""))
  local draws, passed = {}, 0
  while #draws < math.min(documents, #self.eligible) do
    local draw = self:draw_from(self:next_document(), p, count, generator, given)
    if draw then
      draws[#draws + 1], passed = draw, 0
    else
      passed = passed + 1
    end
    if passed >= #self.eligible then
      if #draws > 0 then break end
      self.used = {}
      for d in ipairs(self.pools) do self.used[d] = {} end
      passed, self.restarts = 0, self.restarts + 1
    end
  end
  return draws
end

--- Notes whether the answers at a position differed when it was last asked: only then does asking it
--- teach anything. Called when a step is done, so that a step tried again draws the same.
---@param document integer
---@param position integer
---@param is_teaching boolean
function Sampler:note(document, position, is_teaching)
  self.teaching[document][position] = is_teaching or nil
end

--- Whether a step, also one that is tried again, begins after every document was drawn once.
---@param step integer
---@return boolean
function Sampler:is_over(step) return self:beginning(step).taken >= #self.eligible end

-- Sets of positions as sorted lists, without those that are to be undone in them; and back.
local function lists(sets, undone)
  local result = {}
  for d, set in ipairs(sets) do
    local without = undone and undone[set] or {}
    result[d] = {}
    for p in pairs(set) do
      if not without[p] then table.insert(result[d], p) end
    end
    table.sort(result[d])
  end
  return result
end

local function sets(count, given)
  local result = {}
  for d = 1, count do
    result[d] = {}
    for _, p in ipairs(given and given[d] or {}) do result[d][p] = true end
  end
  return result
end

--- What a checkpoint must keep, as plain data.
---@param step integer? the next one; what was drawn for it before it failed is not part of the state
---@return table
function Sampler:state(step)
  local beginning = self:beginning(step)
  return {
    taken = beginning.taken, restarts = beginning.restarts,
    used = lists(beginning.used, beginning ~= self and self.drawn),
    teaching = lists(self.teaching),
  }
end

--- Goes back to a state; the documents and the seed must be the same.
---@param state table
function Sampler:restore(state)
  self.taken, self.restarts = state.taken, state.restarts
  self.before, self.used = nil, sets(#self.pools, state.used)
  self.teaching = sets(#self.pools, state.teaching)
end

return curriculum
