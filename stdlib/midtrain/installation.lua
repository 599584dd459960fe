-- `midtrain doctor`: whether this installation works. Each check does the thing itself, small, and
-- compares the result with what it must be.

local checkpoint = require "midtrain.checkpoint"
local doctor = require "midtrain.doctor"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"
local pull = require "midtrain.pull"

local installation = {}

local function library()
  local all, names = require "midtrain", {}
  for name in pairs(getmetatable(all).__modules) do names[#names + 1] = name end
  for _, name in ipairs(names) do assert(all[name], name) end
  local place = package.searchpath("midtrain", package.path) or "?"
  return ("%d modules in %s"):format(#names, place:gsub("/midtrain/init%.lua$", ""))
end

-- The engine compares a product of random matrices with plain sums before its first one.
local function products()
  local info = mid.info()
  if not info.verified then
    error(("%s computes wrong products with its core %s on this machine; another may be right, for "
      .. "example OPENBLAS_CORETYPE=Haswell"):format(info.blas, info.core), 0)
  end
  return ("%s %s%s, %d threads, %s"):format(info.blas, info.core, info.amx and ", AMX" or "", info.threads,
    info.processor)
end

local config = {
  model_type = "llama", hidden_size = 16, intermediate_size = 32, num_hidden_layers = 2,
  num_attention_heads = 2, num_key_value_heads = 1, max_position_embeddings = 64, rms_norm_eps = 1e-5,
  rope_theta = 10000, tie_word_embeddings = true, initializer_range = 0.2,
}

-- A tiny run that learns, is saved, and goes on in another model from the same bits.
local function training()
  local dir = checkpoint.scratch()
  local removed <close> = setmetatable({}, { __close = function() mid.remove(dir) end })
  local tokenizer = mid.chain.tokenizer(dir .. "/tokenizer")
  config.vocab_size, config.eos_token_id = tokenizer.vocab_size, tokenizer.eos_id
  local function run(more)
    return mid.ntp(mid.options.merged({
      model = mid.from_config(config, { tokenizer = tokenizer, seed = 1 }), steps = 12, seed = 1,
      docs = mid.chain.generate(4, { seed = 1, lines = 2 }), learning_rate = 3e-2, progress = false,
      max_document_length = 60,
    }, more))
  end
  local first = run { out = dir .. "/run", save_steps = 6 }
  first:step(12)
  local before, after = first.history[1].loss, first.history[12].loss
  if not (after < before) then
    error(("a loss that must fall went from %s to %s"):format(before, after), 0)
  end
  for _, folder in ipairs((checkpoint.list(dir .. "/run"))) do mid.verify(folder) end
  local print_before = print
  print = function() end
  local ok, second = pcall(run, { out = dir .. "/other", resume = dir .. "/run/checkpoints/step-6" })
  print = print_before
  if not ok then error(second, 0) end
  second:step(6)
  if second.metrics.loss ~= after then
    error(("a resumed run came to another loss: %s, not %s"):format(second.metrics.loss, after), 0)
  end
  return ("12 steps, loss %.2f → %.2f; saved, verified, resumed to the same bits"):format(before, after)
end

local function cache()
  local root = pull.cache()
  if not mid.exists(root) then return ("none: %s is not there yet"):format(root) end
  local names = mid.list(root)
  return ("%s in %s"):format(#names > 0 and table.concat(names, ", ") or "none", root)
end

local function temporary()
  local dir = checkpoint.scratch()
  mid.write(dir .. "/a", "text")
  mid.append(dir .. "/a", " and more")
  mid.seal(dir)
  mid.verify(dir)
  mid.remove(dir)
  return (dir:gsub("/[^/]*$", "")) .. " can be written"
end

--- What is looked at, in order: a title, and a function that says what it found or raises what is wrong.
---@type { [1]: string, [2]: fun(): string }[]
installation.checks = {
  { "library", library },
  { "products", products },
  { "files", temporary },
  { "training", training },
  { "models", cache },
}

--- Prints a line for each check.
---@return boolean ok whether all are well
function installation.examine()
  local all = true
  for _, check in ipairs(installation.checks) do
    local ok, said = pcall(check[2])
    all = all and ok
    print(("%-4s %-9s %s"):format(ok and "ok" or "FAIL", check[1], tostring(said)))
  end
  return all
end

-- What the metrics of a run's folder show.
local function of_run(dir)
  if not mid.exists(dir .. "/metrics.jsonl") then
    error(("there is no run in '%s': it has no metrics.jsonl"):format(dir), 0)
  end
  local rows = journal.read(dir .. "/metrics.jsonl")
  local findings = doctor.examine(rows)
  print(doctor.describe(findings, #rows))
  return #findings == 0
end

--- `midtrain doctor` looks at the installation, `midtrain doctor DIR` at a run. Exit status 1 if
--- something is wrong.
---@param dir string?
function installation.command(dir)
  local ok, fine = pcall(dir and of_run or installation.examine, dir)
  if not ok then io.stderr:write("midtrain: doctor: ", tostring(fine), "\n") end
  if not ok or not fine then os.exit(1, true) end
end

return installation
