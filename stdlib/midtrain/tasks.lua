-- Accuracy on questions with known answers: GSM8K, MATH-500, SVAMP and files like them.
--
--   list = mid.tasks.load "math500.jsonl"
--   result = mid.tasks.evaluate(model, list, { prompt = { think = true } })
--   result.accuracy, result.interval
--   mid.tasks.evaluate(model, list, mid.tasks.gsm8k { examples = train })     as lm-eval does it

local advantage = require "midtrain.advantage"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"
local options = require "midtrain.options"
local questions = require "midtrain.questions"
local random = require "midtrain.random"
local reward = require "midtrain.reward"
local scoring = require "midtrain.scoring"

local tasks = {}

---@class midtrain.Task
---@field question string
---@field answer string the gold answer
---@field solution string? worked, to be shown as an example

-- Files -------------------------------------------------------------------------------------------

-- Numbers of JSON as people write them: 145.0 is 145.
local function as_text(value)
  if type(value) == "number" then
    return value == math.floor(value) and ("%d"):format(value) or ("%.14g"):format(value)
  end
  return tostring(value)
end

-- What each format's rows look like, in the order in which they are tried; a row that is not of the
-- format gives nil.
local formats = {
  {
    name = "svamp",
    read = function(row)
      if not (row.Body and row.Question and row.Answer) then return nil end
      local body = row.Body:gsub("%s+$", "")
      -- Some bodies end without a full stop.
      if not body:find "[%.%?!,]$" then body = body .. "." end
      return { question = body .. " " .. row.Question, answer = as_text(row.Answer) }
    end,
  },
  {
    name = "gsm8k",
    read = function(row)
      local gold = row.question and type(row.answer) == "string"
        and row.answer:match "####%s*(.-)%s*$"
      if not gold then return nil end
      return { question = row.question, answer = gold:gsub(",", ""), solution = row.answer }
    end,
  },
  {
    name = "math",
    read = function(row)
      if not (row.problem and row.answer) then return nil end
      return { question = row.problem, answer = as_text(row.answer), solution = row.solution }
    end,
  },
  {
    name = "plain",
    read = function(row)
      if not (row.question and row.answer) then return nil end
      return { question = row.question, answer = as_text(row.answer), solution = row.solution }
    end,
  },
}

local format_names = {}
for i, format in ipairs(formats) do format_names[i] = format.name end

local load_options = {
  format = { "string", choices = format_names },
  limit = { "integer", min = 1 },
  seed = { "integer", doc = "draws the rows; without it, those from the first on" },
}

