-- A small world in which reasoning helps: lines of chained arithmetic with single digits.
--
--   v:a3b+5c*7d+6e+4=6                                 the last digit after the last operation
--   v:a3b+5c*7d+6e+4~~~~b8c6d2e6=6                     the same, worked: the digit after each operation
--   v:a3b+5c*7d+6e+4~~~~b3+5=8c8*7=6d6+6=2e2+4=6=6     worked, every operation written out
--
-- The marks stand for what comes between a line and a thought in a prompt, sign included, as many
-- tokens: small transformers look things up by distance. For the same reason no line mixes both ways.
--
-- What stands before the sign is given: nobody can predict it. What follows can be computed, step
-- by step, but not in one look. A line asks for the digit itself (v: ten results, hard), for what
-- it leaves divided by three (t: medium) or by two (p: easy): the entropy, for a reader who does not
-- compute, is the logarithm of the number of results. A tokenizer of bytes and a few special tokens
-- makes every character one token, and its place in the text its position.

local mid = require "midtrain.native"
local options = require "midtrain.options"
local random = require "midtrain.random"

local chain = {}

-- Results that a line may ask for: the last digit divided by this leaves what is asked for.
local QUESTIONS = { p = 2, t = 3, v = 10 }
local NAMES = { "p", "t", "v" }
-- A factor that shares none with ten loses nothing.
local FACTORS = { 3, 7 }
local SUMMANDS = { 1, 2, 3, 4, 5, 6, 7, 8, 9 }

local function apply(value, operation, operand)
  return (operation == "*" and value * operand or value + operand) % 10
end

-- A line's text up to its sign; what its parts are is read from the text again.
local function given_part(generator, length)
  local text = ("%s:a%d"):format(generator:choice(NAMES), generator:integer(0, 9))
  for i = 1, length do
    local operation = generator:uniform() < 0.5 and "*" or "+"
    local operand = generator:choice(operation == "*" and FACTORS or SUMMANDS)
    text = ("%s%s%s%d"):format(text, string.char(97 + i), operation, operand)
  end
  return text
end

