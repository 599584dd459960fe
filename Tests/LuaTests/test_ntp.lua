-- Plain next-token prediction: which documents a step takes, and that the loss is what it says.

local check = require "support.check"
local fake = require "support.fake"
local ntp = require "midtrain.ntp"

return {
  every_document_once_an_epoch = function()
    local seen = {}
    for t = 0, 4 do
      for _, d in ipairs(ntp.draw(10, 4, t, 7)) do seen[#seen + 1] = d end
    end
    for epoch = 0, 1 do
      local counts = {}
      for i = 1, 10 do counts[seen[10 * epoch + i]] = true end
      for d = 1, 10 do assert(counts[d], "document " .. d .. " in epoch " .. epoch) end
    end
    check.equal(ntp.draw(10, 4, 1, 7), ntp.draw(10, 4, 1, 7))
  end,

  the_loss_is_the_mean_over_predicted_tokens = function()
    local model, text = fake.fake_model(), "abcabc"
    local sum = 0
    for i = 2, #text do
      sum = sum - math.log(model:probabilities(text:byte(i - 1), 1)[text:byte(i)])
    end
    local run = ntp {
      model = model, docs = { text }, steps = 30, documents_per_step = 1, learning_rate = 0.5,
      progress = false,
    }
    local first = run:step()
    check.near(first.loss, sum / (#text - 1), 1e-9)
    assert(run:step(29).loss < first.loss, "it learns")
  end,
}
