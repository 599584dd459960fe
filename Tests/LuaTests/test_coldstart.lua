local check = require "support.check"
local coldstart = require "midtrain.coldstart"
local fake = require "support.fake"
local mid = require "midtrain"
local random = require "midtrain.random"
local scratch = require "support.scratch"

local tests = {}

-- A brace cannot be told from the box's own, and half a character is no text.
function tests.positions_can_be_written_in_a_box()
  local pieces = { "a", "{", "b", "}", "\xc3", "c", "d" }
  local seen = {}
  for seed = 1, 50 do
    local draws = coldstart.draw({ { 1, 2, 3, 4, 5, 6, 7 } }, function() return pieces end, 2,
      { 1 }, random.new(seed))
    check.equal(#draws[1].positions, 2)
    assert(draws[1].positions[1] < draws[1].positions[2])
    for _, p in ipairs(draws[1].positions) do seen[p] = true end
  end
  check.equal(seen, { [3] = true, [6] = true, [7] = true })
end

function tests.thoughts_are_about_as_long_as_the_budget()
  local tokenizer = fake.fake_tokenizer()
  for budget = 20, 120, 10 do
    local text = coldstart.thought(tokenizer, { " x", " y", " z" }, budget, random.new(budget))
    check.near(#text, budget, 14, "length for budget " .. budget)
    assert(text:find('" x"', 1, true))
  end
end

function tests.the_format_is_learned()
  local out = scratch.path()
  local model = fake.fake_model(function(_, next) return next >= 97 and next <= 104 and 3 or 0 end)
  local run = mid.coldstart {
    model = model, docs = { "abcdefgh", "hgfedcba" }, steps = 40, learning_rate = 5,
    progress = false, out = out, documents_per_step = 2, positions_per_document = 2,
    max_budget = 30,
  }
  local first = run:step().sft_loss
  run:start():wait()
  check.equal(run.status, "done")
  assert(run.metrics.sft_loss < first - 1, ("%g → %g"):format(first, run.metrics.sft_loss))
  local samples = scratch.json_lines(out .. "/samples.jsonl")
  check.equal(#samples, 80)
  for _, sample in ipairs(samples) do
    local answer = mid.reward.prediction(sample.text:gsub("<eos>$", ""))
    assert(answer and #answer == 1 and answer:find "[a-h]", sample.text)
  end
  assert(mid.exists(out .. "/checkpoints/step-40"))
  scratch.remove(out)
end

-- A thought is told the budget that its prompt asks for, and none where the prompt has no such line.
function tests.thoughts_know_whether_a_budget_is_asked()
  local seen = { asked = 0, free = 0 }
  local run = mid.coldstart {
    model = fake.fake_model(function() return 0 end), docs = { "abcdefgh" }, steps = 40,
    progress = false, documents_per_step = 1, positions_per_document = 1, min_budget = 5, max_budget = 9,
    plain_share = 0.5,
    thought = function(before, truth, budget)
      check.equal(("abcdefgh"):sub(#before + 1, #before + 1), truth)
      assert(budget == nil or budget >= 5 and budget <= 9)
      local kind = budget and "asked" or "free"
      seen[kind] = seen[kind] + 1
      return "x"
    end,
  }
  run:step(40)
  check.equal(seen.asked + seen.free, 40)
  -- Four standard deviations of 40 fair coins: 12.6.
  assert(seen.asked >= 8 and seen.free >= 8, ("%d asked"):format(seen.asked))
end

-- A tokenizer in which a sign and a brace beside it are one token, as in many.
local function merging_tokenizer()
  return {
    encode = function(_, text)
      local ids, i = {}, 1
      while i <= #text do
        local merged = text:sub(i, i + 1) == "{$"
        ids[#ids + 1], i = merged and 300 or text:byte(i), i + (merged and 2 or 1)
      end
      return ids
    end,
    token = function(_, id) return id == 300 and "{$" or string.char(id) end,
  }
end

function tests.an_answer_can_be_the_very_token()
  local tokenizer = merging_tokenizer()
  local function written(answer, thought)
    local ids = coldstart.completion(tokenizer, thought, ("$"):byte(), answer)
    local text = table.concat(mid.reward.pieces(tokenizer, ids))
    local has = {}
    for _, id in ipairs(ids) do has[id] = true end
    return text, has[("$"):byte()] or false, ids
  end
  for _, thought in ipairs { "x", { 120 } } do
    local text, has = written("text", thought)
    check.equal({ text, has }, { "x</think>\\boxed{$}", false })
    text, has = written("token", thought)
    check.equal({ text, has }, { "x</think>\\boxed{$}", true })
  end
end

function tests.a_recital_ends_with_the_true_token()
  check.equal(coldstart.recital({ 5, 6, 7, 8, 9 }, 4, 3), { 6, 7, 8 })
  check.equal(coldstart.recital({ 5, 6, 7, 8, 9 }, 2, 3), { 5, 6 })
  local out = scratch.path()
  local run = mid.coldstart {
    model = fake.fake_model(function() return 0 end), docs = { "abcdefgh" }, steps = 40, out = out,
    progress = false, documents_per_step = 1, positions_per_document = 1, min_budget = 3, max_budget = 3,
    recital_share = 0.5, answer = "token",
  }
  run:step(40)
  local recitals = 0
  for _, sample in ipairs(scratch.json_lines(out .. "/samples.jsonl")) do
    local thought, answer = sample.text:match "^(.*)</think>\\boxed{(.)}"
    if ("abcdefgh"):find(thought, 1, true) then
      recitals = recitals + 1
      check.equal(thought:sub(-1), answer)
      assert(#thought == 3 or thought:sub(1, 1) == "a")
    end
  end
  -- Four standard deviations of 40 fair coins: 12.6.
  assert(recitals >= 8 and recitals <= 32, ("%d recitals"):format(recitals))
  scratch.remove(out)
  check.raises(function() mid.coldstart { recital_shar = 1 } end, "recital_share")
end

return tests
