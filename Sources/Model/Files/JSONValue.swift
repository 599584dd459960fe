// The JSON of checkpoints: config files, safetensors headers, shard indices.

import Foundation

/// A JSON value that tells integers, numbers and booleans apart, because a config is written back as it was read.
package enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// The longest text that is parsed, in bytes. Parsed values take up to some forty times the room of their text;
  /// headers and indices of the largest models are a few megabytes.
  package static let maximumSize = 32 << 20

  /// Parses `bytes`, which come from `file` (for errors).
  package init(parsing bytes: UnsafeRawBufferPointer, file: String) throws {
    guard bytes.count <= Self.maximumSize else {
      throw ModelError("\(file): is JSON of \(bytes.count) bytes, expected at most \(Self.maximumSize)")
    }
    do {
      self.init(try JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed]))
    } catch let error as NSError {
      let cause = error.userInfo["NSDebugDescription"] as? String ?? error.localizedDescription
      throw ModelError("\(file): is not valid JSON: \(cause)")
    }
  }

  private init(_ value: Any) {
    switch value {
    case let value as String: self = .string(value)
    case let value as [Any]: self = .array(value.map(JSONValue.init))
    case let value as [String: Any]: self = .object(value.mapValues(JSONValue.init))
    case let value as NSNumber:
      // "c" is how NSNumber stores a boolean, "d" a number with a fraction or exponent.
      switch UInt8(bitPattern: value.objCType.pointee) {
      case UInt8(ascii: "c"): self = .bool(value.boolValue)
      case UInt8(ascii: "d"), UInt8(ascii: "f"): self = .number(value.doubleValue)
      default: self = (value as? Int).map(JSONValue.integer) ?? .number(value.doubleValue)
      }
    default: self = .null
    }
  }

  /// The members of an object, or nil.
  package var object: [String: JSONValue]? {
    if case .object(let members) = self { members } else { nil }
  }

  /// The elements of an array, or nil.
  package var array: [JSONValue]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  /// The text of a string, or nil.
  package var string: String? {
    if case .string(let text) = self { text } else { nil }
  }

  /// An integer, or a number without a fraction, or nil.
  package var integer: Int? {
    switch self {
    case .integer(let value): value
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  /// An integer or number, or nil.
  package var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// What the value is, for an error: scalars in full, containers by their kind.
  package var summary: String {
    switch self {
    case .array: "an array"
    case .object: "an object"
    case .string(let text) where text.utf8.count > 80: "a string of \(text.utf8.count) bytes"
    default: serialized()
    }
  }

  /// JSON text with sorted keys: indented by two spaces a level, or on one line without spaces.
  package func serialized(indented: Bool = false) -> String {
    var text = ""
    write(to: &text, indentation: indented ? "\n" : nil)
    return text
  }

  private func write(to text: inout String, indentation: String?) {
    func list<Element>(
      _ brackets: (String, String), _ elements: [Element], _ body: (Element, inout String, String?) -> Void
    ) {
      guard !elements.isEmpty else {
        text += brackets.0 + brackets.1
        return
      }
      let inner = indentation.map { $0 + "  " }
      text += brackets.0
      for (index, element) in elements.enumerated() {
        if index > 0 { text += "," }
        text += inner ?? ""
        body(element, &text, inner)
      }
      text += (indentation ?? "") + brackets.1
    }
    switch self {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value): text += value.isFinite ? String(value) : "null"
    case .string(let value): Self.write(value, to: &text)
    case .array(let elements):
      list(("[", "]"), elements) { $0.write(to: &$1, indentation: $2) }
    case .object(let members):
      list(("{", "}"), members.sorted { $0.key < $1.key }) { member, text, inner in
        Self.write(member.key, to: &text)
        text += inner == nil ? ":" : ": "
        member.value.write(to: &text, indentation: inner)
      }
    }
  }

  private static func write(_ string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\u{0}"..<" ":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
