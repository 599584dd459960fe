-- Many small steps of a run that does all that a run does, and what the process holds meanwhile.
--   midtrain soak.lua STEPS WARM_UP OUT [WIDTH] [LIMIT]
-- With MALLOC_MMAP_THRESHOLD_=131072 and MALLOC_TRIM_THRESHOLD_=131072 in the environment: else the C library
-- keeps up to two megabytes for later, or does not, which is as much as is looked for here.
-- Ends with status 1 if memory at the end is more than a share LIMIT, 2 %, above that after the warm-up. What stays
-- of a step is its metrics, less than a kilobyte. The model is as small as its WIDTH: nothing hides beside it.

local mid = require "midtrain"

local steps, warm_up, out = tonumber(arg[1]) or 3000, tonumber(arg[2]) or 1000, arg[3] or "soak"
local width, limit = tonumber(arg[4]) or 32, tonumber(arg[5]) or 0.02
-- Garbage that waits to be collected is as large as all that is not, by default; it is not what is looked for.
collectgarbage("setpause", 110)
local tokenizer = mid.chain.tokenizer(out .. "-tokenizer")
local model = mid.from_config({
  model_type = "llama", hidden_size = width, intermediate_size = 3 * width, num_hidden_layers = 4,
  num_attention_heads = 2, num_key_value_heads = 1, vocab_size = tokenizer.vocab_size,
  max_position_embeddings = 256, rms_norm_eps = 1e-5, rope_theta = 10000, tie_word_embeddings = true,
  eos_token_id = tokenizer.eos_id, initializer_range = 0.2,
}, { tokenizer = tokenizer, seed = 5 })
local run = mid.rmt {
  model = model, docs = mid.chain.generate(50, { seed = 3, lines = 2 }), steps = steps, seed = 2,
  prompt = mid.chain_tasks.words, documents_per_step = 1, max_completion_length = 8, budget = 8,
  num_generations = 2, learning_rate = 1e-3, out = out, progress = false, save_steps = 100,
  save_total_limit = 2, metric_for_best_model = "reward", reward = function(s) return s.ids[1] % 7 + #s.ids end,
}

-- What the process holds, in bytes. The counters that the kernel gives more cheaply are off by megabytes.
local function held()
  for line in io.lines "/proc/self/smaps_rollup" do
    local kilobytes = line:match "^Rss:%s*(%d+) kB"
    if kilobytes then return 1024 * tonumber(kilobytes) end
  end
end

-- The median of what the process holds after each of the next `count` steps, in bytes: single steps
-- differ by their lengths.
local function usually_held(count)
  local values = {}
  for i = 1, count do
    run:step()
    values[i] = held()
  end
  table.sort(values)
  return values[(count + 1) // 2]
end

local window = math.min(100, warm_up // 2)
run:step(warm_up - window)
local before, lua_before = usually_held(window), mid.memory().lua
run:step(steps - warm_up - window)
local after, lua_after = usually_held(window), mid.memory().lua
local drift = after / before - 1
print(("soak: %d steps: %.1f MB after %d, %.1f MB at the end, %+.2f %% (Lua %+.1f MB)"):format(steps,
  before / 1e6, warm_up, after / 1e6, 100 * drift, (lua_after - lua_before) / 1e6))
if drift > limit then os.exit(1) end
