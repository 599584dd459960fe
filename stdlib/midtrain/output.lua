-- What scripts write to the terminal, on its way there. A prompt wants to know of it before it shows,
-- since a line is being typed; what is written for a client of this process goes to the client.

local mid = require "midtrain.native"
local terminal = require "midtrain.terminal"

local output = {}

local observers, is_installed = {}, false

--- Writes text for a client of this process.
---@param client any
---@param text string
function output.send(client, text) client:send(mid.json.encode { output = terminal.valid(text) }) end

-- Says that text comes; true if it goes elsewhere.
local function is_taken(text)
  local client = mid.client()
  if client then
    -- A client that has gone gets nothing, and nobody else does either.
    output.send(client, text)
    return true
  end
  for _, observe in ipairs(observers) do observe(text) end
  return false
end

local function joined(separator, ...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  return table.concat(parts, separator)
end

--- Puts this module between scripts and the terminal. Asked for by whoever needs it; once is enough.
function output.install()
  if is_installed then return end
  is_installed = true
  local plain_print, plain_write = print, io.write
  local methods = debug.getmetatable(io.stdout).__index
  local file_write = methods.write

  function print(...)
    if not is_taken(joined("\t", ...) .. "\n") then plain_print(...) end
  end

  function io.write(...)
    if io.output() == io.stdout and is_taken(joined("", ...)) then return io.stdout end
    return plain_write(...)
  end

  function methods.write(file, ...)
    if (file == io.stdout or file == io.stderr) and is_taken(joined("", ...)) then return file end
    return file_write(file, ...)
  end
end

--- Calls `observe(text)` before text is written to the terminal.
---@param observe fun(text: string)
function output.observe(observe)
  output.install()
  observers[#observers + 1] = observe
end

return output
