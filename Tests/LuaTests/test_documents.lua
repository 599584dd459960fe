local check = require "support.check"
local documents = require "midtrain.documents"
local fake = require "support.fake"
local prompts = require "midtrain.prompt"

local prompt = prompts.new(fake.fake_tokenizer(), {})
local ids_of = { { 65, 66, 67, 68 }, { 69, 70, 71 } }

return {
  draws_join_the_places_of_a_document = function()
    local a, b = { document = 2, position = 3, tier = 1 }, { document = 1, position = 4, tier = 2 }
    local c = { document = 2, position = 2, tier = 3 }
    local draws, ordered = documents.draws { a, b, c }
    check.equal(draws, {
      { document = 2, positions = { 2, 3 }, tiers = { 3, 1 } },
      { document = 1, positions = { 4 }, tiers = { 2 } },
    })
    check.equal(ordered, { c, a, b })
    -- The forest's places come in the same order.
    local forest = documents.forest(prompt, ids_of, draws, { score = true })
    for i, place in ipairs(forest.positions) do
      check.equal({ place.document, place.position }, { ordered[i].document, ordered[i].position })
    end
  end,

  -- Bare texts are roots of their own, whose first token is no prediction.
  raw_documents_are_read_by_themselves = function()
    local draws = { { document = 1, positions = { 3 }, tiers = { 1 } } }
    local forest = documents.forest(prompt, ids_of, draws, { score = true, raw = true })
    local segment, mask = next(forest.ntp_mask)
    check.equal(mask, { 0, 1, 0, 1 })
    local raw = forest.batch.segments[segment]
    check.equal({ raw.parent, raw.score, raw.ids == ids_of[1] }, { nil, true, true })
    check.equal(forest.batch.segments[2].score, false)
    -- Without NTP nothing is read twice.
    forest = documents.forest(prompt, ids_of, draws, { score = false, raw = true })
    check.equal(#forest.batch.segments, 3)
  end,
}
