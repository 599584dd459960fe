-- TensorBoard event files: what a run logs, for TensorBoard to show. A file is a series of records, each
-- a protocol buffer (`Event`) between its length and checksums; three kinds of message are written here
-- by hand.
-- https://github.com/tensorflow/tensorboard/tree/master/tensorboard/compat/proto

local journal = require "midtrain.journal"
local mid = require "midtrain.native"

local tensorboard = {}

-- Protocol buffers ------------------------------------------------------------------------------

local function varint(n)
  local bytes = {}
  repeat
    local rest = n >> 7
    bytes[#bytes + 1] = string.char(n & 127 | (rest > 0 and 128 or 0))
    n = rest
  until n == 0
  return table.concat(bytes)
end

local function integer(field, n) return varint(field << 3) .. varint(n) end
local function double(field, x) return varint(field << 3 | 1) .. string.pack("<d", x) end
local function bytes(field, text) return varint(field << 3 | 2) .. varint(#text) .. text end
local function float(field, x) return varint(field << 3 | 5) .. string.pack("<f", x) end

local function doubles(field, list)
  return bytes(field, string.pack("<" .. ("d"):rep(#list), table.unpack(list)))
end

-- Messages --------------------------------------------------------------------------------------

-- Summary.Value of a scalar: tag 1, simple_value 2.
local function scalar(tag, value) return bytes(1, bytes(1, tag) .. float(2, value)) end

--- Limits and counts of a histogram: thirty equal parts from the least to the largest value.
---@param values number[] not empty
---@return number[] limits the upper ends
---@return number[] counts
function tensorboard.buckets(values)
  local low, high = math.min(table.unpack(values)), math.max(table.unpack(values))
  if low == high then return { low }, { #values } end
  local limits, counts, width = {}, {}, (high - low) / 30
  for i = 1, 30 do limits[i], counts[i] = i == 30 and high or low + i * width, 0 end
  for _, value in ipairs(values) do
    local i = math.min(30, (value - low) // width + 1)
    counts[i] = counts[i] + 1
  end
  return limits, counts
end

-- Summary.Value of a histogram (field 5): min, max, num, sum, sum of squares, limits, counts.
local function histogram(tag, values)
  local sum, squares = 0, 0
  for _, value in ipairs(values) do sum, squares = sum + value, squares + value * value end
  local limits, counts = tensorboard.buckets(values)
  return bytes(1, bytes(1, tag) .. bytes(5, double(1, math.min(table.unpack(values)))
    .. double(2, math.max(table.unpack(values))) .. double(3, #values) .. double(4, sum)
    .. double(5, squares) .. doubles(6, limits) .. doubles(7, counts)))
end

-- Summary.Value of a text: a tensor (field 8) of one string (type 7), and the plugin that shows it.
local function text(tag, value)
  local tensor = integer(1, 7) .. bytes(2, bytes(2, integer(1, 1))) .. bytes(8, value)
  return bytes(1, bytes(1, tag) .. bytes(8, tensor) .. bytes(9, bytes(1, bytes(1, "text"))))
end

local function sorted(values)
  local names = {}
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  return names
end

-- Event: wall_time 1, step 2 (left out if 0), then one of several.
local function event(time, step, what)
  return double(1, time) .. (step > 0 and integer(2, step) or "") .. what
end

-- CRCs in a file of CRCs are masked, so that data with its own CRC is as good as any.
local function masked(data)
  local crc = mid.crc32c(data)
  return string.pack("<I4", ((crc >> 15 | crc << 17) + 0xa282ead8) & 0xffffffff)
end

local function framed(data)
  local length = string.pack("<I8", #data)
  return length .. masked(length) .. data .. masked(data)
end

--- The beginning of a file: its version, and that steps from `step` on are taken (again), so that
--- what earlier files say about them counts no longer.
---@param time number seconds since 1970
---@param step integer
---@return string
function tensorboard.head(time, step)
  return framed(event(time, 0, bytes(3, "brain.Event:2")))
    .. framed(event(time, step, bytes(7, integer(1, 1))))
end

--- One step's record.
---@param time number seconds since 1970
---@param step integer
---@param logged { scalars: table<string, number>, histograms: table<string, number[]>?, texts: table<string, string>? }
---@return string
function tensorboard.record(time, step, logged)
  local parts = {}
  local kinds = { { logged.scalars, scalar }, { logged.histograms, histogram }, { logged.texts, text } }
  for _, kind in ipairs(kinds) do
    local values, encode = kind[1] or {}, kind[2]
    for _, name in ipairs(sorted(values)) do parts[#parts + 1] = encode(name, values[name]) end
  end
  return framed(event(time, step, bytes(5, table.concat(parts))))
end

-- Files -----------------------------------------------------------------------------------------

--- The name of a new file in a run's folder.
---@param out string
---@return string
function tensorboard.new_file(out)
  local name = ("tensorboard/events.out.tfevents.%d.midtrain"):format(os.time())
  local file, count = name, 0
  while mid.exists(out .. "/" .. file) do
    count = count + 1
    file = ("%s.%d"):format(name, count)
  end
  return file
end

-- The first completion of a step, as Markdown has text that is to stay as it is.
local function completion(own)
  local first = (own.logged["completions.jsonl"] or {})[1]
  if not first or first.step ~= own.t or not first.text then return nil end
  local said = journal.describe(first.text):gsub("\n", "\n    ")
  return { completion = ("predicted %s, true %s, reward %s\n\n    %s"):format(
    journal.describe(tostring(first.prediction or first.answer)),
    journal.describe(tostring(first.target or first.gold)), first.reward, said) }
end

--- The name of the run's file and what the step that is over adds to it.
---@param own table the fields of a run
---@param scalars table<string, number> finite
---@return string file, string bytes
function tensorboard.step(own, scalars)
  local head = ""
  if not own.event_file then
    own.event_file = tensorboard.new_file(own.out)
    mid.mkdir(own.out .. "/tensorboard")
    head = tensorboard.head(os.time(), own.t)
  end
  return own.event_file, head .. tensorboard.record(os.time(), own.t,
    { scalars = scalars, histograms = own.histograms, texts = completion(own) })
end

return tensorboard
