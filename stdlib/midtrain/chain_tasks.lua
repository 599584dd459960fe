-- Questions of the small world of chained arithmetic (chain.lua), with their answers: a line up to
-- its sign, and the result. What GRPO trains on and task accuracy is measured on in that world.

local chain = require "midtrain.chain"
local options = require "midtrain.options"

local chain_tasks = {}

--- The words around a document in that world (see prompt.new). Its models read bytes, so that they
--- are few.
chain_tasks.words = { instructions = "Continue.", budget_line = "Use %d tokens." }

--- The same prompt as in mid-training, its document being the question (see questions.new).
chain_tasks.prompt = options.merged(chain_tasks.words,
  { format = "### Context %s\n\n", think = true })

--- Tasks numbered from `first` on. Equal numbers and seeds give equal ones; a seed that no
--- documents have keeps them apart from training text.
---@param count integer
---@param given { seed: integer?, first: integer?, operations: integer? }?
---@return midtrain.Task[]
function chain_tasks.generate(count, given)
  local list = {}
  for i, text in ipairs(chain.generate(count, options.merged(given or {}, { lines = 1 }))) do
    local question, answer = text:match "^(.*=)(%d)\n$"
    list[i] = { question = question, answer = answer }
  end
  return list
end
options.takes(chain_tasks.generate, options.of(chain.generate))

--- The grader of that world: the very digit.
---@param answer string
---@param gold string
---@return boolean
function chain_tasks.grade(answer, gold) return answer == gold end

return chain_tasks
