local check = require "support.check"
local fake = require "support.fake"
local mid = require "midtrain"
local scratch = require "support.scratch"
local tasks = require "midtrain.tasks"

local function file(text)
  local path = scratch.path()
  local f <close> = assert(io.open(path, "w"))
  f:write(text)
  return path
end

local function load(text, given)
  local path = file(text)
  local ok, list, format = pcall(tasks.load, path, given)
  scratch.remove(path)
  if not ok then error(list, 0) end
  return list, format
end

local function same(answer, gold) return answer == gold end

-- A model whose answers are those of a list, one after another.
local function scripted(answers)
  local model = fake.fake_model()
  local next_one = 0
  function model:rollout(batch, segments, given)
    self.asked = self.asked or {}
    table.insert(self.asked, { batch = batch, segments = segments, given = given })
    local groups = {}
    for i = 1, #segments do
      groups[i] = {}
      for g = 1, given.num_generations do
        next_one = next_one + 1
        local text = answers[next_one]
        local ids = self.tokenizer:encode(text)
        groups[i][g] = { ids = ids, logprobs = {}, text = text,
          finish_reason = (text:find "<eos>$" or text:find "Question:$") and "stop" or "length" }
      end
    end
    return groups
  end
  return model
end

local list = {
  { question = "1+1", answer = "2" }, { question = "2+2", answer = "4" },
  { question = "3+3", answer = "6" },
}

local tests = {}

function tests.formats_are_told_by_their_fields()
  local gsm, format = load('{"question": "Q?", "answer": "so <<1*2=2>>\\n#### 1,234"}\n\n')
  check.equal({ gsm, format }, { { { question = "Q?", answer = "1234",
    solution = "so <<1*2=2>>\n#### 1,234" } }, "gsm8k" })
  local math, name = load('{"problem": "P", "answer": "\\\\frac{1}{2}", "solution": "S", "level": 2}')
  check.equal({ math, name },
    { { { question = "P", answer = "\\frac{1}{2}", solution = "S" } }, "math" })
  local svamp, third = load('{"Body": "Two groups", "Question": "How many?", "Answer": 145.0}\n'
    .. '{"Body": "A dozen. ", "Question": "Each?", "Answer": 0.25}')
  check.equal(third, "svamp")
  check.equal({ svamp[1], svamp[2] }, { { question = "Two groups. How many?", answer = "145" },
    { question = "A dozen. Each?", answer = "0.25" } })
  local plain, fourth = load('{"question": "Q", "answer": 7}')
  check.equal({ plain[1].answer, fourth }, { "7", "plain" })
end

function tests.rows_can_be_drawn()
  local rows = {}
  for i = 1, 20 do rows[i] = ('{"question": "q%d", "answer": "%d"}'):format(i, i) end
  local text = table.concat(rows, "\n")
  check.equal(load(text, { limit = 2 })[2].answer, "2")
  local a, b = load(text, { limit = 5, seed = 1 }), load(text, { limit = 5, seed = 1 })
  check.equal(a, b)
  assert(a[1].answer ~= "1" or a[2].answer ~= "2")
end

function tests.bad_files_are_explained()
  check.raises(function() tasks.load "/no/such.jsonl" end, "/no/such.jsonl")
  check.raises(function() load "\n" end, "has no rows")
  check.raises(function() load '{"question": 3}' end, ":1:", "none of the formats")
  check.raises(function() load '{"question": "a", "answer": "b"}\n{"x": 1}' end, ":2:", "'plain'")
  check.raises(function() load('{"question": "a", "answer": "b"}', { format = "math" }) end, ":1:")
  check.raises(function() load("{}", { format = "gsm" }) end, "did you mean 'gsm8k'?")
end

