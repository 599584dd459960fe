import Foundation
import TestSupport
import Testing

import Text

@Suite struct JSONTests {
  private func failure(_ text: String) -> String {
    do {
      return "no error, but \(try JSON(parsing: text))"
    } catch {
      return "\(error)"
    }
  }

  @Test func values() throws {
    let json = try JSON(
      parsing: #" {"a": [1, -2.5e1, true, false, null, "x\n\u00e9\ud83d\ude42\/"], "b": {}} "#)
    #expect(json == ["a": [1, -25.0, true, false, nil, "x\né🙂/"], "b": [:]])
    #expect(json["a"]?.array?.count == 6)
    #expect(json["c"] == nil)
  }

  @Test func numbersAreExact() throws {
    #expect(try JSON(parsing: "9223372036854775807") == .int(.max))
    #expect(try JSON(parsing: "-9223372036854775808") == .int(.min))
    #expect(try JSON(parsing: "9223372036854775808") == .double(9223372036854775808))
    #expect(try JSON(parsing: "9007199254740993") == .int(9_007_199_254_740_993))
    #expect(try JSON(parsing: "-0") == .double(-0.0))
    var random = Random(1)
    for _ in 0..<20_000 {
      let value = Double(bitPattern: random.next())
      guard value.isFinite else { continue }
      #expect(try JSON(parsing: JSON.double(value).serialised()).double?.bitPattern == value.bitPattern)
    }
    #expect(throws: TextError("JSON cannot express the number nan")) { try JSON.double(.nan).serialised() }
  }

  /// "é" in one code point and in two are equal as Swift strings, but not the same key.
  @Test func keysAreBytes() throws {
    let json = try JSON(parsing: Array("{\"\u{e9}\": 1, \"e\u{301}\": 2}".utf8))
    #expect(json.object?.count == 2)
    #expect(json["\u{e9}"] == 1)
    #expect(json["e\u{301}"] == 2)
    #expect(JSON.string("\u{e9}") != JSON.string("e\u{301}"))
  }

  @Test func objectsKeepOrderAndTheLastOfEqualKeys() throws {
    var object = try #require(JSON(parsing: #"{"z": 1, "a": 2, "z": 3}"#).object)
    #expect(object.map(\.key) == ["z", "a", "z"])
    #expect(object["z"] == 3)
    object["a"] = nil
    object["n"] = "x"
    #expect(
      try String(decoding: JSON.object(object).serialised(.spaced), as: UTF8.self)
        == #"{"z": 1, "z": 3, "n": "x"}"#)
  }

  @Test(arguments: [
    ("", "JSON:1:1: expected a value, but the text ends here"),
    ("{\"a\": 1,\n \"b\" 2}", "JSON:2:6: expected ':' after a key, found '2'"),
    ("[1, 2", "JSON:1:6: expected ',' or ']', but the text ends here"),
    ("[1,]", "JSON:1:4: expected a value, found ']'"),
    ("{,}", "JSON:1:2: expected a key in quotes, found ','"),
    ("01", "JSON:1:1: a number may not start with 0"),
    ("1.", "JSON:1:3: expected a digit, but the text ends here"),
    ("+1", "JSON:1:1: expected a value, found '+'"), ("nul", "JSON:1:1: expected a value, found 'n'"),
    ("1 2", "JSON:1:3: expected the end of the text, found '2'"),
    ("\"a", "JSON:1:1: a string without its closing quote"),
    ("\"\\x\"", "JSON:1:3: expected one of \" \\ / b f n r t u after a backslash, found 'x'"),
    ("\"\\ud800\"", "JSON:1:2: half of a surrogate pair, which is no character"),
    ("\"\\ud800\\u0041\"", "JSON:1:2: half of a surrogate pair, which is no character"),
    ("\"\t\"", "JSON:1:2: a control character in a string: write it as \\u0009"),
    ("1e999", "JSON:1:1: the number 1e999 is too large"),
    (String(repeating: "[", count: 100_000), "JSON:1:257: nested more than 256 deep"),
  ])
  func errors(_ text: String, _ expected: String) {
    #expect(failure(text) == expected)
  }

  @Test func bytesThatAreNotUTF8() {
    #expect(throws: TextError("f.json:2:3: a byte that is not UTF-8 (0xFF)")) {
      try JSON(parsing: Array("{\n\"a".utf8) + [0xFF, 0x22, 0x3A, 0x31, 0x7D], name: "f.json")
    }
  }

