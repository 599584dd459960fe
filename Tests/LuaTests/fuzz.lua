-- Calls every native function with wrong arguments, and reads damaged journals: an error each time, or a
-- result, never a crash. Run in a folder of its own, which it fills.
--   midtrain fuzz.lua COUNT SEED [NUMBER]     with NUMBER: the block of calls that begins there alone
-- Prints the number of the call before a block if $MIDTRAIN_FUZZ_TRACE names a file.

local mid = require "midtrain"
local journal = require "midtrain.journal"

local count, seed, only = tonumber(arg[1]) or 3000, tonumber(arg[2]) or 1, tonumber(arg[3])
local trace = os.getenv "MIDTRAIN_FUZZ_TRACE"
-- Objects live for one block of calls, so that a block can be repeated alone.
local BLOCK = 100

local function pick(list) return list[math.random(#list)] end

-- Values ----------------------------------------------------------------------------------------

local config = {
  model_type = "llama", hidden_size = 8, intermediate_size = 16, num_hidden_layers = 1,
  num_attention_heads = 2, num_key_value_heads = 1, vocab_size = 260, max_position_embeddings = 64,
  rms_norm_eps = 1e-5, rope_theta = 10000, tie_word_embeddings = true, eos_token_id = 256,
}
local tokenizer = mid.chain.tokenizer "fuzz-tokenizer"
local objects

local function new_objects()
  local model = mid.from_config(config, { tokenizer = tokenizer, seed = 1 })
  local batch = mid.batch()
  local trunk = batch:segment { 1, 2, 3 }
  batch:segment({ 4, 5 }, { parent = trunk, temperature = 0.7 })
  local leaf = mid.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
  leaf.requires_grad = true
  local job = mid.spawn(function() mid.sleep(0) end)
  job:wait()
  objects = {
    Model = model, Tokenizer = model.tokenizer, Batch = batch, Tensor = leaf * 2, Leaf = leaf,
    Scalar = mid.tensor(2), AdamW = mid.adamw(model), Job = job,
  }
end

local numbers = {
  0, 1, 2, 3, -1, 0.5, -0.0, 7, 255, 1e9, 2 ^ 31, -2 ^ 31, 2 ^ 53, 1e308, 0 / 0, 1 / 0, -1 / 0,
  math.maxinteger, math.mininteger, 1 << 31, 1 << 32, 1 << 40,
}
local strings = {
  "", "x", "hello world", "\0", "x\0y", "\xff\xfe", "é", "12", "nan", ("long "):rep(20000), "%s%n", "{}",
  "[1, 2", "{{ x }}", "\\frac{1}{2}", "$$", "1e999999", "((((((((((", ("("):rep(10000), ("{"):rep(3000),
}
-- Names in this folder only: some of these functions remove what they are given.
local paths = { "", "nothing", "a-file", "a-folder", "x\0y", "\xff", ("n"):rep(5000), "new-file" }

local function cyclic()
  local t = { 1 }
  t[pick { 1, 2, "x" }] = t
  return t
end

local function deep()
  local t = {}
  for _ = 1, 300 do t = { t } end
  return t
end

local functions = {
  function() end, function() error "on purpose" end, function() error {} end, function() error() end,
  function() return 0 / 0, "x" end, function() mid.sleep(0) return 1 end,
  function() return mid.tensor { 1, 2 } end, print, function(...) return ... end,
  function() coroutine.yield() end,
}

local any

local tables = {
  function() return {} end,
  function() return { 1, 2, 3 } end,
  function() return { 1, "x", {} } end,
  function() return { 1, nil, 3 } end,
  function() return { any(3), any(3) } end,
  function() return { x = any(3), [1] = any(3) } end,
  function() return { { 1, 2 }, { 3 } } end,
  function() return { { role = "user", content = "hi" } } end,
  function() return { { role = any(3), content = any(3) } } end,
  function() return { [0 / 1] = 1, [2 ^ 40] = 2 } end,
  function() return setmetatable({}, { __index = error, __len = error, __pairs = error }) end,
  function() return { math.maxinteger, math.mininteger } end,
  cyclic, deep,
}

function any(depth)
  depth = (depth or 0) + 1
  local kind = math.random(depth > 3 and 8 or 12)
  if kind == 1 then return nil end
  if kind == 2 then return math.random(2) == 1 end
  if kind <= 5 then return pick(numbers) end
  if kind <= 7 then return pick(strings) end
  if kind == 8 then return pick(functions) end
  if kind == 9 then return coroutine.create(print) end
  if kind == 10 then
    return pick { objects.Model, objects.Batch, objects.Tensor, objects.Leaf, objects.Scalar,
      objects.AdamW, objects.Job, objects.Tokenizer, io.stdout }
  end
  return pick(tables)()
end

-- Amounts of work: much of it is no defect, but the end of the test.
local amounts = {
  max_tokens = true, max_completion_length = true, num_generations = true, n = true, seconds = true,
}

local plausible

local function options(parameter)
  local t = {}
  for _, option in ipairs(parameter.options) do
    if math.random(3) == 1 then
      t[option.name] = math.random(2) == 1 and plausible(option) or any(3)
      if amounts[option.name] and type(t[option.name]) == "number" and t[option.name] > 4 then
        t[option.name] = 4
      end
    end
  end
  if math.random(10) == 1 then t[pick(strings)] = any(3) end
  return t
end

local function config_with_a_fault()
  local t = {}
  for name, value in pairs(config) do t[name] = value end
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  t[pick(names)] = any(3)
  return t
end

-- A value of the type that a function expects, more or less.
function plausible(parameter)
  local name, kind = parameter.name, parameter.type
  if name == "path" or name == "dir" or name == "from" or name == "to" then return pick(paths) end
  if parameter.options then return options(parameter) end
  if name == "config" then return config_with_a_fault() end
  if name == "bytes" then return pick(strings) end
  if name == "seconds" then return pick { 0, 0.001, -1, 0 / 0 } end
  if kind:find "Model" then return objects.Model end
  if kind:find "Batch" then return objects.Batch end
  if kind:find "Tensor" then return pick { objects.Tensor, objects.Leaf, objects.Scalar, 2, 0 / 0 } end
  if kind:find "^table<integer" then return { [pick { 1, 2, 3, 0 }] = pick { 1, 0.5, { 1, 2, 3 }, "x" } } end
  if kind:find "role" then return { { role = pick(strings), content = pick(strings) } } end
  if kind:find "integer%[%]" then return pick { { 1, 2 }, {}, { 259 }, { 260 }, { -1 }, { 1, 1 << 40 }, { 0.5 } } end
  if kind:find "%[%]" then return { any(3) } end
  if kind:find "integer" then return pick { 0, 1, 2, 3, -1, 1 << 31, 1 << 62, math.mininteger } end
  if kind:find "number" then return pick(numbers) end
  if kind:find "string" then return pick(strings) end
  if kind:find "boolean" then return pick { true, false } end
  if kind:find "fun" then return pick(functions) end
  return any()
end

local function argument(parameter)
  if math.random(3) > 1 then return plausible(parameter) end
  local value = any()
  local is_path = parameter.name == "path" or parameter.name == "dir" or parameter.name == "from"
    or parameter.name == "to"
  if type(value) == "string" and is_path then return pick(paths) end
  if parameter.name == "seconds" and type(value) == "number" then return 0 end
  return value
end

-- Calls -----------------------------------------------------------------------------------------

-- What an entry of the registry names, on an object or in `mid`.
local owners = {
  job = "Job", tensor = "Tensor", tokenizer = "Tokenizer", model = "Model", batch = "Batch",
  adamw = "AdamW",
}

local entries = {}
for _, entry in ipairs(mid.registry()) do
  -- They change how this process ends.
  local name = entry.name
  if not (name:find "termination" or name:find "_interrupts" or name:find "exit$") then
    entries[#entries + 1] = entry
  end
end

local function receiver(name)
  if math.random(20) == 1 then return any() end
  if name == "tensor" then return pick { objects.Tensor, objects.Leaf, objects.Scalar } end
  return objects[owners[name]]
end

-- Sizes that memory has room for only take long.
local function without_large_sizes(value)
  if type(value) == "number" and value > 1e5 and value < 2 ^ 36 then return 1 << 40 end
  if type(value) == "table" and not getmetatable(value) and #value < 10 then
    for i = 1, #value do if value[i] ~= value then value[i] = without_large_sizes(value[i]) end end
  end
  return value
end

local function call(entry)
  local owner, name = entry.name:match "^(%a+)[%.:](.+)$"
  local arguments, n = {}, #entry.parameters
  for i, parameter in ipairs(entry.parameters) do arguments[i] = argument(parameter) end
  if entry.returns:find "Tensor" then
    for i = 1, n do arguments[i] = without_large_sizes(arguments[i]) end
  end
  if math.random(10) == 1 then n = math.random(0, n + 2) end
  if entry.kind == "function" then
    local f = mid
    for part in name:gmatch "[^.]+" do f = f[part] end
    return f(table.unpack(arguments, 1, n))
  end
  local object = receiver(owner)
  if entry.kind == "property" then
    if math.random(2) == 1 then return object[name] end
    object[name] = any()
    return
  end
  local self = math.random(20) == 1 and any() or object
  return object[name](self, table.unpack(arguments, 1, n))
end

-- Journals --------------------------------------------------------------------------------------

local lines = journal.line { step = 1, name = "budget", old = 3, new = function(t, T) return T - t end }
  .. journal.line { step = 2, name = "lambda", old = 0.1, new = 0.5 }
  .. journal.line { step = 3, name = "curriculum", new = mid.budget.linear { initial = 9, final = 4 } }

local function damaged(text)
  local bytes = { text:byte(1, -1) }
  for _ = 1, pick { 1, 1, 2, 8 } do
    if #bytes == 0 then break end
    local at, kind = math.random(#bytes), math.random(5)
    if kind == 1 then bytes[at] = math.random(0, 255) end
    if kind == 2 then table.remove(bytes, at) end
    if kind == 3 then bytes[at] = bytes[at] ~ 1 << math.random(0, 7) end
    if kind == 4 then table.move(bytes, at, math.min(#bytes, at + 20), math.random(#bytes)) end
    if kind == 5 then for i = #bytes, at + 1, -1 do bytes[i] = nil end end
  end
  return string.char(table.unpack(bytes))
end

-- A damaged line may be passed over; what is left is cut at a step without an error.
local function read_journal()
  mid.write("journal.jsonl", damaged(lines))
  for _, entry in ipairs(journal.read "journal.jsonl") do journal.revive(entry.new) end
  for _, entry in ipairs(journal.cut("journal.jsonl", 2)) do
    assert((tonumber(entry.step) or 0) <= 2)
  end
end

-- The test --------------------------------------------------------------------------------------

print = function() end
io.stderr:setvbuf "line"
local refused, done = 0, 0
local before = mid.memory().peak

local function block(first)
  math.randomseed(seed, first)
  if trace then
    local file <close> = assert(io.open(trace, "w"))
    file:write(("arguments:%d\n"):format(first))
  end
  new_objects()
  for _ = 1, BLOCK do
    local entry, ok = pick(entries), true
    local is_job = math.random(10) == 1
    if math.random(20) == 1 then
      read_journal()
    elseif is_job then
      local job = mid.spawn(function() ok = pcall(call, entry) end)
      pcall(job.wait, job)
    else
      ok = pcall(call, entry)
    end
    done = done + 1
    if not ok then refused = refused + 1 end
  end
end

mid.mkdir "a-folder"
mid.write("a-file", "text\n")
for first = only or 0, only or count - 1, BLOCK do block(first) end
io.write(("fuzz: arguments: %d calls of %d functions, %d refused, %d MB more at most\n"):format(done,
  #entries, refused, (mid.memory().peak - before) // (1 << 20)))
assert(only or refused > done // 4, "arguments hardly matter")
io.stdout:flush()
-- Jobs that were made on the way are nobody's business.
os.exit(0)
