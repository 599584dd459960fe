// Tokenizers and chat templates.
import Text
import Train

extension Tokenizer: LuaObject {}

extension Registry {
  /// `mid.tokenizer`, `mid.chat` and the type `Tokenizer`.
  package func addText() {
    longFunction(
      "tokenizer", "Loads a tokenizer alone.",
      [Parameter("path", "string", "a folder, a tokenizer.json, a GGUF file, or a name in the model cache")],
      returns: "Tokenizer", example: "tok = mid.tokenizer \"SmolLM2-135M-Instruct\""
    ) { call in
      let path = try call[1].path()
      return {
        let tokenizer = try LanguageModel.loadTokenizer(path)
        return { try $0.return(tokenizer) }
      }
    }

    let chatOptions = [
      Parameter("add_generation_prompt", "boolean", "open the assistant's turn", default: .boolean(false))
    ]
    let messages = Parameter("messages", "{role: string, content: string}[]", "the conversation")
    function(
      "chat", "Renders a chat template, the Jinja text that a checkpoint carries.",
      [Parameter("template", "string"), messages, .options(chatOptions)], returns: "string",
      example: "mid.chat(template, {{ role = \"user\", content = \"Hi\" }}, { add_generation_prompt = true })"
    ) { call in
      let template = try ChatTemplate(call[1].string())
      return try call.return(
        template.render(
          messages: messageList(call[2]),
          addGenerationPrompt: call.options(3)["add_generation_prompt"].boolean()))
    }

    type(Tokenizer.self, "Tokenizer") { type in
      type.describe = { tokenizer in
        func name(_ id: Int32?) -> String? {
          guard let id, let bytes = try? tokenizer.token(id) else { return nil }
          return "\(String(decoding: bytes, as: UTF8.self)) (\(id))"
        }
        let parts = [
          "Tokenizer  \(tokenizer.vocabularySize) tokens", name(tokenizer.bosID).map { "bos " + $0 },
          name(tokenizer.eosID).map { "eos " + $0 },
          tokenizer.chatTemplate == nil ? "no chat template" : "chat template",
        ]
        return parts.compactMap { $0 }.joined(separator: " · ")
      }
      type.property("vocab_size", "integer", "Number of token ids.") { tokenizer, stack in
        try stack.return(tokenizer.vocabularySize)
      }
      type.property("bos_id", "integer?", "The token that begins a text.") { tokenizer, stack in
        try stack.return(tokenizer.bosID)
      }
      type.property("eos_id", "integer?", "The token that ends a text.") { tokenizer, stack in
        try stack.return(tokenizer.eosID)
      }
      type.property("chat_template", "string?", "The checkpoint's own chat template.") { tokenizer, stack in
        try stack.return(tokenizer.chatTemplate)
      }
      type.method(
        "encode", "Token ids of a text. Special tokens in it are recognised; none are added.",
        [Parameter("text", "string")], returns: "integer[]", example: "ids = tok:encode \"Hello\""
      ) { tokenizer, call in
        try call.return(call[1].withBytes { try tokenizer.encode($0) })
      }
      type.method(
        "decode", "The text of token ids, as bytes: ids may end inside a character.",
        [Parameter("ids", "integer[]")],
        returns: "string", example: "print(tok:decode(ids))"
      ) { tokenizer, call in
        try call.return(Bytes(tokenizer.decode(call[1].integers())))
      }
      type.method(
        "token", "The bytes that one token stands for.", [Parameter("id", "integer")], returns: "string",
        example: "print(tok:token(100))"
      ) { tokenizer, call in
        let id = try call[1].integer(min: 0, max: tokenizer.vocabularySize - 1)
        return try call.return(Bytes(tokenizer.token(Int32(id))))
      }
      type.method(
        "id", "The id of a token's text, nil if there is none.", [Parameter("text", "string")],
        returns: "integer?",
        example: "tok:id \"<|im_end|>\""
      ) { tokenizer, call in
        try call.return(call[1].withBytes { tokenizer.id(of: $0) })
      }
      type.method(
        "chat", "Renders a conversation with the checkpoint's own chat template.",
        [messages, .options(chatOptions)],
        returns: "string",
        example: "tok:chat({{ role = \"user\", content = \"Hi\" }}, { add_generation_prompt = true })"
      ) { tokenizer, call in
        try call.return(
          tokenizer.applyChatTemplate(
            messageList(call[1]), addGenerationPrompt: call.options(2)["add_generation_prompt"].boolean()))
      }
    }
  }
}

/// Messages as templates take them.
private func messageList(_ argument: Argument) throws -> [JSON] {
  try argument.elements().map { message in
    JSON.object(.init(try message.pairs().map { (try $0.key.string(), .string(try $0.value.string())) }))
  }
}
