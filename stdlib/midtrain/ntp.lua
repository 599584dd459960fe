-- Plain next-token prediction: pre-training from scratch, and the baseline that goes on with it
-- where the others reason (continual pre-training).
--
--   run = mid.ntp { model = model, docs = docs, steps = 200, learning_rate = 1e-3 }

local documents = require "midtrain.documents"
local mid = require "midtrain.native"
local objective = require "midtrain.objective"
local options = require "midtrain.options"
local random = require "midtrain.random"
local runs = require "midtrain.run"

local specification = options.merged(runs.specification, {
  docs = { "table", required = true, doc = "list of texts" },
  max_document_length = { "integer", default = 512, min = 2, doc = "tokens; the rest is cut" },
  documents_per_step = { "integer", default = 8, min = 1, knob = true },
})

local ntp = { specification = specification }

--- The documents of a step: each once in an epoch, in an order of its own.
---@param count integer of all documents
---@param per_step integer
---@param t integer steps before this one
---@param seed integer
---@param orders table? keeps the order of an epoch from one call to the next
---@return integer[]
function ntp.draw(count, per_step, t, seed, orders)
  local chosen = {}
  orders = orders or {}
  for i = t * per_step, (t + 1) * per_step - 1 do
    local epoch = i // count
    if not orders[epoch] then
      local order = {}
      for d = 1, count do order[d] = d end
      orders[epoch] = random.new(seed, epoch, "documents"):shuffle(order)
      orders[epoch - 2] = nil
    end
    chosen[#chosen + 1] = orders[epoch][i % count + 1]
  end
  return chosen
end

-- One step: documents side by side, one loss over all their tokens.
local function step(self, run, knobs, t)
  local batch, mask = mid.batch(), {}
  for _, d in ipairs(ntp.draw(#self.documents, knobs.documents_per_step, t, run.seed,
    self.orders)) do
    local ids, ones = self.documents[d], {}
    -- A document's first token has nothing before it: it is no prediction.
    for p = 1, #ids do ones[p] = p > 1 and 1 or 0 end
    mask[batch:segment(ids)] = ones
  end
  local metrics = { num_tokens = #batch }
  local loss = objective.ntp_loss(run:logprobs(batch), batch:spread(mask))
  run:optimize(loss, metrics)
  metrics.ntp_loss = metrics.loss
  return metrics
end

local function line(m) return ("loss %.3f"):format(m.loss) end

--- A run of next-token prediction, ready to start.
---@param given table see ntp.specification; model and docs are required
---@return midtrain.Run
function ntp.new(given)
  local o = options.check("mid.ntp", given, specification)
  local ids = documents.encode(o.model.tokenizer, o.docs, o.max_document_length)
  local self = { documents = ids, orders = {} }
  return runs.new {
    name = "mid.ntp", options = o, specification = specification, line = line,
    step = function(run, knobs, t) return step(self, run, knobs, t) end,
    new = ntp.new,
  }
end
options.takes(ntp.new, specification)

return setmetatable(ntp, { __call = function(_, given) return ntp.new(given) end })
