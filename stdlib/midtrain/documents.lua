-- Documents as token ids, and the trunk of a step's forest: the prompt's head is the root, each
-- document a branch of it, and at each position p a closing prompt hangs off the document's
-- first p − 1 tokens:
--
--   head ─┬─ document 1 ──┬─ … ── tail (position p) ─┬─ completion 1
--         │               └─ tail (position q)       └─ completion 2 …
--         └─ document 2 …
--
-- Everything above a fork is computed once.

local blame = require "midtrain.blame"
local mid = require "midtrain.native"
local stream = require "midtrain.stream"

local documents = {}

--- Token ids of a text, cut to `max_length`; nil if there are fewer than two.
---@param tokenizer table
---@param text string
---@param max_length integer
---@return integer[]?
function documents.ids(tokenizer, text, max_length)
  local ids = tokenizer:encode(text)
  if #ids > max_length then ids = table.move(ids, 1, max_length, 1, {}) end
  return #ids >= 2 and ids or nil
end

--- Token ids of texts, cut to `max_length` tokens; documents of fewer than two are left out.
---@param tokenizer table
---@param texts string[]
---@param max_length integer
---@return integer[][]
function documents.encode(tokenizer, texts, max_length)
  if stream.is(texts) then
    error("docs: a stream is for mid.ntp and mid.rmt; give a list of its texts here: docs = stream:take(n)",
      blame.level())
  end
  local result = {}
  for i, text in ipairs(texts) do
    if type(text) ~= "string" then
      error(("docs: expected a list of strings, got a %s at index %d"):format(type(text), i), blame.level())
    end
    result[#result + 1] = documents.ids(tokenizer, text, max_length)
  end
  if #result == 0 then error("docs: no document has two tokens or more", blame.level()) end
  return result
end

-- Where texts with nothing to predict are all that comes, there will never be enough others.
local MOST_SHORT = 10000

--- Token ids of the next texts of a stream, as of a list's; fewer than `count` just before it ends, and an
--- error when it has ended.
---@param tokenizer table
---@param texts midtrain.Stream
---@param count integer
---@param max_length integer
---@return integer[][]
function documents.next(tokenizer, texts, count, max_length)
  local result, short = {}, 0
  while #result < count do
    local text = texts:next()
    if not text then break end
    local ids = documents.ids(tokenizer, text[1], max_length)
    result[#result + 1], short = ids, ids and 0 or short + 1
    if short == MOST_SHORT then
      error(("docs: %d texts in a row have less than two tokens"):format(short), 0)
    end
  end
  if #result == 0 then
    error("docs: the stream has ended; take fewer steps, or repeat its files (repeats = true)", 0)
  end
  return result
end

---@class midtrain.Forest
---@field batch table
---@field closings integer[] segment of each position's closing prompt, in the order of the draws
---@field positions { document: integer, position: integer, tier: integer?, ids: integer[] }[]
---@field ntp_mask table<integer, integer[]> m_pos of each document's segment: 0 at chosen positions

--- The forest of a step without its completions.
---@param prompt midtrain.Prompt
---@param ids_of integer[][] documents
---@param draws midtrain.Draw[] positions C
---@param given { budget: integer?, score: boolean, raw: boolean? } score: whether NTP needs the
---  documents; raw: read by themselves for it, not as part of the prompt
---@return midtrain.Forest
function documents.forest(prompt, ids_of, draws, given)
  local batch = mid.batch()
  local forest = { batch = batch, closings = {}, positions = {}, ntp_mask = {} }
  local head = batch:segment(prompt:head(given.budget), { score = false })
  for _, draw in ipairs(draws) do
    local ids = ids_of[draw.document]
    local trunk = batch:segment(ids, { parent = head, score = given.score and not given.raw })
    local mask = {}
    for p = 1, #ids do mask[p] = 1 end
    for i, p in ipairs(draw.positions) do
      mask[p] = 0
      table.insert(forest.closings,
        batch:segment(prompt:tail(), { parent = trunk, offset = p - 1, score = false }))
      table.insert(forest.positions, {
        document = draw.document, position = p, tier = draw.tiers and draw.tiers[i], ids = ids,
      })
    end
    if given.raw and given.score then
      -- A text's first token has nothing before it: it is no prediction.
      trunk, mask[1] = batch:segment(ids), 0
    end
    forest.ntp_mask[trunk] = mask
  end
  return forest
end

--- Draws of given places: those of one document together, its positions ascending, documents in
--- the order in which they come first. The forest's places are then in the order of the second
--- result.
---@generic Place: { document: integer, position: integer, tier: integer? }
---@param places Place[]
---@return midtrain.Draw[] draws, Place[] places
function documents.draws(places)
  local order, lists = {}, {}
  for _, place in ipairs(places) do
    local d = place.document
    if not lists[d] then order[#order + 1], lists[d] = d, {} end
    table.insert(lists[d], place)
  end
  local draws, ordered = {}, {}
  for i, d in ipairs(order) do
    table.sort(lists[d], function(a, b) return a.position < b.position end)
    draws[i] = { document = d, positions = {}, tiers = {} }
    for k, place in ipairs(lists[d]) do
      draws[i].positions[k], draws[i].tiers[k] = place.position, place.tier
      ordered[#ordered + 1] = place
    end
  end
  return draws, ordered
end

return documents
