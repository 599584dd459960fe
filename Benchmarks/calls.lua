-- What a call from Lua into native code costs, the empty loop subtracted. Run by `bench lua`, printed as
-- name, nanoseconds, and whether it is native.
local count = tonumber(arg and arg[1]) or 2000000
local clock = mid.clock

-- The shortest of some runs: other work on the machine only ever adds.
local function best(body)
  local shortest = math.huge
  for _ = 1, 5 do
    local start = clock()
    body()
    shortest = math.min(shortest, clock() - start)
  end
  return shortest
end

local empty = best(function() for _ = 1, count do end end)

local function report(name, kind, body)
  print(("%s\t%.2f\t%s"):format(name, (best(body) - empty) / count * 1e9, kind))
end

local function nothing() end
local scalar = mid.tensor(1)
report("Lua function", "Lua", function() for _ = 1, count do nothing() end end)
report("Lua → native function, mid.clock()", "native", function() for _ = 1, count do clock() end end)
report("Lua → native method, tensor:item()", "native", function() for _ = 1, count do scalar:item() end end)
