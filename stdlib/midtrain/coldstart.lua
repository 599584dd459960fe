-- The cold start: a small model almost never writes <think>…</think>\boxed{…}, so every
-- group of rollouts would score 0 and nothing be learned. A few hundred supervised steps teach the
-- format first. Samples come from the corpus itself: the prompt as in RMT, a short thought made of
-- the model's own top candidates, as long as the budget asks, and the true token in \boxed{}.

local documents = require "midtrain.documents"
local entropy = require "midtrain.entropy"
local mid = require "midtrain.native"
local objective = require "midtrain.objective"
local options = require "midtrain.options"
local prompts = require "midtrain.prompt"
local random = require "midtrain.random"
local reward = require "midtrain.reward"
local runs = require "midtrain.run"

local specification = options.merged(runs.specification, {
  docs = { "table", required = true, doc = "list of texts" },
  max_document_length = { "integer", default = 512, min = 2, doc = "tokens; the rest is cut" },
  prompt = { "table", doc = "see prompt.new; the same as RMT's" },
  thought = {
    "function",
    doc = "(text before, true token, budget, generator) → thought; else made of candidates; "
      .. "budget is nil in steps without a budget line",
  },
  entropies = { "table", doc = "per document; only positions of a tier are used, as in RMT" },
  thresholds = { "table", default = entropy.thresholds, doc = "tiers, nats [D, RPT]" },
  answer = {
    "string", default = "text", choices = { "text", "token" }, knob = true,
    doc = "the box's content: tokens of the written text, or the very token that the text goes on with",
  },
  recital_share = {
    "number", default = 0, min = 0, max = 1, knob = true,
    doc = "thoughts that repeat the end of the text and go on with it, instead of weighing candidates",
  },
  plain_share = {
    "number", default = 0, min = 0, max = 1, knob = true, doc = "steps without a budget line",
  },
  documents_per_step = { "integer", default = 4, min = 1, knob = true },
  positions_per_document = { "integer", default = 4, min = 1, knob = true },
  candidates = { "integer", default = 4, min = 1, knob = true, doc = "draws per position [D]" },
  min_budget = { "integer", default = 8, min = 1, knob = true, doc = "budgets are drawn" },
  max_budget = { "integer", default = 64, min = 1, knob = true, doc = "between these [D]" },
  lambda = { "number", default = 0.1, min = 0, knob = true, doc = "weight of NTP [D]" },
  learning_rate = { "number", default = 1e-4, min = 0, knob = true, doc = "[D]" },
})

local coldstart = { specification = specification }

