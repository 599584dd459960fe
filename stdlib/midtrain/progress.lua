-- How far a run is. At a prompt and in a log it is a line per step; where a script runs on a terminal,
-- one line at its end that changes, with a bar.

local mid = require "midtrain.native"
local output = require "midtrain.output"

local progress = {}

--- A duration as people say it.
---@param seconds number
---@return string
function progress.duration(seconds)
  if seconds < 99.5 then return ("%.0f s"):format(seconds) end
  if seconds < 99.5 * 60 then return ("%.0f min"):format(seconds / 60) end
  return ("%.1f h"):format(seconds / 3600)
end

--- What the steps that are left will take, if they take as long as the last ones did.
---@param history table[] metrics of each step so far
---@param total integer steps in all
---@return number? seconds nil before the first step
function progress.left(history, total)
  local count, sum = 0, 0
  for t = #history, math.max(1, #history - 19), -1 do
    if history[t].step_time then count, sum = count + 1, sum + history[t].step_time end
  end
  return count > 0 and (total - #history) * sum / count or nil
end

local eighths = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" }

--- A bar of some characters, as full as `share` says.
---@param share number 0 … 1
---@param width integer
---@return string
function progress.bar(share, width)
  local full = share * width
  local text = ("█"):rep(math.floor(full)) .. eighths[math.floor(full % 1 * 8) + 1]
  return ("▕%s%s▏"):format(text, (" "):rep(width - utf8.len(text)))
end

-- The line at the end of the terminal: whether it is there, and whether it is being written.
local is_shown, is_drawing, is_watching = false, false, false

local function draw(text)
  is_drawing = true
  io.stdout:write("\r\27[K", text)
  io.stdout:flush()
  is_drawing, is_shown = false, text ~= ""
end

-- Other output takes the place of the line.
local function give_way()
  if is_shown and not is_drawing then draw "" end
end

--- Takes the line away.
function progress.finish() give_way() end

-- As much of a text as a line has room for.
local function cut(text, columns)
  local last = utf8.len(text) >= columns and utf8.offset(text, columns)
  return last and text:sub(1, last - 1) or text
end

-- When a run last said at a prompt how far it is.
local told = setmetatable({}, { __mode = "k" })

--- Shows how far a run is: at a prompt by a line, but not so often that they bury what a person reads.
---@param line string the run's own words
---@param done integer steps
---@param total integer
---@param run table one of several
function progress.show(line, done, total, run)
  local screen = not mid.client() and mid.screen()
  if not screen then return print(line) end
  if screen.is_attended then
    local now = mid.clock()
    if done < total and now - (told[run] or -math.huge) < 0.5 then return end
    told[run] = now
    return print(line)
  end
  if not is_watching then
    is_watching = true
    output.observe(give_way)
  end
  if done >= total then
    give_way()
    return print(line)
  end
  local bar = progress.bar(done / total, math.max(5, math.min(20, screen.columns // 6)))
  draw(cut(("%s %2.0f %% · %s"):format(bar, 100 * done / total, line), screen.columns))
end

return progress