  @Test func layout() throws {
    let json: JSON = ["a": [1, "é\"\u{1}"], "b": [], "c": [:]]
    #expect(try String(decoding: json.serialised(), as: UTF8.self) == #"{"a":[1,"é\"\u0001"],"b":[],"c":{}}"#)
    let pretty = "{\n  \"a\": [\n    1,\n    \"é\\\"\\u0001\"\n  ],\n  \"b\": [],\n  \"c\": {}\n}"
    #expect(try String(decoding: json.serialised(.pretty), as: UTF8.self) == pretty)
  }

  /// Random values survive, and Foundation reads the same from our text, to its own accuracy for doubles.
  @Test func roundTripAndFoundation() throws {
    var random = Random(2)
    for _ in 0..<500 {
      let json = value(&random, depth: 0)
      let bytes = try json.serialised(.random() ? .compact : .pretty)
      #expect(try JSON(parsing: bytes) == json)
      let foundation = try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
      #expect(agrees(json, foundation))
    }
  }

  private func value(_ random: inout Random, depth: Int) -> JSON {
    switch Int.random(in: 0..<(depth > 4 ? 5 : 8), using: &random) {
    case 0: return .null
    case 1: return .bool(.random(using: &random))
    case 2: return .int(Int64.random(in: -1_000_000_000_000...1_000_000_000_000, using: &random))
    case 3: return .double(Double.random(in: -1e9...1e9, using: &random))
    case 4, 5: return .string(randomText(&random))
    case 6:
      return .array((0..<Int.random(in: 0..<5, using: &random)).map { _ in value(&random, depth: depth + 1) })
    default:
      return .object(
        JSON.Object(
          (0..<Int.random(in: 0..<5, using: &random)).map { ("k\($0)", value(&random, depth: depth + 1)) }))
    }
  }

  private func agrees(_ json: JSON, _ other: Any) -> Bool {
    switch json {
    case .null: other is NSNull
    case .bool(let value): (other as? Bool) == value
    case .int(let value): (other as? NSNumber)?.int64Value == value
    case .double(let value):
      (other as? NSNumber).map { abs($0.doubleValue - value) <= abs(value) * 1e-15 } ?? false
    case .string(let value): (other as? String).map { $0.utf8.elementsEqual(value.utf8) } ?? false
    case .array(let values):
      (other as? [Any]).map { $0.count == values.count && zip(values, $0).allSatisfy(agrees) } ?? false
    case .object(let object):
      (other as? [String: Any]).map { others in
        others.count == object.count
          && object.allSatisfy { member in others[member.key].map { agrees(member.value, $0) } ?? false }
      } ?? false
    }
  }

  /// Damaged texts give a value or an error; and what Foundation refuses is refused here.
  @Test func damage() throws {
    let seed = Array(#"{"a": [1, -2.5e1, true, null, "x\né🙂"], "b": {"c": [[], {}], "d": "0123"}}"#.utf8)
    var random = Random(3)
    var refused = 0
    for _ in 0..<5000 {
      let bytes = damaged(seed, &random)
      do {
        _ = try JSON(parsing: bytes)
        #expect((try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)) != nil)
      } catch {
        #expect(error is TextError)
        refused += 1
      }
    }
    #expect(refused > 2000)
  }
}

/// A text of code points from all planes.
func randomText(_ random: inout Random) -> String {
  let ranges: [ClosedRange<UInt32>] = [
    0...0x7F, 0x20...0x7E, 0x61...0x7A, 0x80...0x7FF, 0x800...0xD7FF, 0xE000...0xFFFF, 0x10000...0x10FFFF,
  ]
  var scalars = String.UnicodeScalarView()
  for _ in 0..<Int.random(in: 0..<40, using: &random) {
    let range = ranges.randomElement(using: &random)!
    for _ in 0..<Int.random(in: 1..<6, using: &random) {
      scalars.append(Unicode.Scalar(UInt32.random(in: range, using: &random))!)
    }
  }
  return String(scalars)
}

/// The bytes with a few changed, removed, repeated or cut off.
func damaged(_ bytes: [UInt8], _ random: inout Random) -> [UInt8] {
  var bytes = bytes
  for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
    let place = Int.random(in: 0..<bytes.count, using: &random)
    switch Int.random(in: 0..<5, using: &random) {
    case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
    case 1: bytes[place] = Array("{}[]\",:\\0-e.".utf8).randomElement(using: &random)!
    case 2: bytes.remove(at: place)
    case 3: bytes.removeSubrange(place...)
    default:
      let end = Int.random(in: place..<min(place + 20, bytes.count), using: &random)
      bytes.insert(contentsOf: Array(bytes[place...end]), at: place)
    }
  }
  return bytes
}
