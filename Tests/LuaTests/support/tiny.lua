-- A model and runs of the real engine that take milliseconds a step.

local mid = require "midtrain"
local scratch = require "support.scratch"

local tiny = { docs = mid.chain.generate(12, { seed = 3, lines = 2 }) }

local folder = scratch.path()
tiny.tokenizer = mid.chain.tokenizer(folder)

function tiny.model()
  local tokenizer = tiny.tokenizer
  return mid.from_config({
    model_type = "llama", hidden_size = 16, intermediate_size = 32, num_hidden_layers = 2,
    num_attention_heads = 2, num_key_value_heads = 1, vocab_size = tokenizer.vocab_size,
    max_position_embeddings = 256, rms_norm_eps = 1e-5, rope_theta = 10000,
    tie_word_embeddings = true, eos_token_id = tokenizer.eos_id, initializer_range = 0.2,
  }, { tokenizer = tokenizer, seed = 5 })
end

function tiny.rmt(given)
  local o = {
    model = tiny.model(), docs = tiny.docs, steps = 6, seed = 2, progress = false,
    prompt = mid.chain_tasks.words, documents_per_step = 2, positions_per_document = 2,
    num_generations = 3, max_completion_length = 10, learning_rate = 1e-2, temperature = 1,
    -- A random model writes no boxes; lengths have variance.
    reward = function(s) return s.ids[1] % 7 + #s.ids end,
    budget = mid.budget.adaptive { initial = 12, metric = "reward" },
  }
  for name, value in pairs(given or {}) do o[name] = value end
  return mid.rmt(o)
end

-- All weights as bytes.
function tiny.weights(of)
  local dir = scratch.path()
  of:save(dir)
  local bytes = scratch.read(dir .. "/model.safetensors")
  scratch.remove(dir)
  return bytes
end

-- Metrics without what a clock says.
function tiny.timeless(history)
  local list = {}
  for t, metrics in ipairs(history) do
    list[t] = {}
    for name, value in pairs(metrics) do
      local is_time = name:find "^timing_s/" or name == "step_time" or name == "tokens_per_second"
      if not is_time and value == value then list[t][name] = value end
    end
  end
  return list
end

return tiny
