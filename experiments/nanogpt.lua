-- A small GPT, pre-trained from scratch on plain text with bytes as tokens, in plain Lua on
-- tensors.
--
--   midtrain experiments/nanogpt.lua --data FILE [--steps N] [--layers N] [--width N] [--out FILE] …
--
-- Without --data it learns generated arithmetic. With --engine the same network takes the engine's
-- own way through a forest of segments, to compare speeds.

local mid = require "midtrain"

local o = mid.arguments.read("nanogpt", {
  data = "", -- a text file
  steps = 300, batch = 16, context = 128, -- sequences a step, and bytes of each
  layers = 4, width = 128, heads = 4,
  learning_rate = 1e-3, weight_decay = 0.1, max_grad_norm = 1, warmup = 20,
  seed = 1, every = 25, -- steps between lines
  sample = 300, -- bytes to write at the end
  out = "", -- a safetensors file
  engine = false,
})

local function read_text()
  if o.data == "" then return table.concat(mid.corpus.generate(400, { seed = o.seed }), "\n") end
  local file <close> = assert(io.open(o.data, "rb"))
  return file:read "a"
end

-- Bytes as tokens from 0, the last tenth kept to measure with.
local text = read_text()
local tokens = {}
for i = 1, #text, 4096 do
  table.move({ text:byte(i, i + 4095) }, 1, math.min(4096, #text - i + 1), i, tokens)
end
tokens = mid.tensor(tokens, "i32")
local border = #tokens * 9 // 10
local draws = mid.generator(o.seed)

-- Windows of context + 1 bytes at random places: (batch, context + 1).
local function windows(first, last, generator)
  local starts = mid.randint(first, last - o.context, o.batch, generator):tolist()
  local rows = {}
  for i, start in ipairs(starts) do rows[i] = tokens:slice(1, start, start + o.context) end
  return mid.stack(rows)
end

local config = {
  model_type = "llama", vocab_size = 256, hidden_size = o.width, intermediate_size = 4 * o.width,
  num_hidden_layers = o.layers, num_attention_heads = o.heads, num_key_value_heads = o.heads,
  max_position_embeddings = o.context + o.sample, rms_norm_eps = 1e-6, rope_theta = 10000,
  tie_word_embeddings = true, initializer_range = 0.02,
}
local model = mid.from_config(config, { seed = o.seed })
local net = mid.nn.Transformer.of(model):unfreeze()
local optimizer = mid.adamw(net:parameters(), {
  learning_rate = o.learning_rate, beta2 = 0.95, weight_decay = o.weight_decay,
})
local schedule = mid.schedule.cosine { warmup = o.warmup, final = 0.1 }

local function loss_of(ids)
  if not o.engine then return -net:logprobs(ids):mean() end
  local batch = mid.batch()
  for _, row in ipairs(ids:tolist()) do batch:segment(row) end
  return -model:logprobs(batch):sum() / (o.batch * o.context)
end

print(model)
local began, seen = mid.clock(), 0
for t = 0, o.steps - 1 do
  local loss = loss_of(windows(1, border, draws))
  loss:backward()
  local report = optimizer:step {
    learning_rate = o.learning_rate * schedule(t, o.steps), max_grad_norm = o.max_grad_norm,
  }
  optimizer:zero_grad()
  seen = seen + o.batch * o.context
  if (t + 1) % o.every == 0 or t + 1 == o.steps then
    local held_out = mid.no_grad(loss_of, windows(border + 1, #tokens, 7)):item()
    print(("step %d · loss %.3f · held out %.3f nats a byte · norm %.2f · %.0f tokens/s"):format(
      t + 1, loss:item(), held_out, report.grad_norm, seen / (mid.clock() - began)))
  end
end

-- Continues the held-out text: what was learned is the model's own.
if o.sample > 0 then
  local prompt = tokens:slice(1, border + 1, border + o.context // 2):tolist()
  local sample = model:generate(prompt, { max_tokens = o.sample, temperature = 0.8, seed = o.seed })
  print(string.char(table.unpack(sample[1].ids)))
end
if o.out ~= "" then mid.save_tensors(o.out, net:parameters()) end
