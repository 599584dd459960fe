-- The demonstration: a small model learns the answer format (cold start), then trains by
-- reinforcement mid-training on mathematical text for a few steps, while the budget is changed
-- under way.
--
--   midtrain experiments/demo.lua [--model PATH|NAME] [--data FILE] [--steps N] [--out DIR] …
--
-- Ten steps on two cores show that everything works; they are far too few to make the model
-- much better, and the numbers printed are whatever came out.

local mid = require "midtrain"

local defaults = {
  model = "SmolLM2-135M-Instruct", -- a folder, a .gguf file, or a name in the model cache
  data = "", -- .jsonl or text; without it, text is generated
  field = "text", -- of the JSON objects
  out = "runs/demo",
  seed = 1,
  steps = 10, -- of reinforcement mid-training
  coldstart_steps = 32,
  documents = 24, -- to train on
  documents_per_step = 2,
  positions_per_document = 2,
  num_generations = 4,
  max_completion_length = 48,
  max_document_length = 160,
  budget = 24, -- tokens of thought asked for at first
  coldstart_learning_rate = 1e-4,
  learning_rate = 2e-5,
}

local function read_options()
  local o = mid.arguments.read("demo", defaults)
  -- A run folder is never written over: runs/demo, runs/demo-2, …
  local base, number = o.out, 1
  while mid.exists(o.out) do
    number = number + 1
    o.out = ("%s-%d"):format(base, number)
  end
  return o
end

local function load_model(path)
  local ok, model = pcall(mid.load, path)
  if ok then return model end
  error(("%s\n\nThe demo needs a small language model. scripts/demo fetches one where there is a "
    .. "network;\notherwise pass a Hugging Face folder or a .gguf file: --model PATH")
    :format(model), 0)
end

-- Documents to train on, and a few others to look at.
local function load_documents(o)
  local held_out = 4
  if o.data == "" then
    return mid.corpus.generate(o.documents, { seed = o.seed }),
      mid.corpus.generate(held_out, { seed = o.seed, first = o.documents + 1 })
  end
  local all = o.data:find "%.jsonl$" and mid.data.jsonl(o.data, o.field) or mid.data.text(o.data)
  if #all < 2 then error(("demo: %s has fewer than two documents"):format(o.data), 0) end
  mid.random.new(o.seed, 0, "demo"):shuffle(all)
  local last = math.max(1, #all - held_out)
  return table.move(all, 1, math.min(last, o.documents), 1, {}),
    table.move(all, last + 1, #all, 1, {})
end

local function heading(text)
  print(("\n── %s %s"):format(text, ("─"):rep(math.max(0, 70 - #text))))
end

-- Tokens may end inside a character.
local function printable(text) return mid.journal.describe(text) end

-- Samples at fixed positions of documents that are not trained on: prints a few, counts the
-- matches.
local function look(model, texts, o, B)
  local tokenizer, generator = model.tokenizer, mid.random.new(o.seed, 0, "look")
  local ids = mid.documents.encode(tokenizer, texts, o.max_document_length)
  local draws = {}
  for d in ipairs(ids) do
    local p = generator:integer(#ids[d] // 3 + 2, #ids[d])
    draws[d] = { document = d, positions = { p } }
  end
  local forest =
    mid.documents.forest(mid.prompt.new(tokenizer), ids, draws, { budget = B, score = false })
  local groups = model:rollout(forest.batch, forest.closings, {
    num_generations = 4, max_completion_length = o.max_completion_length, temperature = 0.8,
    seed = o.seed, step = 0,
  })
  local matches, boxed, thoughts, count = 0, 0, 0, 0
  for i, group in ipairs(groups) do
    local place = forest.positions[i]
    local target = mid.scoring.target(tokenizer, place, B)
    for g, sample in ipairs(group) do
      mid.scoring.read(sample, target, model)
      local match = mid.reward.match_prefix(sample.prediction, target.continuation)
      matches, count = matches + match, count + 1
      boxed, thoughts = boxed + (sample.prediction and 1 or 0), thoughts + sample.think_length
      if g == 1 then
        local before = tokenizer:decode(table.move(place.ids, 1, place.position - 1, 1, {}))
        print(printable(("…%s▸ '%s'"):format(before:gsub("%s+", " "):sub(-60),
          target.continuation[1])))
        local verdict = match == 1 and "right" or sample.prediction and "wrong" or "no answer"
        print(("    <think>%s   [%s, %d tokens of thought]"):format(
          (printable(sample.text):gsub("\n", "\\n")), verdict, sample.think_length))
      end
    end
  end
  print(("%d samples: %d right, %d with an answer, %.1f tokens of thought (asked for: %d)")
    :format(count, matches, boxed, thoughts / count, B))
end

local started = mid.clock()
local o = read_options()
local model = load_model(o.model)
print(model)
local texts, others = load_documents(o)
print(("%d documents to train on; run folder %s"):format(#texts, o.out))

heading "Next-token entropies of one document"
local ids = model.tokenizer:encode(others[1])
ids = table.move(ids, 1, math.min(#ids, 24), 1, {})
local H = model:entropy(ids)
mid.plot(H, { tokens = mid.reward.pieces(model.tokenizer, ids), width = 60 })

heading(("Cold start: %d supervised steps"):format(o.coldstart_steps))
if o.coldstart_steps > 0 then
  mid.coldstart {
    model = model, docs = texts, steps = o.coldstart_steps, seed = o.seed,
    out = o.out .. "/coldstart", learning_rate = o.coldstart_learning_rate,
    documents_per_step = o.documents_per_step, max_document_length = o.max_document_length,
    min_budget = math.min(8, o.budget), max_budget = o.budget,
  }:start():wait()
end

-- The cold start's optimiser holds twice the model's memory, and the next run brings its own.
collectgarbage()

local final_budget = math.max(1, o.budget // 2)
heading "Samples before"
look(model, others, o, final_budget)

heading(("Reinforcement mid-training: %d steps"):format(o.steps))
local run = mid.rmt {
  model = model, docs = texts, steps = o.steps, seed = o.seed, out = o.out .. "/rmt",
  budget = mid.budget.exponential { initial = o.budget, gamma = 0.75 },
  documents_per_step = o.documents_per_step, positions_per_document = o.positions_per_document,
  num_generations = o.num_generations, max_completion_length = o.max_completion_length,
  max_document_length = o.max_document_length, learning_rate = o.learning_rate,
}
run:start()
run:wait(o.steps // 2)
print(("→ run.budget = %d from now on; the run goes on training"):format(final_budget))
run.budget = final_budget
run:wait()

heading "Samples after"
look(model, others, o, final_budget)

heading "The run"
run:plot({ "reward", "rewards/match/mean" }, { title = "reward and match", x_label = "step" })
run:plot({ "budget", "completions/mean_think_length" },
  { title = "budget and tokens of thought", x_label = "step", min = 0 })
print(("\n%.0f s in all. Metrics: %s/rmt/metrics.jsonl, checkpoint: %s/rmt/checkpoints/step-%d")
  :format(mid.clock() - started, o.out, o.out, run.t))
