import Foundation
import TestSupport
import Testing

import Text

@Suite struct ChatTemplateTests {
  private func render(_ source: String, _ variables: JSON.Object = .init()) throws -> String {
    try ChatTemplate(source).render(messages: [], variables: variables)
  }

  private func message(_ source: String, _ variables: JSON.Object = .init()) -> String {
    do {
      return "no error, but " + (try render(source, variables))
    } catch {
      return "\(error)"
    }
  }

  @Test(.enabled(if: Places.shared("goldens/chat-templates") != nil))
  func realTemplates() throws {
    let folder = try #require(Places.shared("goldens/chat-templates"))
    let goldens = try #require(JSON(parsing: fileContents(folder + "/rendered.json")).object)
    var parts = DateComponents()
    (parts.year, parts.month, parts.day, parts.hour) = (2026, 11, 23, 12)
    let date = try #require(Calendar.current.date(from: parts))
    var count = 0
    for (file, cases) in goldens {
      let template = try ChatTemplate(
        String(decoding: fileContents(folder + "/" + file), as: UTF8.self), name: file)
      for one in try #require(cases.array) {
        var variables: JSON.Object = .init([("bos_token", "<s>"), ("eos_token", "</s>")])
        for (name, value) in try #require(one.object)
        where !["messages", "text", "add_generation_prompt"].contains(name) {
          variables[name] = value
        }
        let text = try template.render(
          messages: #require(one["messages"]?.array),
          addGenerationPrompt: one["add_generation_prompt"] == true,
          variables: variables, date: date)
        #expect(text == one["text"]?.string, "\(file)")
        count += 1
      }
    }
    #expect(count == 36)
  }

  /// What Python's Jinja makes of small templates, one or more per feature.
  @Test func likeJinja() throws {
    let golden = try JSON(parsing: golden("text/jinja.json"))
    let variables = try #require(golden["variables"]?.object)
    let cases = try #require(golden["cases"]?.array)
    #expect(cases.count > 30)
    for one in cases {
      let source = try #require(one["template"]?.string)
      #expect(message(source, variables) == "no error, but " + (one["text"]?.string ?? ""), "\(source)")
    }
  }

  @Test func strftime() throws {
    let template = try ChatTemplate("{{ strftime_now('%d %b %Y') }}|{{ strftime_now is defined }}")
    let text = try template.render(messages: [], date: Date(timeIntervalSince1970: 86400 * 365.5))
    #expect(text == "01 Jan 1971|True")
  }

  @Test(arguments: [
    (
      "a\n{% if x %}b", "chat template:2: expected 'elif' or 'else' or 'endif'; found the end of the template"
    ),
    ("{{ 1 +\n }}", "chat template:2: expected an expression; found '}}'"),
    ("\n\n{% include 'x' %}", "chat template:3: statement 'include' is not supported; found 'include'"),
    ("{{ x | nosuch }}", "chat template:1: filter 'nosuch' is not supported"),
    ("{{ x is nosuch }}", "chat template:1: test 'nosuch' is not supported"),
    ("{{ x.y.z }}", "chat template:1: 'x' is undefined, so it has no 'y'"),
    ("\n{{ 'a' + 1 }}", "chat template:2: '+' cannot be applied to a string and an integer"),
    ("{{ nosuch() }}", "chat template:1: 'nosuch' is not a function that templates know here"),
    ("\n{{ raise_exception('No system role') }}", "chat template:2: the template refuses: No system role"),
    ("{{ 'a }}", "chat template:1: a string without its closing quote"),
    ("a {{ b ", "chat template:1: a tag without its closing '}}'"),
    ("{# b ", "chat template:1: a comment without its closing '#}'"),
    ("{% endif %}", "chat template:1: statement 'endif' is not supported; found 'endif'"),
    ("{% set x.y = 1 %}", "chat template:1: only a namespace's attributes can be set, and 'x' is none"),
    ("{{ 1 // 0 }}", "chat template:1: division by zero"),
    ("{{ 9223372036854775807 + 1 }}", "chat template:1: 9223372036854775807 + 1 does not fit 64 bits"),
    ("{{ 5 | tojson(sort_keys=true) }}", "chat template:1: tojson with sort_keys is not supported"),
  ])
  func errors(_ source: String, _ expected: String) {
    #expect(message(source) == expected)
  }

  /// Damaged templates render something or are refused.
  @Test func damage() throws {
    let golden = try JSON(parsing: golden("text/jinja.json"))
    let variables = try #require(golden["variables"]?.object)
    let sources = try #require(golden["cases"]?.array).compactMap { $0["template"]?.string }
    var random = Random(6)
    var refused = 0
    for round in 0..<2000 {
      let source = damaged(Array(sources[round % sources.count].utf8), &random)
      do {
        _ = try render(String(decoding: source, as: UTF8.self), variables)
      } catch {
        #expect("\(error)".hasPrefix("chat template:"))
        refused += 1
      }
    }
    #expect(refused > 500)
  }

  /// Templates that would take all time, memory or stack end with an error.
  @Test(arguments: [
    "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    "{% set n = namespace(s='x') %}{% for a in range(100) %}{% set n.s = n.s + n.s %}{% endfor %}",
    "{% set n = namespace(s=[1]) %}{% for a in range(100) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}",
    "{% set n = namespace(s=[1]) %}{% for a in range(100000) %}{% set n.s = [n.s] %}{% endfor %}{{ n.s }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "{{ 'a' * 99999999999 }}", "{{ range(99999999999) }}",
    String(repeating: "(", count: 5000) + "1", "{{ " + String(repeating: "(", count: 5000),
    "{{ 1" + String(repeating: " + 1", count: 5000) + " }}",
    "{{ " + String(repeating: "not ", count: 5000) + "1 }}",
    "{{ " + String(repeating: "-", count: 5000) + "1 }}",
    "{{ x" + String(repeating: "|trim", count: 5000) + " }}",
    String(repeating: "{% if 1 %}", count: 5000), "{{ 10 ** 10 ** 10 ** 10 }}",
    "{{ 'x' | indent(99999999) }}",
    "{{ [1] | tojson(indent=99999999) }}",
  ])
  func bounds(_ source: String) {
    let text = message(source)
    #expect(text.utf8.count < 5000 + 100)
    #expect(
      text.hasPrefix("chat template") || text.hasPrefix("no error, but (((") || text.hasSuffix("inf"),
      "\(text)")
  }
}