-- The steps of a line and its result. A step is terse, the digit alone, with probability `terse`.
local function work(given, terse, generator)
  local question, start = given:match "^(%l):a(%d)"
  local value = math.tointeger(start)
  local steps = {}
  for label, operation, operand in given:gmatch "(%l)([+*])(%d)" do
    local result = apply(value, operation, math.tointeger(operand))
    steps[#steps + 1] = generator:uniform() < terse and ("%s%d"):format(label, result)
      or ("%s%d%s%s=%d"):format(label, value, operation, operand, result)
    value = result
  end
  return table.concat(steps), value % QUESTIONS[question]
end

local specification = {
  seed = { "integer", default = 0 },
  first = { "integer", default = 1, min = 1, doc = "number of the first; other numbers, other texts" },
  lines = { "integer", default = 4, min = 1, doc = "of a document" },
  operations = { "integer", default = 4, min = 1, doc = "of a line" },
  worked = { "number", default = 0, min = 0, max = 1, doc = "share of lines that are worked" },
}

--- Documents numbered from `first` on. Equal numbers and seeds give equal texts.
---@param count integer
---@param given { seed: integer?, first: integer?, lines: integer?, operations: integer?, worked: number? }?
---@return string[]
function chain.generate(count, given)
  local o = options.check("chain.generate", given, specification)
  local documents = {}
  for d = 1, count do
    local generator = random.new(o.seed, o.first + d - 1, "chain")
    local lines = {}
    for i = 1, o.lines do
      local text = given_part(generator, o.operations)
      local steps, result = work(text, generator:choice { 0, 1 }, generator)
      local is_worked = generator:uniform() < o.worked
      lines[i] = ("%s%s=%d\n"):format(text, is_worked and "~~~~" .. steps or "", result)
    end
    documents[d] = table.concat(lines)
  end
  return documents
end
options.takes(chain.generate, specification)

--- What lines of documents ask: their text up to the marks or the sign, as a set. There are so few
--- different lines (439,230 of four operations) that new documents repeat some.
---@param docs string[]
---@param known table<string, true>? a set to add to
---@return table<string, true>
function chain.questions(docs, known)
  known = known or {}
  for _, text in ipairs(docs) do
    for question in text:gmatch "(%l:[^~=\n]+)[^\n]*" do known[question] = true end
  end
  return known
end

--- Where the results of plain lines are in a document: the places that need reasoning.
---@param text string
---@param known table<string, true>? see chain.questions; the results of these are left out
---@return integer[] positions
function chain.results(text, known)
  local positions = {}
  for line, finish in text:gmatch "([^\n]+)()" do
    local question = line:match "^([^~=]+)=%d$"
    if question and not (known and known[question]) then positions[#positions + 1] = finish - 1 end
  end
  return positions
end

--- Entropies with those of given characters taken out, so that nothing is asked that nobody can
--- know: 0 after every token whose successor is not a result.
---@param text string
---@param H number[] after each token
---@param known table<string, true>? see chain.results
---@return number[]
function chain.of_results(text, H, known)
  local is_result, masked = {}, {}
  for _, p in ipairs(chain.results(text, known)) do is_result[p] = true end
  for i = 1, #H do masked[i] = is_result[i + 1] and H[i] or 0 end
  return masked
end

--- A thought about the result that comes next, right and with the result at its end. A terse step
--- is the digit after an operation, two tokens; others write the operation out, six tokens.
---@param before string the document up to there
---@param terse number probability of a terse step
---@param generator midtrain.Random
---@return string
function chain.thought(before, terse, generator)
  return ("%s=%d"):format(work(before:match "[^\n]*$", terse, generator))
end

--- A thought that works nothing out: results that the line could have, two tokens each.
---@param before string the document up to there
---@param count integer
---@param generator midtrain.Random
---@return string
function chain.guesses(before, count, generator)
  local results, guesses = QUESTIONS[before:match "(%l):[^\n]*$"], {}
  for i = 1, count do guesses[i] = "?" .. generator:integer(0, results - 1) end
  return table.concat(guesses)
end

-- What byte-level tokenizers write for each byte (GPT-2): itself where it can be seen.
local function visible(byte)
  local shown = byte >= 33 and byte <= 126 or byte >= 161 and byte <= 172 or byte >= 174
  if shown then return utf8.char(byte) end
  local hidden = 0
  for b = 0, byte - 1 do
    if not (b >= 33 and b <= 126 or b >= 161 and b <= 172 or b >= 174) then hidden = hidden + 1 end
  end
  return utf8.char(256 + hidden)
end

--- The tokens beside the 256 bytes, in the order of their ids.
chain.special_tokens = { "<|endoftext|>", "<think>", "</think>", "\\boxed{" }

--- A tokenizer of bytes and `chain.special_tokens`, written to `dir`.
---@param dir string
---@return table tokenizer
function chain.tokenizer(dir)
  local vocabulary, added = {}, {}
  for byte = 0, 255 do vocabulary[visible(byte)] = byte end
  for i, content in ipairs(chain.special_tokens) do
    added[i] = {
      id = 255 + i, content = content, special = i == 1, normalized = false, single_word = false,
      lstrip = false, rstrip = false,
    }
  end
  local byte_level =
    { type = "ByteLevel", add_prefix_space = false, trim_offsets = true, use_regex = false }
  mid.mkdir(dir)
  local function write(name, value)
    local file <close> = assert(io.open(dir .. "/" .. name, "w"))
    -- An empty table could be a list or an object; here it is the list of merges.
    file:write((mid.json.encode(value):gsub("{}", "[]")), "\n")
  end
  write("tokenizer.json", {
    version = "1.0", added_tokens = added, pre_tokenizer = byte_level, decoder = byte_level,
    model = { type = "BPE", vocab = vocabulary, merges = {} },
  })
  write("tokenizer_config.json",
    { tokenizer_class = "PreTrainedTokenizerFast", eos_token = chain.special_tokens[1] })
  return mid.tokenizer(dir)
end

return chain
