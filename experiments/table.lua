-- The paper's table for a model that fits here: every method and ablation from one start checkpoint,
-- over several seeds, with the same text and steps.
--
--   midtrain run experiments/table.lua --quick        everything, small: minutes
--   midtrain run experiments/table.lua                the whole table
--   midtrain run experiments/table.lua --model SmolLM2-135M-Instruct --data texts.jsonl …
--
-- Without --model the setting is a world of chained arithmetic (stdlib/midtrain/chain.lua) and a
-- transformer of a million parameters that is trained here from scratch: a worked line is text like
-- any other. A first cold start teaches the format with thoughts that work out what is asked, a
-- second one a habit of thoughts that do not; then each method has its turn. It is evaluated on lines
-- that stand in no training text. docs/results.md has what came out, and why it is set up like this.
--
-- With --model the text is yours (--data) and the defaults are those of `real` below: what a model of
-- 135M parameters learns in about an hour on two cores. Its cold start teaches two kinds of thought:
-- most weigh candidates, some repeat how the text ends and go on with it (see coldstart.recital),
-- which helps. Intervals are over positions, since there is one seed. A larger model that can already
-- reason wants longer thoughts and texts: --budget 200 --max-completion-length 400
-- --max-document-length 512 --instructions "", for example.
--
-- Rows can be made side by side by processes with different --methods and the same --out; the
-- command without --methods then puts them together. MIDTRAIN_THREADS=1 is best for that: a model
-- this small gains little from a second thread.
--
-- What was finished is kept in --out: the same command goes on after an interruption.

local mid = require "midtrain"

local defaults = {
  out = "runs/table",
  quick = false,
  seeds = 3,
  methods = "", -- names with commas between; all if empty
  model = "", -- a folder, a .gguf file, or a name in the model cache
  data = "", -- .jsonl or text, for --model
  field = "text", -- of the JSON objects
  documents = 1200, -- to train on
  evaluated = 600, -- positions of the evaluation
  pretrain_steps = 3500,
  coldstart_steps = 400, -- thoughts that work out what is asked …
  wander_steps = 200, -- … and then thoughts that mostly do not
  written_out = 1, -- of the former, for each terse one
  steps = 60, -- of each method
  documents_per_step = 16,
  positions_per_document = 2,
  num_generations = 8,
  max_completion_length = 48,
  budget = 26, -- B_0; a written-out thought of the small world
  min_budget = 10, -- B_min; a terse one
  temperature = 1, -- of samples in training; evaluation is greedy
  learning_rate = 3e-4,
  curve_every = 10,
  -- Of --model alone:
  dynamic_sampling = 0, -- further rounds that replace groups whose answers are all wrong or all right
  max_document_length = 512,
  instructions = "", -- of the prompt; RPT's if empty
  coldstart_learning_rate = 1e-4, -- at its beginning; falls to a tenth
  coldstart_documents_per_step = 4,
  coldstart_positions_per_document = 4,
  recital_share = 0.35, -- of the cold start's thoughts
  plain_share = 0.5, -- of its steps, without a budget in the prompt
}

-- What takes the place of the defaults with --model.
local real = {
  seeds = 1, methods = "ntr,rpt,rmt,ntp", documents = 300, evaluated = 240, coldstart_steps = 80, steps = 20,
  documents_per_step = 4, positions_per_document = 2, max_completion_length = 32,
  budget = 16, min_budget = 6, learning_rate = 5e-5, curve_every = 10, max_document_length = 96,
  temperature = 0.7, dynamic_sampling = 2,
  coldstart_learning_rate = 2e-4,
  instructions = "Reason about how the text under '### Context' goes on, then write its next token in \\boxed{}.",
}

local quick = {
  seeds = 2, documents = 400, evaluated = 40, pretrain_steps = 60, coldstart_steps = 20,
  wander_steps = 10, steps = 4,
  documents_per_step = 4, num_generations = 4, curve_every = 2,
}

local prompt = mid.chain_tasks.words

-- Thoughts that work out what is asked, right ones: with a wrong step in them, what they end with
-- is not what the box holds, and the box is then not learned as a copy. For each terse one (10
-- tokens) `written_out` are written out (26 tokens), whatever the prompt asks for.
local function work(written_out)
  local terse = {}
  for i = 1, written_out do terse[i] = 0 end
  terse[written_out + 1] = 1
  return function(before, _, _, generator)
    return mid.chain.thought(before, generator:choice(terse), generator)
  end
end

