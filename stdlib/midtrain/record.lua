-- What a run writes down at each step. The lines of a step go to their files when it is over: one that
-- fails and is tried again leaves nothing twice. What a full disk refuses is kept and comes first
-- next time.

local mid = require "midtrain.native"

local record = {}

--- Begins a step: what another one that failed would have written is forgotten.
---@param own table the fields of a run
function record.begin(own) own.lines = {} end

--- Text for the end of a file of the run's folder, at the end of the step.
---@param own table the fields of a run
---@param file string
---@param text string
function record.add(own, file, text)
  if not own.out then return end
  local lines = own.lines or own.unwritten
  lines[#lines + 1] = { file = file, text = text }
  if not own.lines then record.flush(own) end
end

--- Ends a step, which has happened even if this raises an error.
---@param own table the fields of a run
function record.finish(own)
  table.move(own.lines, 1, #own.lines, #own.unwritten + 1, own.unwritten)
  own.lines = nil
  record.flush(own)
end

--- Writes what is not written yet, file by file.
---@param own table the fields of a run
function record.flush(own)
  local texts, order = {}, {}
  for _, line in ipairs(own.unwritten) do
    if not texts[line.file] then texts[line.file], order[#order + 1] = {}, line.file end
    table.insert(texts[line.file], line.text)
  end
  for _, file in ipairs(order) do
    mid.append(own.out .. "/" .. file, table.concat(texts[file]))
    local rest = {}
    for _, line in ipairs(own.unwritten) do
      if line.file ~= file then rest[#rest + 1] = line end
    end
    own.unwritten = rest
  end
end

--- Brings what was written to the disk, before a checkpoint that counts on it.
---@param own table the fields of a run
function record.sync(own)
  for _, name in ipairs(mid.list(own.out)) do
    if name:find "%.jsonl$" then mid.sync(own.out .. "/" .. name) end
  end
end

return record
