-- Evaluation of next-token prediction: accuracy by difficulty, reasoning first or directly, and
-- perplexity. Tasks with questions and answers are in tasks.lua.

local documents = require "midtrain.documents"
local entropy = require "midtrain.entropy"
local mid = require "midtrain.native"
local options = require "midtrain.options"
local prompts = require "midtrain.prompt"
local random = require "midtrain.random"
local reward = require "midtrain.reward"
local scoring = require "midtrain.scoring"

local eval = {}

---@class midtrain.Place a position whose token is to be predicted
---@field document integer
---@field position integer
---@field entropy number nats

---@class midtrain.EvalSet
---@field documents integer[][]
---@field places midtrain.Place[]
---@field thresholds number[]

local set_options = {
  docs = { "table", required = true, doc = "list of texts, not those of training" },
  entropy_model = { { "userdata", "table" }, required = true, doc = "with its tokenizer" },
  entropy_filter = { "function", doc = "(text, H) → H; 0 keeps a position out" },
  entropy_top_k = { "integer", min = 2, doc = "16 in RPT [K]; the whole vocabulary if absent" },
  thresholds = { "table", default = entropy.thresholds, doc = "nats [D, RPT]" },
  max_document_length = { "integer", default = 512, min = 2, doc = "tokens; the rest is cut" },
  count = { "integer", default = 200, min = 1 },
  seed = { "integer", default = 0 },
}

