local check = require "support.check"
local fake = require "support.fake"
local prompts = require "midtrain.prompt"
local questions = require "midtrain.questions"

local plain = fake.fake_tokenizer { chat_template = false }
local examples = { { question = "1+1", answer = "2" }, { question = "2+2", answer = "4",
  solution = "two and two are #### 4" } }

-- All tokens of a segment's branch as text.
local function branch(batch, s)
  local segment, text = batch.segments[s], ""
  if segment.parent then
    text = plain:decode(table.move(batch.segments[segment.parent].ids, 1, segment.offset, 1, {}))
  end
  return text .. plain:decode(segment.ids)
end

return {
  -- lm-evaluation-harness's text of GSM8K.
  plain_text_is_as_the_harness_writes_it = function()
    local p = questions.new(plain,
      { instructions = "", format = "Question: %s\nAnswer:", examples = examples })
    check.equal(p:text "3+3", "Question: 1+1\nAnswer: 2\n\n"
      .. "Question: 2+2\nAnswer: two and two are #### 4\n\nQuestion: 3+3\nAnswer:")
    -- A question's own per cent signs are left alone.
    assert(p:text("%s %d %%"):find("Question: %s %d %%\nAnswer:", 1, true))
  end,

  a_conversation_has_the_examples_as_turns = function()
    local p = questions.new(fake.fake_tokenizer(), { instructions = "Reason.", examples = examples })
    check.equal(p:text("3+3", 9), "<|user|>\nReason.\n\n"
      .. "IMPORTANT: You should use exactly 9 tokens within <think></think>.\n\n1+1<|end|>\n"
      .. "<|assistant|>\n2<|end|>\n<|user|>\n2+2<|end|>\n<|assistant|>\n"
      .. "two and two are #### 4<|end|>\n<|user|>\n3+3<|end|>\n<|assistant|>\n")
  end,

  a_thought_is_opened_once = function()
    local p = questions.new(plain, { think = true })
    assert(p.opens_thought and p:text "a":find "\n\na<think>$")
    local opening = fake.fake_tokenizer { opens_think = true }
    for _, think in ipairs { true, false } do
      p = questions.new(opening, { think = think })
      check.equal(p.opens_thought, true)
      assert(p:text "a":find "<|assistant|>\n<think>\n$")
    end
    check.equal(questions.new(plain).opens_thought, false)
  end,

  -- After mid-training, questions can be asked in the very words of mid-training.
  it_can_repeat_the_prompt_of_mid_training = function()
    local words = { instructions = "Continue.", budget_line = "Use %d tokens." }
    local p = questions.new(plain, {
      instructions = "Continue.", budget_line = "Use %d tokens.", format = "### Context %s\n\n",
      think = true,
    })
    for _, budget in ipairs { 7, false } do
      check.equal(p:text("7:3+5=", budget or nil),
        prompts.new(plain, words):text("7:3+5=", budget or nil))
    end
  end,

  a_batch_reads_what_is_shared_once = function()
    local p = questions.new(plain, { instructions = "Add.", format = "Q: %s A:" })
    local list = { { question = "11+1" }, { question = "11+2" }, { question = "3" } }
    local batch, segments = p:batch(list)
    check.equal(#batch.segments, 4)
    check.equal(branch(batch, 1), "Add.\n\nQ: ")
    for i, task in ipairs(list) do check.equal(branch(batch, segments[i]), p:text(task.question)) end
    -- Equal questions still have a token each, and one alone has a root, too.
    batch, segments = p:batch { list[1], list[1] }
    check.equal(#batch.segments[segments[2]].ids, 1)
    check.equal(branch(batch, segments[2]), p:text(list[1].question))
    batch, segments = p:batch { list[3] }
    check.equal(branch(batch, segments[1]), p:text "3")
    -- Nothing in common: no root.
    batch, segments = questions.new(plain, { instructions = "" }):batch { list[1], list[3] }
    check.equal({ #batch.segments, branch(batch, segments[2]) }, { 2, "3" })
  end,

  a_plain_prompt_begins_with_the_token_for_it = function()
    local p = questions.new(fake.fake_tokenizer { chat_template = false, bos_id = 65 },
      { instructions = "" })
    check.equal(p:ids "b", { 65, 98 })
    check.equal(questions.new(fake.fake_tokenizer { bos_id = 65 }):ids("b")[1], ("<"):byte())
  end,

  mistakes_are_explained = function()
    check.raises(function() questions.new(plain, { example = {} }) end, "did you mean 'examples'?")
    check.raises(function() questions.new(plain, { examples = { { question = "a" } } }) end,
      "example 1 has no question and solution")
  end,
}
