-- Errors as people read them: whose line, what was wrong, and none of the library's own calls.

local check = require "support.check"
local errors = require "midtrain.errors"
local mid = require "midtrain"
local scratch = require "support.scratch"

-- What the prompt shows of an error in this code.
local function shown(code, environment)
  local f = assert(mid.compile(code, "in[1]"))
  if environment then debug.setupvalue(f, 1, environment) end
  local _, message = xpcall(f, errors.traced)
  return message:match "^(.-\n  in%[1%]:1: in main chunk\n    1 │ [^\n]*)" or message
end

local function expect(code, message, environment)
  check.equal(shown(code, environment),
    ("in[1]:1: %s\nstack traceback:\n  in[1]:1: in main chunk\n    1 │ %s"):format(message, code))
end

local tests = {}

function tests.wrong_arguments_are_told_by_what_is_documented()
  expect('mid.corpus.generate("x")', 'mid.corpus.generate: argument 1 (n): expected integer, got string "x"')
  expect("mid.tensor { { x = 1 } }", "mid.tensor: argument 1 (values[1]): expected a list, got a table with named fields (string \"x\")")
  expect("mid.budget.linear(5)", "budget.linear: expected a table of options, got number")
  expect("mid.budget.linear { finl = 1 }", "budget.linear: unknown option 'finl'; did you mean 'final'?")
  expect("mid.load(7)", "mid.load: argument 1 (path): expected string, got number 7")
  expect("mid.optim.sgd(5)", "optim: expected a module, a model or a table of tensors, got number")
  expect("mid.plot(5)", "plot: expected a list of numbers, of points, or of series")
end

function tests.methods_of_a_run_blame_their_caller()
  local run = require "support.tiny".rmt()
  local environment = setmetatable({ run = run }, { __index = _G })
  expect('run:wait("x")', "run:wait: option 'step' must be integer, got string ('x')", environment)
  expect("run:set(5)", "run:set: expected a table of settings, got number", environment)
  expect('run:set { learning_rate = "x" }',
    "run: option 'learning_rate' must be number or a function of (t, T, state), got string ('x')", environment)
  expect("run.learning_rat = 1", "run: unknown option 'learning_rat'; did you mean 'learning_rate'?", environment)
  expect("run:stpe()", "attempt to call a nil value (method 'stpe'); did you mean 'run:step'?", environment)
  expect("run:compare(5)", "run:compare: argument 1 (other): expected a run, got number", environment)
end

function tests.a_job_that_fails_names_its_run()
  local run = require("support.tiny").rmt { lambda = function() return oops.x end }
  local ok, problem
  local told = check.printed(function()
    run:start()
    ok, problem = pcall(function() run.job:wait() end)
  end)
  assert(told:find("halted before step 1", 1, true), told)
  check.equal(ok, false)
  assert(problem:find("run mid.rmt: ", 1, true) and problem:find("global 'oops'", 1, true), problem)
  assert(not problem:find("stdlib", 1, true), problem)
end

function tests.the_nearest_name_is_told()
  expect('mid.lod "x"', "attempt to call a nil value (field 'lod'); did you mean 'mid.load'?")
  expect("mid.budget.lineer {}", "attempt to call a nil value (field 'lineer'); did you mean 'mid.budget.linear'?")
  expect("mdi.load()", "attempt to index a nil value (global 'mdi'); did you mean 'mid'?")
  expect("local t; t.x = 1", "attempt to index a nil value (local 't')")
end

-- What a person's function did wrong inside of the library is theirs.
function tests.errors_of_callbacks_keep_the_calls_of_both_sides()
  local code = "local function f(x) return x.y.z end\nmid.grad(f)(mid.tensor { 1 })"
  local _, message = xpcall(assert(mid.compile(code, "in[1]")), errors.traced)
  assert(message:find("^in%[1%]:1: "), message)
  assert(message:find("    2 │ mid.grad", 1, true), message)
  assert(not message:find("midtrain/", 1, true), message)
end

function tests.files_that_do_not_compile_are_shown()
  local folder <close> = scratch.folder()
  local path = folder.path .. "/wrong.lua"
  local file = assert(io.open(path, "w"))
  file:write "local x = 1\n  local y = = 2\n"
  file:close()
  local _, message = xpcall(function() dofile(path) end, errors.traced)
  assert(message:find("wrong.lua:2: unexpected symbol near '='\n    2 │ local y = = 2\nstack", 1, true), message)
end

function tests.other_errors_stay_as_they_are()
  expect("error 'mine'", "mine")
  local text = "done before\nstack traceback:\n  x"
  check.equal(errors.traced(text), text)
  -- Quickly, too.
  local code = "local function f() return 1 + f() end f()"
  local overflow = shown(code)
  assert(overflow:find("^in%[1%]:1: stack overflow") and overflow:find("\n    1 │ " .. code, 1, true), overflow)
end

return tests