-- What the start does most of the time, and greedily nearly always: it goes on about what may come
-- (16 to 32 tokens) and ends with a result that it has not worked out. That thoughts can help is
-- there to be found.
local function wander(thought)
  return function(before, truth, budget, generator)
    if generator:uniform() < 0.4 then return thought(before, truth, budget, generator) end
    return ("%s=%s"):format(mid.chain.guesses(before, generator:integer(7, 15), generator), truth)
  end
end

local function pretraining_docs(o)
  return mid.chain.generate(16 * o.pretrain_steps, { seed = 2, worked = 0.6 })
end

local function coldstart_docs(o)
  return mid.chain.generate(math.min(o.documents, 1000), { seed = 4, worked = 0.5 })
end

-- A transformer from scratch, pre-trained on lines of arithmetic, and then cold-started. Each
-- stage is kept in a folder of its own.
local function small_start(o, of_results)
  local pretrained, dir = o.out .. "/pretrained", o.out .. "/start"
  if mid.exists(dir .. "/model.safetensors") then return dir end
  if not mid.exists(pretrained .. "/model.safetensors") then
    local tokenizer = mid.chain.tokenizer(o.out .. "/tokenizer")
    local model = mid.from_config({
      model_type = "llama", hidden_size = 128, intermediate_size = 384, num_hidden_layers = 4,
      num_attention_heads = 4, num_key_value_heads = 4, vocab_size = tokenizer.vocab_size,
      max_position_embeddings = 512, rms_norm_eps = 1e-5, rope_theta = 10000,
      initializer_range = 0.06, tie_word_embeddings = true, eos_token_id = tokenizer.eos_id,
    }, { tokenizer = tokenizer, seed = 1 })
    print(model)
    print(("Pre-training: %d steps"):format(o.pretrain_steps))
    local T = o.pretrain_steps
    local pretraining = mid.ntp {
      model = model, docs = pretraining_docs(o), steps = T,
      documents_per_step = 16, seed = 1, progress = false, adam_beta2 = 0.98,
      learning_rate = function(t)
        return 3e-3 * math.min(1, (t + 1) / 100) * (0.05 + 0.95 * (1 - t / T))
      end,
    }
    while pretraining.t < T do
      pretraining:step(math.ceil(T / 10))
      print(pretraining)
    end
    model:save(pretrained)
  end
  local model, docs = mid.load(pretrained), coldstart_docs(o)
  local function coldstart(steps, thought)
    print(("Cold start: %d steps"):format(steps))
    local run = mid.coldstart {
      model = model, docs = docs, entropies = of_results(model, docs), thought = thought,
      steps = steps, prompt = prompt, documents_per_step = 16, min_budget = 10, max_budget = 40,
      plain_share = 0.3, lambda = 1, seed = 1, progress = false, adam_beta2 = 0.98,
      learning_rate = function(t, all) return 1e-3 * (1 - 0.9 * t / all) end,
    }
    run:step(steps)
    print(run)
  end
  local thought = work(o.written_out)
  coldstart(o.coldstart_steps, thought)
  coldstart(o.wander_steps, wander(thought))
  model:save(dir)
  return dir
end

