-- How much memory a loop takes that makes large tensors and drops them, for MemoryTests and by hand:
--   midtrain Tests/LuaTests/working_set.lua [MB a tensor]
-- At a time x, a product and a sum are needed; the products and sums of earlier rounds are garbage.

local mid = require "midtrain"

local size = (tonumber(arg and arg[1]) or 48) << 20
local before = mid.memory()
local x = mid.ones(size // 4)
for _ = 1, 40 do local _ = x * 2 + 1 end
local after, needed = mid.memory(), 3 * size
local tensors = after.tensors_peak / needed
local process = (after.peak - before.resident) / needed
print(("working set %d MB: tensors at most %.2f of it, the process %.2f"):format(needed >> 20, tensors,
  process))
os.exit(tensors <= 1.5 and process <= 1.5 and 0 or 1)
