local check = require "support.check"
local fake = require "support.fake"
local prompt = require "midtrain.prompt"

return {
  the_document_lies_between_head_and_tail = function()
    local tokenizer = fake.fake_tokenizer()
    local p = prompt.new(tokenizer)
    local text = p:text("2 + 2", 50)
    check.equal(text, "<|user|>\n" .. prompt.instructions
      .. "\n\nIMPORTANT: You should use exactly 50 tokens within <think></think>."
      .. "\n\n### Context 2 + 2<|end|>\n<|assistant|>\n<think>")
    check.equal(tokenizer:decode(p:head(50)) .. "2 + 2" .. tokenizer:decode(p:tail()), text)
  end,

  without_a_budget_there_is_no_budget_line = function()
    local p = prompt.new(fake.fake_tokenizer())
    assert(not p:text("x"):find "IMPORTANT")
    assert(#p:head(nil) < #p:head(1))
    check.equal(p:head(1), p:head(1))
  end,

  a_template_that_opens_the_thought_is_left_alone = function()
    local p = prompt.new(fake.fake_tokenizer { opens_think = true })
    assert(p:text("x", 5):find "<|assistant|>\n<think>\n$")
  end,

  a_base_model_gets_plain_text = function()
    local p = prompt.new(fake.fake_tokenizer { chat_template = false, bos_id = 7 })
    check.equal(p:text("x"), prompt.instructions .. "\n\n### Context x\n\n<think>")
    check.equal(p:head(nil)[1], 7)
    local chosen = prompt.new(fake.fake_tokenizer { bos_id = 7 }, { template = false })
    check.equal(chosen:text("x"), p:text("x"))
    assert(prompt.new(fake.fake_tokenizer { bos_id = 7 }):head(nil)[1] ~= 7)
  end,

  a_template_that_hides_the_message_is_an_error = function()
    local tokenizer = fake.fake_tokenizer()
    function tokenizer:chat() return "always the same" end
    check.raises(function() prompt.new(tokenizer):tail() end, "template = false")
  end,
}
