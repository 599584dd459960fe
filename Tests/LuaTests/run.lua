-- Runs the tests of the Lua layer: every function of every table that a test_*.lua returns.
--   lua5.4 Tests/LuaTests/run.lua [part of a name]      in plain Lua, with the stand-in engine
--   midtrain Tests/LuaTests/run.lua [part of a name]    the same, then with the real one
-- Returns the number of failures; as a plain-Lua script it exits with status 1 if there are any.

local folder = arg and arg[0] and (arg[0]:match "^(.*)/[^/]*$" or ".") or "Tests/LuaTests"
local filter = arg and arg[1]
package.path = ("%s/../../stdlib/?.lua;%s/../../stdlib/?/init.lua;%s/?.lua;%s")
  :format(folder, folder, folder, package.path)

local with_stand_in = {
  "advantage", "arguments", "audit", "budget", "chain", "coldstart", "comparison", "corpus",
  "curriculum", "doctor", "documents", "entropy", "eval", "grpo", "health", "heat", "history", "journal", "ntp",
  "objective", "options", "plot", "posttrain", "progress", "prompt", "questions", "random", "report", "reward", "rmt",
  "run", "scoring", "svg", "tasks", "tensorboard",
}
local with_engine = {
  "autograd", "complete", "engine", "errors", "guard", "help", "losses", "nn", "objective", "pool", "repl", "resume", "show", "stream",
  "stubs", "tensor_goldens", "tensor_misuse", "tensor_properties", "tensor_stored", "tensor_i32", "tensor_integers",
}

local passed, failures = 0, {}

local function run_file(file, engine)
  local tests = dofile(("%s/test_%s.lua"):format(folder, file))
  local names = {}
  for name in pairs(tests) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local title = ("%s: %s (%s)"):format(file, name, engine)
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

-- Runs files with a given native module; the modules above it are loaded anew, and put back.
local function run_files(files, native, engine)
  local kept = {}
  for name, module in pairs(package.loaded) do
    if name:find "^midtrain" then kept[name] = module end
  end
  for name in pairs(kept) do package.loaded[name] = nil end
  package.loaded["midtrain.native"] = native
  for _, file in ipairs(files) do run_file(file, engine) end
  for name in pairs(package.loaded) do
    if name:find "^midtrain" then package.loaded[name] = nil end
  end
  for name, module in pairs(kept) do package.loaded[name] = module end
end

local real = package.loaded["midtrain.native"]
run_files(with_stand_in, require "support.fake", "stand-in")
if real then
  run_files(with_engine, real, "engine")
  -- A file of tests that no list names would never be missed.
  local listed = {}
  for _, list in ipairs { with_stand_in, with_engine } do
    for _, name in ipairs(list) do listed[name] = true end
  end
  for _, file in ipairs(real.list(folder)) do
    local name = file:match "^test_([%w_]+)%.lua$"
    if name and not listed[name] then failures[#failures + 1] = name .. ": is in no list of run.lua" end
  end
end

print(("%d Lua tests passed, %d failed"):format(passed, #failures))
if not real and #failures > 0 then os.exit(1) end
return #failures
