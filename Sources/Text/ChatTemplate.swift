import Foundation

/// A chat template: Jinja source that turns messages into the text that a model was trained on.
///
/// The part of Jinja that chat templates use is supported, with transformers' settings (`trim_blocks`,
/// `lstrip_blocks`, `tojson`, `raise_exception`, `strftime_now`); anything else is an error with its line.
public struct ChatTemplate: Sendable {
  private let statements: [TemplateStatement]
  private let name: String

  /// Parses a template.
  ///
  /// - Parameter name: what errors call it.
  /// - Throws: `TextError` "name:line: what was expected".
  public init(_ source: String, name: String = "chat template") throws {
    statements = try TemplateParser.parse(source, name: name)
    self.name = name
  }

  /// The text of a conversation.
  ///
  /// - Parameters:
  ///   - messages: objects with `role` and `content`, as the template wants them.
  ///   - addGenerationPrompt: whether to open the assistant's turn at the end.
  ///   - variables: what else the template asks for: `bos_token`, `tools`, `enable_thinking`, …
  ///   - date: what `strftime_now` takes for now.
  /// - Throws: `TextError` with the line at which the template fails or refuses the messages.
  public func render(
    messages: [JSON], addGenerationPrompt: Bool = false, variables: JSON.Object = .init(), date: Date = Date()
  ) throws -> String {
    var names: [String: TemplateValue] = ["tools": .none, "documents": .none]
    for (name, value) in variables { names[name] = TemplateValue(value) }
    names["messages"] = TemplateValue(.array(messages))
    names["add_generation_prompt"] = .bool(addGenerationPrompt)
    return try TemplateRenderer(name: name, variables: names, date: date).render(statements)
  }
}

extension Tokenizer {
  /// The text of a conversation by the model's own chat template, with the model's special tokens.
  ///
  /// - Throws: `TextError` when there is no template, or it fails.
  public func applyChatTemplate(
    _ messages: [JSON], addGenerationPrompt: Bool = false, variables: JSON.Object = .init(),
    date: Date = Date()
  ) throws -> String {
    guard let chatTemplate else {
      throw TextError("the tokenizer has no chat template; render one with your own template text instead")
    }
    var all = JSON.Object()
    for (name, id) in [
      ("bos_token", bosID), ("eos_token", eosID), ("pad_token", padID), ("unk_token", unkID),
    ] {
      if let id { all.append(name, .string(String(decoding: try token(id), as: UTF8.self))) }
    }
    for (name, value) in variables { all[name] = value }
    return try ChatTemplate(chatTemplate).render(
      messages: messages, addGenerationPrompt: addGenerationPrompt, variables: all, date: date)
  }
}
