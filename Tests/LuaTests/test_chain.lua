-- The small world: its text is right arithmetic, its places are where they should be.

local chain = require "midtrain.chain"
local check = require "support.check"
local random = require "midtrain.random"

return {
  texts_depend_on_seed_and_number_only = function()
    local texts = chain.generate(5, { seed = 4, worked = 0.5 })
    check.equal(chain.generate(2, { seed = 4, worked = 0.5, first = 4 }), { texts[4], texts[5] })
    assert(texts[1] ~= texts[2] and texts[1] ~= chain.generate(1, { seed = 5, worked = 0.5 })[1])
  end,

  worked_lines_are_right = function()
    local seen = { terse = 0, verbose = 0 }
    for _, text in ipairs(chain.generate(90, { seed = 1, worked = 1 })) do
      for question, start, rest, steps, result in text:gmatch "(%l):a(%d)([^~\n]*)~~~~(%g-)=(%d)\n" do
        local value, i, pattern = math.tointeger(start), 0, "^"
        for label, operation, operand in rest:gmatch "(%l)([+*])(%d)" do
          i = i + 1
          check.equal(label, string.char(97 + i))
          local after = (operation == "*" and value * operand or value + operand) % 10
          after = math.tointeger(after)
          -- Either way of writing the step, in turn from the text that is left.
          local terse = ("%s%d"):format(label, after)
          local verbose = ("%s%d%s%s=%d"):format(label, value, operation, operand, after)
          local way = steps:sub(1, #verbose) == verbose and verbose or terse
          check.equal(steps:sub(1, #way), way)
          steps, pattern = steps:sub(#way + 1), pattern .. (way == terse and "t" or "v")
          value = after
        end
        check.equal(steps, "")
        check.equal(math.tointeger(result), value % ({ p = 2, t = 3, v = 10 })[question])
        local style = not pattern:find "v" and "terse" or not pattern:find "t" and "verbose"
        seen[style] = seen[style] + 1
      end
    end
    assert(seen.terse > 50 and seen.verbose > 50, "all styles occur")
  end,

  results_of_plain_lines_are_found = function()
    local text = "v:a3b+5=8\np:a3b+5~~~~b8=0\np:a2b*3=0\n"
    check.equal(chain.results(text), { 9, 35 })
    local H = {}
    for i = 1, #text do H[i] = i end
    local masked = chain.of_results(text, H)
    for i, h in ipairs(masked) do check.equal(h, (i == 8 or i == 34) and i or 0) end
  end,

  -- A result that training text could have given away is no place to evaluate.
  known_questions_are_left_out = function()
    local known = chain.questions { "v:a3b+5=8\np:a3b+5~~~~b8=0\n" }
    check.equal(known, { ["v:a3b+5"] = true, ["p:a3b+5"] = true })
    local text = "v:a3b+5=8\np:a3b+5~~~~b8=0\np:a2b*3=0\nt:a3b+5=2\n"
    check.equal(chain.results(text, known), { 35, 45 })
    check.equal(chain.results(text, chain.questions({ text }, known)), {})
    check.equal(chain.of_results("v:a3b+5=8\n", { 1, 1, 1, 1, 1, 1, 1, 1, 1 }, known),
      { 0, 0, 0, 0, 0, 0, 0, 0, 0 })
  end,

  guesses_are_possible_results = function()
    local generator = random.new(1, 0, "test")
    for question, largest in pairs { p = 1, t = 2, v = 9 } do
      local seen, line = {}, ("v:a1b*3\n%s:a3b+5="):format(question)
      local text = chain.guesses(line, 400, generator)
      check.equal(#text, 800)
      for digit in text:gmatch "%?(%d)" do seen[math.tointeger(digit)] = true end
      for digit = 0, 9 do check.equal(seen[digit], digit <= largest and true or nil) end
    end
  end,

  thoughts_end_with_the_result = function()
    local line = "v:a1b*3\nv:a3b+5c*7d+6e+4="
    local generator = random.new(1, 0, "test")
    check.equal(chain.thought(line, 1, generator), "b8c6d2e6=6")
    check.equal(chain.thought(line, 0, generator), "b3+5=8c8*7=6d6+6=2e2+4=6=6")
  end,
}
