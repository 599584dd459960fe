// JSON values. Two things differ from what one would write first. Objects keep their order, because a
// `tokenizer.json` that is read and written again should stay the same file. And strings are compared by
// their bytes: Swift's `==` is canonical equivalence, under which a vocabulary's "é" (U+00E9) and
// "e" + U+0301 would be one key.

/// A JSON value: integers that fit 64 bits stay exact, objects keep their order.
public enum JSON: Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  case array([JSON])
  case object(Object)

  /// An object's members in the order of the file.
  ///
  /// Keys are compared by their UTF-8 bytes. A key that is in the text twice is kept twice; looking it up
  /// gives the last, as in Python. A look-up is a linear search: walk over a large object instead.
  public struct Object: Sendable, RandomAccessCollection {
    /// One key with its value.
    public typealias Member = (key: String, value: JSON)
    private var members: [Member] = []

    /// An empty object.
    public init() {}

    /// An object with these members in this order.
    public init(_ members: some Sequence<(String, JSON)>) {
      for (key, value) in members { append(key, value) }
    }

    /// The position of the first member.
    public var startIndex: Int { 0 }
    /// The position after the last member.
    public var endIndex: Int { members.count }
    /// The member at a position.
    public subscript(position: Int) -> Member { members[position] }

    /// The value of a key, nil when there is none; assigning nil removes the key.
    public subscript(key: String) -> JSON? {
      get { members.last { sameBytes($0.key, key) }?.value }
      set {
        let place = members.lastIndex { sameBytes($0.key, key) }
        switch (place, newValue) {
        case (let place?, let value?): members[place].value = value
        case (nil, let value?): members.append((key, value))
        case (_?, nil): members.removeAll { sameBytes($0.key, key) }
        case (nil, nil): break
        }
      }
    }

    /// Adds a member at the end, without looking whether the key is there already.
    public mutating func append(_ key: String, _ value: JSON) {
      members.append((key, value))
    }

    mutating func reserveCapacity(_ count: Int) {
      members.reserveCapacity(count)
    }
  }
}

/// Equality of bytes, where `==` of strings would be canonical equivalence.
@inline(__always)
func sameBytes(_ a: String, _ b: String) -> Bool {
  a.utf8.count == b.utf8.count && a.utf8.elementsEqual(b.utf8)
}

extension JSON {
  /// The member of an object; nil when this is no object or has no such key.
  public subscript(key: String) -> JSON? {
    if case .object(let object) = self { object[key] } else { nil }
  }

  /// The string, nil when this is something else.
  public var string: String? {
    if case .string(let value) = self { value } else { nil }
  }

  /// The truth value, nil when this is something else.
  public var bool: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  /// The integer, nil when this is something else (a double is not an integer, even when it is whole).
  public var int: Int64? {
    if case .int(let value) = self { value } else { nil }
  }

  /// The number as a double, nil when this is something else.
  public var double: Double? {
    switch self {
    case .int(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// The elements, nil when this is no array.
  public var array: [JSON]? {
    if case .array(let value) = self { value } else { nil }
  }

  /// The members, nil when this is no object.
  public var object: Object? {
    if case .object(let value) = self { value } else { nil }
  }

  /// Whether this is `null`.
  public var isNull: Bool {
    if case .null = self { true } else { false }
  }

  /// What kind of value this is, for error messages: "a string", "an object", …
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a truth value"
    case .int: "an integer"
    case .double: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}

extension JSON: Equatable {
  /// Equality by bytes and, in objects, in order; `1` and `1.0` are different.
  public static func == (a: JSON, b: JSON) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let x), .bool(let y)): x == y
    case (.int(let x), .int(let y)): x == y
    case (.double(let x), .double(let y)): x == y
    case (.string(let x), .string(let y)): sameBytes(x, y)
    case (.array(let x), .array(let y)): x == y
    case (.object(let x), .object(let y)):
      x.elementsEqual(y) { sameBytes($0.key, $1.key) && $0.value == $1.value }
    default: false
    }
  }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByBooleanLiteral, ExpressibleByNilLiteral, ExpressibleByArrayLiteral,
  ExpressibleByDictionaryLiteral
{
  /// A string.
  public init(stringLiteral value: String) { self = .string(value) }
  /// An integer.
  public init(integerLiteral value: Int64) { self = .int(value) }
  /// A double.
  public init(floatLiteral value: Double) { self = .double(value) }
  /// A truth value.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// `null`.
  public init(nilLiteral: ()) { self = .null }
  /// An array.
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// An object, in the order of the literal.
  public init(dictionaryLiteral elements: (String, JSON)...) { self = .object(Object(elements)) }
}
