// The values that templates compute with: Python's, as Jinja shows them. Strings are sequences of code points
// and compared by bytes.

/// A value in a template.
indirect enum TemplateValue {
  /// What has no value, and under which name it was looked for.
  case undefined(String)
  case none
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  case list([TemplateValue])
  case dictionary(Dictionary)
  case namespace(Namespace)
  case function(String)
  case method(TemplateValue, String)
  case macro(TemplateStatement.Macro)

  /// A dictionary with string keys, in order.
  struct Dictionary {
    private(set) var members: [(key: String, value: TemplateValue)] = []

    subscript(key: String) -> TemplateValue? {
      get { members.first { sameBytes($0.key, key) }?.value }
      set {
        let place = members.firstIndex { sameBytes($0.key, key) }
        guard let newValue else { return }
        if let place { members[place].value = newValue } else { members.append((key, newValue)) }
      }
    }
  }

  /// What `namespace(…)` makes: the one thing that a loop can change for what comes after it.
  final class Namespace {
    var members = Dictionary()
  }

  /// A value from JSON.
  init(_ json: JSON) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .double(let value): self = .double(value)
    case .string(let value): self = .string(value)
    case .array(let elements): self = .list(elements.map { TemplateValue($0) })
    case .object(let object):
      var dictionary = Dictionary()
      for (key, value) in object { dictionary[key] = TemplateValue(value) }
      self = .dictionary(dictionary)
    }
  }

  /// The value as JSON, for `tojson`.
  func json() throws -> JSON {
    switch self {
    case .none: return .null
    case .bool(let value): return .bool(value)
    case .int(let value): return .int(value)
    case .double(let value): return .double(value)
    case .string(let value): return .string(value)
    case .list(let elements): return .array(try elements.map { try $0.json() })
    case .dictionary(let dictionary):
      return .object(JSON.Object(try dictionary.members.map { ($0.key, try $0.value.json()) }))
    case .undefined(let name): throw TextError("'\(name)' is undefined")
    default: throw TextError("\(kind) cannot be written as JSON")
    }
  }

  /// Python's truth.
  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .int(let value): value != 0
    case .double(let value): value != 0
    case .string(let value): !value.isEmpty
    case .list(let elements): !elements.isEmpty
    case .dictionary(let dictionary): !dictionary.members.isEmpty
    case .namespace, .function, .method, .macro: true
    }
  }

  /// Python's `str()`.
  var text: String {
    switch self {
    case .undefined: ""
    case .string(let value): value
    default: representation
    }
  }

  /// Python's `repr()`.
  private var representation: String {
    switch self {
    case .undefined: "Undefined"
    case .none: "None"
    case .bool(let value): value ? "True" : "False"
    case .int(let value): String(value)
    case .double(let value): value.isNaN ? "nan" : String(describing: value)
    case .string(let value): TemplateValue.quoted(value)
    case .list(let elements): "[" + elements.map(\.representation).joined(separator: ", ") + "]"
    case .dictionary(let dictionary):
      "{"
        + dictionary.members.map { TemplateValue.quoted($0.key) + ": " + $0.value.representation }
        .joined(separator: ", ") + "}"
    case .namespace: "<namespace>"
    case .function(let name), .method(_, let name): "<function \(name)>"
    case .macro(let macro): "<macro \(macro.name)>"
    }
  }

  private static func quoted(_ text: String) -> String {
    let scalars = text.unicodeScalars
    let quote: Unicode.Scalar = scalars.contains("'") && !scalars.contains("\"") ? "\"" : "'"
    var result = String(Character(quote))
    for scalar in scalars {
      switch scalar {
      case "\n": result += "\\n"
      case "\r": result += "\\r"
      case "\t": result += "\\t"
      case "\\", quote: result += "\\\(scalar)"
      default: result.unicodeScalars.append(scalar)
      }
    }
    result.unicodeScalars.append(quote)
    return result
  }

  /// What kind of value this is, for messages.
  var kind: String {
    switch self {
    case .undefined: "an undefined value"
    case .none: "none"
    case .bool: "a truth value"
    case .int: "an integer"
    case .double: "a number"
    case .string: "a string"
    case .list: "a list"
    case .dictionary: "a mapping"
    case .namespace: "a namespace"
    case .function, .method, .macro: "a function"
    }
  }

  /// The number, where true counts as 1.
  var number: Double? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The whole number, where true counts as 1.
  var whole: Int64? {
    switch self {
    case .bool(let value): value ? 1 : 0
    case .int(let value): value
    default: nil
    }
  }

  /// Python's `==`.
  func equals(_ other: TemplateValue) -> Bool {
    switch (self, other) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.string(let a), .string(let b)): return sameBytes(a, b)
    case (.list(let a), .list(let b)): return a.count == b.count && zip(a, b).allSatisfy { $0.equals($1) }
    case (.dictionary(let a), .dictionary(let b)):
      return a.members.count == b.members.count
        && a.members.allSatisfy { member in b[member.key].map { member.value.equals($0) } ?? false }
    case (.namespace(let a), .namespace(let b)): return a === b
    default:
      if let a = whole, let b = other.whole { return a == b }
      if let a = number, let b = other.number { return a == b }
      return false
    }
  }

  /// Python's `<`.
  func precedes(_ other: TemplateValue) throws -> Bool {
    switch (self, other) {
    case (.string(let a), .string(let b)): return a.utf8.lexicographicallyPrecedes(b.utf8)
    case (.list(let a), .list(let b)):
      for (x, y) in zip(a, b) where !x.equals(y) { return try x.precedes(y) }
      return a.count < b.count
    default:
      if let a = whole, let b = other.whole { return a < b }
      guard let a = number, let b = other.number else {
        throw TextError("\(kind) and \(other.kind) cannot be put in order")
      }
      return a < b
    }
  }

  /// Python's `in`.
  func contains(_ element: TemplateValue) throws -> Bool {
    switch self {
    case .string(let text):
      guard case .string(let part) = element else {
        throw TextError("'in' a string needs a string on the left, not \(element.kind)")
      }
      return text.isEmpty ? part.isEmpty : part.isEmpty || text.firstRange(ofBytes: part) != nil
    case .list(let elements): return elements.contains { $0.equals(element) }
    case .dictionary(let dictionary):
      if case .string(let key) = element { return dictionary[key] != nil }
      return false
    case .undefined: return false
    default: throw TextError("'in' needs a string, a list or a mapping on the right, not \(kind)")
    }
  }

  /// What a loop over this value goes through.
  func elements() throws -> [TemplateValue] {
    switch self {
    case .undefined: return []
    case .list(let elements): return elements
    case .string(let text): return text.unicodeScalars.map { .string(String($0)) }
    case .dictionary(let dictionary): return dictionary.members.map { .string($0.key) }
    default: throw TextError("\(kind) cannot be looped over")
    }
  }
}

