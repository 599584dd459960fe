local check = require "support.check"
local heat = require "midtrain.heat"

local nan = 0 / 0

local function lines(values, given)
  given.color = given.color or false
  return heat.lines(values, given)
end

return {
  -- The entropy after a token is about the one behind it: the first token has none before it.
  entropy_belongs_to_the_token_behind = function()
    local H = { 4, 0, 2, 9 }
    H.tokens = { "The", " end", " of", "." }
    check.equal(lines(H, {}), {
      "The end of.",
      "   9999...5",
      "entropy before each token, nats:  0.00 .123456789 4.00   mean 2.00",
    })
  end,

  scores_belong_to_the_second_token_on = function()
    check.equal(lines({ -1, -3 }, { tokens = { "a", "b", "c" } }), {
      "abc", " 39", "−log-probability, nats:  0.00 .123456789 3.00   mean 2.00",
    })
  end,

  tiers_are_counted = function()
    local H = { 0.2, 0.5, 1.2, 7, 7 }
    check.equal(lines(H, { tokens = { "x", "a", "b", "c", "d" }, thresholds = { 0.5, 1, 1.5 } }), {
      "xabcd", " .123",
      "tier of each token:  . below: 1   1 easy ≥ 0.5: 1   2 medium ≥ 1: 1   3 hard ≥ 1.5: 1",
    })
    local named = lines(H,
      { tokens = { "x", "a", "b", "c", "d" }, thresholds = { 5 }, tiers = { "low", "high" } })
    assert(named[3]:find("low: 3   1 high ≥ 5: 1", 1, true), named[3])
  end,

  differences_have_a_middle = function()
    local tokens = { "a", "b", "c", "d" }
    check.equal(lines({ -1, -2, -3, -2.9 }, { tokens = tokens, minus = { -2, -2, -1, -3.1 } }), {
      "abcd", "3.e1", "difference of log-probabilities, nats:  -2.00 edcba.12345 2.00   mean -0.20",
    })
    assert(lines({ 1 }, { tokens = { "a" }, by = "difference", max = 2 })[2] == "3")
  end,

  other_values_stay_where_they_are = function()
    check.equal(lines({ 5, 7, nan }, { tokens = { "a", "b", "c" }, by = "value" }), {
      "abc", ".9", "value:  5.00 .123456789 7.00   mean 6.00",
    })
    check.equal(lines({ nan }, { tokens = { "a" }, by = "value" }),
      { "a", "value:  no value is finite" })
  end,

  lines_end_where_the_text_does_and_at_the_width = function()
    local text = lines({ 0, 1, 1, 1, 1 }, {
      tokens = { "a\n", "\n", "b\nc", ("d"):rep(19), "\xe4\t" }, by = "value", width = 20,
      title = "T",
    })
    check.equal(text, {
      "T", "a↵", "..", "↵", "9", "b↵", "99", "c" .. ("d"):rep(19), ("9"):rep(20),
      "\u{FFFD}\\t", "999",
      "value:  0.00 .123456789 1.00   mean 0.80",
    })
  end,

  colours_are_backgrounds_with_readable_letters = function()
    local text = lines({ 0, 0.5, 1 }, { tokens = { "a", "b", "c" }, by = "value", color = true })
    check.equal(text[1], "a\27[48;5;215;38;5;16mb\27[0m\27[48;5;124;38;5;231mc\27[0m")
    check.equal(#text, 2)
    local tiers = lines({ 0, 0, 9 }, { tokens = { "a", "b", "c" }, by = "tier", color = true })
    assert(tiers[2]:find "\27%[48;5;153;38;5;16m \27%[0m easy ≥ 0.5: 0", tiers[2])
  end,

  ids_need_a_tokenizer = function()
    local tokenizer = { token = function(_, id) return "<" .. id .. ">" end }
    local text = lines({ 1, 2 }, { tokens = { 7, 8 }, tokenizer = tokenizer, by = "value" })
    check.equal(text[1], "<7><8>")
    local function fails(given, message)
      check.raises(function() heat.lines({ 1 }, given) end, message)
    end
    fails({ tokens = { 7 } }, "need the option tokenizer")
    fails(nil, "no tokens")
    fails({ tokens = { "a", "b", "c" } }, "1 values for 3 tokens")
    fails({ tokens = { "a" }, minus = { 1, 2 } }, "minus has 2")
    fails({ tokens = { "a" }, by = "entropie" }, "did you mean 'entropy'?")
    check.raises(function() heat.lines(nil) end, "expected a list of numbers, got nil")
  end,
}