function tests.final_answers_are_found()
  for text, answer in pairs {
    ["so \\boxed{1} and \\boxed{\\frac{1}{2}}."] = "\\frac{1}{2}",
    ["x\n#### 12\n"] = "12",
    ["The answer is 5."] = "5",
    ["The final answer is: 3.5\nDone"] = "3.5",
    ["\\boxed{ 7 }\n#### 8"] = "7",
  } do
    check.equal(tasks.extract(text), answer, text)
  end
  for _, text in ipairs { "", "12", "\\boxed{1", "\\boxed{}" } do check.equal(tasks.extract(text), nil) end
end

-- 1 − C(3, 2)/C(5, 2) = 1 − 3/10, and so on.
function tests.pass_at_k_is_unbiased()
  check.near(tasks.pass_at(5, 2, 2), 0.7)
  check.near(tasks.pass_at(10, 3, 1), 0.3)
  check.near(tasks.pass_at(4, 1, 3), 0.75)
  check.near(tasks.pass_at(8, 0, 8), 0)
  check.near(tasks.pass_at(8, 8, 1), 1)
  check.near(tasks.pass_at(5, 4, 2), 1)
  -- Of all pairs among 4 samples of which 2 are right, 5 of 6 hold a right one.
  check.near(tasks.pass_at(4, 2, 2), 5 / 6)
end

function tests.intervals_are_wilsons()
  local shares = {}
  for i = 1, 10 do shares[i] = i <= 8 and 1 or 0 end
  local mean, low, high = tasks.interval(shares)
  check.near({ mean, low, high }, { 0.8, 0.49016, 0.94332 }, 1e-4)
  -- All right: still no certainty.
  mean, low, high = tasks.interval { 1, 1, 1, 1 }
  check.near({ mean, low, high }, { 1, 0.51010, 1 }, 1e-4)
  mean, low, high = tasks.interval { 0 }
  check.near({ mean, low, high }, { 0, 0, 0.79346 }, 1e-4)
  -- Questions that are all or nothing count once each, however often they are asked.
  check.equal({ tasks.interval({ 1, 1, 0, 0 }, 8) }, { tasks.interval({ 1, 1, 0, 0 }, 1) })
  -- Questions that are all alike count as often as they were asked.
  local _, from = tasks.interval({ 0.5, 0.5 }, 8)
  local sixteen = {}
  for i = 1, 16 do sixteen[i] = i % 2 end
  local _, expected = tasks.interval(sixteen)
  check.near(from, expected)
end

