-- What mid-training is worth to what comes after it: the same GRPO with verifiable rewards from
-- every checkpoint of a finished comparison (experiments/table.lua), task accuracy before → after.
--
--   midtrain run experiments/posttrain.lua --quick    after table.lua --quick: a minute
--   midtrain run experiments/posttrain.lua            after table.lua
--   midtrain run experiments/posttrain.lua --tasks gsm8k_train.jsonl --eval_tasks gsm8k_test.jsonl
--
-- Without --tasks the questions are those of the small world of chained arithmetic
-- (stdlib/midtrain/chain_tasks.lua). With --tasks they are yours, in the formats of GSM8K,
-- MATH-500 and SVAMP; without --eval_tasks some of them are kept back to measure on.
--
-- What was finished is kept in --out: the same command goes on after an interruption.

local mid = require "midtrain"

local defaults = {
  comparison = "runs/table", -- where table.lua wrote
  out = "", -- posttrain in that folder if empty
  quick = false,
  methods = "", -- names with commas between; all if empty
  seeds = 0, -- that many; all of the comparison if 0
  tasks = "", -- .jsonl to train on
  eval_tasks = "", -- .jsonl to measure on
  train_questions = 4000,
  evaluated = 400, -- questions
  eval_generations = 1, -- answers to each, at --temperature if several
  steps = 60,
  questions_per_step = 16,
  num_generations = 8,
  max_completion_length = 64,
  temperature = 1,
  learning_rate = 1e-4,
  budget = 0, -- tokens of thought that prompts ask for; 0: they do not
  loss_type = "dapo",
}

local quick =
  { train_questions = 64, evaluated = 40, steps = 4, questions_per_step = 4, num_generations = 4 }

-- Questions to train on, questions to measure on, and how they are asked and judged.
local function load_tasks(o)
  if o.tasks == "" then
    local seed = 3 -- that of no text of table.lua
    return mid.chain_tasks.generate(o.train_questions, { seed = seed }),
      mid.chain_tasks.generate(o.evaluated, { seed = seed, first = 1000001 }),
      { prompt = mid.chain_tasks.prompt, grade = mid.chain_tasks.grade }
  end
  local train, others = mid.tasks.load(o.tasks, { seed = 1 }), nil
  if o.eval_tasks ~= "" then
    others = mid.tasks.load(o.eval_tasks, { seed = 1, limit = o.evaluated })
  else
    local held_out = math.min(o.evaluated, #train // 5)
    if held_out == 0 then error("posttrain: --tasks needs five questions or more", 0) end
    others = table.move(train, 1, held_out, 1, {})
    train = table.move(train, held_out + 1, #train, 1, {})
  end
  return table.move(train, 1, math.min(#train, o.train_questions), 1, {}), others,
    { prompt = { think = true } }
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local o = mid.arguments.read_quick("posttrain", defaults, quick)
local started = mid.clock()
if o.out == "" then o.out = o.comparison .. "/posttrain" end
local train, evaluated, asking = load_tasks(o)
local seeds
for seed = 1, o.seeds do
  seeds = seeds or {}
  seeds[seed] = seed
end
local budget = o.budget > 0 and o.budget or nil
local merged = mid.options.merged
local results = mid.posttrain.run {
  comparison = o.comparison, out = o.out, methods = mid.arguments.names(o.methods), seeds = seeds, tasks = train,
  evaluated = evaluated,
  grpo = merged(asking, {
    steps = o.steps, questions_per_step = o.questions_per_step, budget = budget,
    num_generations = o.num_generations, max_completion_length = o.max_completion_length,
    temperature = o.temperature, learning_rate = o.learning_rate, loss_type = o.loss_type,
  }),
  eval = merged(asking, {
    num_generations = o.eval_generations, budget = budget,
    temperature = o.eval_generations > 1 and o.temperature or 0,
    max_completion_length = o.max_completion_length, positions_at_a_time = 64,
  }),
}
local markdown = mid.posttrain.markdown(results)
write(o.out .. "/posttrain.md", markdown)
write(o.out .. "/posttrain.csv", mid.posttrain.csv(results))
mid.svg.lines(o.out .. "/rewards.svg", mid.posttrain.curves(results),
  { title = "Reward during GRPO", x_label = "step", y_label = "reward", min = 0 })
print("\n" .. markdown)
print(("%.0f s. Written: %s/posttrain.md, posttrain.csv, rewards.svg"):format(
  mid.clock() - started, o.out))
