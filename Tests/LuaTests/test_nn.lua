-- Modules, optimisers and schedules: transformers in Lua beside the engine's own and PyTorch's
-- numbers, updates by hand.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "Tests/LuaTests"
local families = { "tiny-llama", "tiny-qwen2", "tiny-qwen3" }

local function golden(family)
  local folder = here .. "/../Goldens/" .. family
  return mid.load(folder), mid.load_tensors(folder .. "/golden.safetensors")
end

local tests = {}

function tests.transformers_on_a_checkpoint_give_pytorchs_logits_and_gradients()
  for _, family in ipairs(families) do
    local model, expected = golden(family)
    local net = mid.nn.Transformer.of(model)
    local logits = net(expected.input_ids)
    assert(logits:allclose(expected.logits, 1e-3, 1e-4), family .. ": logits")
    net:unfreeze()
    local loss = -net:logprobs(expected.input_ids):mean()
    check.near(loss:item(), expected.loss:item(), 1e-5, family .. ": loss")
    loss:backward()
    local compared = 0
    for name, tensor in pairs(net:parameters()) do
      assert(tensor.grad:allclose(expected["grad." .. name], 1e-2, 2e-5),
        ("%s: gradient of %s"):format(family, name))
      compared = compared + 1
    end
    assert(compared > 10)
    -- The weights are the model's own.
    local name = "model.norm.weight"
    assert(model:parameters()[name].grad:allclose(net:parameters()[name].grad))
  end
end

