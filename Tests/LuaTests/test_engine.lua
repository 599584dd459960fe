-- The method on the real engine: a model of 260,000 parameters, if it is there ($MIDTRAIN_SHARED,
-- or the folder `shared` beside the repository), takes a few steps of everything.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "Tests/LuaTests"
local shared = os.getenv "MIDTRAIN_SHARED" or here .. "/../../../shared"
local path = shared .. "/models/stories260k"
if not mid.exists(path .. "/model.safetensors") then return {} end

local docs = {
  "Once upon a time there was a little girl who liked to play in the park.",
  "Tom had a big red ball. He was very happy and wanted to play with his friends.",
  "The cat sat on the mat. It saw a bird and ran after it.",
}

-- Its vocabulary of 512 pieces makes many tokens of few words, and its context has room for 512.
local prompt = {
  instructions = "Predict the next token in \\boxed{}.", budget_line = "Use %d tokens.",
}

local function rmt(given)
  local o = {
    model = mid.load(path), docs = docs, steps = 3, seed = 1, progress = false, prompt = prompt,
    budget = 8, documents_per_step = 2, positions_per_document = 2, num_generations = 3,
    max_completion_length = 12, learning_rate = 1e-3,
  }
  for name, value in pairs(given or {}) do o[name] = value end
  return mid.rmt(o)
end

local tests = {}

function tests.documents_that_leave_no_room_are_refused_at_once()
  check.raises(function() rmt { docs = { docs[1]:rep(20) } } end,
    "leave no room for an answer in the model's context of 512", "set max_document_length to")
end

