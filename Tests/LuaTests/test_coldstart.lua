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

return tests
