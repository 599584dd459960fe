-- The prompt around a document, cut so that its parts are shared: the *head*
-- (everything before the document, with the budget line: the same all through a step) comes first,
-- then the document's tokens, then the *tail* (end of the user's turn, the assistant's turn opened
-- with <think>). A position's prompt is head + document[1 … p − 1] + tail.

local options = require "midtrain.options"

local prompt = {}

--- RPT v0's instructions [K].
prompt.instructions = "Complete the given text under '### Context' by predicting the next token, "
  .. "and wrap it in '\\boxed{}'. Please reason step by step to find the most probable next token "
  .. "as the final answer, and enclose it in \\boxed{} (note: the token may begin with a space, "
  .. "e.g., \\boxed{ para} or \\boxed{ =}; do not use \\text{})."

--- The budget line [D]; the budget takes the place of %d.
prompt.budget_line = "IMPORTANT: You should use exactly %d tokens within <think></think>."

-- Stands for the document while the chat template is rendered.
local SENTINEL = "@@the document goes here@@"

---@class midtrain.Prompt
---@field private tokenizer table
---@field private heads table<string, integer[]> tokens by head text
local Prompt = {}
Prompt.__index = Prompt

local specification = {
  instructions = { "string", default = prompt.instructions },
  budget_line = { "string", default = prompt.budget_line, doc = "with %d for the budget" },
  template = {
    "boolean", default = true,
    doc = "use the model's chat template; a tokenizer without one gets plain text either way",
  },
}

--- The prompt for a tokenizer. A base model without a chat template gets the same text without
--- turns: begin-of-sequence token if it has one, instructions, context, an empty line, <think>.
---@param tokenizer table
---@param given { instructions: string?, budget_line: string?, template: boolean? }?
---@return midtrain.Prompt
function prompt.new(tokenizer, given)
  local o = options.check("prompt.new", given, specification)
  return setmetatable({
    tokenizer = tokenizer, instructions = o.instructions, line = o.budget_line,
    has_template = o.template and tokenizer.chat_template ~= nil, heads = {},
  }, Prompt)
end
options.takes(prompt.new, specification)

--- A prompt whose assistant's turn begins with a thought; some templates open it themselves.
---@param text string
---@return string
function prompt.with_thought(text)
  return text:find "<think>%s*$" and text or text .. "<think>"
end

-- Text before and after the document for a budget (nil: no budget line).
function Prompt:split(budget)
  local line = budget and "\n\n" .. self.line:format(budget) or ""
  local content = self.instructions .. line .. "\n\n### Context " .. SENTINEL
  local rendered = content .. "\n\n"
  if self.has_template then
    rendered = self.tokenizer:chat({ { role = "user", content = content } },
      { add_generation_prompt = true })
  end
  local first, last = rendered:find(SENTINEL, 1, true)
  if not first then
    error("prompt: the chat template does not show the user's message as it is; "
      .. "use template = false")
  end
  local head, tail = rendered:sub(1, first - 1), rendered:sub(last + 1)
  return head, prompt.with_thought(tail)
end

--- Tokens before the document.
---@param budget integer?
---@return integer[]
function Prompt:head(budget)
  local key = tostring(budget)
  if not self.heads[key] then
    local ids, bos = self.tokenizer:encode((self:split(budget))), self.tokenizer.bos_id
    -- A template writes the begin-of-sequence token itself where the model wants one.
    if bos and not self.has_template then table.insert(ids, 1, bos) end
    self.heads[key] = ids
  end
  return self.heads[key]
end

--- Tokens after the document.
---@return integer[]
function Prompt:tail()
  if not self.tail_ids then
    local _, tail = self:split(nil)
    self.tail_ids = self.tokenizer:encode(tail)
  end
  return self.tail_ids
end

--- Errors if the longest document and what stands around it leave no room for an answer in the model's
--- context.
---@param where string named in the error
---@param model table
---@param longest integer its tokens
function Prompt:check_room(where, model, longest)
  local size = model.config and model.config.max_position_embeddings
  if not size then return end
  local frame = #self:head(1000) + #self:tail()
  if longest + frame < size then return end
  local most = (size - frame) // 2
  error(("%s: a document of %d tokens and the prompt's %d leave no room for an answer in the model's context of "
    .. "%d; %s"):format(where, longest, frame, size, most > 1 and ("set max_document_length to %d, say"):format(most)
    or "use shorter instructions (prompt) or another model"), 3)
end

--- The prompt as text, to look at.
---@param context string
---@param budget integer?
---@return string
function Prompt:text(context, budget)
  local head, tail = self:split(budget)
  return head .. context .. tail
end

return prompt
