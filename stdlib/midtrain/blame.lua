-- Whose line an error is about: that of the person's code, not of the library that it called.

local blame = {}

local folder = debug.getinfo(1, "S").source:match "^(@.*/)[^/]*$"

-- What the program itself runs around a person's code.
local around = { ["=(library)"] = true, ["=(start)"] = true, ["=(leaving)"] = true }

--- Whether code is the library's, by what debug.getinfo calls its source.
---@param source string
---@return boolean
function blame.is_library(source)
  return around[source] or folder ~= nil and source:sub(1, #folder) == folder
end

--- The level for `error`, in the function that calls this, that blames the code outside of the library
--- that called into it; 0, nobody, where there is none, as in a job of the library's own.
---@return integer
function blame.level()
  local level = 2
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return 0 end
    if info.currentline > 0 and not blame.is_library(info.source) then return level - 1 end
    level = level + 1
  end
end

return blame
