-- Rewards: what a rollout predicted, whether that matches the corpus, how long it
-- thought, and how the two combine. Everything is counted on bytes of token ids; a rollout's text
-- is never tokenised again.

local options = require "midtrain.options"

local reward = {}

local CLOSE = "</think>"

local match_option = {
  { "string", "function" }, default = "prefix", choices = { "prefix", "strict", "dense" },
  doc = "prefix [K: RPT], strict [K], dense, or any function (sample)",
}

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

local match_dense_options = {
  horizon = { "integer", default = 1, min = 1, doc = "tokens that are asked for" },
  unit = { "string", default = "byte", choices = { "byte", "token" } },
}

--- Dense match: the share of bytes that agree from the start, of the longer of prediction and true
--- text, so that neither half a word nor rubbish after the right one earns all. The true text is
--- the first `horizon` tokens, or as far as a longer prediction agrees; unit "token" counts only
--- whole tokens of it. 1 is also what the prefix match gives (with horizon 1). Ours [D].
---@param prediction string?
---@param continuation string[] pieces of the true next tokens
---@param given { horizon: integer?, unit: ("byte"|"token")? }?
---@return number 0 … 1
function reward.match_dense(prediction, continuation, given)
  local o = options.check("reward.match_dense", given, match_dense_options)
  if not prediction or prediction == "" then return 0 end
  local truth, agreed = table.concat(continuation), 0
  while agreed < #prediction and prediction:byte(agreed + 1) == truth:byte(agreed + 1) do
    agreed = agreed + 1
  end
  local asked, whole, bytes = 0, 0, 0
  for i, piece in ipairs(continuation) do
    bytes = bytes + #piece
    if i <= o.horizon then asked = bytes end
    if bytes <= agreed then whole = bytes end
  end
  return (o.unit == "token" and whole or agreed) / math.max(#prediction, asked)
end
options.takes(reward.match_dense, match_dense_options)

--- A match reward as a function (sample): by name, or the function given.
---@param kind ("prefix"|"strict"|"dense"|fun(sample: midtrain.Sample): number?)? prefix if absent
---@return fun(sample: midtrain.Sample): number?
function reward.match(kind)
  kind = options.value("reward.match", "kind", kind or "prefix", match_option)
  if kind == "prefix" then
    return function(s) return reward.match_prefix(s.prediction, s.continuation) end
  elseif kind == "strict" then
    return function(s) return reward.match_strict(s.tokenizer, s.prediction, s.next_id) end
  elseif kind == "dense" then
    return function(s) return reward.match_dense(s.prediction, s.continuation) end
  end
  return kind
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

local peak = { r_max = { "number", default = 1 } }

--- Triangular [K]: r_max·ℓ/B up to B, r_max·(1 − (ℓ − B)/B) up to 2B, 0 beyond; r_max = 1 [D].
---@param given { r_max: number? }?
---@return fun(sample: midtrain.Sample): number?
function reward.triangular(given)
  local o = options.check("reward.triangular", given, peak)
  local r_max = o.r_max
  return function(sample)
    local B, length = sample.budget, sample.think_length
    if not B then return nil end
    if length <= B then return r_max * length / B end
    if length <= 2 * B then return r_max * (1 - (length - B) / B) end
    return 0
  end
end
options.takes(reward.triangular, peak)

--- Flat up to B, then the triangular decay to 0 at 2B: no pressure to fill the budget.
---@param given { r_max: number? }?
---@return fun(sample: midtrain.Sample): number?
function reward.flat_then_decay(given)
  local o = options.check("reward.flat_then_decay", given, peak)
  local r_max = o.r_max
  return function(sample)
    local B = sample.budget
    if not B then return nil end
    return r_max * math.max(0, math.min(1, 1 - (sample.think_length - B) / B))
  end
end
options.takes(reward.flat_then_decay, peak)

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
options.takes(reward.l1_exact, alpha)

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
options.takes(reward.l1_max, alpha)

local soft_overlong_options = {
  max_length = { "integer", required = true, min = 1, doc = "L" },
  cache = { "integer", required = true, min = 1, doc = "c" },
}

--- DAPO's soft overlong punishment of the whole completion [K]: 0 up to L − c tokens, falling to −1
--- at L, −1 beyond.
---@param given { max_length: integer, cache: integer }
---@return fun(sample: midtrain.Sample): number
function reward.soft_overlong(given)
  local o = options.check("reward.soft_overlong", given, soft_overlong_options)
  local L, c = o.max_length, o.cache
  return function(sample)
    local n = #sample.ids
    if n <= L - c then return 0 end
    return n <= L and ((L - c) - n) / c or -1
  end
end
options.takes(reward.soft_overlong, soft_overlong_options)

local rmt_options = {
  weight = { "number", default = 0.3, min = 0, max = 1, doc = "w [D]" },
  match = match_option,
  length = { "function", default = reward.triangular() },
}

--- RMT's reward r = (1 − w)·match + w·length, w = 0.3 [D]; only the match where there is no budget.
--- A reward is a function (sample) → total, components; nil leaves the sample out of training. A
--- component gives its value, for the log, and its contribution to the total, for the advantages.
---@param given { weight: number?, match: (string|function)?, length: function? }?
---@return fun(sample: midtrain.Sample): number?, table?
function reward.rmt(given)
  local o = options.check("reward.rmt", given, rmt_options)
  local weight, match, length = o.weight, reward.match(o.match), o.length
  return function(sample)
    local matched = match(sample)
    if not matched then return nil end
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
options.takes(reward.rmt, rmt_options)

--- Sum of rewards by name, each times its weight (1). DAPO's [K], for one:
---   reward.sum {
---     match = reward.match(), overlong = reward.soft_overlong { max_length = 512, cache = 64 },
---   }
--- A part that is nil is left out of the sum; without any the sample is unscored, as with TRL's
--- reward_weights.
---@param parts table<string, fun(sample: midtrain.Sample): number?>
---@param weights table<string, number>? by the names of the parts
---@return fun(sample: midtrain.Sample): number?, table?
function reward.sum(parts, weights)
  for name in pairs(weights or {}) do
    if not parts[name] then error(options.unknown("reward.sum", name, parts, "part"), 2) end
  end
  local names = {}
  for name in pairs(parts) do names[#names + 1] = name end
  -- Always in one order, since sums of floats depend on it.
  table.sort(names)
  return function(sample)
    local total, components = nil, {}
    for _, name in ipairs(names) do
      local value = parts[name](sample)
      if value then
        local contribution = (weights and weights[name] or 1) * value
        components[name] = { value = value, contribution = contribution }
        total = (total or 0) + contribution
      end
    end
    return total, components
  end
end

local lcpo_options = { alpha = alpha.alpha, match = match_option }

--- L1's total rewards (LCPO, arXiv:2503.04697) [K]: "exact" is match − α·|n_gold − n_y|, "max" is
--- match · clip(α·(n_gold − n_y) + 0.5, 0, 1); the match alone where there is no budget.
---@param kind "exact"|"max"
---@param given { alpha: number?, match: (string|function)? }?
---@return fun(sample: midtrain.Sample): number?, table?
function reward.lcpo(kind, given)
  kind = options.value("reward.lcpo", "kind", kind,
    { "string", required = true, choices = { "exact", "max" } })
  local o = options.check("reward.lcpo", given, lcpo_options)
  local match = reward.match(o.match)
  if kind == "exact" then
    return reward.sum { match = match, length = reward.l1_exact { alpha = o.alpha } }
  end
  local length = reward.l1_max { alpha = o.alpha }
  return function(sample)
    local matched, factor = match(sample), length(sample)
    if not matched then return nil end
    if not factor then
      return matched, { match = { value = matched, contribution = matched } }
    end
    -- At ℓ = B the factor is 0.5; what it is more or less than that is the length's contribution.
    return matched * factor, {
      match = { value = matched, contribution = 0.5 * matched },
      length = { value = factor, contribution = (factor - 0.5) * matched },
    }
  end
end
options.takes(reward.lcpo, lcpo_options)

--- Tries a reward on constructed samples that a model might come to exploit; see audit.lua.
---@param reward_function fun(sample: midtrain.Sample): number?, table?
---@param given table { tokenizer = …, … }
---@return table[] rows
function reward.audit(reward_function, given)
  return require "midtrain.audit".run(reward_function, given)
end

return reward
