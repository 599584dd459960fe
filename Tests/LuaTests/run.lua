-- Runs the tests of the Lua layer: every function of every table that a test_*.lua returns.
--   lua5.4 Tests/LuaTests/run.lua [part of a name]      in plain Lua, with the stand-in engine
--   midtrain Tests/LuaTests/run.lua [part of a name]    in the real one
-- Returns the number of failures; as a plain-Lua script it exits with status 1 if there are any.

local folder = arg and arg[0] and arg[0]:match("^(.*)/[^/]*$") or "Tests/LuaTests"
local filter = arg and arg[1]
package.path = ("%s/../../stdlib/?.lua;%s/../../stdlib/?/init.lua;%s/?.lua;%s")
  :format(folder, folder, folder, package.path)

local real = package.loaded["midtrain.native"] ~= nil or package.preload["midtrain.native"] ~= nil
if not real then package.preload["midtrain.native"] = function() return require "support.fake" end end


local files = {
  "advantage", "budget", "curriculum", "entropy", "objective", "options", "random", "reward",
}

local passed, failures = 0, {}
for _, file in ipairs(files) do
  local tests = dofile(("%s/test_%s.lua"):format(folder, file))
  local names = {}
  for name in pairs(tests) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local title = file .. ": " .. name
    if not filter or title:find(filter, 1, true) then
      local ok, message = xpcall(tests[name], debug.traceback)
      if ok then
        passed = passed + 1
      else
        failures[#failures + 1] = title
        io.stderr:write("FAILED ", title, "\n", message, "\n")
      end
    end
  end
end
print(("%d Lua tests passed, %d failed (%s engine)")
  :format(passed, #failures, real and "real" or "stand-in"))
if not real and #failures > 0 then os.exit(1) end
return #failures
