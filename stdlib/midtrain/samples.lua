-- Completions as people read them.

local samples = {}

--- Lines of completions.jsonl as text: where, what was predicted and true, what it earned, and the
--- completion itself.
---@param logged table[]
---@param count integer at most
---@return string
function samples.describe(logged, count)
  local lines = {}
  for i = 1, math.min(count, #logged) do
    local s = logged[i]
    local parts = { ("step %d"):format(s.step) }
    if s.tier then parts[#parts + 1] = s.tier end
    if s.target then
      parts[#parts + 1] = ("predicted %s, true %q"):format(
        s.prediction and ("%q"):format(s.prediction) or "nothing", s.target)
    end
    if s.gold then
      parts[#parts + 1] = ("answered %s, gold %s"):format(s.answer or "nothing", s.gold)
    end
    parts[#parts + 1] = s.reward and ("reward %.2f"):format(s.reward) or "no reward"
    lines[#lines + 1] = table.concat(parts, " · ")
    lines[#lines + 1] = "  " .. s.text:gsub("\n", "\n  ")
  end
  return table.concat(lines, "\n")
end

return samples
