-- Tab at the prompt, on the real engine's registry.

local check = require "support.check"
local complete = require "midtrain.complete"
local mid = require "midtrain"
local options = require "midtrain.options"
local scratch = require "support.scratch"
local tiny = require "support.tiny"

-- Candidates with some globals, which are there as at the prompt only meanwhile.
local function words(word, before, globals)
  for name, value in pairs(globals or {}) do rawset(_G, name, value) end
  local ok, result = pcall(complete.words, word, before)
  for name in pairs(globals or {}) do rawset(_G, name, nil) end
  if not ok then error(result, 0) end
  return result
end

local function has(list, name)
  for _, candidate in ipairs(list) do
    if candidate == name then return true end
  end
  return false
end

local tests = {}

function tests.fields_methods_and_keywords()
  check.equal(words "mid.cloc", { "mid.clock" })
  check.equal(words "repea", { "repeat" })
  check.equal(words("box.in", "", { box = { inner = 1, other = 2 } }), { "box.inner" })
  check.equal(words("m:gener", "print(", { m = tiny.model() }), { "m:generate" })
  check.equal(words("m.gener", "", { m = tiny.model() }), {}, "methods want a colon")
  check.equal(words("m.tokenizer:enco", "", { m = tiny.model() }), { "m.tokenizer:encode" })
  check.equal(words('..mid.cloc', '"a"'), { "..mid.clock" })
  check.equal(words "nothing.at.all", {})
  -- A module that nobody has used yet.
  check.equal(words "mid.budget.lin", { "mid.budget.linear" })
end

function tests.options_of_a_constructor()
  check.equal(words("bud", "run = mid.rmt { "), { "budget" })
  check.equal(words("bud", "run = mid.rmt {\n  model = model,\n  "), { "budget" }, "over lines")
  check.equal(words("", "mid.budget.linear { "), { "final", "initial", "minimum" })
  check.equal(words("", "mid.budget.linear { initial = 3, minimum = 1, "), { "final" },
    "not those given")
  check.equal(words("x_l", "mid.svg.lines('a.svg', { 1, 2 }, { "), { "x_label", "x_log" })
  check.equal(words("x_l", "mid.svg.lines('a.svg', { "), {}, "data are no options")
  check.equal(words("heig", "mid.plot({ 1, 2 }, { "), { "height" })
  check.equal(words("heig", "mid.plot { "), {})
  check.equal(words("prin", "mid.rmt { seed = "), { "print" }, "a value is any expression")
end

function tests.options_of_native_functions()
  local m = { m = tiny.model() }
  check.equal(words("tem", 'm:generate("x", { ', m), { "temperature" })
  check.equal(words("tem", 'm:generate("a (", { n = #"{", stop = { "b" }, ', m), { "temperature" })
  check.equal(words("tem", "m:generate({ ", m), {}, "the first argument has none")
  assert(has(words("", "mid.adamw(m, { ", m), "learning_rate"))
  assert(not has(words("", "mid.adamw(m, { learning_rate = 1, ", m), "learning_rate"))
end

function tests.what_lies_between_does_not_confuse()
  for _, between in ipairs {
    "f = function(a, b) local c, d = 1, 2 if a then return a, b end end,",
    "x = { 1, { 2, y = 3 } }, ", '["key"] = "it\'s, {", ', "-- a { comment\n", "--[[ ( ]] ",
    "x = [==[ ] { ]==], ", "x = a == b, ", "f = f(1, 2), ",
  } do
    check.equal(words("bud", "mid.rmt { " .. between), { "budget" }, between)
  end
  check.equal(words("bud", "mid.rmt { 1 }; x = { "), {}, "the call is over")
  check.equal(words("bud", "mid.rmt { x = { "), {}, "another table")
  check.equal(words("mid", "-- mid.rmt { "), {}, "a comment")
  check.equal(words("mid", "x = [[ mid.rmt { "), {}, "a long string")
end

function tests.words_inside_strings()
  check.equal(words("dr", 'mid.rmt { loss_type = "'), { "dr_grpo" })
  check.equal(words("", 'mid.rmt { model = m, ntp_on = "'), { "documents", "trunk" })
  check.equal(words("b", 'mid.load("x", { dtype = "'), { "bf16" })
  check.equal(words("x", 'mid.rmt { out = "'), nil, "files")
  check.equal(words("x", 'io.open("'), nil, "files")
  check.equal(words("x", "!cat "), nil, "files")
end

