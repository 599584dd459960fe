local check = require "support.check"
local options = require "midtrain.options"

local specification = {
  temperature = { "number", default = 1, min = 0 },
  num_generations = { "integer", default = 8, min = 1 },
  loss_type = { "string", default = "dapo", choices = { "grpo", "dapo" } },
  docs = { "table", required = true },
  budget = {
    { "function" },
    convert = function(value)
      return type(value) == "number" and function() return value end or value
    end,
  },
}

local function call(given) return options.check("f", given, specification) end

return {
  defaults_are_filled_in = function()
    local o = call { docs = {}, num_generations = 4.0 }
    check.equal(o.temperature, 1)
    check.equal(math.type(o.num_generations), "integer")
    check.equal(o.budget, nil)
  end,

  shorthand_is_converted = function()
    check.equal(call { docs = {}, budget = 7 }.budget(), 7)
  end,

  unknown_names_suggest_the_nearest = function()
    check.raises(function() call { docs = {}, temprature = 1 } end,
      "f: unknown option 'temprature'", "did you mean 'temperature'?")
    check.raises(function() call { docs = {}, num_generation = 1 } end, "'num_generations'")
    check.raises(function() call { docs = {}, frobnicate = 1 } end, "known are budget, docs,")
  end,

  wrong_values_say_what_was_expected = function()
    check.raises(function() call {} end, "f: option 'docs' is required")
    check.raises(function() call { docs = "x" } end, "'docs' must be table, got string ('x')")
    check.raises(function() call { docs = {}, num_generations = 1.5 } end, "must be integer")
    check.raises(function() call { docs = {}, temperature = -1 } end, "of 0 or more")
    check.raises(function() call { docs = {}, temperature = 0 / 0 } end, "finite")
    check.raises(function() call { docs = {}, temperature = math.huge } end, "finite")
    check.raises(function() call { docs = {}, loss_type = "gppo" } end,
      "one of grpo, dapo, got 'gppo'; did you mean 'grpo'?")
    check.raises(function() options.check("f", 3, specification) end, "table of options")
  end,

  blame_falls_on_the_caller = function()
    -- Of however many functions of the library that are in between.
    local _, message = pcall(function()
      require "midtrain.budget".linear { initial = 400, finl = 1 }
    end)
    local line = debug.getinfo(1, "l").currentline - 2
    check.equal(tonumber(message:match(":(%d+):")), line, "line")
  end,

  distance_counts_edits_and_swaps = function()
    check.equal(options.distance("abc", "abc"), 0)
    check.equal(options.distance("abc", "acb"), 1)
    check.equal(options.distance("kitten", "sitting"), 3)
    check.equal(options.distance("", "abc"), 3)
  end,
}
