-- A stand-in for the native engine, so that the method can be tested in plain Lua. Its tokens are
-- bytes, its model is a bigram table of logits that really learns, and its jobs run when something
-- waits for them, giving way at each rollout. It checks what the engine would check: ranges,
-- parents, names.

local random = require "midtrain.random"
local tensor = require "support.tensor"

local EOS, V = 256, 257

local fake = { json = require "support.json", tensor = tensor.tensor, version = "stand-in" }

function fake.no_grad(f) return f() end

-- Files and jobs ---------------------------------------------------------------------------------

function fake.hold_termination() end
function fake.hold_interrupts() end
function fake.release_interrupts() end
function fake.client() end
function fake.lock() end
function fake.is_unattended() return false end
fake.traceback = debug.traceback
function fake.screen() end
function fake.serve() return {} end
function fake.release_termination() end
function fake.is_terminated() return false, 0 end
function fake.clock() return os.clock() end
function fake.mkdir(path) assert(os.execute(("mkdir -p '%s'"):format(path))) end
function fake.rename(from, to) assert(os.rename(from, to)) end
function fake.exists(path)
  local ok, _, code = os.rename(path, path)
  return ok ~= nil or code == 13
end

function fake.list(path)
  local names, pipe <close> = {}, assert(io.popen(("ls '%s'"):format(path)))
  for name in pipe:lines() do names[#names + 1] = name end
  return names
end
function fake.remove(path) assert(os.execute(("rm -rf '%s'"):format(path))) end
function fake.write(path, text)
  local file <close> = assert(io.open(path, "wb"))
  file:write(text)
end
function fake.append(path, text)
  local file <close> = assert(io.open(path, "ab"))
  file:write(text)
end
function fake.sync() end
function fake.seal(dir) fake.write(dir .. "/checksums.json", "{}\n") end
function fake.verify() end

-- Bit by bit, as RFC 3720 defines it.
function fake.crc32c(bytes)
  local crc = 0xffffffff
  for i = 1, #bytes do
    crc = crc ~ bytes:byte(i)
    for _ = 1, 8 do crc = crc >> 1 ~ (crc & 1 == 1 and 0x82f63b78 or 0) end
  end
  return crc ~ 0xffffffff
end

local jobs = {}

local function turn()
  for i = #jobs, 1, -1 do
    local job = jobs[i]
    local ok, result = coroutine.resume(job.thread)
    if not ok then job.status, job.error = "failed", result end
    if coroutine.status(job.thread) == "dead" then
      if ok then job.status = "done" end
      table.remove(jobs, i)
    end
  end
end

-- As in the engine: only a job's own coroutine gives way to others by yielding.
function fake.sleep()
  for _, job in ipairs(jobs) do
    if job.thread == coroutine.running() then return coroutine.yield() end
  end
  turn()
end

function fake.spawn(f, ...)
  local arguments = table.pack(...)
  local job = { status = "running" }
  job.thread = coroutine.create(function() f(table.unpack(arguments, 1, arguments.n)) end)
  function job:wait()
    while self.status == "running" do fake.sleep() end
    if self.error then error(self.error, 0) end
  end
  jobs[#jobs + 1] = job
  return job
end

-- Batches ----------------------------------------------------------------------------------------

local Batch = {}
Batch.__index = Batch
Batch.__len = function(batch) return batch.length end

function fake.batch() return setmetatable({ segments = {}, length = 0 }, Batch) end

local segment_options = { parent = true, offset = true, temperature = true, score = true }

function Batch:segment(ids, given)
  assert(#ids > 0, "batch:segment: no tokens")
  local segment = { ids = ids, first = self.length + 1, temperature = 1, score = true }
  for name, value in pairs(given or {}) do
    assert(segment_options[name], "batch:segment: unknown option " .. name)
    segment[name] = value
  end
  if segment.parent then
    local parent = assert(self.segments[segment.parent], "batch:segment: no such parent")
    segment.offset = segment.offset or #parent.ids
    assert(segment.offset >= 1 and segment.offset <= #parent.ids, "batch:segment: offset")
  end
  self.length = self.length + #ids
  self.segments[#self.segments + 1] = segment
  return #self.segments
end

function Batch:range(s)
  local segment = self.segments[s]
  return segment.first, segment.first + #segment.ids - 1
end

function Batch:tolist()
  local list = {}
  for i, s in ipairs(self.segments) do
    list[i] = { ids = s.ids, parent = s.parent, offset = s.offset, temperature = s.temperature, score = s.score }
  end
  return list
end

function Batch:spread(values)
  local list = {}
  for i = 1, self.length do list[i] = 0.0 end
  for s, value in pairs(values) do
    local first, last = self:range(s)
    assert(type(value) == "number" or #value == last - first + 1, "batch:spread: length")
    for i = first, last do list[i] = type(value) == "number" and value or value[i - first + 1] end
  end
  return tensor.tensor(list)
end

-- Models -----------------------------------------------------------------------------------------

local Tokenizer = { eos_id = EOS, chat_template = "a template" }

function Tokenizer:encode(text)
  local ids = {}
  local at = 1
  while at <= #text do
    if text:sub(at, at + 4) == "<eos>" then
      ids[#ids + 1], at = EOS, at + 5
    else
      ids[#ids + 1], at = text:byte(at), at + 1
    end
  end
  return ids
end

function Tokenizer:token(id) return id == EOS and "<eos>" or string.char(id) end

function Tokenizer:decode(ids)
  local pieces = {}
  for i, id in ipairs(ids) do pieces[i] = self:token(id) end
  return table.concat(pieces)
end

function Tokenizer:chat(messages, given)
  assert(self.chat_template, "this tokenizer has no chat template")
  local parts = {}
  for _, message in ipairs(messages) do
    parts[#parts + 1] = ("<|%s|>\n%s<|end|>\n"):format(message.role, message.content)
  end
  if given.add_generation_prompt then
    parts[#parts + 1] = "<|assistant|>\n" .. (self.opens_think and "<think>\n" or "")
  end
  return table.concat(parts)
end

function fake.fake_tokenizer(fields)
  local tokenizer = setmetatable(fields or {}, { __index = Tokenizer })
  -- A tokenizer without a template is made with `chat_template = false`.
  if tokenizer.chat_template == false then
    setmetatable(tokenizer, {
      __index = function(_, name) if name ~= "chat_template" then return Tokenizer[name] end end,
    })
    tokenizer.chat_template = nil
  end
  return tokenizer
end

local Model = {}
Model.__index = Model

--- A model whose next-token logits depend on the last token only; `bias(previous, next)` gives
--- their initial values.
function fake.fake_model(bias)
  local model = setmetatable({
    tokenizer = fake.fake_tokenizer(), eos_ids = { EOS }, logits = {}, grads = {},
    config = { vocab_size = V },
  }, Model)
  for previous = 0, V - 1 do
    local row = {}
    for next = 0, V - 1 do row[next] = bias and bias(previous, next) or 0 end
    model.logits[previous] = row
  end
  return model
end

function Model:probabilities(previous, temperature)
  local row, p, sum = self.logits[previous], {}, 0
  for v = 0, V - 1 do p[v] = math.exp(row[v] / temperature) sum = sum + p[v] end
  for v = 0, V - 1 do p[v] = p[v] / sum end
  return p
end

local function entropy_of(p)
  local H = 0
  for v = 0, V - 1 do if p[v] > 0 then H = H - p[v] * math.log(p[v]) end end
  return H
end

function Model:entropy(ids)
  if type(ids) == "string" then ids = self.tokenizer:encode(ids) end
  local H = {}
  for i, id in ipairs(ids) do H[i] = entropy_of(self:probabilities(id, 1)) end
  return H
end

function Model:score(ids)
  local lp = {}
  for i = 2, #ids do lp[i - 1] = math.log(self:probabilities(ids[i - 1], 1)[ids[i]]) end
  return lp
end

function Model:num_parameters() return V * V end

-- Memory is no matter of a stand-in.
function Model:memory_plan(batch, given)
  return {
    summary = "memory: enough", max_rows = math.max(1, #batch),
    checkpointing = given.checkpointing == "auto" and "off" or given.checkpointing,
  }
end

function Model:logprobs(batch, given)
  local data, H, terms = {}, {}, {}
  for _, s in ipairs(batch.segments) do
    local parent = s.parent and batch.segments[s.parent]
    for i, id in ipairs(s.ids) do
      local previous = i > 1 and s.ids[i - 1] or (parent and parent.ids[s.offset])
      local at = s.first + i - 1
      data[at], H[at] = 0, 0
      if previous and s.score then
        local p = self:probabilities(previous, s.temperature)
        data[at], H[at] = math.log(p[id]), entropy_of(p)
        terms[#terms + 1] =
          { at = at, previous = previous, id = id, p = p, temperature = s.temperature }
      end
    end
  end
  local anchor = tensor.tensor(0)
  anchor.requires_grad = true
  local lp = tensor.new(data, { #data }, { anchor }, function(out)
    for _, term in ipairs(terms) do
      local row = self.grads[term.previous] or {}
      self.grads[term.previous] = row
      for v = 0, V - 1 do
        local d = ((v == term.id and 1 or 0) - term.p[v]) / term.temperature
        row[v] = (row[v] or 0) + out.g[term.at] * d
      end
    end
    anchor.g = { 0 }
  end)
  return lp, given and given.entropy and tensor.tensor(H) or nil
end

local rollout_options = {
  num_generations = true, max_completion_length = true, temperature = true, top_k = true,
  top_p = true, min_p = true, seed = true, step = true, stop = true, dtype = true,
  activations = true, cache_dtype = true, cache_memory = true,
}

function Model:rollout(batch, segments, given)
  fake.sleep()
  for name in pairs(given) do
    assert(rollout_options[name], "model:rollout: unknown option " .. name)
  end
  local vocabulary = {}
  for v = 0, V - 1 do vocabulary[v + 1] = v end
  local groups = {}
  for index, s in ipairs(segments) do
    local group, prompt = {}, batch.segments[s].ids
    for g = 1, given.num_generations do
      local generator = random.new(given.seed, given.step, index * 1000 + g)
      local sample = { ids = {}, logprobs = {}, finish_reason = "length" }
      local previous = prompt[#prompt]
      while #sample.ids < given.max_completion_length do
        local greedy = given.temperature == 0
        local p = self:probabilities(previous, greedy and 1 or given.temperature)
        local id = 0
        if greedy then
          for v = 1, V - 1 do if p[v] > p[id] then id = v end end
        else
          id = generator:choice(vocabulary, table.move(p, 0, V - 1, 1, {}))
        end
        sample.ids[#sample.ids + 1] = id
        sample.logprobs[#sample.ids] = math.log(p[id])
        previous = id
        local stopped = id == EOS
        for _, text in ipairs(given.stop or {}) do
          stopped = stopped or self.tokenizer:decode(sample.ids):sub(-#text) == text
        end
        if stopped then sample.finish_reason = "stop" break end
      end
      sample.text = self.tokenizer:decode(sample.ids)
      group[g] = sample
    end
    groups[index] = group
  end
  return groups
end

function Model:save(dir)
  fake.mkdir(dir)
  local file <close> = assert(io.open(dir .. "/config.json", "w"))
  file:write("{}\n")
end

-- Plain gradient descent under AdamW's name: the tests look at directions, not at rates.
function fake.adamw(model, settings)
  local optimizer = { settings = settings, steps = 0 }
  function optimizer:zero_grad() model.grads = {} end
  function optimizer:step(given)
    local squares = 0
    for _, row in pairs(model.grads) do
      for _, g in pairs(row) do squares = squares + g * g end
    end
    local norm = math.sqrt(squares)
    if norm ~= norm or norm == math.huge then return { grad_norm = norm, skipped = true } end
    local scale = given.max_grad_norm and math.min(1, given.max_grad_norm / (norm + 1e-6)) or 1
    for previous, row in pairs(model.grads) do
      for v, g in pairs(row) do
        local logits = model.logits[previous]
        logits[v] = logits[v] - given.learning_rate * scale * g
      end
    end
    self.steps = self.steps + 1
    return { grad_norm = norm, skipped = false }
  end
  function optimizer:save(dir)
    local file <close> = assert(io.open(dir .. "/optimizer.txt", "w"))
    file:write(self.steps, "\n")
  end
  return optimizer
end

return fake
