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

return tests