function tests.inside_a_transformer()
  local model, expected = golden "tiny-llama"
  local net = mid.nn.Transformer.of(model)
  local ids = expected.input_ids[1]
  local inside = { hidden_states = {}, attentions = {} }
  local h = net:hidden(ids, inside)
  local layers, heads, T = model.config.num_hidden_layers, model.config.num_attention_heads, #ids
  check.equal({ #inside.hidden_states, #inside.attentions }, { layers + 1, layers })
  check.equal(inside.attentions[1].shape, { heads, T, T })
  assert(inside.attentions[1]:sum(-1):allclose(mid.ones { heads, T }, 1e-4, 1e-5))
  check.equal(inside.attentions[1]:triu(1):abs():max():item(), 0)
  assert(h:allclose(net:hidden(ids), 1e-3, 1e-5), "attention step by step is the fused one")
  assert(net:lens(inside.hidden_states[layers + 1]):allclose(net(ids), 1e-3, 1e-5))
  check.equal(inside.hidden_states[1]:tolist(), net.model.embed_tokens(ids + 1):tolist())
  -- Hooks read and change the residual stream.
  local seen = {}
  local changed = net(ids, { hooks = {
    [0] = function(x, layer) seen[#seen + 1] = layer end,
    [1] = function(x) seen[#seen + 1] = 1 return x * 0 end,
  } })
  check.equal(seen, { 0, 1 })
  assert(not changed:allclose(net(ids)))
  local again = { hidden_states = {}, hooks = { [1] = function(x) return x * 0 end } }
  net:hidden(ids, again)
  check.equal(again.hidden_states[2]:abs():max():item(), 0)
  -- Entropies by the fused head are those of the logits.
  local _, H = h:token_logprobs(net.model.embed_tokens.weight, ids + 1, { entropy = true })
  if not net.lm_head then
    local lp = net(ids):log_softmax()
    assert(H:allclose(-(lp:exp() * lp):sum(-1), 1e-3, 1e-4))
  end
end

function tests.what_modules_save_the_engine_loads()
  local config = {
    model_type = "llama", vocab_size = 11, hidden_size = 16, intermediate_size = 24,
    num_hidden_layers = 2,
    num_attention_heads = 4, num_key_value_heads = 2, tie_word_embeddings = false,
    rms_norm_eps = 1e-6, max_position_embeddings = 32,
  }
  local net = mid.nn.Transformer(config)
  local model = mid.from_config(config, { seed = 3 })
  local names, own = {}, net:parameters()
  for name, tensor in pairs(model:parameters()) do
    check.equal(own[name] and own[name].shape, tensor.shape, name)
    names[#names + 1] = name
  end
  check.equal(#names, #net:named_parameters())
  local folder <close> = scratch.folder()
  mid.save_tensors(folder.path .. "/a.safetensors", model:parameters())
  net:load(mid.load_tensors(folder.path .. "/a.safetensors"))
  local ids = { 1, 2, 3, 10, 0 }
  check.near(net:logprobs(ids):tolist(), model:score(ids), 1e-5)
end

function tests.files_keep_types_shapes_and_bits()
  local folder <close> = scratch.folder()
  local path = folder.path .. "/t.safetensors"
  local written = {
    f = mid.tensor { { 1.5, -0.25 }, { 1 / 3, math.huge } },
    i = mid.tensor({ 1, -16777215 }, "i32"),
    b = mid.tensor { true, false }, s = mid.tensor(7.25), e = mid.zeros { 0, 3 },
  }
  mid.save_tensors(path, written)
  local read = mid.load_tensors(path)
  for name, t in pairs(written) do
    local function all(x) return { x.dtype, x.shape, x:tolist() } end
    check.equal(all(read[name]), all(t), name)
    t:save(folder.path .. "/t.npy")
    local again = mid.load_tensors(folder.path .. "/t.npy")
    check.equal(all(again), all(t), name)
  end
  mid.save_tensors(path, { f = written.f }, { dtype = "bf16" })
  check.equal(mid.load_tensors(path).f:tolist(), { { 1.5, -0.25 }, { 0.333984375, math.huge } })
  check.raises(function() written.f:save "t.txt" end, ".npy")
  check.raises(function() mid.load_tensors(folder.path .. "/none.npy") end, "none.npy")
  local packed = mid.tensor({ { 1 / 3, 2 } }):pack "bf16"
  check.equal({ packed.shape, packed.bytes }, { { 1, 2 }, 4 })
  check.equal(packed:unpack():tolist(), { { 0.333984375, 2 } })
  local x = mid.randn({ 3, 64 }, 1)
  local w = mid.randn({ 5, 64 }, 2)
  assert(x:linear(w:pack "bf16"):allclose(x:linear(w:pack("bf16"):unpack()), 1e-4, 1e-4))
  assert(x:linear(w:pack "int8"):allclose(x:linear(w), 0, 0.3))
end

function tests.modules_list_freeze_and_train()
  mid.nn.generator = mid.generator(1)
  local net = mid.nn.Sequential {
    mid.nn.Linear(2, 16), function(x) return x:tanh() end, mid.nn.LayerNorm(16),
    mid.nn.Linear(16, 1),
  }
  local names = {}
  for i, p in ipairs(net:named_parameters()) do names[i] = p.name end
  check.equal(names, { "0.bias", "0.weight", "2.bias", "2.weight", "3.bias", "3.weight" })
  assert(tostring(net):find("Sequential with 97 parameters", 1, true), tostring(net))
  local x = mid.randn({ 64, 2 }, 3)
  local y = (x[{ {}, 1 }] * x[{ {}, 2 }]):unsqueeze(2)
  local function loss() return (net(x) - y):square():mean() end
  local function train(optimizer, steps)
    for _ = 1, steps do
      loss():backward()
      optimizer:step { max_grad_norm = 10 }
      optimizer:zero_grad()
    end
    return loss():item()
  end
  local first = loss():item()
  net:freeze "^0"
  local kept = net[1].weight:tolist()
  local second = train(mid.optim.sgd(net, { learning_rate = 0.05, momentum = 0.9 }), 60)
  assert(second < 0.8 * first, ("%g, then %g"):format(first, second))
  check.equal(net[1].weight:tolist(), kept)
  net:unfreeze "^0"
  local third = train(mid.adamw(net:parameters(), { learning_rate = 1e-2, weight_decay = 0 }), 150)
  assert(third < 0.3 * second, ("%g, then %g"):format(second, third))
  assert(net[1].weight:tolist()[1][1] ~= kept[1][1])
  check.raises(function() mid.adamw { w = mid.ones(3) } end, "requires a gradient")
end

function tests.sgd_by_hand()
  local w = mid.nn.parameter(mid.tensor { 1, 2 })
  local opt = mid.optim.sgd({ w = w }, { learning_rate = 0.1, momentum = 0.5, weight_decay = 0.1 })
  local expected, m = { 1, 2 }, { 0, 0 }
  for _ = 1, 3 do
    (w * mid.tensor { 1, -2 }):sum():backward()
    opt:step()
    opt:zero_grad()
    for i, g in ipairs { 1, -2 } do
      m[i] = 0.5 * m[i] + g + 0.1 * expected[i]
      expected[i] = expected[i] - 0.1 * m[i]
    end
  end
  check.near(w:tolist(), expected, 1e-6);
  (w / 0):sum():backward()
  local report = opt:step()
  assert(report.skipped and opt.steps == 3)
  check.near(w:tolist(), expected, 1e-6)
end

function tests.muon_steps_are_nearly_orthogonal()
  local w = mid.nn.parameter(mid.zeros { 6, 4 })
  local opt = mid.optim.muon({ w = w }, { learning_rate = 1, nesterov = false })
  w.grad = nil;
  (w * mid.randn({ 6, 4 }, 2)):sum():backward()
  opt:step()
  local step = w:detach() / math.sqrt(6 / 4)
  local gram = step:transpose():mm(step)
  for i = 1, 4 do
    for j = 1, 4 do
      local value = gram[{ i, j }]:item()
      assert(i == j and value > 0.4 and value < 1.6 or i ~= j and math.abs(value) < 0.35,
        ("%d %d %g"):format(i, j, value))
    end
  end
  local v = mid.nn.parameter(mid.ones(3))
  v:sum():backward()
  check.raises(function() mid.optim.muon({ v = v }):step() end, "v is no matrix")
end

function tests.averages_and_clipping()
  local w = mid.nn.parameter(mid.tensor { 1, 2 })
  local ema = mid.optim.ema({ w = w }, 0.9)
  mid.no_grad(function() w:copy_(mid.tensor { 11, 12 }) end)
  ema:update()
  ema:swap()
  check.near(w:tolist(), { 2, 3 }, 1e-6)
  ema:swap()
  check.equal(w:tolist(), { 11, 12 });
  (w * mid.tensor { 3, 4 }):sum():backward()
  check.near(mid.optim.clip({ w = w }, 1), 5, 1e-6)
  check.near(w.grad:tolist(), { 0.6, 0.8 }, 1e-5)
end

function tests.schedules()
  local cosine = mid.schedule.cosine { warmup = 10, final = 0.1 }
  check.near({ cosine(0, 110), cosine(9, 110), cosine(10, 110), cosine(60, 110), cosine(110, 110) },
    { 1 / 11, 10 / 11, 1, 0.55, 0.1 }, 1e-9)
  local wsd = mid.schedule.wsd { warmup = 0.1, decay = 10 }
  for t, factor in pairs { [10] = 1, [89] = 1, [90] = 1, [95] = 0.5, [100] = 0 } do
    check.near(wsd(t, 100), factor, 1e-9)
  end
  check.near(mid.schedule.linear { final = 0.5 }(50, 100), 0.75, 1e-9)
  check.raises(function() mid.schedule.cosine { warm = 1 } end, "did you mean 'warmup'")
end

function tests.modules_continue_as_the_engine_does()
  local model = golden "tiny-llama"
  local net, ids = mid.nn.Transformer.of(model), { 77, 23, 49, 53 }
  local greedy = model:generate(ids, { max_tokens = 12, temperature = 0 })[1].ids
  check.equal(net:generate(ids, { max_tokens = 12, temperature = 0 }), greedy)
  check.equal(ids, { 77, 23, 49, 53 })
  -- Up to a stop token, that one included.
  local few = net:generate(ids, { temperature = 0, stop_ids = { greedy[3] } })
  assert(#few <= 3 and few[#few] == greedy[3])
  -- What is sampled depends on the seed, and a hook steers it: one that clears the stream leaves chance.
  local options = { max_tokens = 8, seed = 3 }
  check.equal(net:generate(ids, options), net:generate(ids, options))
  local calls = 0
  local steered = net:generate(ids, { max_tokens = 8, temperature = 0, hooks = {
    [2] = function(x) calls = calls + 1 return x * 0 end,
  } })
  check.equal(calls, 8)
  check.equal(steered, { 0, 0, 0, 0, 0, 0, 0, 0 }) -- equal logits: the first
  check.raises(function() net:generate(ids, { temprature = 0 }) end, "temperature")
end

-- Every example in the comments of these modules runs.
function tests.examples_run()
  local count = 0
  for _, name in ipairs { "autograd", "nn", "transformer", "optim", "schedule" } do
    local environment = setmetatable({
      net = mid.nn.Linear(2, 2),
      tiny = mid.nn.Transformer { vocab_size = 9, hidden_size = 8, num_attention_heads = 2 },
    }, { __index = _G })
    environment.mid = mid
    environment.loss = environment.net(mid.ones { 1, 2 }):sum()
    for line in io.lines(here .. ("/../../stdlib/midtrain/%s.lua"):format(name)) do
      local example = line:match "^%s*%-%-%- > (.*)"
      if example then
        assert(load(example, "=" .. name .. ": " .. example, "t", environment))()
        count = count + 1
      end
    end
  end
  assert(count >= 20, count)
end

-- A loop that makes and drops large tensors holds little more than the four of 24 MB that it needs
-- at a time.
function tests.garbage_does_not_pile_up()
  collectgarbage()
  local before, most = mid.memory().tensors, 0
  local n = 6 << 20
  local function note() most = math.max(most, mid.memory().tensors - before) end
  local kept = mid.ones(n)
  for _ = 1, 12 do
    local doubled = kept * 2
    note()
    local sum = doubled + kept
    note()
    kept = sum * 0.5
    note()
  end
  local working_set = 4 * 4 * n
  assert(most <= 1.5 * working_set, ("%.0f MB for a working set of %.0f MB"):format(most / 2 ^ 20,
    working_set / 2 ^ 20))
  kept = nil
  collectgarbage()
  assert(mid.memory().tensors - before < 4 * n)
  local a <close> = mid.ones(1000)
  local held = mid.memory().held.Tensor.count
  mid.scope(function() for _ = 1, 10 do local _ = mid.ones(1000) end end)
  check.equal(mid.memory().held.Tensor.count, held)
end

function tests.help_knows_modules_and_functions()
  local help = require "midtrain.help"
  for topic, text in pairs {
    ["mid.nn.Linear"] = "mid.nn.Linear(inputs, outputs, given)", ["mid.grad"] = "mid.grad(f, ...)",
    ["mid.optim.muon"] = "Muon, for matrices", ["mid.nn"] = "mid.nn.parameter(tensor)", ["tensor:gather"] = "> picked",
  } do
    local page = help.text(topic)
    assert(page:find(text, 1, true), topic .. ": " .. page)
  end
end

-- The script that pre-trains a small GPT, in Lua and on the engine's own way: the same numbers, and
-- it learns.
function tests.nanogpt_learns()
  local path, given = here .. "/../../experiments/nanogpt.lua", arg
  local function losses(...)
    arg = { "--steps", "30", "--every", "10", "--layers", "1", "--width", "32", "--batch", "4",
      "--context", "32", "--sample", "8", "--warmup", "5", "--learning_rate", "3e-3", ... }
    local ok, text = pcall(check.printed, function() dofile(path) end)
    arg = given
    assert(ok, text)
    local list = {}
    for loss in text:gmatch "held out ([%d.]+)" do list[#list + 1] = tonumber(loss) end
    return list
  end
  local lua, engine = losses(), losses "--engine"
  check.equal(#lua, 3)
  check.near(lua, engine, 2e-3)
  assert(lua[1] < 5.5 and lua[3] < lua[1] - 0.5, table.concat(lua, " "))
end

-- The blocks of code of the tutorial run, one after another.
function tests.the_tutorial_runs()
  local file <close> = assert(io.open(here .. "/../../docs/tensors.md"))
  local environment = setmetatable({ mid = mid, print = function() end }, { __index = _G })
  local count = 0
  for block in file:read("a"):gmatch "```lua\n(.-)```" do
    count = count + 1
    local title = "=docs/tensors.md, block " .. count .. ": " .. block:match "[^\n]*"
    assert(load(block, title, "t", environment))()
  end
  assert(count >= 14, count)
end

return tests
