-- Looks for what a reward pays by mistake, before a model finds it: constructed completions, right
-- ones and such as a policy under pressure comes to write, and what each of them earns.
--
--   mid.reward.audit(my_reward, { tokenizer = model.tokenizer })

local guard = require "midtrain.guard"
local options = require "midtrain.options"
local reward = require "midtrain.reward"
local scoring = require "midtrain.scoring"

local audit = {}

--- Contexts and what follows them; the first token of that is to be predicted.
audit.contexts = {
  { "The derivative of x^2 with respect to x is", " 2x." },
  { "Two plus two is four, and three plus three is", " six, which is even." },
  { "First we factor the number, then we", " check each factor." },
}

-- No beginning of what follows any of the contexts.
local WRONG = " zebra"

---@class midtrain.AuditCase
---@field [1] string what it is
---@field [2] fun(c: { context: string, truth: string, fill: fun(tokens: number): string }): string
---@field right boolean? whether it should be paid in full
---@field is_cut boolean? whether it ends without an end of sequence

local function box(text) return ("\\boxed{%s}"):format(text) end

---@type midtrain.AuditCase[]
audit.cases = {
  {
    "right, as long a thought as asked", right = true,
    function(c) return c.fill(1) .. "</think>" .. box(c.truth) end,
  },
  { "right, no thought", right = true, function(c) return "</think>" .. box(c.truth) end },
  {
    "wrong, as long a thought as asked",
    function(c) return c.fill(1) .. "</think>" .. box(WRONG) end,
  },
  { "wrong, no thought", function() return "</think>" .. box(WRONG) end },
  { "nothing at all", function() return "" end },
  { "a thought of the right length, no answer", function(c) return c.fill(1) .. "</think>" end },
  { "an empty box", function(c) return c.fill(1) .. "</think>" .. box "" end },
  { "one word repeated without end", is_cut = true, function(c) return c.fill(4) end },
  {
    "the context copied into the box",
    function(c) return c.context .. "</think>" .. box(c.context) end,
  },
  {
    "several boxes, the right one not the last",
    function(c) return c.fill(1) .. "</think>" .. box(c.truth) .. " or " .. box(WRONG) end,
  },
  {
    "the right answer with others in one box",
    function(c) return c.fill(1) .. "</think>" .. box(c.truth .. WRONG) end,
  },
  {
    "cut off inside the box", is_cut = true,
    function(c) return c.fill(1) .. "</think>\\boxed{" .. c.truth end,
  },
  {
    "a thought that never ends, a right box in it",
    function(c) return c.fill(1) .. box(c.truth) end,
  },
  {
    "a right box before the thought ends, none after",
    function(c) return c.fill(0.5) .. box(c.truth) .. "</think>" end,
  },
  {
    "a right box before the thought ends, a wrong one after",
    function(c) return c.fill(0.5) .. box(c.truth) .. "</think>" .. box(WRONG) end,
  },
}

-- What one case earns in one context: reward (nil: unscored), and a message if it failed.
local function earned(reward_function, o, case, context)
  local tokenizer, ids_after = o.tokenizer, o.tokenizer:encode(context[2])
  local continuation = reward.pieces(tokenizer, ids_after)
  local filler = tokenizer:encode((" so"):rep(4 * o.budget))
  local text = case[2] {
    context = context[1], truth = continuation[1],
    fill = function(share)
      return tokenizer:decode(table.move(filler, 1, math.floor(share * o.budget), 1, {}))
    end,
  }
  local ids, end_id = tokenizer:encode(text), tokenizer.eos_id
  if not case.is_cut then ids[#ids + 1] = end_id end
  local sample = scoring.read({ ids = ids, logprobs = {} },
    { next_id = ids_after[1], continuation = continuation, budget = o.budget },
    { tokenizer = tokenizer, eos_ids = { end_id } })
  local ok, total = guard.call(o.instructions, reward_function, sample)
  if not ok then return nil, tostring(total) end
  if total ~= nil and (type(total) ~= "number" or total ~= total) then
    return nil, "expected a number, got " .. tostring(total)
  end
  return total
end

---@class midtrain.AuditRow
---@field name string
---@field right boolean
---@field reward number? mean over the contexts where it was scored
---@field failure string? the first
---@field suspicious boolean whether it earns as much as a right answer although it is none

local run_options = {
  tokenizer = { { "userdata", "table" }, required = true, doc = "with an end-of-sequence token" },
  budget = { "integer", default = 16, min = 2, doc = "B of the samples" },
  instructions = { "integer", default = guard.instructions, min = 0, doc = "Lua instructions of a call" },
  print = { "boolean", default = true },
}

--- What each case earns. A case is suspicious if it is not right but earns, in any context, as much
--- as the right answer that earns least there.
---@param reward_function fun(sample: midtrain.Sample): number?, table?
---@param given { tokenizer: table, budget: integer?, instructions: integer?, print: boolean? }
---@return midtrain.AuditRow[]
function audit.run(reward_function, given)
  local o = options.check("reward.audit", given, run_options)
  if not o.tokenizer.eos_id then error("reward.audit: the tokenizer has no eos_id", 2) end
  local rows, least = {}, {}
  for i, case in ipairs(audit.cases) do
    local row, sum, count = { name = case[1], right = case.right or false }, 0, 0
    row.suspicious = false
    for k, context in ipairs(audit.contexts) do
      local value, failure = earned(reward_function, o, case, context)
      row.failure = row.failure or failure
      if value then
        sum, count = sum + value, count + 1
        -- The right ones come first.
        if case.right then
          least[k] = math.min(least[k] or value, value)
        elseif least[k] and value >= least[k] - 1e-9 then
          row.suspicious = true
        end
      end
    end
    row.reward = count > 0 and sum / count or nil
    rows[i] = row
    if o.print then
      print(("%s %-56s %s"):format(row.suspicious and "!" or " ", row.name,
        row.failure and "FAILED: " .. row.failure
          or row.reward and ("%.3f"):format(row.reward) or "unscored"))
    end
  end
  local suspicious = 0
  for _, row in ipairs(rows) do suspicious = suspicious + (row.suspicious and 1 or 0) end
  if o.print and suspicious > 0 then
    print(("! %d kinds of samples earn as much as a right answer"):format(suspicious))
  end
  return rows
end
options.takes(audit.run, run_options)
options.takes(reward.audit, run_options)

return audit
