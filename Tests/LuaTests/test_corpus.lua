local check = require "support.check"
local corpus = require "midtrain.corpus"

return {
  a_document_depends_on_its_seed_and_number_only = function()
    local all = corpus.generate(60, { seed = 3 })
    check.equal(corpus.generate(60, { seed = 3 }), all)
    check.equal(corpus.generate(1, { seed = 3, first = 42 })[1], all[42])
    assert(corpus.generate(1, { seed = 4 })[1] ~= all[1])
  end,

  documents_are_varied = function()
    local seen, starts, kinds, different = {}, {}, 0, 0
    for _, text in ipairs(corpus.generate(500)) do
      if not seen[text] then seen[text], different = true, different + 1 end
      assert(#text > 90 and #text < 600, "length of: " .. text)
      local start = text:match "Problem: %a+ %a+"
      if start and not starts[start] then starts[start], kinds = true, kinds + 1 end
    end
    assert(different >= 495, "different: " .. different)
    assert(kinds >= 12, "kinds: " .. kinds)
    assert(corpus.kinds >= 15)
  end,

  -- Every "a op b = c" in the text, recomputed.
  its_arithmetic_is_right = function()
    local checked = 0
    for _, text in ipairs(corpus.generate(600, { seed = 9 })) do
      for a, op, b, c in text:gmatch "%f[%w%-](%-?%d+) ([%+%-%*/]) (%-?%d+) = (%-?%d+)%f[^%d]" do
        -- Part of a longer expression ("2 + 3 * 4 = 14") is not a statement of its own.
        local whole = ("%s %s %s = %s"):format(a, op, b, c)
        local at = text:find(whole, 1, true)
        local before = text:sub(math.max(1, at - 2), at - 1)
        local after = text:sub(at + #whole, at + #whole + 2)
        local is_part = before:find "[%+%-%*/%(%^] ?$" or after:find "^ ?[%+%-%*/x]"
        if not is_part then
          local x, y, z = tonumber(a), tonumber(b), tonumber(c)
          local value = op == "+" and x + y or op == "-" and x - y or op == "*" and x * y or x / y
          check.equal(value == z, true, text .. "\n" .. whole)
          checked = checked + 1
        end
      end
    end
    assert(checked > 900, "checked only " .. checked)
  end,

  -- Solutions put back into their equations.
  its_equations_hold = function()
    local linear, quadratic = 0, 0
    for _, text in ipairs(corpus.generate(600, { seed = 10 })) do
      local a, b, c = text:match "Solve (%d+)x %+ (%d+) = (%-?%d+) for x"
      if a then
        local x = tonumber(text:match "substitute x = (%-?%d+):")
        check.equal(a * x + b, tonumber(c), text)
        linear = linear + 1
      end
      local equation = text:match "Solve the equation (x^2.-) = 0"
      if equation then
        for x in text:match("Therefore.*"):gmatch "x = (%-?%d+)" do
          local lua = equation:gsub("(%d)x", "%1*x"):gsub("x", "(" .. x .. ")")
          check.equal(load("return " .. lua)(), 0.0, text)
        end
        quadratic = quadratic + 1
      end
    end
    assert(linear > 20 and quadratic > 20)
  end,
}
