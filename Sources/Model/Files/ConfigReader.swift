// Reads one checked value after the other from a config; every error names file, key, value and expectation.

struct ConfigReader {
  let file: String
  let object: [String: JSONValue]
  /// What the file that `object` was translated from calls a key, where that is not the usual name (GGUF).
  var fileKeys: [String: String] = [:]
  /// What `object` itself calls a key, where that is not the usual name (GPT-2).
  var aliases: [String: String] = [:]

  /// The value of `key`; JSON's null counts as absent.
  subscript(key: String) -> JSONValue? {
    let value = object[aliases[key] ?? key]
    return value == .null ? nil : value
  }

  func error(_ key: String, expected: String) -> ModelError {
    let name = "\"\(fileKeys[key] ?? aliases[key] ?? key)\""
    return ModelError("\(file): \(name) is \(self[key]?.summary ?? "missing"), expected \(expected)")
  }

  func integer(_ key: String, in range: ClosedRange<Int>, default fallback: Int? = nil) throws -> Int {
    guard let value = self[key]?.integer ?? (self[key] == nil ? fallback : nil), range.contains(value) else {
      throw error(key, expected: "an integer from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func number(_ key: String, in range: ClosedRange<Double>, default fallback: Double? = nil) throws -> Double
  {
    guard let value = self[key]?.number ?? (self[key] == nil ? fallback : nil), range.contains(value) else {
      throw error(key, expected: "a number from \(range.lowerBound) to \(range.upperBound)")
    }
    return value
  }

  func bool(_ key: String, default fallback: Bool) throws -> Bool {
    switch self[key] {
    case nil: return fallback
    case .bool(let value): return value
    default: throw error(key, expected: "true or false")
    }
  }

  /// The token ids that `key` gives: none, one, or a list.
  func tokenIDs(_ key: String, vocabSize: Int) throws -> [Int] {
    guard let value = self[key] else { return [] }
    let values = value.array ?? [value]
    let ids = values.compactMap(\.integer)
    // Some configs say -1 where there is no such token.
    guard ids.count == values.count, ids.count <= 256, ids.allSatisfy({ $0 >= -1 && $0 < vocabSize }) else {
      throw error(key, expected: "a token id, or a list of token ids, below the vocab_size of \(vocabSize)")
    }
    return ids.filter { $0 >= 0 }
  }

  /// Refuses what this engine would silently compute wrongly.
  func require(_ key: String, _ condition: Bool, expected: String) throws {
    guard condition else { throw error(key, expected: expected) }
  }
}
