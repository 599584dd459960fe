-- What the prompt adds to Lua.

local check = require "support.check"
local help = require "midtrain.help"
local repl = require "midtrain.repl"

local function has(text, pattern)
  if not text:find(pattern) then error(("expected %q in %q"):format(pattern, text), 2) end
end

local tests = {}

function tests.time_gives_results_and_says_what_they_took()
  local results
  local text = check.printed(function()
    results = table.pack(repl.time(function(a, b) return a + b, nil, "three", nil end, 1, 2))
  end)
  check.equal(results, { 3, nil, "three", nil, n = 4 })
  has(text, "^[%d.e-]+ ms · memory [+−][%d.]+ kB, at most [%d.]+ [MG]B so far$")
  check.equal(select(2, check.printed(function() return (repl.time "6 * 7") end)), 42)
  check.equal(select(2, check.printed(function() return (repl.time "local x = 4 return x") end)), 4)
  local kept
  has(check.printed(function() repl.time(function() kept = ("x"):rep(3e7) end) end), "memory %+[23]%d MB")
  assert(#kept == 3e7)
  local ok, message = pcall(repl.time, function() error "no" end)
  assert(not ok and message:find "no$", message)
  check.raises(function() repl.time "6 *" end, "unexpected symbol near")
end

function tests.help_knows_what_only_the_prompt_has()
  for _, name in ipairs { "time(f, [...])", "!command", "?name" } do
    assert(help.text():find(name, 1, true), name)
  end
  has(help.text "time", "^time%(f, %[%.%.%.%]%)\n  Calls f")
  has(help.text "!command", "^!command\n  Runs a shell command")
end

function tests.an_input_that_does_not_compile_is_shown()
  check.equal(select(2, repl.compile("x = }", "in[1]")), "in[1]:1: unexpected symbol near '}'\n    1 │ x = }")
  local f, problem = repl.compile("print(1\n  + ) 2", "in[1]")
  check.equal({ f, problem }, { nil, "in[1]:2: unexpected symbol near ')'\n    2 │ + ) 2" })
  check.equal({ repl.compile("print(", "in[1]") }, { nil, nil, false })
end

function tests.a_transcript_can_be_pasted()
  check.equal(repl.compile("> 1 + 2", "in[1]")(), 3)
  check.equal(repl.compile("> return (function()\n>>   return 4\n>> end)()", "in[1]")(), 4)
  check.equal(repl.compile("> ", "in[1]")(), nil)
  -- Where it is Lua it stays.
  check.equal(repl.compile("return 8\n>> 1", "in[1]")(), 4)
  check.equal(repl.compile("return [[\n> quoted]]", "in[1]")(), "> quoted")
end

function tests.time_wants_a_function_or_code()
  check.raises(function() repl.time(5) end, "test_repl.lua:", "time: option 'f' must be a function or code, got number (5)")
end

return tests
