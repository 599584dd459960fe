local arguments = require "midtrain.arguments"
local check = require "support.check"

local defaults = { steps = 100, out = "runs/x", quick = false }

return {
  words_change_defaults = function()
    check.equal(arguments.read("x", defaults, { "--steps", "5", "--out=a" }, {}),
      { steps = 5, out = "a", quick = false })
    check.equal(defaults.steps, 100)
    check.raises(function() arguments.read("x", defaults, { "--step", "5" }, {}) end,
      "did you mean 'steps'?")
  end,

  a_quick_script_is_small_unless_asked_otherwise = function()
    local quick = { steps = 2 }
    check.equal(arguments.read_quick("x", defaults, quick, {}, {}).steps, 100)
    check.equal(arguments.read_quick("x", defaults, quick, { "--quick" }, {}),
      { steps = 2, out = "runs/x", quick = true })
    check.equal(arguments.read_quick("x", defaults, quick, { "--quick", "--steps=7" }, {}).steps, 7)
    check.equal(arguments.read_quick("x", defaults, quick, {}, { quick = "true" }).steps, 2)
  end,

  names_are_read_in_any_script = function()
    -- Of a fresh copy: what another test called must not matter.
    local path = assert(package.searchpath("midtrain.arguments", package.path))
    local fresh = dofile(path)
    check.equal(fresh.names "rmt, rpt,ntp", { "rmt", "rpt", "ntp" })
    check.equal(fresh.names "", nil)
  end,
}
