-- RMT on streams: pools of documents one after another, on the real engine.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"
local tiny = require "support.tiny"

-- A stream of texts; the shuffled ones of tiny.docs if absent.
local function stream_of(folder, given, texts)
  local lines = {}
  for i, text in ipairs(texts or tiny.docs) do lines[i] = mid.json.encode { text = text } end
  local path = folder.path .. "/docs.jsonl"
  mid.write(path, table.concat(lines, "\n"))
  return mid.stream(mid.options.merged({ files = path, shuffle = 5, seed = 3 }, given))
end

-- Five documents a pool and two a step: steps 1–3 are the first pool's, 4–6 the second one's.
local function rmt(stream, given)
  return tiny.rmt(mid.options.merged({
    docs = stream, documents_per_pool = 5, max_document_length = 64, entropy_model = tiny.model(),
    steps = 8,
  }, given))
end

-- Pools without a run around them: what `at` gives, and the texts of the documents.
local function pools(stream, given)
  local o = mid.options.check("test", mid.options.merged({
    docs = stream, documents_per_pool = 5, entropy_model = tiny.model(),
  }, given), mid.pool.specification)
  o.model, o.seed = tiny.model(), 2
  return mid.pool.new("test", o), { time = function(_, _, f, ...) return f(...) end }
end

local function texts(documents)
  local list = {}
  for i, ids in ipairs(documents) do list[i] = tiny.tokenizer:decode(ids) end
  return list
end

local function pool_texts(stream, count)
  local list = {}
  for i, text in ipairs(stream:take(count)) do
    list[i] = tiny.tokenizer:decode(mid.documents.ids(tiny.tokenizer, text, 512))
  end
  return list
end

-- All metrics but times, and the weights.
local function outcome(run)
  local list = tiny.timeless(run.history)
  list.weights = mid.random.hash(tiny.weights(run.model))
  return list
end

local function undisturbed(folder)
  local run = rmt(stream_of(folder))
  run:step(8)
  return outcome(run)
end

-- Takes one step whose log-probabilities fail, after its positions were drawn.
local function fail_a_step(run)
  local own = getmetatable(run).__fields
  own.logprobs = function() error "a fault" end
  check.raises(function() run:step() end, "a fault")
  own.logprobs = nil
end

local tests = {}

