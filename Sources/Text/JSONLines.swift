// Data sets with one JSON object a line.

/// A JSONL file and the field of its rows that is wanted.
public struct JSONLines: Sendable {
  /// The file.
  public let path: String
  /// The field whose text is read; nil takes whole rows.
  public let field: String?

  /// What reading a file came to.
  public struct Report: Sendable, CustomStringConvertible {
    /// The file.
    public let path: String
    /// How many rows were good.
    public internal(set) var rows = 0
    /// How many were not.
    public internal(set) var malformed = 0
    /// Line number and cause of the first ten rows that were not.
    public internal(set) var examples: [(line: Int, cause: String)] = []

    /// "data.jsonl: 1319 rows, 2 malformed: line 7: …; line 9: …"
    public var description: String {
      if malformed == 0 { return "\(path): \(rows) rows" }
      let causes = examples.map { "line \($0.line): \($0.cause)" }.joined(separator: "; ")
      return
        "\(path): \(rows) rows, \(malformed) malformed: \(causes)\(malformed > examples.count ? "; …" : "")"
    }

    mutating func add(line: Int, _ cause: String) {
      malformed += 1
      if examples.count < 10 { examples.append((line, cause)) }
    }
  }

  /// A file; it is not opened yet.
  public init(path: String, field: String? = nil) {
    self.path = path
    self.field = field
  }

  /// Goes through the rows, one at a time in memory. Empty lines are passed over; a row that is no JSON
  /// object is counted, reported and left out.
  ///
  /// - Parameter body: gets a row's line number and the row; false stops the reading.
  /// - Throws: `TextError` when the file cannot be read.
  public func forEachRow(_ body: (_ line: Int, JSON.Object) throws -> Bool) throws -> Report {
    try read { line, json in
      guard let row = json.object else { return .malformed("expected an object, found \(json.kind)") }
      return try body(line, row) ? .good : .last
    }
  }

  /// Goes through the texts of the field, one at a time in memory. A row without that text is counted,
  /// reported and left out.
  ///
  /// - Parameter body: gets a row's line number and the text; false stops the reading.
  /// - Throws: `TextError` when the file cannot be read, or no field is named.
  public func forEachText(_ body: (_ line: Int, String) throws -> Bool) throws -> Report {
    guard let field else { throw TextError("\(path): which field of the rows is the text?") }
    return try read { line, json in
      guard let row = json.object else { return .malformed("expected an object, found \(json.kind)") }
      guard let value = row[field] else {
        let names = row.prefix(8).map(\.key).joined(separator: ", ")
        return .malformed("no field '\(field)'; there are \(names.isEmpty ? "none" : names)")
      }
      guard let text = value.string else {
        return .malformed("field '\(field)' is \(value.kind), not a string")
      }
      return try body(line, text) ? .good : .last
    }
  }

  /// All texts of the field.
  ///
  /// - Throws: `TextError` when the file cannot be read or not a single row has the text.
  public func texts() throws -> (texts: [String], report: Report) {
    var texts: [String] = []
    let report = try forEachText { _, text in
      texts.append(text)
      return true
    }
    if texts.isEmpty {
      throw TextError("\(report.description); expected lines like {\"\(field ?? "")\": \"…\"}")
    }
    return (texts, report)
  }

  private enum Row {
    case good, last
    case malformed(String)
  }

  private func read(_ body: (Int, JSON) throws -> Row) throws -> Report {
    var reader = try LineReader(path: path)
    var report = Report(path: path)
    while let line = try reader.next() {
      if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
      let json: JSON
      do {
        json = try JSON(parsing: Array(line), name: "")
      } catch let error as TextError {
        // The parser's ":line:column: " counts from the start of this line.
        report.add(line: reader.line, String(error.description.drop { $0 == ":" || $0.isNumber }.dropFirst()))
        continue
      }
      switch try body(reader.line, json) {
      case .good: report.rows += 1
      case .malformed(let cause): report.add(line: reader.line, cause)
      case .last:
        report.rows += 1
        return report
      }
    }
    return report
  }
}