--- Tasks of a file of JSON lines. Its format is told by the first row's fields: `gsm8k` (question,
--- answer with #### n), `math` (problem, answer), `svamp` (Body, Question, Answer), `plain`
--- (question, answer).
---@param path string
---@param given { format: string?, limit: integer?, seed: integer? }? seed: drawn, not the first ones
---@return midtrain.Task[] tasks, string format
function tasks.load(path, given)
  local o = options.check("tasks.load", given, load_options)
  local file, message = io.open(path)
  if not file then error(("tasks.load: %s"):format(message), 2) end
  local function fail(number, what) error(("%s:%d: %s"):format(path, number, what), 3) end
  local list, format, number = {}, nil, 0
  for line in file:lines() do
    number = number + 1
    if line:find "%S" then
      local ok, row = pcall(mid.json.decode, line)
      if not ok or type(row) ~= "table" then fail(number, "this is no JSON object") end
      for _, candidate in ipairs(formats) do
        local is_asked = not o.format or candidate.name == o.format
        if not format and is_asked and candidate.read(row) then format = candidate end
      end
      local task = format and format.read(row)
      if not task then
        fail(number, format and ("this row is not of the format '%s'"):format(format.name)
          or "none of the formats (" .. table.concat(format_names, ", ") .. ") has these fields")
      end
      list[#list + 1] = task
    end
  end
  file:close()
  if #list == 0 then error(("tasks.load: %s has no rows"):format(path), 2) end
  if o.seed then random.new(o.seed, 0, "tasks"):shuffle(list) end
  if o.limit then list = table.move(list, 1, math.min(o.limit, #list), 1, {}) end
  return list, format.name
end
options.takes(tasks.load, load_options)

-- Answers -----------------------------------------------------------------------------------------

--- The final answer that a text gives: the last \boxed{…}, else what follows ####, else what
--- follows the last "answer is"; nil if there is none.
---@param text string
---@return string?
function tasks.extract(text)
  -- A text without a thought is what comes after one.
  local found = reward.prediction("</think>" .. text)
  if not found then
    for after in text:gmatch "####%s*([^\n]+)" do found = after end
  end
  if not found then
    for after in text:gmatch "[Aa]nswer%s+is:?%s*([^\n]+)" do found = after end
    found = found and found:gsub("%.$", "")
  end
  found = found and found:match "^%s*(.-)%s*$"
  return found ~= "" and found or nil
end

--- Options of evaluate, and of runs that train on tasks, which say how answers are judged.
tasks.grading = {
  grade = {
    "function", doc = "(answer, gold, text) → boolean; mid.grade if absent",
  },
  extract = {
    "function", default = tasks.extract,
    doc = "text → the answer in it, nil if there is none, which is wrong",
  },
}

--- The grader to use: the one asked for, else the engine's.
---@param grade function?
---@param where string named in errors
---@return function
function tasks.grader(grade, where)
  grade = grade or mid.grade
  if grade then return grade end
  error(("%s: this engine has no mid.grade; pass the option grade = function(answer, gold) … end")
    :format(where), 3)
end

-- The text up to the first of the stop texts.
local function cut(text, stop)
  local last = #text
  for _, ending in ipairs(stop or {}) do
    local at = text:find(ending, 1, true)
    if at then last = math.min(last, at - 1) end
  end
  return text:sub(1, last)
end

--- Completes a rollout as scoring.read does, and judges its answer: fields `response` (the text
--- after the thought), `answer`, `correct`.
---@param sample table { ids, logprobs, finish_reason }
---@param task midtrain.Task
---@param model table whose sample it is
---@param o { grade: function, extract: function, stop: string[]?, opens_thought: boolean,
---  budget: integer? }
---@return midtrain.Sample
function tasks.read(sample, task, model, o)
  scoring.read(sample, { budget = o.budget }, model)
  -- One that came to a stop text is complete, too.
  sample.truncated = sample.truncated and sample.finish_reason ~= "stop"
  sample.text = cut(sample.text, o.stop)
  local _, thought_end = sample.text:find("</think>", 1, true)
  -- Whoever is still thinking has not answered.
  local is_open = o.opens_thought and not thought_end
  sample.response = is_open and "" or sample.text:sub((thought_end or 0) + 1)
  sample.answer = o.extract(sample.response)
  sample.correct = sample.answer ~= nil
    and o.grade(sample.answer, task.answer, sample.response) == true
  sample.task = task
  return sample
end

-- Estimators --------------------------------------------------------------------------------------

--- pass@k: the probability that at least one of k samples is right, without bias, from c right ones
--- among n (arXiv:2107.03374): 1 − C(n − c, k)/C(n, k).
---@param n integer
---@param c integer
---@param k integer at most n
---@return number
function tasks.pass_at(n, c, k)
  local none = 1.0
  for i = n - c + 1, n do none = none * (1 - k / i) end
  return 1 - (n - c < k and 0 or none)
end

--- Mean of accuracies of questions, each the share of its samples that is right, and the mean's
--- 95 % interval: Wilson's, for as many independent answers as the spread between questions
--- amounts to. With one sample each these are the questions.
---@param shares number[] of each question
---@param samples integer? of each question; 1
---@return number mean, number low, number high
function tasks.interval(shares, samples)
  local mean, std, Q = advantage.statistics(shares)
  local variance = std ^ 2 * (Q - 1) / Q
  local n = Q
  if mean > 0 and mean < 1 then
    -- At most every sample is a case of its own.
    n = math.min(Q * mean * (1 - mean) / math.max(variance, 1e-12), Q * (samples or 1))
  end
  local z = 1.959964
  local center = (mean + z * z / (2 * n)) / (1 + z * z / n)
  local half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)) / (1 + z * z / n)
  return mean, math.max(0, center - half), math.min(1, center + half)
end

-- Evaluation --------------------------------------------------------------------------------------

local specification = {
  prompt = { "table", doc = "see questions.new" },
  budget = { "integer", min = 1, doc = "asked for in the prompt; none if absent" },
  num_generations = { "integer", default = 1, min = 1, doc = "answers to each question" },
  pass_k = { "table", doc = "k of pass@k; 1 and num_generations if absent" },
  temperature = { "number", default = 0, min = 0, doc = "0 is greedy" },
  top_p = { "number", default = 1, min = 1e-6, max = 1 },
  top_k = { "integer", default = 0, min = 0, doc = "0 = off" },
  max_completion_length = { "integer", default = 2048, min = 1 },
  stop = { "table", doc = "texts that end an answer, and are no part of it" },
  positions_at_a_time = { "integer", default = 16, min = 1, doc = "questions in one batch" },
  rollout_dtype = { "string", default = "f32", choices = { "f32", "bf16", "int8" } },
  seed = { "integer", default = 0 },
  other_grades = {
    "table", default = {},
    doc = "by name, (text, gold) → boolean: further judgements of the same answers",
  },
  out = { "string", doc = "file for the records, JSON lines" },
  progress = { "boolean", default = false, doc = "print a line after each batch" },
}
for name, option in pairs(tasks.grading) do specification[name] = option end

-- Totals over all samples, from the records.
local function summary(records, o)
  local shares, lengths, n = {}, {}, o.num_generations
  local answered, truncated, passes, others = 0, 0, {}, {}
  for i, record in ipairs(records) do
    local right = 0
    for _, sample in ipairs(record.samples) do
      right = right + (sample.correct and 1 or 0)
      answered = answered + (sample.answer and 1 or 0)
      truncated = truncated + (sample.truncated and 1 or 0)
      lengths[#lengths + 1] = sample.length
      for name in pairs(o.other_grades) do
        others[name] = (others[name] or 0) + (sample.grades[name] and 1 or 0)
      end
    end
    shares[i] = right / n
    for _, k in ipairs(o.pass_k) do
      passes[k] = (passes[k] or 0) + tasks.pass_at(n, right, k)
    end
  end
  local accuracy, low, high = tasks.interval(shares, n)
  local result = {
    accuracy = accuracy, interval = { low, high }, ["avg@" .. n] = accuracy,
    questions = #records, samples = #lengths, answered = answered / #lengths,
    length = (advantage.statistics(lengths)), truncated = truncated / #lengths,
  }
  for k, sum in pairs(passes) do result["pass@" .. k] = sum / #records end
  for name, count in pairs(others) do result["accuracy/" .. name] = count / #lengths end
  return result
end

local function record_of(index, task, group, o)
  local record = { index = index, question = task.question, gold = task.answer, samples = {} }
  for g, sample in ipairs(group) do
    local grades
    for name, judge in pairs(o.other_grades) do
      grades = grades or {}
      grades[name] = judge(sample.response, task.answer) == true
    end
    record.samples[g] = {
      text = sample.text, answer = sample.answer, correct = sample.correct, length = #sample.ids,
      truncated = sample.truncated, grades = grades,
    }
  end
  return record
end

--- Accuracy of a model on tasks. `accuracy` is the share of all answers that are right (avg@n),
--- `interval` its 95 % interval, `pass@k` for each k, `answered` the share of answers that give
--- one, `length` their mean length in tokens, `records` everything question by question.
---@param model table
---@param list midtrain.Task[]
---@param given table? see the specification in tasks.lua
---@return table result
function tasks.evaluate(model, list, given)
  local o = options.check("tasks.evaluate", given, specification)
  o.grade = tasks.grader(o.grade, "tasks.evaluate")
  if #list == 0 then error("tasks.evaluate: there are no tasks", 2) end
  if o.num_generations > 1 and o.temperature == 0 then
    error("tasks.evaluate: greedy answers are all the same; set a temperature, or "
      .. "num_generations = 1", 2)
  end
  o.pass_k = o.pass_k or (o.num_generations > 1 and { 1, o.num_generations } or { 1 })
  for _, k in ipairs(o.pass_k) do
    if math.type(k) ~= "integer" or k < 1 or k > o.num_generations then
      error(("tasks.evaluate: pass@%s needs k between 1 and num_generations = %d"):format(
        tostring(k), o.num_generations), 2)
    end
  end
  local prompt, records = questions.new(model.tokenizer, o.prompt), {}
  o.opens_thought = prompt.opens_thought
  for first = 1, #list, o.positions_at_a_time do
    local last = math.min(#list, first + o.positions_at_a_time - 1)
    local batch, segments = prompt:batch(table.move(list, first, last, 1, {}), o.budget)
    local groups = model:rollout(batch, segments, {
      num_generations = o.num_generations, max_completion_length = o.max_completion_length,
      temperature = o.temperature, top_p = o.top_p, top_k = o.top_k, stop = o.stop, seed = o.seed,
      step = first, dtype = o.rollout_dtype,
    })
    for i, group in ipairs(groups) do
      local task = list[first + i - 1]
      for _, sample in ipairs(group) do tasks.read(sample, task, model, o) end
      local record = record_of(first + i - 1, task, group, o)
      records[#records + 1] = record
      if o.out then journal.append(o.out, record) end
    end
    if o.progress then
      local now = summary(records, o)
      print(("%d/%d questions · accuracy %.1f %% · length %.0f"):format(last, #list,
        100 * now.accuracy, now.length))
    end
  end
  local result = summary(records, o)
  result.records = records
  return result
end
options.takes(tasks.evaluate, specification)

-- Presets -----------------------------------------------------------------------------------------

local gsm8k_options = {
  examples = { "table", default = {}, doc = "to draw from" },
  num_fewshot = { "integer", default = 5, min = 0 },
  extract = { "string", default = "strict", choices = { "strict", "flexible" } },
  max_completion_length = { "integer", default = 256, min = 1, doc = "the harness's default" },
  seed = { "integer", doc = "draws the examples; without it, the first ones" },
  template = { "boolean", default = false, doc = "as a conversation in the chat template" },
}

--- Options of evaluate for GSM8K as lm-evaluation-harness has it: plain text "Question: …\nAnswer:"
--- after `num_fewshot` worked examples, greedy, its stop texts. `accuracy` is by the filter
--- `extract`, and "accuracy/strict" and "accuracy/flexible" are by both.
---@param given { examples: midtrain.Task[]?, num_fewshot: integer?, extract: string?,
---  max_completion_length: integer?, seed: integer? }? examples: tasks of the training file
---@return table options
function tasks.gsm8k(given)
  local o = options.check("tasks.gsm8k", given, gsm8k_options)
  if #o.examples < o.num_fewshot then
    error(("tasks.gsm8k: %d examples for num_fewshot = %d; pass examples = mid.tasks.load(the "
      .. "training file), or num_fewshot = 0"):format(#o.examples, o.num_fewshot), 2)
  end
  local grade = mid.grade_gsm8k
  if not grade then
    error("tasks.gsm8k: this engine has no mid.grade_gsm8k; pass evaluate a grade of your own", 2)
  end
  local examples = table.move(o.examples, 1, #o.examples, 1, {})
  if o.seed then random.new(o.seed, 0, "fewshot"):shuffle(examples) end
  examples = table.move(examples, 1, o.num_fewshot, 1, {})
  local function by(filter)
    return function(text, gold) return grade(text, gold, { extract = filter }) end
  end
  local patterns = { strict = "#### %-?[%d%.,]+", flexible = "%d" }
  return {
    prompt = {
      instructions = "", format = "Question: %s\nAnswer:", examples = examples,
      template = o.template,
    },
    stop = { "Question:", "</s>", "<|im_end|>" }, temperature = 0,
    max_completion_length = o.max_completion_length,
    -- The filter looks at the whole text; all that is asked here is whether it finds something.
    extract = function(text) return text:match(patterns[o.extract]) end,
    grade = function(_, gold, text) return by(o.extract)(text, gold) end,
    other_grades = { strict = by "strict", flexible = by "flexible" },
  }
end
options.takes(tasks.gsm8k, gsm8k_options)

return tasks