function tests.every_document_of_a_pool_is_drawn_before_the_next_one_is_taken()
  local folder <close> = scratch.folder()
  local pool, run = pools(stream_of(folder))
  local expected, drawn = stream_of(folder), {}
  for t = 0, 8 do
    local documents, sampler = pool:at(run, t)
    if t % 3 == 0 then
      check.equal(texts(documents), pool_texts(expected, 5))
      drawn = {}
    end
    check.equal({ pool:at(run, t) }, { documents, sampler }, "the step again")
    local draws = sampler:draw({ .4, .3, .3 }, t, 2, 1)
    check.equal(#draws, 2)
    for _, draw in ipairs(draws) do drawn[draw.document] = true end
    assert(select(2, pool:at(run, t)) == sampler, "it is over after the step only")
    if t % 3 == 2 then check.equal(drawn, { true, true, true, true, true }) end
    check.equal(pool:state(t).stream.given, t // 3 * 5)
  end
end

function tests.it_trains_on_a_stream()
  local folder <close> = scratch.folder()
  local run, seen = rmt(stream_of(folder), { out = folder.path .. "/run" }), {}
  local function given() return run.policy.state().stream.given end
  for t = 1, 8 do
    local m = run:step()
    seen[t] = given()
    check.equal(m["timing_s/entropy"] ~= nil, t % 3 == 1, "scored once each")
    assert(m.policy_loss == m.policy_loss and m.ntp_loss > 0 and m.grad_norm > 0)
  end
  check.equal(seen, { 0, 0, 0, 5, 5, 5, 10, 10 })
  assert(scratch.json_lines(folder.path .. "/run/config.json")[1].options.docs:find "^Stream of")
end

function tests.a_resumed_run_is_one_that_never_stopped()
  local folder <close> = scratch.folder()
  local expected, out = undisturbed(folder), folder.path .. "/run"
  rmt(stream_of(folder), { out = out, save_steps = 1 }):step(7)
  -- Within the first pool, after its last step, and within the second and third one.
  for _, t in ipairs { 7, 5, 4, 3, 2 } do
    local _, run = check.printed(function()
      return rmt(stream_of(folder), { out = out, resume = ("%s/checkpoints/step-%d"):format(out, t) })
    end)
    check.equal(run.t, t)
    run:step(8 - t)
    check.equal(outcome(run), expected, "from step " .. t)
  end
end

function tests.a_step_that_failed_and_a_fork_draw_the_same_positions()
  local folder <close> = scratch.folder()
  local expected = undisturbed(folder)
  -- The fourth step takes the second pool, the sixth one uses up its last documents.
  for _, before in ipairs { 0, 3, 4, 5 } do
    local out = ("%s/run-%d"):format(folder.path, before)
    local run = rmt(stream_of(folder), { out = out })
    if before > 0 then run:step(before) end
    local fork = run:fork()
    fail_a_step(run)
    local after_failure = run:fork()
    for i, one in ipairs { run, fork, after_failure } do
      one:step(8 - before)
      check.equal(outcome(one), expected, ("run %d, after step %d"):format(i, before))
    end
    -- The checkpoint was saved when the step had failed.
    if before > 0 then
      local _, resumed = check.printed(function()
        return rmt(stream_of(folder), { out = out, resume = ("%s/checkpoints/step-%d"):format(out, before) })
      end)
      resumed:step(8 - before)
      check.equal(outcome(resumed), expected, "resumed after step " .. before)
    end
  end
end

-- So it is with a list, whose samplers are the same.
function tests.a_fork_after_a_failure_draws_the_same_positions_of_a_list()
  local expected, run = tiny.rmt(), tiny.rmt()
  expected:step(6)
  run:step(2)
  fail_a_step(run)
  local fork = run:fork()
  run:step(4)
  fork:step(4)
  check.equal(outcome(run), outcome(expected))
  check.equal(outcome(fork), outcome(expected))
end

function tests.a_pool_that_could_not_be_scored_is_taken_again()
  local folder <close> = scratch.folder()
  local expected, calls = undisturbed(folder), 0
  local model, scorer = tiny.model(), {}
  function scorer:entropy(...)
    calls = calls + 1
    if calls == 3 or calls == 9 then error "a fault" end
    return model:entropy(...)
  end
  local run = rmt(stream_of(folder), { entropy_model = scorer })
  check.raises(function() run:step() end, "a fault")
  run:step(3)
  check.raises(function() run:step() end, "a fault")
  check.equal(run.policy.state().stream.given, 5)
  local fork = run:fork()
  run:step()
  -- What was scored before the fault is kept.
  check.equal(calls, 2 * 5 + 2)
  run:step(4)
  fork:step(5)
  check.equal(outcome(run), expected)
  check.equal(outcome(fork), expected)
end

function tests.a_fork_does_not_score_its_pool_again()
  local folder <close> = scratch.folder()
  local model, scorer, calls = tiny.model(), {}, 0
  function scorer:entropy(...)
    calls = calls + 1
    return model:entropy(...)
  end
  local run = rmt(stream_of(folder), { entropy_model = scorer })
  run:step(4)
  run:fork():step(2)
  check.equal(calls, 10)
end

function tests.a_stream_may_end()
  local folder <close> = scratch.folder()
  local run = rmt(stream_of(folder, { repeats = false }), { steps = 20 })
  -- 5 + 5 + 2 documents.
  run:step(7)
  for _ = 1, 2 do check.raises(function() run:step() end, "the stream has ended", "repeats = true") end
  check.equal(run.t, 7)
  check.raises(function() run:fork():step() end, "the stream has ended")
end

function tests.memory_is_bounded_by_a_pool()
  local folder <close> = scratch.folder()
  local long = {}
  for i = 1, 400 do long[i] = table.concat(mid.chain.generate(12, { seed = i, lines = 2 }), " ") end
  local run = rmt(stream_of(folder, {}, long), {
    documents_per_pool = 10, documents_per_step = 10, positions_per_document = 1,
    max_document_length = 150, num_generations = 2, max_completion_length = 1, steps = 40, lambda = 0,
  })
  local function held()
    collectgarbage()
    collectgarbage()
    return collectgarbage "count"
  end
  run:step(5)
  local before = held()
  run:step(25)
  check.equal(run.policy.state().stream.given, 290)
  -- Ids, entropies and their keys of the 250 documents would be 700 KB.
  local more = held() - before
  assert(more < 200, ("%.0f KB more"):format(more))
end

function tests.pools_have_thresholds_of_their_own()
  local folder <close> = scratch.folder()
  local made = {}
  local run = rmt(stream_of(folder), {
    thresholds = function(H)
      check.equal(#H, 5)
      made[#made + 1] = mid.entropy.quantiles(H)
      return made[#made]
    end,
  })
  run:step(4)
  check.equal(#made, 2)
  assert(made[1][2] ~= made[2][2])
end

function tests.pools_without_positions_are_passed_over()
  local folder <close> = scratch.folder()
  local count = 0
  local pool, run = pools(stream_of(folder), {
    thresholds = function()
      count = count + 1
      return count > 2 and mid.entropy.thresholds or { 90, 91, 92 }
    end,
  })
  local documents = pool:at(run, 0)
  check.equal({ count, pool:state(0).stream.given }, { 3, 10 })
  local expected = stream_of(folder)
  expected:take(10)
  check.equal(texts(documents), pool_texts(expected, 5))
  local hopeless = rmt(stream_of(folder), { thresholds = { 90, 91, 92 } })
  check.raises(function() hopeless:step() end, "10 pools of the stream in a row", "lower the thresholds")
end

function tests.mistakes_are_explained()
  local folder <close> = scratch.folder()
  local stream, model = stream_of(folder), tiny.model()
  check.raises(function() tiny.rmt { docs = stream } end, "while the model learns", "model:copy")
  check.raises(function() tiny.rmt { docs = stream, model = model, entropy_model = model } end,
    "entropy_model = model:copy")
  check.raises(function() rmt(stream, { entropies = {} }) end, "entropies are those of a list")
  check.raises(function() rmt(stream, { max_document_length = 512 }) end, "a document of 512 tokens",
    "set max_document_length to")
  local out = folder.path .. "/run"
  rmt(stream, { out = out }):step(8)
  check.raises(function() tiny.rmt { out = out, resume = out .. "/checkpoints/step-8" } end,
    "they were a stream; give the same")
  -- As the first message says.
  rmt(stream_of(folder), { entropy_model = model:copy { dtype = "int8" } }):step()
end

function tests.texts_that_are_too_short_do_not_hold_it_up_for_ever()
  local folder <close> = scratch.folder()
  local mixed = rmt(stream_of(folder, { shuffle = 0 }, { "a", tiny.docs[1], "b", tiny.docs[2] }))
  mixed:step(2)
  check.equal(mixed.policy.state().stream.given, 0)
  local short = stream_of(folder, { shuffle = 0 }, { "a", "b" })
  check.raises(function() rmt(short):step() end, "10000 texts in a row have less than two tokens")
end

return tests
