// Writing JSON. Doubles are written with the fewest digits that read back to the same value.

extension JSON {
  /// How the text is laid out.
  public struct Style: Sendable {
    /// Spaces per level; nil writes everything on one line.
    public var indent: Int?
    /// What stands between elements on one line.
    public var separator: String
    /// What stands between a key and its value.
    public var colon: String

    /// A style of one's own.
    public init(indent: Int? = nil, separator: String = ", ", colon: String = ": ") {
      self.indent = indent
      self.separator = separator
      self.colon = colon
    }

    /// No spaces at all.
    public static let compact = Style(separator: ",", colon: ":")
    /// One line, with a space after commas and colons: Python's `json.dumps`.
    public static let spaced = Style()
    /// Two spaces per level.
    public static let pretty = Style(indent: 2)
  }

  /// The value as JSON text.
  ///
  /// - Throws: `TextError` for a double that is infinite or not a number, which JSON cannot express.
  public func serialised(_ style: Style = .compact) throws -> [UInt8] {
    var writer = JSONWriter(style: style)
    try writer.write(self, level: 0)
    return writer.output
  }
}

private struct JSONWriter {
  let style: JSON.Style
  var output: [UInt8] = []

  init(style: JSON.Style) {
    self.style = style
  }

  mutating func write(_ value: JSON, level: Int) throws {
    switch value {
    case .null: put("null")
    case .bool(let value): put(value ? "true" : "false")
    case .int(let value): put(String(value))
    case .double(let value):
      guard value.isFinite else { throw TextError("JSON cannot express the number \(value)") }
      put(String(describing: value))
    case .string(let value): quote(value)
    case .array(let elements):
      put("[")
      for (i, element) in elements.enumerated() {
        newElement(i, level)
        try write(element, level: level + 1)
      }
      close("]", isEmpty: elements.isEmpty, level)
    case .object(let object):
      put("{")
      for (i, member) in object.enumerated() {
        newElement(i, level)
        quote(member.key)
        put(style.colon)
        try write(member.value, level: level + 1)
      }
      close("}", isEmpty: object.isEmpty, level)
    }
  }

  private mutating func put(_ text: String) {
    output.append(contentsOf: text.utf8)
  }

  private mutating func newElement(_ index: Int, _ level: Int) {
    if style.indent == nil {
      if index > 0 { put(style.separator) }
    } else {
      if index > 0 { put(",") }
      newLine(level + 1)
    }
  }

  private mutating func close(_ bracket: String, isEmpty: Bool, _ level: Int) {
    if style.indent != nil, !isEmpty { newLine(level) }
    put(bracket)
  }

  private mutating func newLine(_ level: Int) {
    output.append(0x0A)
    output.append(contentsOf: repeatElement(0x20, count: level * (style.indent ?? 0)))
  }

  private mutating func quote(_ text: String) {
    output.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""): put("\\\"")
      case UInt8(ascii: "\\"): put("\\\\")
      case 0x0A: put("\\n")
      case 0x0D: put("\\r")
      case 0x09: put("\\t")
      case 0x08: put("\\b")
      case 0x0C: put("\\f")
      case 0..<0x20: put("\\u00" + hex(byte).lowercased())
      default: output.append(byte)
      }
    }
    output.append(UInt8(ascii: "\""))
  }
}
