local check = require "support.check"
local guard = require "midtrain.guard"
local mid = require "midtrain"

local function endless() while true do end end

local tests = {}

function tests.results_and_errors_come_back()
  check.equal({ guard.call(1000, function(a, b) return a, nil, b end, 1, 2) }, { true, 1, nil, 2 })
  local ok, message = guard.call(1000, function() error "no such thing" end)
  check.equal(ok, false)
  assert(message:find "no such thing$")
  check.equal({ guard.call(0, function() return 7 end) }, { true, 7 })
end

function tests.loops_without_end_are_stopped()
  for _, f in ipairs {
    endless,
    function() while true do pcall(error) end end,
    function() while true do pcall(endless) end end,
    function() pcall(endless) return "went on" end,
  } do
    local ok, message = guard.call(10000, f)
    check.equal(ok, false)
    assert(message:find "stopped after 10000 instructions")
    check.equal(debug.gethook(), nil, "the hook is gone")
  end
end

-- What somebody else watches for goes on after the call.
function tests.a_hook_that_was_there_is_put_back()
  local counted = 0
  local function count() counted = counted + 1 end
  debug.sethook(count, "", 100)
  guard.call(1000, endless)
  local hook, _, every = debug.gethook()
  local before = counted
  for _ = 1, 1000 do end
  debug.sethook()
  check.equal({ hook == count, every, counted > before }, { true, 100, true })
end

function tests.searches_of_strings_have_steps_too()
  local function search() return (("x"):rep(100000):find(("x*"):rep(30) .. "y")) end
  local ok, message = guard.call(100000, search)
  assert(not ok and message:find "after 100000 instructions", message)
end

function tests.finalizers_do_not_loop_for_ever()
  local began, ended = false, false
  local ok = guard.call(100000, function()
    setmetatable({}, { __gc = function()
      began = true
      while true do end
      ended = true
    end })
    collectgarbage()
    while true do end
  end)
  check.equal({ ok, began, ended }, { false, true, false })
end

-- Whatever made them, and whenever they run.
function tests.finalizers_have_a_limit_of_their_own()
  local began, ended = 0, 0
  for _, f in ipairs {
    endless,
    function() while true do pcall(endless) end end,
    function() while true do pcall(coroutine.wrap(endless)) end end,
    function() while true do coroutine.wrap(function() pcall(endless) end)() end end,
    function() string.find(("x"):rep(100000), ("x*"):rep(30) .. "y") end,
  } do
    setmetatable({}, { __gc = function()
      began = began + 1
      f()
      ended = ended + 1
    end })
    collectgarbage()
  end
  check.equal({ began, ended }, { 5, 0 })
end

function tests.coroutines_share_the_limit()
  for _, f in ipairs {
    function() coroutine.wrap(endless)() end,
    function() coroutine.resume(coroutine.create(endless)) endless() end,
    function() while true do pcall(coroutine.wrap(endless)) end end,
    function()
      coroutine.wrap(function() while true do pcall(coroutine.wrap(endless)) end end)()
    end,
  } do
    local ok, message = guard.call(100000, f)
    assert(not ok and message:find "after 100000 instructions", message)
  end
  local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
  check.equal({ guard.call(1000, function() return co(), co() end) }, { true, 1, 2 })
end

function tests.message_handlers_do_not_outlast_it()
  for _, f in ipairs {
    function() xpcall(error, endless) end, function() xpcall(endless, endless) end,
    function() while true do xpcall(endless, endless) end end,
  } do
    local ok, message = guard.call(100000, f)
    assert(not ok and message:find "after 100000 instructions", message)
  end
  check.equal({ xpcall(error, function(m) return m .. "!" end, "oh") }, { false, "oh!" })
  check.raises(function() xpcall(error) end, "bad argument #2 to 'xpcall'")
end

-- A reward may ask the engine something that takes long: other jobs have their turns meanwhile, and
-- neither loses its limit nor gets the other's.
function tests.a_guarded_call_may_wait()
  local log = {}
  local function job(name, limit)
    return mid.spawn(function()
      local ok, message = guard.call(limit, function()
        mid.sleep(0.01)
        endless()
      end)
      log[name] = { ok, message, debug.gethook() }
    end)
  end
  local a, b = job("a", 5000), job("b", 7000)
  a:wait()
  b:wait()
  check.equal(log.a[1], false)
  assert(log.a[2]:find "after 5000 instructions")
  assert(log.b[2]:find "after 7000 instructions")
  check.equal({ log.a[3], log.b[3] }, {})
end

return tests
