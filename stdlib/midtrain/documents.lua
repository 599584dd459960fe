-- Documents as token ids, and the trunk of a step's forest: the prompt's head is the root, each
-- document a branch of it, and at each position p a closing prompt hangs off the document's
-- first p − 1 tokens:
--
--   head ─┬─ document 1 ──┬─ … ── tail (position p) ─┬─ completion 1
--         │               └─ tail (position q)       └─ completion 2 …
--         └─ document 2 …
--
-- Everything above a fork is computed once.

local mid = require "midtrain.native"

local documents = {}

--- Token ids of texts, cut to `max_length` tokens; documents of fewer than two are left out.
---@param tokenizer table
---@param texts string[]
---@param max_length integer
---@return integer[][]
function documents.encode(tokenizer, texts, max_length)
  local result = {}
  for i, text in ipairs(texts) do
    if type(text) ~= "string" then
      error(("docs: expected a list of strings, got a %s at index %d"):format(type(text), i), 3)
    end
    local ids = tokenizer:encode(text)
    if #ids > max_length then ids = table.move(ids, 1, max_length, 1, {}) end
    if #ids >= 2 then result[#result + 1] = ids end
  end
  if #result == 0 then error("docs: no document has two tokens or more", 3) end
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
---@param given { budget: integer?, score: boolean } score: whether NTP needs the documents
---@return midtrain.Forest
function documents.forest(prompt, ids_of, draws, given)
  local batch = mid.batch()
  local forest = { batch = batch, closings = {}, positions = {}, ntp_mask = {} }
  local head = batch:segment(prompt:head(given.budget), { score = false })
  for _, draw in ipairs(draws) do
    local ids = ids_of[draw.document]
    local trunk = batch:segment(ids, { parent = head, score = given.score })
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
    forest.ntp_mask[trunk] = mask
  end
  return forest
end

return documents
