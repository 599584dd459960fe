-- Prompts that ask questions: instructions, worked examples and the question, as a conversation in
-- the model's chat template or as plain text. Many questions become one batch whose root is what
-- their prompts have in common, so that instructions and examples are read once.

local mid = require "midtrain.native"
local options = require "midtrain.options"
local prompts = require "midtrain.prompt"

local questions = {}

--- What mathematical models are commonly asked [D].
questions.instructions = "Please reason step by step, and put your final answer within \\boxed{}."

local specification = {
  instructions = { "string", default = questions.instructions, doc = "before all; may be empty" },
  budget_line = { "string", default = prompts.budget_line, doc = "with %d for the budget" },
  format = { "string", default = "%s", doc = "of a question: %s in it is replaced" },
  examples = { "table", default = {}, doc = "tasks shown with their solutions before the question" },
  template = {
    "boolean", default = true,
    doc = "use the model's chat template; a tokenizer without one gets plain text either way",
  },
  think = { "boolean", default = false, doc = "open the answer with <think>, for reasoning models" },
}

---@class midtrain.QuestionPrompt
---@field opens_thought boolean whether a completion begins inside of <think>
---@field private tokenizer table
---@field private o table
local Prompt = {}
Prompt.__index = Prompt

--- A prompt for a tokenizer.
---@param tokenizer table
---@param given table? see the specification in questions.lua
---@return midtrain.QuestionPrompt
function questions.new(tokenizer, given)
  local o = options.check("questions.new", given, specification)
  for i, example in ipairs(o.examples) do
    if not (example.question and (example.solution or example.answer)) then
      error(("questions.new: example %d has no question and solution"):format(i), 2)
    end
  end
  local self = setmetatable({
    tokenizer = tokenizer, o = o, has_template = o.template and tokenizer.chat_template ~= nil,
  }, Prompt)
  self.opens_thought = self:text("?"):find "<think>%s*$" ~= nil
  return self
end
options.takes(questions.new, specification)

--- The prompt as text.
---@param question string
---@param budget integer? asked for in a line of its own
---@return string
function Prompt:text(question, budget)
  local o = self.o
  local function asked(text) return (o.format:gsub("%%s", function() return text end)) end
  local function shown(example) return example.solution or example.answer end
  local before = {}
  if o.instructions ~= "" then before[1] = o.instructions end
  if budget then before[#before + 1] = o.budget_line:format(budget) end
  local text
  if self.has_template then
    local messages = {}
    for _, example in ipairs(o.examples) do
      messages[#messages + 1] = { role = "user", content = asked(example.question) }
      messages[#messages + 1] = { role = "assistant", content = shown(example) }
    end
    messages[#messages + 1] = { role = "user", content = asked(question) }
    -- Instructions open the first turn: not every template has a place for a system's.
    before[#before + 1] = messages[1].content
    messages[1].content = table.concat(before, "\n\n")
    text = self.tokenizer:chat(messages, { add_generation_prompt = true })
  else
    for _, example in ipairs(o.examples) do
      before[#before + 1] = asked(example.question) .. " " .. shown(example)
    end
    before[#before + 1] = asked(question)
    text = table.concat(before, "\n\n")
  end
  return o.think and prompts.with_thought(text) or text
end

--- The prompt as tokens, the same as if it stood alone.
---@param question string
---@param budget integer?
---@return integer[]
function Prompt:ids(question, budget)
  local ids, bos = self.tokenizer:encode(self:text(question, budget)), self.tokenizer.bos_id
  -- A template writes the begin-of-sequence token itself where the model wants one.
  if bos and not self.has_template then table.insert(ids, 1, bos) end
  return ids
end

--- A batch of questions: what all prompts begin with is its root, the rest of each a branch.
---@param list midtrain.Task[]
---@param budget integer?
---@return table batch, integer[] segments the end of each prompt
function Prompt:batch(list, budget)
  local prompts_ids, common = {}, math.huge
  for i, task in ipairs(list) do
    local ids = self:ids(task.question, budget)
    prompts_ids[i] = ids
    -- A branch has at least one token.
    common = math.min(common, #ids - 1)
    for k = 1, common do
      if ids[k] ~= prompts_ids[1][k] then
        common = k - 1
        break
      end
    end
  end
  local batch, segments = mid.batch(), {}
  local root = common > 0
    and batch:segment(table.move(prompts_ids[1], 1, common, 1, {}), { score = false }) or nil
  for i, ids in ipairs(prompts_ids) do
    segments[i] = batch:segment(table.move(ids, common + 1, #ids, 1, {}),
      { parent = root, score = false })
  end
  return batch, segments
end

return questions
