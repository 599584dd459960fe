-- Rewards: what a rollout predicted, whether that matches the corpus, how long it
-- thought, and how the two combine. Everything is counted on bytes of token ids; a rollout's text
-- is never tokenised again.

local options = require "midtrain.options"

local reward = {}

local CLOSE = "</think>"

--- The token pieces (bytes) of ids.
---@param tokenizer table
---@param ids integer[]
---@return string[]
function reward.pieces(tokenizer, ids)
  local pieces = {}
  for i, id in ipairs(ids) do pieces[i] = tokenizer:token(id) end
  return pieces
end

--- Reasoning length ℓ: the tokens that lie wholly before </think>, the prompt having opened
--- <think>. A rollout that never closes is all reasoning.
---@param pieces string[] of the completion, without end-of-sequence tokens
---@return integer length, boolean closed
function reward.think_length(pieces)
  local boundary = table.concat(pieces):find(CLOSE, 1, true)
  if not boundary then return #pieces, false end
  local bytes, length = 0, 0
  for _, piece in ipairs(pieces) do
    bytes = bytes + #piece
    if bytes >= boundary then break end
    length = length + 1
  end
  return length, true
end

--- Content of the last `\boxed{…}` after </think>: nested braces are balanced, spaces count, a box
--- that is never closed is none. Consequently a single brace cannot be predicted [K: RPT's format].
---@param text string a completion
---@return string?
function reward.prediction(text)
  local _, start = text:find(CLOSE, 1, true)
  if not start then return nil end
  local found
  while true do
    local _, open = text:find("\\boxed{", start, true)
    if not open then return found end
    local content = text:match("^%b{}", open)
    if content then
      found = content:sub(2, -2)
      start = open + #content
    else
      start = open + 1
    end
  end
end

--- Strict match: the prediction, tokenised, is exactly the next token [K].
---@param tokenizer table
---@param prediction string?
---@param next_id integer
---@return integer 0 or 1
function reward.match_strict(tokenizer, prediction, next_id)
  if not prediction then return 0 end
  local ids = tokenizer:encode(prediction)
  return #ids == 1 and ids[1] == next_id and 1 or 0
end

--- Prefix match: the predicted bytes are the first l bytes of the true continuation, and l is a
--- token boundary of it (RPT [K]).
---@param prediction string?
---@param continuation string[] pieces of the true next tokens
---@return integer 0 or 1
function reward.match_prefix(prediction, continuation)
  if not prediction or prediction == "" then return 0 end
  local truth = ""
  for _, piece in ipairs(continuation) do
    truth = truth .. piece
    if #truth >= #prediction then return truth == prediction and 1 or 0 end
  end
  return 0
end

-- Length rewards. Each is a function (sample) → number?; nil where there is no budget.

---@class midtrain.Sample
---@field ids integer[] completion tokens
---@field logprobs number[]
---@field finish_reason "stop"|"length"
---@field text string
---@field prediction string?
---@field think_length integer ℓ
---@field closed boolean whether </think> appeared
---@field budget integer? B_t
---@field next_id integer the true next token
---@field continuation string[] pieces of the true next tokens
---@field tokenizer table

--- Triangular [K]: r_max·ℓ/B up to B, r_max·(1 − (ℓ − B)/B) up to 2B, 0 beyond; r_max = 1 [D].
---@param given { r_max: number? }?
---@return fun(sample: midtrain.Sample): number?
function reward.triangular(given)
  local o = options.check("reward.triangular", given, { r_max = { "number", default = 1 } })
  local r_max = o.r_max
  return function(sample)
    local B, length = sample.budget, sample.think_length
    if not B then return nil end
    if length <= B then return r_max * length / B end
    if length <= 2 * B then return r_max * (1 - (length - B) / B) end
    return 0
  end
end

--- Flat up to B, then the triangular decay to 0 at 2B: no pressure to fill the budget.
---@param given { r_max: number? }?
---@return fun(sample: midtrain.Sample): number?
function reward.flat_then_decay(given)
  local o = options.check("reward.flat_then_decay", given, { r_max = { "number", default = 1 } })
  local r_max = o.r_max
  return function(sample)
    local B = sample.budget
    if not B then return nil end
    return r_max * math.max(0, math.min(1, 1 - (sample.think_length - B) / B))
  end
end

local alpha = { alpha = { "number", default = 0.0003, min = 0, doc = "α [K]" } }

--- L1-exact's length part: −α·|n_gold − n_y|, to be added to the match reward [K].
---@param given { alpha: number? }?
---@return fun(sample: midtrain.Sample): number?
function reward.l1_exact(given)
  local a = options.check("reward.l1_exact", given, alpha).alpha
  return function(sample)
    return sample.budget and -a * math.abs(sample.budget - sample.think_length)
  end
end

--- L1-max's length part: clip(α·(n_gold − n_y) + 0.5, 0, 1), to multiply the match reward [K].
---@param given { alpha: number? }?
---@return fun(sample: midtrain.Sample): number?
function reward.l1_max(given)
  local a = options.check("reward.l1_max", given, alpha).alpha
  return function(sample)
    local B = sample.budget
    return B and math.max(0, math.min(1, a * (B - sample.think_length) + 0.5))
  end
end

--- DAPO's soft overlong punishment of the whole completion [K]: 0 up to L − c tokens, falling to −1
--- at L, −1 beyond.
---@param given { max_length: integer, cache: integer }
---@return fun(sample: midtrain.Sample): number
function reward.soft_overlong(given)
  local o = options.check("reward.soft_overlong", given, {
    max_length = { "integer", required = true, min = 1, doc = "L" },
    cache = { "integer", required = true, min = 1, doc = "c" },
  })
  local L, c = o.max_length, o.cache
  return function(sample)
    local n = #sample.ids
    if n <= L - c then return 0 end
    return n <= L and ((L - c) - n) / c or -1
  end
end

--- RMT's reward r = (1 − w)·match + w·length, w = 0.3 [D]; only the match where there is no budget.
--- A reward is a function (sample) → total, components; nil leaves the sample out of training. A
--- component gives its value, for the log, and its contribution to the total, for the advantages.
---@param given { weight: number?, match: ("prefix"|"strict"|function)?, length: function? }?
---@return fun(sample: midtrain.Sample): number?, table?
function reward.rmt(given)
  local o = options.check("reward.rmt", given, {
    weight = { "number", default = 0.3, min = 0, max = 1, doc = "w [D]" },
    match = { { "string", "function" }, default = "prefix", choices = { "prefix", "strict" } },
    length = { "function", default = reward.triangular() },
  })
  local weight, match, length = o.weight, o.match, o.length
  return function(sample)
    local matched
    if match == "prefix" then
      matched = reward.match_prefix(sample.prediction, sample.continuation)
    elseif match == "strict" then
      matched = reward.match_strict(sample.tokenizer, sample.prediction, sample.next_id)
    else
      matched = match(sample)
    end
    local fitting = length(sample)
    if not fitting then
      return matched, { match = { value = matched, contribution = matched } }
    end
    local components = {
      match = { value = matched, contribution = (1 - weight) * matched },
      length = { value = fitting, contribution = weight * fitting },
    }
    return components.match.contribution + components.length.contribution, components
  end
end

return reward
