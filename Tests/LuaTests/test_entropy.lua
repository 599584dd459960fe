local check = require "support.check"
local entropy = require "midtrain.entropy"
local fake = require "support.fake"
local scratch = require "support.scratch"

-- Calls f, and returns what it printed.
local function printed(f)
  local lines, original = {}, print
  print = function(line) lines[#lines + 1] = line end
  local ok, message = pcall(f)
  print = original
  assert(ok, message)
  return lines
end

return {
  exclusive_tiers = function()
    local expected = { [0.49] = 0, [0.5] = 1, [0.99] = 1, [1.0] = 2, [1.5] = 2, [1.51] = 3 }
    for h, tier in pairs(expected) do check.equal(entropy.tier(h) or 0, tier, "tier of " .. h) end
  end,

  cumulative_tiers = function()
    check.equal(entropy.cumulative(0.5), { easy = false, medium = false, hard = false })
    check.equal(entropy.cumulative(1.2), { easy = true, medium = true, hard = false })
    check.equal(entropy.cumulative(1.6), { easy = true, medium = true, hard = true })
  end,

  -- The entropy after token p − 1 is the difficulty of token p; the last entropy has no target.
  positions_are_those_of_the_targets = function()
    local tiers = entropy.tiers({ 0.7, 0.1, 2.0, 1.2, 9.9 }, 5)
    check.equal(tiers, { { 2 }, { 5 }, { 4 } })
  end,

  documents_are_computed_once_per_model = function()
    local calls = 0
    local model = {}
    function model:entropy(ids, given)
      calls = calls + 1
      return { #ids, given.top_k or 0 }
    end
    local first = entropy.documents(model, { { 1, 2 }, { 3 }, { 1, 2 } })
    check.equal(first, { { 2, 0 }, { 1, 0 }, { 2, 0 } })
    entropy.documents(model, { { 3 } })
    check.equal(calls, 2)
    check.equal(entropy.documents(model, { { 3 } }, { top_k = 16 }), { { 1, 16 } })
    check.equal(calls, 3)
    entropy.forget(model)
    entropy.documents(model, { { 3 } })
    check.equal(calls, 4)
  end,

  earlier_documents_may_be_forgotten = function()
    local calls, model = 0, {}
    function model:entropy(ids)
      calls = calls + 1
      return { #ids }
    end
    local function compute(documents, forget)
      local before = calls
      entropy.documents(model, documents, { forget = forget })
      return calls - before
    end
    check.equal(compute({ { 1 }, { 2 } }, true), 2)
    check.equal(compute({ { 2 }, { 3 }, { 3 } }, true), 1)
    check.equal(compute({ { 2 }, { 3 } }), 0)
    check.equal(compute({ { 1 } }), 1)
  end,

  quantiles_are_interpolated = function()
    local values = { 4, 1, 3, 2 }
    check.near(entropy.quantile(values, 0), 1)
    check.near(entropy.quantile(values, 1), 4)
    check.near(entropy.quantile(values, 0.5), 2.5)
    check.near(entropy.quantile(values, 0.9), 3.7)
    check.near(entropy.quantile({ 7 }, 0.3), 7)
    check.equal(values, { 4, 1, 3, 2 })
  end,

  -- Of .6, 1, 2, 3: the last of each document has no target, and what is below the floor is no
  -- candidate.
  thresholds_from_quantiles = function()
    local H = { { 0.6, 0.1, 3, 99 }, { 1, 0.49, 2, 99 } }
    check.near(entropy.quantiles(H), { 0.5, 1, 2 })
    check.near(entropy.quantiles(H, { 0.5, 0.75 }), { 0.5, 1.5, 2.25 })
    check.near(entropy.quantiles(H, { 0, 1 }, 0), { 0, 0.1, 3 })
    check.raises(function() entropy.quantiles(H, nil, 9) end, "no entropy reaches 9")
  end,

  files_keep_them_for_the_same_model_and_text_only = function()
    local dir = scratch.path()
    local function model(bias)
      local m = fake.fake_model(function(previous, next) return bias * ((previous + next) % 5) end)
      m.calls = 0
      local original = m.entropy
      function m:entropy(...)
        self.calls = self.calls + 1
        return original(self, ...)
      end
      return m
    end
    local documents = { { 1, 2, 3 }, { 65 } }
    local function of(m, docs, top_k)
      return entropy.documents(m, docs or documents, { cache = dir, top_k = top_k })
    end
    local first, again = model(1), model(1)
    local H = of(first)
    check.equal({ first.calls, #H[1], #H[2] }, { 2, 3, 1 })
    check.equal(of(again), H)
    check.equal(again.calls, 0)
    of(again, nil, 16)
    check.equal(again.calls, 2, "another top_k")
    of(again, { { 1, 2, 3 }, { 66 } })
    check.equal(again.calls, 4, "other text")
    of(again, { { 1, 2 }, { 3, 65 } })
    check.equal(again.calls, 6, "the same tokens in other documents")
    local other = model(1.001)
    of(other)
    check.equal(other.calls, 2, "another model of the same size")
    again.logits[3 * 7919 % 257][4 * 7919 % 257] = 9
    of(again)
    check.equal(again.calls, 8, "the same one after training")
    scratch.remove(dir)
  end,

  damaged_files_are_computed_again = function()
    local dir = scratch.path()
    local m, documents = fake.fake_model(), { { 1, 2, 3 } }
    local H = entropy.documents(m, documents, { cache = dir })
    local pipe <close> = assert(io.popen(("ls '%s'"):format(dir)))
    local path = dir .. "/" .. pipe:read "l"
    local text = scratch.read(path)
    local other = text:gsub("^.", "\x09")
    for _, damaged in ipairs { "", "short", text:sub(1, -2), other, text .. "x" } do
      local file = assert(io.open(path, "wb"))
      file:write(damaged)
      file:close()
      local lines = printed(function()
        check.equal(entropy.documents(m, documents, { cache = dir }), H)
        check.equal(entropy.documents(m, documents, { cache = dir }), H)
      end)
      check.equal(#lines, 1, "said once")
      assert(lines[1]:find "is damaged; they are computed again")
      check.equal(scratch.read(path) == text, true)
    end
    scratch.remove(dir)
  end,
}
