-- TensorBoard event files: byte for byte what TensorBoard's own writer makes of the same
-- (Tests/Goldens/tensorboard/make_events.py), and what a run writes.

local check = require "support.check"
local mid = require "midtrain"
local scratch = require "support.scratch"
local tensorboard = require "midtrain.tensorboard"

local here = debug.getinfo(1, "S").source:match("^@(.*)/[^/]*$") or "Tests/LuaTests"
local TIME = 1700000000.25

local tests = {}

function tests.the_bytes_are_those_of_tensorboard_itself()
  local ours = tensorboard.head(TIME, 300) .. tensorboard.record(TIME, 300, {
    scalars = { loss = -1.25, ["rewards/match/mean"] = 0.1 },
    histograms = { reward = { 2, 0.5, 6.5, 1, 2 } },
    texts = { completion = "π is **3**\n" },
  }) .. tensorboard.record(TIME, 1 << 35, { scalars = { [("x"):rep(200)] = 1e30 } })
  local golden = scratch.read(here .. "/../Goldens/tensorboard/events.bin")
  local same = 0
  while same < #golden and ours:byte(same + 1) == golden:byte(same + 1) do same = same + 1 end
  check.equal({ same, #ours }, { #golden, #golden }, "equal bytes, length")
end

function tests.buckets_hold_every_value_once()
  local limits, counts = tensorboard.buckets { 3, 3, 3 }
  check.equal({ limits, counts }, { { 3 }, { 3 } })
  limits, counts = tensorboard.buckets { 0, 30, 0.5, 29.5, 1 }
  check.equal({ #limits, limits[1], limits[30] }, { 30, 1.0, 30 })
  check.equal({ counts[1], counts[2], counts[30] }, { 2, 1, 2 })
end

-- The records of a file: their data, after length and checksums were compared.
local function records(path)
  local bytes, at, list = scratch.read(path), 1, {}
  local function crc(data)
    local c = mid.crc32c(data)
    return ((c >> 15 | c << 17) + 0xa282ead8) & 0xffffffff
  end
  while at <= #bytes do
    local length, of_length = string.unpack("<I8I4", bytes, at)
    check.equal(crc(bytes:sub(at, at + 7)), of_length)
    local data = bytes:sub(at + 12, at + 11 + length)
    check.equal(crc(data), (string.unpack("<I4", bytes, at + 12 + length)))
    list[#list + 1], at = data, at + 16 + length
  end
  return list
end

function tests.a_run_writes_a_record_a_step()
  local out = scratch.path()
  local docs = { "one two three four five", "six seven eight nine ten" }
  local function make(given)
    return mid.rmt(mid.options.merged({
      model = mid.fake_model(), docs = docs, steps = 4, out = out, progress = false, budget = 4,
      max_completion_length = 4, num_generations = 2, documents_per_step = 1,
      entropies = { mid.fake_model():entropy(docs[1]), mid.fake_model():entropy(docs[2]) },
      reward = function(s) return #s.ids end,
    }, given))
  end
  local run = make()
  run:step(3)
  local names = mid.list(out .. "/tensorboard")
  check.equal(#names, 1)
  assert(names[1]:find "^events%.out%.tfevents%.%d+%.midtrain$", names[1])
  local list = records(out .. "/tensorboard/" .. names[1])
  check.equal(#list, 2 + 3)
  assert(list[1]:find("brain.Event:2", 1, true))
  for _, tag in ipairs { "loss", "grad_norm", "completions/length", "reward" } do
    assert(list[3]:find(tag, 1, true), tag)
  end
  assert(list[3]:find("reward 4", 1, true), "the first completion as text")
  scratch.remove(out)
  local quiet = make { tensorboard = false, steps = 1 }
  quiet:step()
  assert(not mid.exists(out .. "/tensorboard"))
  scratch.remove(out)
end

return tests