--- What models are evaluated on: documents, and positions in them whose entropy is above the lowest
--- threshold; of these `count` drawn with a seed, so that all models get the same.
---@param given table see below; docs is required, and entropies or entropy_model
---@return midtrain.EvalSet
function eval.set(given)
  local o = options.check("eval.set", given, set_options)
  local model = o.entropy_model
  local ids_of = documents.encode(model.tokenizer, o.docs, o.max_document_length)
  local entropies = entropy.documents(model, ids_of, { top_k = o.entropy_top_k })
  local all = {}
  for d, ids in ipairs(ids_of) do
    local H = entropies[d]
    if o.entropy_filter then H = o.entropy_filter(model.tokenizer:decode(ids), H) end
    for p = 2, #ids do
      if H[p - 1] > o.thresholds[1] then
        all[#all + 1] = { document = d, position = p, entropy = H[p - 1] }
      end
    end
  end
  if #all == 0 then
    error(("eval.set: no position has an entropy above %g; lower the thresholds")
      :format(o.thresholds[1]), 2)
  end
  random.new(o.seed, 0, "places"):shuffle(all)
  local places = table.move(all, 1, math.min(o.count, #all), 1, {})
  table.sort(places, function(a, b)
    if a.document ~= b.document then return a.document < b.document end
    return a.position < b.position
  end)
  return { documents = ids_of, places = places, thresholds = o.thresholds }
end
options.takes(eval.set, set_options)

-- Shares of right predictions in each tier: cumulative as RPT reports them (H > 0.5, > 1.0, > 1.5),
-- or each position in its own tier only. The mean is that of the tiers, unweighted.
local function accuracies(places, correct, thresholds, cumulative)
  local right, counts = { 0, 0, 0 }, { 0, 0, 0 }
  for i, place in ipairs(places) do
    local own = entropy.tier(place.entropy, thresholds)
    local within = entropy.cumulative(place.entropy, thresholds)
    for tier, name in ipairs(entropy.names) do
      if cumulative and within[name] or not cumulative and own == tier then
        right[tier], counts[tier] = right[tier] + correct[i], counts[tier] + 1
      end
    end
  end
  local result, sum, known = { counts = {} }, 0, 0
  for tier, name in ipairs(entropy.names) do
    result.counts[name] = counts[tier]
    if counts[tier] > 0 then
      result[name] = right[tier] / counts[tier]
      sum, known = sum + result[name], known + 1
    end
  end
  result.mean = known > 0 and sum / known or nil
  return result
end

local specification = {
  mode = { "string", default = "reasoning", choices = { "reasoning", "direct" } },
  cumulative = { "boolean", default = true, doc = "tiers as RPT's splits: H > 0.5, > 1.0, > 1.5" },
  prompt = { "table", doc = "see prompt.new; the same as in training" },
  budget = { "integer", min = 1, doc = "asked for in the prompt; none if absent" },
  match = { "string", default = "prefix", choices = { "prefix", "strict" } },
  num_generations = { "integer", default = 1, min = 1, doc = "answers whose accuracy is averaged" },
  temperature = { "number", default = 0, min = 0, doc = "0 is greedy" },
  max_completion_length = { "integer", default = 2048, min = 1 },
  intervals = {
    "boolean", default = false,
    doc = "also half_width, of 95 % intervals over the positions, and influences, to compare models with",
  },
  positions_at_a_time = { "integer", default = 32, min = 1, doc = "sampled as one batch" },
  seed = { "integer", default = 0 },
}

-- 95 % intervals over the places, which are a sample of a text's: half widths by tier and of the mean,
-- and each place's influence on the mean (what it moves it by), from which the interval of a difference
-- between two models on the same places follows.
local function intervals(result, places, correct, thresholds, cumulative)
  local names, half_width, influences = entropy.names, {}, {}
  local known, squares = 0, { 0, 0, 0 }
  for _, name in ipairs(names) do known = known + (result[name] and 1 or 0) end
  for i, place in ipairs(places) do
    local own = entropy.tier(place.entropy, thresholds)
    local within = entropy.cumulative(place.entropy, thresholds)
    influences[i] = 0
    for tier, name in ipairs(names) do
      if cumulative and within[name] or not cumulative and own == tier then
        local influence = (correct[i] - result[name]) / result.counts[name]
        squares[tier] = squares[tier] + influence ^ 2
        influences[i] = influences[i] + influence / known
      end
    end
  end
  for tier, name in ipairs(names) do
    half_width[name] = result[name] and 1.96 * math.sqrt(squares[tier])
  end
  half_width.mean = eval.half_width(influences)
  return half_width, influences
end

--- Half width of the 95 % interval of a mean whose places have these influences, or of the difference
--- between two such means on the same places.
---@param influences number[] see the option `intervals` of eval.next_token
---@param others number[]?
---@return number
function eval.half_width(influences, others)
  local sum = 0
  for i, influence in ipairs(influences) do
    sum = sum + (influence - (others and others[i] or 0)) ^ 2
  end
  return 1.96 * math.sqrt(sum)
end

-- Consecutive places, at most `count` of them, as draws by document.
local function draws_of(places, first, count)
  local draws = {}
  for i = first, math.min(#places, first + count - 1) do
    local place, last = places[i], draws[#draws]
    if not last or last.document ~= place.document then
      last = { document = place.document, positions = {} }
      draws[#draws + 1] = last
    end
    table.insert(last.positions, place.position)
  end
  return draws
end

-- Whether the most probable token after each place's text is the true one; 1 or 0.
local function direct(model, set, o)
  local correct = {}
  for first = 1, #set.places, o.positions_at_a_time do
    local batch, ends, truths = mid.batch(), {}, {}
    for _, draw in ipairs(draws_of(set.places, first, o.positions_at_a_time)) do
      local ids, parent, from = set.documents[draw.document], nil, 1
      -- Cut into a chain of segments at the places, so that the document is read once.
      for _, p in ipairs(draw.positions) do
        parent = batch:segment(table.move(ids, from, p - 1, 1, {}), { parent = parent })
        ends[#ends + 1], truths[#truths + 1], from = parent, ids[p], p
      end
    end
    local groups = model:rollout(batch, ends, {
      num_generations = 1, max_completion_length = 1, temperature = 0, seed = o.seed, step = first,
    })
    for i, group in ipairs(groups) do
      correct[#correct + 1] = group[1].ids[1] == truths[i] and 1 or 0
    end
  end
  return correct
end

-- The share of right predictions at each place after reasoning, and lengths over all answers.
local function reasoning(model, set, o)
  local prompt, match = prompts.new(model.tokenizer, o.prompt), reward.match(o.match)
  local correct, answers, length, thought, closed, boxed = {}, 0, 0, 0, 0, 0
  for first = 1, #set.places, o.positions_at_a_time do
    local forest = documents.forest(prompt, set.documents,
      draws_of(set.places, first, o.positions_at_a_time), { budget = o.budget, score = false })
    local groups = model:rollout(forest.batch, forest.closings, {
      num_generations = o.num_generations, max_completion_length = o.max_completion_length,
      temperature = o.temperature, seed = o.seed, step = first,
    })
    for i, group in ipairs(groups) do
      local target, right = scoring.target(model.tokenizer, forest.positions[i], o.budget), 0
      for _, sample in ipairs(group) do
        local s = scoring.read(sample, target, model)
        right = right + match(s)
        answers, length = answers + 1, length + #s.ids
        thought, closed = thought + s.think_length, closed + (s.closed and 1 or 0)
        boxed = boxed + (s.prediction and 1 or 0)
      end
      correct[#correct + 1] = right / #group
    end
  end
  return correct, {
    length = length / answers, think_length = thought / answers, closed = closed / answers,
    boxed = boxed / answers,
  }
end

--- Accuracy of next-token prediction on a set, by tier: the paper's columns easy, medium, hard and
--- their mean, and how long the answers were (tokens; none in direct mode).
---@param model table
---@param set midtrain.EvalSet
---@param given table? see the specification in eval.lua
---@return table { easy, medium, hard, mean, counts, length?, think_length?, closed?, boxed?, half_width?, … }
function eval.next_token(model, set, given)
  local o = options.check("eval.next_token", given, specification)
  local correct, lengths
  if o.mode == "direct" then
    correct = direct(model, set, o)
  else
    correct, lengths = reasoning(model, set, o)
  end
  local result = accuracies(set.places, correct, set.thresholds, o.cumulative)
  for name, value in pairs(lengths or {}) do result[name] = value end
  if o.intervals then
    result.half_width, result.influences =
      intervals(result, set.places, correct, set.thresholds, o.cumulative)
  end
  return result
end
options.takes(eval.next_token, specification)

local perplexity_options = {
  max_document_length = { "integer", default = 512, min = 2, doc = "tokens; the rest is cut" },
}

--- Perplexity e^(mean negative log-probability) of documents, over all tokens that have one before
--- them.
---@param model table
---@param docs string[]
---@param given { max_document_length: integer? }?
---@return number perplexity, integer tokens
function eval.perplexity(model, docs, given)
  local o = options.check("eval.perplexity", given, perplexity_options)
  local sum, count = 0, 0
  for _, ids in ipairs(documents.encode(model.tokenizer, docs, o.max_document_length)) do
    for _, lp in ipairs(model:score(ids)) do sum, count = sum - lp, count + 1 end
  end
  return math.exp(sum / count), count
end
options.takes(eval.perplexity, perplexity_options)

return eval
