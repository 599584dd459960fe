-- Warns of globals that come into being inside a function: nearly always a forgotten `local`.
-- Scripts get it by default; the prompt does not. `require "midtrain.strict"` turns it on anywhere.

local metatable = getmetatable(_G) or {}

metatable.__newindex = function(globals, name, value)
  local where = debug.getinfo(2, "Sl")
  if where and where.what == "Lua" then
    io.stderr:write(string.format(
      "midtrain: warning: %s:%d: assignment to new global '%s' inside a function; is a 'local' missing?\n",
      where.short_src, where.currentline, tostring(name)))
  end
  rawset(globals, name, value)
end

setmetatable(_G, metatable)
return metatable
