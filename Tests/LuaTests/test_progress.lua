local check = require "support.check"
local progress = require "midtrain.progress"

return {
  durations_are_short = function()
    check.equal(progress.duration(0.4), "0 s")
    check.equal(progress.duration(99), "99 s")
    check.equal(progress.duration(100), "2 min")
    check.equal(progress.duration(5400), "90 min")
    check.equal(progress.duration(2 * 3600), "2.0 h")
  end,

  what_is_left_goes_by_the_last_steps = function()
    check.equal(progress.left({}, 10), nil)
    local history = { { step_time = 100 } }
    for t = 2, 21 do history[t] = { step_time = 2 } end
    check.equal(progress.left(history, 31), 20)
    -- Steps of another process may have no times.
    check.equal(progress.left({ {}, { step_time = 3 } }, 4), 6)
  end,

  a_bar_is_as_full_as_it_should_be = function()
    check.equal(progress.bar(0, 4), "▕    ▏")
    check.equal(progress.bar(0.5, 4), "▕██  ▏")
    check.equal(progress.bar(0.15625, 4), "▕▋   ▏")
    check.equal(progress.bar(1, 4), "▕████▏")
  end,
}
