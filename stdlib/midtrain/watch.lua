-- A file that steers a run: it returns a table of knobs, and is read again before a step when its
-- text has changed. What does not compile, fails, or is refused changes nothing and is said once.

local guard = require "midtrain.guard"

local watch = {}

local function text_of(path)
  local file <close> = io.open(path)
  return file and file:read "a"
end

--- Reads the file if it has changed, and assigns the knobs that it returns.
---@param watched { path: string, text: string? }
---@param set fun(knobs: table) assigns all or none, and raises what is wrong with one
---@return boolean changed whether something was assigned
function watch.update(watched, set)
  local text = text_of(watched.path)
  -- Editors replace files; one that is away for a moment is not a change.
  if not text or text == watched.text then return false end
  watched.text = text
  local chunk, problem = load(text, "@" .. watched.path)
  local ok, knobs = false, problem
  if chunk then ok, knobs = guard.call(guard.instructions, chunk) end
  if ok and type(knobs) ~= "table" then
    ok, knobs = false, "it must return a table of settings, such as { budget = 200 }"
  end
  if ok then ok, knobs = pcall(set, knobs) end
  if not ok then print(("run: %s changes nothing: %s"):format(watched.path, knobs)) end
  return ok
end

return watch
