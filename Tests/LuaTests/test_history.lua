local check = require "support.check"
local history = require "midtrain.history"

local tests = {}

function tests.steps_come_back_as_they_were()
  local rows = history.new()
  check.equal({ #rows, rows[1] }, { 0 })
  rows[1] = { loss = 0.5, step = 1 }
  rows[2] = { loss = 0.25, step = 2, odd = 0 }
  rows[4] = { step = 4, odd = 7 }
  check.equal({ rows[1], rows[2], rows[4] },
    { { loss = 0.5, step = 1 }, { loss = 0.25, step = 2, odd = 0 }, { step = 4, odd = 7 } })
  check.equal({ #rows, rows[3] == nil, rows[6] == nil, rows[0] == nil }, { 4, true, true, true })
  check.equal(math.type(rows[2].odd), "integer")
  rows[5] = { step = 5, odd = 7.0, loss = 0 / 0, least = math.mininteger, large = -math.huge }
  check.equal({ math.type(rows[5].odd), rows[5].least, rows[5].large, rows[5].loss ~= rows[5].loss },
    { "float", math.mininteger, -math.huge, true })
  check.equal({ history.at(rows, 2, "odd"), history.at(rows, 1, "odd"), history.at(rows, 1, "x") }, { 0 })
end

function tests.it_is_walked_like_a_list()
  local rows, seen = history.new(), {}
  for _, t in ipairs { 1, 2, 5 } do rows[t] = { step = t } end
  for t, row in ipairs(rows) do seen[#seen + 1] = { t, row.step } end
  check.equal(seen, { { 1, 1 }, { 2, 2 } })
  seen = {}
  for t, row in pairs(rows) do seen[#seen + 1] = { t, row.step } end
  check.equal(seen, { { 1, 1 }, { 2, 2 }, { 5, 5 } })
  local copy = table.move(rows, 1, #rows, 1, history.new())
  check.equal({ #copy, copy[5].step }, { 5, 5 })
end

function tests.it_takes_little_memory()
  local function used(rows)
    collectgarbage()
    local before = collectgarbage "count"
    for t = 1, 2000 do
      local metrics = {}
      for i = 1, 70 do metrics["metric" .. i] = t + i / 7 end
      rows[t] = metrics
    end
    collectgarbage()
    return (collectgarbage "count" - before) / 2000
  end
  local rows, plain = history.new(), {}
  local ours, theirs = used(rows), used(plain)
  -- Kilobytes a step: eight bytes a number for a quarter of them, and what holds them.
  assert(ours < (70 * 8 / 4 + 100) / 1024 and ours < theirs / 10 and #rows == #plain,
    ("%.2f KB, %.2f as tables"):format(ours, theirs))
  for _, t in ipairs { 1, 2, 777, 1499, 1500, 1501, 2000, 3 } do
    check.equal(rows[t], plain[t])
    check.equal(history.at(rows, t, "metric70"), plain[t].metric70)
  end
end

function tests.without_a_place_for_files_it_stays_in_memory()
  local tmpfile = io.tmpfile
  for _, stand_in in ipairs {
    function() return nil, "No space left on device" end,
    function() return io.open("/dev/full", "w+") or tmpfile() end,
  } do
    io.tmpfile = stand_in
    local rows = history.new()
    local ok, problem = pcall(function()
      for t = 1, 1200 do rows[t] = { step = t, third = t / 3 } end
    end)
    io.tmpfile = tmpfile
    assert(ok, problem)
    check.equal({ #rows, rows[1], rows[700] }, { 1200, { step = 1, third = 1 / 3 }, { step = 700, third = 700 / 3 } })
  end
end

return tests
