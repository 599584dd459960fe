// Documents from plain text.

/// A text file that is divided into documents. Line breaks become "\n"; a document that is not bounded by
/// blank lines ends with one.
public struct PlainText: Sendable {
  /// Where one document ends and the next begins.
  public enum Division: Sendable, Equatable {
    /// The whole file is one document.
    case whole
    /// Documents have blank lines between them.
    case blankLines
    /// Documents of at least this many bytes, ending with a line.
    case size(Int)
  }

  /// The file.
  public let path: String
  /// How it is divided.
  public let division: Division

  /// A file; it is not opened yet.
  public init(path: String, division: Division = .blankLines) {
    self.path = path
    self.division = division
  }

  /// Goes through the documents, one at a time in memory. Documents of nothing but white space are left out.
  ///
  /// - Parameter body: gets a document; false stops the reading.
  /// - Throws: `TextError` when the file cannot be read, or naming the line that is not UTF-8.
  public func forEachDocument(_ body: (String) throws -> Bool) throws {
    if case .size(let bytes) = division, bytes < 1 {
      throw TextError("\(path): documents must be at least 1 byte long, not \(bytes)")
    }
    var reader = try LineReader(path: path)
    var document = ""
    var goesOn = true
    func finish() throws {
      let isBlank = document.allSatisfy(\.isWhitespace)
      if !isBlank { goesOn = try body(document) }
      document = ""
    }
    while goesOn, let line = try reader.next() {
      guard let text = String(validating: line, as: UTF8.self) else {
        let offset = line.withUnsafeBufferPointer { firstInvalidUTF8($0) ?? 0 }
        let byte = hex(line[line.startIndex + offset])
        throw TextError("\(path):\(reader.line): byte \(offset + 1) of the line, 0x\(byte), is not UTF-8")
      }
      switch division {
      case .blankLines where text.allSatisfy(\.isWhitespace): try finish()
      case .blankLines: document += document.isEmpty ? text : "\n" + text
      case .whole: document += text + "\n"
      case .size(let bytes):
        document += text + "\n"
        if document.utf8.count >= bytes { try finish() }
      }
    }
    if goesOn { try finish() }
  }

  /// All documents.
  ///
  /// - Throws: `TextError` when the file cannot be read, is not UTF-8, or has no text.
  public func documents() throws -> [String] {
    var documents: [String] = []
    try forEachDocument {
      documents.append($0)
      return true
    }
    if documents.isEmpty { throw TextError("\(path) has no text") }
    return documents
  }
}