-- The world of chained arithmetic, and a small transformer that can compute in small steps.
local function small_world(o)
  local function of_results(model, texts)
    local ids = mid.documents.encode(model.tokenizer, texts, 512)
    local H = mid.entropy.documents(model, ids)
    for d, text in ipairs(texts) do H[d] = mid.chain.of_results(text, H[d]) end
    return H
  end
  local dir = small_start(o, of_results)
  local model = mid.load(dir)
  -- A quarter of the lines is worked: what next-token prediction can learn from.
  local docs = mid.chain.generate(o.documents, { seed = 1, worked = 0.25 })
  -- Other documents to evaluate on, and in them only lines that stand in no text of training.
  local others =
    mid.chain.generate(3 * o.evaluated // 2, { seed = 1, first = 1000001, worked = 0.25 })
  print("Lines that training shows …")
  local known = mid.chain.questions(docs)
  for _, texts in ipairs { pretraining_docs(o), coldstart_docs(o) } do
    mid.chain.questions(texts, known)
  end
  local function set(count, seed)
    return mid.eval.set {
      docs = others, entropy_model = model, count = count, seed = seed,
      entropy_filter = function(text, H) return mid.chain.of_results(text, H, known) end,
    }
  end
  print("Entropies …")
  return {
    start = dir, docs = docs, entropies = of_results(model, docs), prompt = prompt,
    set = set(o.evaluated, 1), curve_set = set(o.evaluated // 6, 2),
  }
end

-- A model and text of the user's.
local function real_world(o)
  if o.data == "" then error("table: --model needs --data FILE, text to train on", 0) end
  local texts = o.data:find "%.jsonl$" and mid.data.jsonl(o.data, o.field) or mid.data.text(o.data)
  mid.random.new(1, 0, "table"):shuffle(texts)
  local held_out = math.min(200, #texts // 5)
  if held_out == 0 then error("table: --data needs five documents or more", 0) end
  local others = table.move(texts, 1, held_out, 1, {})
  local docs = table.move(texts, held_out + 1, math.min(#texts, held_out + o.documents), 1, {})
  local length, cache = o.max_document_length, o.out .. "/entropies"
  local prompt = o.instructions ~= "" and { instructions = o.instructions } or nil
  local entropy_model = mid.load(o.model)
  local entropies = mid.entropy.documents(entropy_model,
    mid.documents.encode(entropy_model.tokenizer, docs, length), { progress = true, cache = cache })
  local dir = o.out .. "/start"
  if not mid.exists(dir .. "/config.json") then
    local run = mid.coldstart {
      model = mid.load(o.model), docs = docs, entropies = entropies, prompt = prompt,
      max_document_length = length, steps = o.coldstart_steps, seed = 1,
      min_budget = o.min_budget, max_budget = o.budget, plain_share = o.plain_share,
      recital_share = o.recital_share, answer = "token",
      documents_per_step = o.coldstart_documents_per_step,
      positions_per_document = o.coldstart_positions_per_document, adam_beta2 = 0.98,
      learning_rate = function(t, T)
        return o.coldstart_learning_rate * math.min(1, (t + 1) / 10) * (1 - 0.9 * t / T)
      end,
      out = o.out .. "/coldstart", resume = true, save_steps = 20, save_total_limit = 1,
    }
    if run.t < run.T then run:step(run.T) end
    run.model:save(dir)
  end
  local function set(count, seed)
    return mid.eval.set {
      docs = others, entropy_model = entropy_model, count = count, seed = seed,
      max_document_length = length,
    }
  end
  return {
    start = dir, docs = docs, set = set(o.evaluated, 1), curve_set = set(o.evaluated // 6, 2),
    entropies = entropies, prompt = prompt,
    rmt = { max_document_length = length, dynamic_sampling = o.dynamic_sampling },
    ntp = { max_document_length = length }, eval = { intervals = true },
    compared = { "rmt", "rpt" },
  }
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  file:write(text)
end

local o = mid.arguments.read_quick("table", defaults, quick)
if o.model ~= "" then
  o = mid.arguments.read_quick("table", mid.options.merged(defaults, real), quick)
end
local started = mid.clock()
mid.mkdir(o.out)
local world = o.model == "" and small_world(o) or real_world(o)
local seeds = {}
for seed = 1, o.seeds do seeds[seed] = seed end
local results = mid.comparison.run {
  start = world.start, docs = world.docs, set = world.set, curve_set = world.curve_set,
  out = o.out, methods = mid.arguments.names(o.methods), seeds = seeds, curve_every = o.curve_every,
  ntp = world.ntp,
  rmt = mid.options.merged({
    entropies = world.entropies, prompt = world.prompt, steps = o.steps,
    budget = mid.budget.exponential { initial = o.budget, minimum = o.min_budget },
    learning_rate = o.learning_rate,
    documents_per_step = o.documents_per_step, positions_per_document = o.positions_per_document,
    num_generations = o.num_generations,
    max_completion_length = o.max_completion_length, temperature = o.temperature,
  }, world.rmt or {}),
  eval = mid.options.merged(
    { max_completion_length = o.max_completion_length, positions_at_a_time = 128 }, world.eval or {}),
}
local markdown = mid.comparison.markdown(results, world.compared)
write(o.out .. "/table.md", markdown)
write(o.out .. "/table.csv", mid.comparison.csv(results))
local entropies = {}
for _, H in ipairs(world.entropies) do
  for _, h in ipairs(H) do
    -- What cannot be asked for was set to 0.
    if h > 0 then entropies[#entropies + 1] = h end
  end
end
mid.comparison.plots(results, o.out, entropies, mid.entropy.thresholds)
print("\n" .. markdown)
print(("%.0f s. Written to %s: table.md, table.csv and plots (*.svg)"):format(
  mid.clock() - started, o.out))