function tests.modules_in_require()
  check.equal(words("midtrain.bud", 'require "'), { "midtrain.budget" })
  check.equal(words("midtrain.bud", "local b = require('"), { "midtrain.budget" })
  check.equal(words("midtrain.bud", "print(require '"), { "midtrain.budget" })
  local folder, path = scratch.path(), package.path
  mid.mkdir(folder .. "/mine")
  for _, name in ipairs { "/mine/part.lua", "/mine_too.lua", "/mine/init.lua" } do
    io.open(folder .. name, "w"):close()
  end
  package.path = folder .. "/?.lua;" .. path
  check.equal(words("min", 'require "'), { "mine", "mine_too" })
  check.equal(words("mine.", 'require "'), { "mine.part" })
  package.path = path
  scratch.remove(folder)
end

function tests.runs()
  local run = tiny.rmt { steps = 1 }
  local globals = { run = run }
  check.equal(words("run.bud", "", globals), { "run.budget" })
  check.equal(words("run.memory_l", "", globals), { "run.memory_limit" }, "a knob without value")
  check.equal(words("run:pa", "", globals), { "run:pause" })
  check.equal(words("run:bud", "", globals), {}, "a schedule is no method")
  check.equal(words("run.pend", "", globals), {}, "what only the run itself uses")
  check.equal(words("dr", 'run.loss_type = "', globals), { "dr_grpo" })
  check.equal(words("tempe", "run:set { ", globals), { "temperature" })
  check.equal(words("dr", 'run:set { loss_type = "', globals), { "dr_grpo" })
  check.equal(words("rew", 'run:plot { "', globals), {}, "no metrics yet")
  run:step()
  assert(has(words("rew", 'run:plot { "', globals), "rewards/match/mean") or
    has(words("rew", 'run:plot { "', globals), "reward"))
  check.equal(words("completions/mean_l", 'run:plot { "reward", "', globals),
    { "completions/mean_length" })
  check.equal(words("grad", 'run:compare(other, "', globals), { "grad_norm" })
  check.equal(words("heig", 'run:plot("reward", { ', globals), { "height" })
end

-- A client of a run has variables of its own, in front of the globals.
function tests.an_environment_comes_first()
  local environment = setmetatable({ own = { field = 1 } }, { __index = _G })
  check.equal(complete.words("own.f", "", environment), { "own.field" })
  check.equal(complete.words("own", "", environment), { "own" })
  check.equal(complete.words("mid.cloc", "", environment), { "mid.clock" })
  check.equal(complete.words("own.f", ""), {})
end

-- What a table or an object does when it is asked for a field is a script's code.
function tests.looking_touches_nothing()
  local touched = false
  local function touch() touched = true error "touched" end
  local trap = setmetatable({}, {
    __index = touch, __pairs = touch, __len = touch, __call = touch, __tostring = touch,
    __eq = touch,
  })
  local globals = { trap = trap, inside = setmetatable({}, { __index = trap }) }
  for _, case in ipairs {
    { "trap.", "" }, { "trap.x.y", "" }, { "trap:x", "" }, { "inside.x", "" }, { "x", "trap { " },
    { "x", 'trap { x = "' }, { "x", 'trap:plot { "' }, { "x", 'trap.x = "' },
    { "x", "inside.f(1, { " },
  } do
    words(case[1], case[2], globals)
  end
  check.equal(touched, false)
end

-- Every function of the library that checks options says which.
function tests.all_options_are_declared()
  local count = 0
  for name in pairs(getmetatable(mid).__modules) do
    -- Some names are functions of a module that has another name.
    local path, source = package.searchpath("midtrain." .. name, package.path), {}
    for line in path and io.lines(path) or function() end do source[#source + 1] = line end
    for key, value in pairs(path and require("midtrain." .. name) or {}) do
      local info = type(value) == "function" and debug.getinfo(value, "S")
      if info and info.source:find(name .. ".lua", 1, true) then
        local body = table.concat(source, "\n", info.linedefined, info.lastlinedefined)
        if body:find "= options.check%(" then
          count = count + 1
          assert(options.of(value), ("%s.%s does not say which options it takes"):format(name, key))
        end
      end
    end
  end
  assert(count > 35, count)
end

function tests.a_stored_tensor_does_what_a_tensor_does()
  local environment = { x = mid.tensor({ 1, 2 }, "i64") }
  check.equal(complete.words("x:tol", "", environment), { "x:tolist" })
  check.equal(complete.words("x:su", "", environment), { "x:sum" })
  check.equal(complete.words("x.sha", "", environment), { "x.shape" })
end

return tests
