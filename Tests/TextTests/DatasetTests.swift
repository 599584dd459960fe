import Foundation
import TestSupport
import Testing

import Text

@Suite struct DatasetTests {
  private func file(_ contents: String, _ extra: [UInt8] = []) throws -> String {
    let url = FileManager.default.temporaryDirectory.appending(path: "midtrain-\(UUID().uuidString).txt")
    try Data(Array(contents.utf8) + extra).write(to: url)
    return url.path
  }

  @Test func rows() throws {
    let path = try file(
      "{\"text\": \"a\"}\r\n\n{\"text\": 5}\n"
        + #"{"other": "b", "x": 1}"# + "\n{\"text\": \"c\"\n[1]\n" + #"{"text": "d\u00e9"}"#
    )
    defer { try? FileManager.default.removeItem(atPath: path) }
    let (texts, report) = try JSONLines(path: path, field: "text").texts()
    #expect(texts == ["a", "dé"])
    #expect(report.rows == 2 && report.malformed == 4)
    #expect(
      report.description == """
        \(path): 2 rows, 4 malformed: line 3: field 'text' is an integer, not a string; \
        line 4: no field 'text'; \
        there are other, x; line 5: expected ',' or '}', but the text ends here; line 6: expected an object, \
        found an array
        """)
    var lines: [Int] = []
    _ = try JSONLines(path: path).forEachRow { line, _ in
      lines.append(line)
      return lines.count < 2
    }
    #expect(lines == [1, 3])
  }

  @Test func nothingToRead() throws {
    let path = try file("{\"a\": 1}\n")
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(
      throws: TextError(
        "\(path): 0 rows, 1 malformed: line 1: no field 'text'; there are a; "
          + #"expected lines like {"text": "…"}"#
      )
    ) { try JSONLines(path: path, field: "text").texts() }
    #expect(throws: TextError.self) { try JSONLines(path: "/nonexistent.jsonl", field: "text").texts() }
    #expect(throws: TextError.self) { try PlainText(path: "/nonexistent.txt").documents() }
    #expect(throws: TextError.self) { try PlainText(path: "/tmp").documents() }
  }

  @Test func plainText() throws {
    let path = try file("one\ntwo\n\n \nthree\r\nfour\n\n\n")
    defer { try? FileManager.default.removeItem(atPath: path) }
    #expect(try PlainText(path: path).documents() == ["one\ntwo", "three\nfour"])
    #expect(try PlainText(path: path, division: .whole).documents() == ["one\ntwo\n\n \nthree\nfour\n\n\n"])
    #expect(
      try PlainText(path: path, division: .size(6)).documents() == [
        "one\ntwo\n", "\n \nthree\n", "four\n\n",
      ])
    #expect(throws: TextError.self) { try PlainText(path: path, division: .size(0)).documents() }
    let damaged = try file("fine\nab", [0xC3, 0x28, 0x0A])
    defer { try? FileManager.default.removeItem(atPath: damaged) }
    #expect(throws: TextError("\(damaged):2: byte 3 of the line, 0xC3, is not UTF-8")) {
      try PlainText(path: damaged).documents()
    }
  }

  @Test(.enabled(if: Places.shared("data/gsm8k_test.jsonl") != nil))
  func realFile() throws {
    let path = try #require(Places.shared("data/gsm8k_test.jsonl"))
    let (texts, report) = try JSONLines(path: path, field: "question").texts()
    #expect(texts.count == 1319 && report.malformed == 0)
  }
}
