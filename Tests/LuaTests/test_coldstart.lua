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

return tests
