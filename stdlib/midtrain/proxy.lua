-- A run as scripts hold it is an empty proxy, so that assigning to it is always seen; its fields are a
-- table behind it.

local proxy = {}

--- The fields behind a run. What was interrupted may not have come to say so itself: Ctrl-C also ends
--- what would have noted it. But its coroutine is dead.
---@param self midtrain.Run
---@return table
function proxy.fields(self)
  local own = getmetatable(self).__fields
  if own.thread and coroutine.status(own.thread) == "dead" then
    if own.status == "running" or own.status == "paused" then
      own.status = own.is_inline and "ready" or "failed"
      own.error = own.job and own.job.error or "interrupted"
    end
    own.thread, own.is_stepping = nil, false
  end
  return own
end

return proxy
