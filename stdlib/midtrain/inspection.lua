-- `midtrain info MODEL`: what is in a model's files, for people. Only headers are read.

local mid = require "midtrain.native"

local inspection = {}

-- 134515008 as 134.5 M.
local function count(n)
  if n >= 1e9 then return ("%.2f B"):format(n / 1e9) end
  return n >= 1e5 and ("%.1f M"):format(n / 1e6) or ("%.1f K"):format(n / 1e3)
end

local function megabytes(n)
  return n >= 1e9 and ("%.2f GB"):format(n / 1e9) or ("%.1f MB"):format(n / 1e6)
end

-- The formats of weights, the most frequent first: Q4_1 106.1 M, Q8_0 28.3 M.
local function storage(elements)
  local parts = {}
  for name, n in pairs(elements) do parts[#parts + 1] = { name = name, n = n } end
  table.sort(parts, function(a, b) return a.n > b.n or a.n == b.n and a.name < b.name end)
  for i, part in ipairs(parts) do parts[i] = part.name .. " " .. count(part.n) end
  return table.concat(parts, ", ")
end

local function heads(m)
  local shared = m.num_key_value_heads < m.num_attention_heads
    and (" (keys and values %d)"):format(m.num_key_value_heads) or ""
  return ("%d heads%s of %d"):format(m.num_attention_heads, shared, m.head_dim)
end

local function tokenizer(t)
  if not t then return "none: it reads and gives token ids" end
  if t.problem then return "not supported: " .. t.problem end
  local function id(name, n) return n and (", %s %d"):format(name, n) or "" end
  return ("%d tokens%s%s, %s"):format(t.vocab_size, id("bos", t.bos_token_id),
    id("eos", t.eos_token_id), t.has_chat_template and "chat template" or "no chat template")
end

--- Lines about a model: its shape, how it is stored, what training it takes.
---@param path string a folder, a GGUF file, or a name in the model cache
---@return string
function inspection.text(path)
  local m = mid.model_info(path)
  local n = m.num_parameters
  local rows = {
    { "path", m.path },
    { "architecture", m.model_type .. (m.tie_word_embeddings and ", embeddings tied" or "") },
    { "parameters", count(n) },
    { "stored", ("%s, %s: %s"):format(m.format, megabytes(m.bytes), storage(m.elements)) },
    {
      "shape",
      ("%d layers, d %d, feed-forward %d, %s"):format(m.num_hidden_layers, m.hidden_size,
        m.intermediate_size, heads(m)),
    },
    {
      "context",
      ("%d tokens%s"):format(m.max_position_embeddings,
        m.rope_theta and (", RoPE base %.0f"):format(m.rope_theta) or ""),
    },
    { "tokenizer", tokenizer(m.tokenizer) },
    {
      "memory",
      ("%s in f32, %s with gradients and AdamW, without activations"):format(megabytes(4 * n),
        megabytes(16 * n)),
    },
  }
  for i, row in ipairs(rows) do rows[i] = ("%-13s %s"):format(row[1], row[2]) end
  return table.concat(rows, "\n")
end

--- `midtrain info MODEL`: what went wrong is a line, not a traceback.
---@param path string
function inspection.command(path)
  local ok, text = pcall(inspection.text, path)
  if ok then
    print(text)
    return
  end
  io.stderr:write("midtrain: ", (tostring(text):gsub("^.-mid%.model_info: ", "info: ")), "\n")
  os.exit(1, true)
end

return inspection
