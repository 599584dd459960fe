local check = require "support.check"
local fake = require "support.fake"
local reward = require "midtrain.reward"

local tokenizer = fake.fake_tokenizer()

local function audited(f, given)
  local rows = reward.audit(f, { tokenizer = tokenizer, print = false, budget = given or 8 })
  local by_name = {}
  for _, row in ipairs(rows) do by_name[row.name] = row end
  return by_name, rows
end

return {
  the_papers_reward_pays_right_answers_most = function()
    local by_name, rows = audited(reward.rmt())
    for _, row in ipairs(rows) do
      check.equal({ row.suspicious, row.failure }, { false }, row.name)
    end
    check.near(by_name["right, as long a thought as asked"].reward, 1)
    check.near(by_name["right, no thought"].reward, 0.7)
    -- The length reward alone; what RMT's sum of rewards pays for nothing.
    check.near(by_name["wrong, as long a thought as asked"].reward, 0.3)
    check.near(by_name["one word repeated without end"].reward, 0)
  end,

  what_pays_too_much_is_marked = function()
    local function finds(sample)
      return sample.text:find(("\\boxed{%s}"):format(sample.continuation[1]), 1, true) and 1 or 0
    end
    local by_name = audited(finds)
    local expected = {
      ["several boxes, the right one not the last"] = true,
      ["a thought that never ends, a right box in it"] = true,
      ["a right box before the thought ends, a wrong one after"] = true,
      ["wrong, no thought"] = false, ["nothing at all"] = false,
      ["right, no thought"] = false,
    }
    for name, suspicious in pairs(expected) do
      check.equal(by_name[name].suspicious, suspicious, name)
    end
    check.equal(audited(reward.rmt { weight = 1 })["an empty box"].suspicious, true)
  end,

  failures_are_reported = function()
    local by_name = audited(function(s) return #s.prediction > 0 and 1 or 0 end)
    assert(by_name["nothing at all"].failure:find "prediction")
    check.equal(by_name["nothing at all"].reward, nil)
    check.equal(by_name["an empty box"].reward, 0)
    check.equal(audited(function() end)["right, no thought"].reward, nil)
  end,

  needs_a_tokenizer = function()
    check.raises(function() reward.audit(reward.rmt(), {}) end, "'tokenizer' is required")
  end,
}