function tests.greedy_answers_are_counted()
  local model = scripted { "I say \\boxed{2}<eos>", "no idea<eos>", "\\boxed{5} I th" }
  local out = scratch.path()
  local result = tasks.evaluate(model, list, { grade = same, out = out, positions_at_a_time = 2 })
  check.near(result.accuracy, 1 / 3)
  check.near({ result["avg@1"], result["pass@1"], result.answered, result.truncated },
    { 1 / 3, 1 / 3, 2 / 3, 1 / 3 })
  check.near(result.length, (16 + 8 + 14) / 3)
  check.equal({ result.questions, result.samples, #model.asked }, { 3, 3, 2 })
  check.equal(model.asked[1].given.temperature, 0)
  local records = scratch.json_lines(out)
  check.equal(#records, 3)
  check.equal(records[1], { index = 1, question = "1+1", gold = "2", samples = { { correct = true,
    answer = "2", length = 16, text = "I say \\boxed{2}", truncated = false } } })
  check.equal({ records[3].samples[1].answer, records[3].samples[1].truncated }, { "5", true })
  scratch.remove(out)
end

function tests.several_answers_give_pass_at_k()
  local answers = {}
  for _, right in ipairs { 2, 0, 4 } do
    for g = 1, 4 do
      local gold = ({ [2] = "2", [0] = "4", [4] = "6" })[right]
      answers[#answers + 1] = ("\\boxed{%s}<eos>"):format(g <= right and gold or "9")
    end
  end
  local result = tasks.evaluate(scripted(answers), list,
    { grade = same, num_generations = 4, temperature = 1, pass_k = { 1, 2, 4 } })
  check.near(result.accuracy, 0.5)
  check.near({ result["avg@4"], result["pass@1"], result["pass@2"], result["pass@4"] },
    { 0.5, 0.5, (5 / 6 + 0 + 1) / 3, 2 / 3 })
end

function tests.a_thought_is_no_answer()
  local model = scripted { "\\boxed{2}</think>\\boxed{3}<eos>", "\\boxed{4}<eos>", "a</think>\\boxed{6}<eos>" }
  local result =
    tasks.evaluate(model, list, { grade = same, prompt = { think = true }, budget = 12 })
  check.near({ result.accuracy, result.answered }, { 1 / 3, 2 / 3 })
  local asked = model.asked[1]
  local text = model.tokenizer:decode(asked.batch.segments[1].ids)
  assert(text:find("exactly 12 tokens", 1, true), text)
end

-- What comes after a stop text, and the text itself, are no part of the answer.
function tests.stop_texts_end_an_answer()
  local model = scripted { "so\n#### 2\n\nQuestion:", "#### 5", "#### 6</s>#### 7" }
  local result = tasks.evaluate(model, list, { grade = same, stop = { "Question:", "</s>" } })
  check.near({ result.accuracy, result.truncated }, { 2 / 3, 2 / 3 })
  check.equal(result.records[1].samples[1].text, "so\n#### 2\n\n")
  check.equal(model.asked[1].given.stop, { "Question:", "</s>" })
end

function tests.the_harness_preset_uses_both_filters()
  fake.grade_gsm8k = function(text, gold, given)
    local found
    if given.extract == "strict" then found = text:match "####%s(%-?[%d%.,]+)"
    else for number in text:gmatch "%d+" do found = number end end
    return found == gold
  end
  local examples = {}
  for i = 1, 6 do examples[i] = { question = "q" .. i, answer = "1", solution = "#### 1" } end
  local options = tasks.gsm8k { examples = examples }
  local model = scripted { "it is\n#### 2\n\nQuestion:", "it is 4\n\nQuestion:", "none" }
  local result = tasks.evaluate(model, list, options)
  check.near({ result.accuracy, result["accuracy/strict"], result["accuracy/flexible"],
    result.answered }, { 1 / 3, 1 / 3, 2 / 3, 1 / 3 })
  local root = model.tokenizer:decode(model.asked[1].batch.segments[1].ids)
  check.equal(select(2, root:gsub("Question:", "")), 6)
  options = tasks.gsm8k { num_fewshot = 0, extract = "flexible" }
  result = tasks.evaluate(scripted { "2", "4", "x" }, list, options)
  check.near({ result.accuracy, result.answered }, { 2 / 3, 2 / 3 })
  check.raises(function() tasks.gsm8k { examples = { examples[1] } } end, "1 examples for num_fewshot = 5")
  fake.grade_gsm8k = nil
  check.raises(function() tasks.gsm8k { num_fewshot = 0 } end, "no mid.grade_gsm8k")
end

-- The stand-in's own model: after "A:" it always says "x" and ends.
function tests.a_model_is_asked_greedily()
  local model = fake.fake_model(function(previous, next)
    return (previous == (":"):byte() and next == ("x"):byte() or previous == ("x"):byte()
      and next == 256) and 5 or 0
  end)
  local result = tasks.evaluate(model, { { question = "?", answer = "x" } }, {
    grade = same, extract = function(text) return text end,
    prompt = { instructions = "", format = "%s A:", template = false },
  })
  check.equal({ result.accuracy, result.length }, { 1, 2 })
end

function tests.mistakes_are_explained()
  local model = scripted {}
  check.raises(function() tasks.evaluate(model, list) end, "no mid.grade", "option grade")
  check.raises(function() tasks.evaluate(model, {}, { grade = same }) end, "there are no tasks")
  check.raises(function() tasks.evaluate(model, list, { grade = same, num_generations = 4 }) end,
    "set a temperature")
  check.raises(function()
    tasks.evaluate(model, list, { grade = same, pass_k = { 2 } })
  end, "pass@2 needs k between 1 and num_generations = 1")
  check.equal(mid.tasks, tasks)
end

return tests