--- Places of one step: positions of some documents, drawn uniformly, whose token can be written in
--- \boxed{} (an unbalanced brace or half a character cannot).
---@param ids_of integer[][]
---@param pieces_of fun(ids: integer[]): string[]
---@param count integer positions per document
---@param chosen integer[] documents
---@param generator midtrain.Random
---@param is_asked (fun(document: integer, position: integer): boolean)? all if absent
---@return midtrain.Draw[]
function coldstart.draw(ids_of, pieces_of, count, chosen, generator, is_asked)
  local draws = {}
  for _, d in ipairs(chosen) do
    local usable = {}
    for p, piece in ipairs(pieces_of(ids_of[d])) do
      local boxed = "</think>\\boxed{" .. piece .. "}"
      if p >= 2 and (not is_asked or is_asked(d, p)) and utf8.len(piece) and reward.prediction(boxed) == piece then
        usable[#usable + 1] = p
      end
    end
    generator:shuffle(usable)
    local positions = table.move(usable, 1, math.min(count, #usable), 1, {})
    table.sort(positions)
    if #positions > 0 then draws[#draws + 1] = { document = d, positions = positions } end
  end
  return draws
end

-- The model's own candidates for each position: one-token rollouts from the plain document, cut
-- into a chain of segments at the positions so that it is read once. Texts, most frequent first.
local function candidates(run, ids_of, draws, knobs, t)
  local batch, ends = mid.batch(), {}
  for _, draw in ipairs(draws) do
    local ids, parent, first = ids_of[draw.document], nil, 1
    for _, p in ipairs(draw.positions) do
      parent = batch:segment(table.move(ids, first, p - 1, 1, {}), { parent = parent })
      ends[#ends + 1], first = parent, p
    end
  end
  local groups = run.model:rollout(batch, ends, {
    num_generations = knobs.candidates, max_completion_length = 1, temperature = 1,
    seed = run.seed, step = t,
  })
  local lists = {}
  for i, group in ipairs(groups) do
    local counts, list = {}, {}
    for _, sample in ipairs(group) do
      local text = run.model.tokenizer:decode(sample.ids)
      -- An end of sequence is no text, and neither is half a character.
      if sample.finish_reason ~= "stop" and utf8.len(text) then
        if not counts[text] then list[#list + 1] = text end
        counts[text] = (counts[text] or 0) + 1
      end
    end
    table.sort(list, function(a, b)
      return counts[a] == counts[b] and a < b or counts[a] > counts[b]
    end)
    lists[i] = list
  end
  return lists
end

--- A thought of about `budget` tokens that weighs the candidates in turn.
---@param tokenizer table
---@param list string[]
---@param budget integer
---@param generator midtrain.Random
---@return string
function coldstart.thought(tokenizer, list, budget, generator)
  local openings = { "It could be", "The text may go on with", "Candidates:" }
  local links = { ", or", ", perhaps", ", maybe", ", else" }
  local thought, index = generator:choice(openings), 1
  while true do
    local longer = ("%s \"%s\""):format(
      index > 1 and thought .. generator:choice(links) or thought, list[(index - 1) % #list + 1])
    -- Stop where one more candidate would be further from the budget than none.
    local before, after = #tokenizer:encode(thought), #tokenizer:encode(longer)
    if index > 1 and after - budget > budget - before then return thought end
    thought, index = longer, index + 1
  end
end

--- A thought of `length` tokens that repeats how the text ends and goes on with the true token: there
--- the model can use what it knows of text, and the box is a copy of the thought's last token.
---@param ids integer[] of the document
---@param position integer
---@param length integer
---@return integer[]
function coldstart.recital(ids, position, length)
  return table.move(ids, math.max(1, position - length + 1), position, 1, {})
end

--- Tokens of what is learned at a place. As text, `\boxed{$}` may be the tokens `{$` and `}`: then the
--- token that the model gives `$` by itself is of no use to it. As a token, the truth stays what it is.
---@param tokenizer table
---@param thought string|integer[]
---@param truth integer the true next token
---@param answer "text"|"token"
---@return integer[]
function coldstart.completion(tokenizer, thought, truth, answer)
  local ids, text = {}, "</think>\\boxed{"
  if type(thought) == "table" then
    table.move(thought, 1, #thought, 1, ids)
  else
    text = thought .. text
  end
  local function add(more) table.move(more, 1, #more, #ids + 1, ids) end
  if answer == "text" then
    add(tokenizer:encode(text .. tokenizer:token(truth) .. "}"))
  else
    add(tokenizer:encode(text))
    add { truth }
    add(tokenizer:encode "}")
  end
  return ids
end

-- One step: places → candidates → samples as branches of one forest → supervised loss.
local function step(self, run, knobs, t)
  local tokenizer = run.model.tokenizer
  local generator = random.new(run.seed, t, "coldstart")
  local function pieces_of(ids) return reward.pieces(tokenizer, ids) end
  if knobs.min_budget > knobs.max_budget then error "coldstart: min_budget exceeds max_budget" end
  local B = generator:integer(knobs.min_budget, knobs.max_budget)
  local order = {}
  for d in ipairs(self.documents) do order[d] = d end
  generator:shuffle(order)
  local chosen = table.move(order, 1, math.min(knobs.documents_per_step, #order), 1, {})
  local draws = coldstart.draw(self.documents, pieces_of, knobs.positions_per_document, chosen,
    generator, self.is_asked)
  if #draws == 0 then error "coldstart: no position of these documents can be put in a box" end

  local lists = not self.thought
    and run:time("candidates", candidates, run, self.documents, draws, knobs, t)
  local end_id = tokenizer.eos_id or run.model.eos_ids[1]
  local asked = generator:uniform() >= knobs.plain_share and B or nil
  local forest = documents.forest(self.prompt, self.documents, draws,
    { budget = asked, score = knobs.lambda > 0 })
  local batch, mask, length = forest.batch, {}, 0
  for i, place in ipairs(forest.positions) do
    local truth = tokenizer:token(place.ids[place.position])
    local thought
    if knobs.recital_share > 0 and generator:uniform() < knobs.recital_share then
      thought = coldstart.recital(place.ids, place.position, B)
    elseif self.thought then
      local before = tokenizer:decode(table.move(place.ids, 1, place.position - 1, 1, {}))
      thought = self.thought(before, truth, asked, generator)
    else
      local list = #lists[i] > 0 and lists[i] or { truth }
      thought = coldstart.thought(tokenizer, list, B, generator)
    end
    local ids =
      coldstart.completion(tokenizer, thought, place.ids[place.position], knobs.answer)
    table.insert(ids, end_id)
    mask[batch:segment(ids, { parent = forest.closings[i] })] = 1
    length = length + #ids
    if i <= 2 then
      run:record("samples.jsonl", { step = t + 1, budget = asked, text = tokenizer:decode(ids) })
    end
  end

  local lp = run:logprobs(batch)
  local metrics = { budget = B, num_tokens = #batch }
  local sft_loss = objective.ntp_loss(lp, batch:spread(mask))
  local loss = sft_loss
  if knobs.lambda > 0 then
    local ntp_loss = objective.ntp_loss(lp, batch:spread(forest.ntp_mask))
    loss = sft_loss + ntp_loss * knobs.lambda
    metrics.ntp_loss = ntp_loss:item()
  end
  run:optimize(loss, metrics)
  metrics.sft_loss = sft_loss:item()
  metrics["completions/mean_length"] = length / #forest.positions
  return metrics
end

local function line(m)
  return ("B %d · len %.0f · loss %.3f"):format(m.budget, m["completions/mean_length"], m.loss)
end

--- A cold start, ready to start.
---@param given table see coldstart.specification; model and docs are required
---@return midtrain.Run
function coldstart.new(given)
  local o = options.check("mid.coldstart", given, specification)
  local tokenizer = o.model.tokenizer
  local self = {
    documents = documents.encode(tokenizer, o.docs, o.max_document_length),
    prompt = prompts.new(tokenizer, o.prompt), thought = o.thought,
  }
  if o.entropies then
    function self.is_asked(d, p) return entropy.tier(o.entropies[d][p - 1] or 0, o.thresholds) ~= nil end
  end
  return runs.new {
    name = "mid.coldstart", options = o, specification = specification, line = line,
    step = function(run, knobs, t) return step(self, run, knobs, t) end,
    new = coldstart.new,
  }
end
options.takes(coldstart.new, specification)

return setmetatable(coldstart, { __call = function(_, given) return coldstart.new(given) end })
