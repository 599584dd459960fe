// JSON and data files.
import Text

extension Registry {
  /// `mid.json` and `mid.data`.
  package func addData() {
    function(
      "json.encode",
      """
      JSON text of a value. A table with elements 1 to n is an array, any other an object with sorted keys; numbers \
      that JSON does not have (nan, inf) become null.
      """,
      [Parameter("value", "any")], returns: "string", example: "mid.json.encode { step = 1, loss = 0.5 }"
    ) { call in
      try call.return(Bytes(json(call[1], depth: 0).serialised()))
    }

    function(
      "json.decode", "The value of a JSON text; null becomes nil.", [Parameter("text", "string")],
      returns: "any",
      example: "row = mid.json.decode(line)"
    ) { call in
      try call.return(JSON(parsing: call[1].bytes(), name: "text"))
    }

    longFunction(
      "data.jsonl",
      "The texts of a field of a JSON Lines file. Rows that are malformed are left out and described by the second result.",
      [
        Parameter("path", "string"), Parameter("field", "string", "the field that holds the text"),
        .options([Parameter("limit", "integer", "read at most so many rows", optional: true)]),
      ], returns: "string[], string", example: "docs = mid.data.jsonl(\"omni-math.jsonl\", \"solution\")"
    ) { call in
      let lines = JSONLines(path: try call[1].path(), field: try call[2].string())
      let limit = try call.options(3)["limit"].optional?.integer(min: 1) ?? .max
      return {
        var texts: [String] = []
        let report = try lines.forEachText { _, text in
          texts.append(text)
          return texts.count < limit
        }
        guard !texts.isEmpty else { throw ScriptError("no row can be used: \(report)") }
        return { [texts] in try $0.return(texts, report.description) }
      }
    }

    longFunction(
      "data.text", "The documents of a text file.",
      [
        Parameter("path", "string"),
        .options([
          Parameter(
            "size", "integer", "bytes of a document, ending with a line; else blank lines divide",
            optional: true)
        ]),
      ], returns: "string[]", example: "docs = mid.data.text(\"notes.txt\", { size = 2000 })"
    ) { call in
      let size = try call.options(2)["size"].optional?.integer(min: 1)
      let file = PlainText(path: try call[1].path(), division: size.map { .size($0) } ?? .blankLines)
      return {
        var documents: [String] = []
        try file.forEachDocument { document in
          documents.append(document)
          return true
        }
        return { try $0.return(documents) }
      }
    }
  }
}

/// A Lua value as JSON.
func json(_ value: Argument, depth: Int) throws -> JSON {
  guard depth < 64 else { throw value.error("tables are nested more than 64 deep; is there a cycle?") }
  if value.isNil { return .null }
  if value.isString { return .string(try value.string()) }
  if value.isNumber { return try number(value) }
  guard value.isTable else {
    guard let flag = try? value.boolean() else { throw value.mismatch("a value that JSON has") }
    return .bool(flag)
  }
  let length = try value.length()
  if length > 0 {
    guard try value.pairs().count == length else {
      throw value.error("a table with both list elements and names has no JSON form")
    }
    return .array(try value.elements().map { try json($0, depth: depth + 1) })
  }
  let members = try value.pairs().map { pair in
    guard pair.key.isString else {
      throw value.error("a JSON object has names, but a key is \(pair.key.described)")
    }
    return (try pair.key.string(), try json(pair.value, depth: depth + 1))
  }
  return .object(.init(members.sorted { $0.0 < $1.0 }))
}

private func number(_ value: Argument) throws -> JSON {
  if value.isInteger { return .int(Int64(try value.integer())) }
  guard let number = try? value.number(), number.isFinite else { return .null }
  return .double(number)
}

extension JSON: LuaPushable {
  package func push(on stack: Stack) throws {
    switch self {
    case .null: try stack.push(nil as Int?)
    case .bool(let value): try stack.push(value)
    case .int(let value): try stack.push(Int(value))
    case .double(let value): try stack.push(value)
    case .string(let value): try stack.push(value)
    case .array(let values): try stack.push(list: values)
    case .object(let members):
      try stack.push(Table(members.map { (name: $0.key, value: $0.value as any LuaPushable) }))
    }
  }
}