extension String {
  /// The first place at which a string's bytes stand, from an index on.
  func firstRange(ofBytes part: String, from start: Index? = nil) -> Range<Index>? {
    let text = utf8
    let wanted = Array(part.utf8)
    guard let first = wanted.first else { return nil }
    var index = start ?? startIndex
    while let place = text[index...].firstIndex(of: first) {
      if text[place...].starts(with: wanted) {
        return place..<text.index(place, offsetBy: wanted.count)
      }
      index = text.index(after: place)
    }
    return nil
  }

  /// The parts between occurrences of a separator, at most `limit` of which count.
  func split(atBytes separator: String, limit: Int = .max) -> [String] {
    var parts: [String] = []
    var start = startIndex
    while parts.count < limit, let range = firstRange(ofBytes: separator, from: start) {
      parts.append(String(self[start..<range.lowerBound]))
      start = range.upperBound
    }
    return parts + [String(self[start...])]
  }

  /// The string without the code points of a set at its ends.
  func trimmed(left: Bool, right: Bool, _ isTrimmed: (Unicode.Scalar) -> Bool) -> String {
    var scalars = unicodeScalars[...]
    if left { scalars = scalars.drop(while: isTrimmed) }
    if right { while let last = scalars.last, isTrimmed(last) { scalars.removeLast() } }
    return String(scalars)
  }
}
