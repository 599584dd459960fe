-- A run as scripts hold it is an empty proxy, so that assigning to it is always seen; its fields are a
-- table behind it.

local proxy = {}

--- The fields behind a run. What was interrupted may not have come to say so itself: Ctrl-C also ends
--- what would have noted it. But its coroutine is dead.
---@param self midtrain.Run
---@return table
function proxy.fields(self)
  local metatable = type(self) == "table" and getmetatable(self)
  local own = type(metatable) == "table" and metatable.__fields
  if not own then error("methods of a run are called with a colon, as in run:start()", 3) end
  if own.thread and coroutine.status(own.thread) == "dead" then
    -- A step at the prompt may have been taken while a job holds the run paused.
    local job = own.job_thread
    if job == own.thread or job and coroutine.status(job) == "dead" then job = nil end
    own.job_thread = job
    if own.status == "running" or own.status == "paused" then
      own.status = job and "paused" or own.is_inline and "ready" or "failed"
      own.error = not job and own.job and own.job.error or "interrupted"
    end
    own.thread, own.is_stepping = job, false
  end
  return own
end

return proxy
