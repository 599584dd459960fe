-- Repeats the runs of a script with every change that was made while they trained, at the step at
-- which it was made, and compares metrics and weights. What was assigned at a prompt, in a watched
-- file or by the script itself is all in the journal.

local checkpoint = require "midtrain.checkpoint"
local journal = require "midtrain.journal"
local mid = require "midtrain.native"

local replay = {}

-- While a replay goes on: the folders of its runs, by those of the runs that they repeat, and which of
-- these have been repeated.
local folders
local repeated = {}

--- What a new run is to know of the script that makes it; nil at the prompt.
---@return table?
function replay.script()
  local words = rawget(_G, "arg")
  local path = words and words[0]
  local file <close> = path and io.open(path)
  local text = file and file:read "a"
  -- At the prompt it is the program itself.
  if not text or text:find "^\127ELF" then return nil end
  return {
    path = path, text = text, settings = rawget(_G, "settings"),
    words = table.move(words, 1, #words, 1, {}),
  }
end

--- Where a run is to write: beside the run that it repeats, in a replay.
---@param out string?
---@return string?
function replay.folder(out)
  if not folders or not out then return out end
  folders[out] = out .. "-replay"
  -- What an earlier replay left.
  if mid.exists(folders[out] .. "/config.json") then mid.remove(folders[out]) end
  return folders[out]
end

--- The changes that a run is to repeat, by the step before which they were made; nil outside of a
--- replay.
---@param out string? the folder of the run that is repeated
---@return table<integer, table[]>?
function replay.changes(out)
  if not folders or not out then return nil end
  local changes = {}
  for _, entry in ipairs(journal.read(out .. "/journal.jsonl")) do
    local step = math.tointeger(entry.step)
    if step then
      changes[step] = changes[step] or {}
      table.insert(changes[step], entry)
    end
  end
  return changes
end

--- How many steps a run is to repeat, which are fewer than it was to take if it was ended; nil outside of
--- a replay, or if nothing is known.
---@param out string? the folder of the run that is repeated
---@return integer?
function replay.recorded(out)
  local path = folders and out and out .. "/metrics.jsonl"
  return path and mid.exists(path) and #journal.read(path) or nil
end

--- Notes that a run has repeated its last step, having taken all that it was to take.
---@param out string
function replay.finish(out) repeated[out] = true end

local conclude

--- Ends the replay at the step at which a run was ended, when the others have repeated theirs; what the
--- script did after that nobody knows.
---@param out string
function replay.reached(out)
  repeated[out] = true
  local function is_over()
    for before in pairs(folders) do
      if not repeated[before] and mid.exists(before .. "/metrics.jsonl") then return false end
    end
    return true
  end
  while not is_over() do mid.sleep(0.05) end
  local problem = conclude(folders)
  if problem then io.stderr:write("midtrain: ", problem, "\n") end
  os.exit(problem and 1 or 0)
end

--- Makes the changes of one step.
---@param changes table<integer, table[]>
---@param step integer
---@param assign fun(name: string, value: any)
function replay.apply(changes, step, assign)
  for _, entry in ipairs(changes[step] or {}) do
    local value, problem = journal.revive(entry.new)
    if problem then
      error(("replay: %s was changed before step %d, and %s cannot be made again from the journal")
        :format(entry.name, step, problem), 0)
    end
    assign(entry.name, value)
  end
end

local function is_time(name)
  return name:find "^timing_s/" or name == "step_time" or name == "tokens_per_second"
end

-- The first difference between two lists of metrics, as text.
local function metrics_difference(before, after)
  for i, old in ipairs(before) do
    local new = after[i]
    if not new then return nil end
    local names = {}
    for name in pairs(old) do names[#names + 1] = name end
    for name in pairs(new) do
      if old[name] == nil then names[#names + 1] = name end
    end
    table.sort(names)
    for _, name in ipairs(names) do
      if old[name] ~= new[name] and not is_time(name) then
        return ("step %s: %s is %s, was %s"):format(old.step, name, new[name], old[name])
      end
    end
  end
end

local function same_bytes(a, b)
  local first <close> = assert(io.open(a, "rb"))
  local second <close> = assert(io.open(b, "rb"))
  repeat
    local one, two = first:read(1 << 20), second:read(1 << 20)
    if one ~= two then return false end
  until not one
  return true
end

-- The checkpoints that both have, and whether one differs.
local function weights_difference(before, after)
  local names, there = checkpoint.names(after)
  local compared = 0
  for _, name in ipairs(names) do
    local old = ("%s/checkpoints/%s/model.safetensors"):format(before, name)
    local new = ("%s/%s/model.safetensors"):format(there, name)
    if mid.exists(old) and mid.exists(new) then
      compared = compared + 1
      if not same_bytes(old, new) then return compared, name .. ": the weights differ" end
    end
  end
  return compared
end

-- Compares what a run wrote; the difference as text.
local function compare(before, after)
  local old, new = journal.read(before .. "/metrics.jsonl"), journal.read(after .. "/metrics.jsonl")
  local difference = metrics_difference(old, new)
  local compared, of_weights = weights_difference(before, after)
  print(("replay: %s: %d of %d steps and %d checkpoints compared"):format(before,
    math.min(#old, #new), #old, compared))
  if not difference and #new < #old then
    difference = ("it ended after %d of %d steps"):format(#new, #old)
  end
  return difference or of_weights
end

-- Compares all runs; what is wrong as text.
function conclude(made)
  for before, after in pairs(made) do
    local difference = mid.exists(before .. "/metrics.jsonl") and compare(before, after)
    if difference then return ("replay: the first difference is in %s: %s"):format(before, difference) end
  end
  print "replay: equal to the bit"
end

--- Repeats the script that made a run, and compares everything that its runs wrote. An error names
--- the first difference.
---@param dir string a run's folder
function replay.main(dir)
  dir = dir:gsub("(.)/+$", "%1")
  local file <close> = io.open(dir .. "/config.json")
  if not file then error(("replay: there is no run in '%s'"):format(dir), 0) end
  local script = mid.json.decode(file:read "a").script
  if not script then
    error(("replay: the run in '%s' was started at the prompt: there is no script to repeat")
      :format(dir), 0)
  end
  local chunk, problem = load(script.text, "@" .. script.path)
  if not chunk then error("replay: " .. problem, 0) end
  folders = {}
  local words = script.words or {}
  words[0] = script.path
  rawset(_G, "arg", words)
  local settings = script.settings
  if settings then settings.resume = nil end
  rawset(_G, "settings", settings)
  chunk(table.unpack(words))
  -- Not at the top: runs know of replays.
  for _, one in ipairs(require("midtrain.run").having { running = true }) do one:wait() end
  local made = folders
  folders = nil
  if not made[dir] then
    error(("replay: the script made no run in '%s' this time"):format(dir), 0)
  end
  local different = conclude(made)
  if different then error(different, 0) end
end

--- `midtrain replay DIR`: what went wrong is a line, not a traceback.
---@param dir string
function replay.command(dir)
  local ok, problem = pcall(replay.main, dir)
  if ok then return end
  io.stderr:write("midtrain: ", tostring(problem), "\n")
  os.exit(1, true)
end

return replay