function tests.entropies_belong_to_the_tokens()
  local model = mid.load(path)
  local ids = model.tokenizer:encode(docs[1])
  local H = mid.entropy.documents(model, { ids })[1]
  check.equal(#H, #ids)
  for _, h in ipairs(H) do assert(h >= 0 and h < math.log(512) + 1e-3) end
end

function tests.pieces_are_the_bytes_of_the_text()
  local tokenizer = mid.load(path).tokenizer
  local pieces = mid.reward.pieces(tokenizer, tokenizer:encode(docs[2]))
  local text = table.concat(pieces)
  check.equal(text:gsub("^ ", ""), docs[2])
end

function tests.what_was_sampled_is_what_is_trained_on()
  local run = rmt()
  for _ = 1, 3 do
    local m = run:step()
    assert(m["sampling/sampling_logp_difference/max"] < 1e-4, "logp difference")
    assert(m.grad_norm > 0 and m.skipped == 0)
    assert(m.entropy > 0 and m.ntp_loss > 0)
  end
end

function tests.the_same_seed_gives_the_same_run()
  local function losses()
    local run, list = rmt { steps = 2 }, {}
    run:start():wait()
    for t, m in ipairs(run.history) do list[t] = m.loss end
    return list
  end
  check.equal(losses(), losses())
end

function tests.a_budget_swapped_under_way_holds()
  local run = rmt { steps = 5 }
  run:start():wait(2)
  run.budget = function() return 5 end
  run:wait()
  check.equal({ run.history[1].budget, run.history[5].budget, run.status }, { 8, 5, "done" })
end

-- With nothing else in the loss, the bonus makes the completions' distributions flatter, and its
-- negative sharper: the engine's entropies have a gradient.
function tests.an_entropy_bonus_changes_the_entropy()
  local after = {}
  for _, coefficient in ipairs { 0.5, -0.5 } do
    local run = rmt {
      entropy_coef = coefficient, lambda = 0, reward = function() return 1 end, steps = 8,
      learning_rate = 3e-3, num_iterations = 4,
    }
    local first = run:step()
    check.near(first["advantage/reward_std"], 0)
    assert(first.grad_norm > 0)
    run:step(5)
    after[#after + 1] = run.metrics.entropy
  end
  assert(after[1] > after[2] + 0.1, ("%g, %g"):format(after[1], after[2]))
end

-- Every option of the loss at once, also in parts that memory makes necessary.
function tests.variants_of_the_loss_run_together()
  local function step(given)
    local o = {
      num_iterations = 2, importance_sampling_level = "sequence", epsilon = 3e-4, delta = 2,
      epsilon_high = 4e-4, beta = 0.1, kl = "k2", reference_model = mid.load(path),
      entropy_coef = 0.01, top_entropy_quantile = 0.5, ntp_on = "documents", dynamic_sampling = 1,
      lambda = function(t, T) return 0.1 + t / T end,
      budget = mid.budget.adaptive { initial = 8 }, curriculum = mid.curriculum.feedback(),
      reward = mid.reward.lcpo("max", { match = "dense" }),
      shadow_rewards = { strict = mid.reward.match "strict" },
    }
    for name, value in pairs(given or {}) do o[name] = value end
    local run = rmt(o)
    run:step(2)
    return run.metrics
  end
  local m = step()
  assert(m.skipped == 0 and m.grad_norm > 0 and m.kl > 0)
  check.equal(m["shadow_rewards/strict/failed"], 0)
  local parts = step { checkpointing = "block", memory_limit = 0.0075 }
  check.near(parts.loss, m.loss, 1e-3, "in parts")
end

function tests.cached_entropies_are_the_same()
  local dir = scratch.path()
  local ids = mid.documents.encode(mid.load(path).tokenizer, docs, 512)
  local first = mid.entropy.documents(mid.load(path), ids, { cache = dir })
  local again = mid.load(path)
  check.equal(mid.entropy.documents(again, ids, { cache = dir }), first)
  check.equal(mid.entropy.documents(again, ids), first)
  scratch.remove(dir)
end

function tests.kl_to_itself_is_nothing()
  local run = rmt { beta = 0.1, reference_model = mid.load(path) }
  check.near(run:step().kl, 0, 1e-5)
end

-- A frozen reference in a packed format: the policy is near it at first, and with nothing else in
-- the loss the gradient is the distance's alone.
local function expect_packed_reference(step)
  local function first(dtype, beta, given)
    local model = mid.load(path)
    local reference = model:copy { dtype = dtype }
    local ids = model.tokenizer:encode(docs[1])
    local before = reference:score(ids)
    local m = step(mid.options.merged({
      model = model, reference_model = reference, beta = beta, reward = function() return 1 end,
      max_grad_norm = 1e9, learning_rate = 1e-6, steps = 1, seed = 1, progress = false,
      num_generations = 3, max_completion_length = 12,
    }, given))
    check.equal(reference:score(ids), before, "the reference is frozen")
    check.equal(m.skipped, 0)
    return m
  end
  check.near(first("f32", 0.5).grad_norm, 0, 1e-5, "gradient of the distance to an equal model")
  for _, dtype in ipairs { "bf16", "int8" } do
    check.equal(first(dtype, 0).grad_norm, 0.0, "gradient without a distance")
    local m = first(dtype, 0.5)
    assert(m.kl > 1e-6 and m.kl < 5e-3, ("%s: kl %g"):format(dtype, m.kl))
    check.near(m.loss, 0.5 * m.kl, 1e-7, "loss")
    assert(m.grad_norm > 1e-2 and m.grad_norm < 1, ("%s: gradient %g"):format(dtype, m.grad_norm))
    check.near(first(dtype, 1).grad_norm, 2 * m.grad_norm, 1e-4 * m.grad_norm, "gradient of twice the loss")
    -- The same rollouts after a small step along the gradient.
    local again = first(dtype, 0.5, { num_iterations = 2 })
    assert(again.kl < m.kl, ("%s: kl %g → %g"):format(dtype, m.kl, again.kl))
  end
end

function tests.packed_references_pull_in_rmt()
  expect_packed_reference(function(given)
    return rmt(mid.options.merged({ lambda = 0 }, given)):step()
  end)
end

function tests.packed_references_pull_in_grpo()
  expect_packed_reference(function(given)
    return mid.grpo(mid.options.merged({
      tasks = { { question = "Who saw the cats?", answer = "Tom" } }, questions_per_step = 1,
      prompt = { instructions = "Answer." },
    }, given)):step()
  end)
end

function tests.the_cold_start_learns_its_format()
  local run = mid.coldstart {
    model = mid.load(path), docs = docs, steps = 8, progress = false, prompt = prompt,
    documents_per_step = 2, positions_per_document = 2, max_budget = 20, learning_rate = 3e-3,
  }
  local first = run:step().sft_loss
  run:step(7)
  assert(run.metrics.sft_loss < first, ("%g → %g"):format(first, run.metrics.sft_loss))
end

-- Post-training: what was sampled is what is trained on, and the questions' prompt is read once.
function tests.grpo_trains_on_questions()
  local model = mid.load(path)
  local list = {}
  for i = 1, 4 do list[i] = { question = ("Who saw %d cats?"):format(i), answer = "Tom" } end
  local asking = {
    prompt = { instructions = "Answer." }, grade = function(answer, gold) return answer == gold end,
  }
  local run = mid.grpo(mid.options.merged(asking, {
    model = model, tasks = list, steps = 2, progress = false, questions_per_step = 2,
    num_generations = 3, max_completion_length = 12, learning_rate = 1e-3, num_iterations = 2,
    reward = function(sample) return #sample.text end,
  }))
  for _ = 1, 2 do
    local m = run:step()
    assert(m["sampling/sampling_logp_difference/max"] < 1e-4, "logp difference")
    assert(m.grad_norm > 0 and m.skipped == 0)
  end
  local result = mid.tasks.evaluate(model, list, mid.options.merged(asking, {
    num_generations = 2, temperature = 1, max_completion_length = 8, positions_at_a_time = 3,
  }))
  check.equal({ result.questions, result.samples, result.accuracy }, { 4, 8, 0.0 })
  -- An answer does not depend on what else is in its batch.
  local function greedy(count)
    return mid.tasks.evaluate(model, list, mid.options.merged(asking,
      { max_completion_length = 8, positions_at_a_time = count })).records
  end
  local one, all = greedy(1), greedy(4)
  for i = 1, 4 do check.equal(one[i].samples[1].text, all[i].samples[1].text) end
end

function tests.a_checkpoint_is_a_model()
  local out = scratch.path()
  local run = rmt { out = out, steps = 2 }
  run:step(2)
  local saved = mid.load(out .. "/checkpoints/step-2")
  local ids = saved.tokenizer:encode(docs[3])
  check.near(saved:score(ids), run.model:score(ids), 1e-5)
  check.equal(#scratch.json_lines(out .. "/metrics.jsonl"), 2)
  scratch.remove(out)
end

-- Memory is saved by computing again, never by computing something else.
function tests.checkpointing_and_parts_do_not_change_a_step()
  local reference = rmt { checkpointing = "off" }:step()
  -- The last one is too little for the batch as a whole.
  local ways = { { checkpointing = "mlp" }, { checkpointing = "block" }, { memory_limit = 0.0075 } }
  for _, way in ipairs(ways) do
    local m = rmt(way):step()
    check.near(m.loss, reference.loss, 1e-4, "loss")
    check.near(m.grad_norm, reference.grad_norm, 1e-3 * reference.grad_norm, "gradient")
  end
  check.raises(function() rmt { memory_limit = 1e-4 }:step() end, "one branch")
  check.raises(function() mid.load(path):rollout(mid.batch(), { 1 }, { cache_memory = 100 }) end, "no segment 1")
  check.raises(function()
    local batch = mid.batch()
    mid.load(path):rollout(batch, { batch:segment { 5, 6 } }, { cache_memory = 100 })
  end, "keys and values of one completion of 64 tokens after 2 take", "0.1 KB can be had")
  check.raises(function()
    mid.ntp { model = mid.load(path), docs = docs, memory_limit = 1e-4, progress = false }:step()
  end, "one branch")
  -- The plan is said before there are completions.
  local printed = check.printed(function()
    rmt {
      progress = true, reward = function()
        print "reward"
        return 1
      end,
    }:step()
  end)
  local plan = printed:match "^(memory [^\n]+)\nreward\n"
  assert(plan and plan:find("keys and values up to", 1, true), printed)
  assert(not printed:sub(#plan):find("\nmemory", 1, true), printed)
end

-- Sampling with a packed copy of the policy is corrected for, and the copy follows the policy.
function tests.packed_rollouts_are_corrected()
  local run =
    rmt { rollout_dtype = "int8", rollout_activations = "int8", cache_dtype = "bf16" }
  for _ = 1, 3 do
    local m = run:step()
    local difference = m["sampling/sampling_logp_difference/mean"]
    assert(difference > 1e-5 and difference < 0.1, difference)
    local ratio = m["sampling/importance_sampling_ratio/mean"]
    assert(math.abs(ratio - 1) < 0.1 and ratio ~= 1, ratio)
  end
  check.raises(function() rmt { rollout_activations = "int8" }:step() end, "dtype int8")
  local exact = rmt { importance_sampling_correction = true }:step()
  check.near(exact["sampling/importance_sampling_ratio/mean"], 1, 1e-4, "ratio of equal policies")
  assert(rmt():step()["sampling/importance_sampling_ratio/mean"] == nil, "off by default")
end

-- Adapters are trained alone, on packed weights that stay as they are.
function tests.adapters_train_on_packed_weights()
  local model = mid.load(path, { dtype = "int8" })
  local before = model:score(model.tokenizer:encode(docs[1]))
  model:add_adapter { rank = 4, dropout = 0.1 }
  check.near(model:score(model.tokenizer:encode(docs[1])), before, 1e-6, "new adapters do nothing")
  local run = rmt { model = model }
  for _ = 1, 3 do assert(run:step().grad_norm > 0) end
  local after = model:score(model.tokenizer:encode(docs[1]))
  assert(math.abs(after[1] - before[1]) > 1e-4)
  local dir = scratch.path()
  model:save_adapter(dir)
  local again = mid.load(path, { dtype = "int8" }):load_adapter(dir)
  check.near(again:score(again.tokenizer:encode(docs[1])), after, 1e-6, "saved and loaded")
  scratch.remove(dir)
  model:remove_adapter()
  check.near(model:score(model.tokenizer:encode(docs[1])), before, 1e-6, "the base is untouched")
end

return tests
