-- Scratch folders and files for tests.

local scratch = {}

local created = 0

--- A path that does not exist yet, under the system's folder for temporary files.
function scratch.path()
  created = created + 1
  local name = os.tmpname()
  os.remove(name)
  return ("%s-%d"):format(name, created)
end

function scratch.remove(path) os.execute(("rm -rf '%s'"):format(path)) end

--- A new folder, in `path`, that goes away with the variable that holds it, declared <close>.
function scratch.folder()
  local path = scratch.path()
  require "midtrain".mkdir(path)
  return setmetatable({ path = path }, { __close = function() scratch.remove(path) end })
end

function scratch.read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

--- The values of a file of JSON lines.
function scratch.json_lines(path)
  local values = {}
  for line in io.lines(path) do values[#values + 1] = require "midtrain".json.decode(line) end
  return values
end

return scratch
