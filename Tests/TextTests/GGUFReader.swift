import Foundation

import Text

/// Just enough of a GGUF reader to get at vocabularies: metadata only, the file is trusted.
struct GGUFReader {
  enum Value {
    case number(Double)
    case bytes([UInt8])
    case list([Value])
  }

  private(set) var metadata: [String: Value] = [:]
  private let data: Data
  private var offset = 0

  init(path: String) throws {
    data = try Data(contentsOf: URL(fileURLWithPath: path), options: .mappedIfSafe)
    offset = 16
    let count = integer(8)
    for _ in 0..<count {
      let key = String(decoding: bytes(), as: UTF8.self)
      metadata[key] = value(of: integer(4))
    }
  }

  private mutating func integer(_ size: Int) -> Int {
    defer { offset += size }
    return (0..<size).reduce(0) { $0 | Int(truncatingIfNeeded: UInt64(data[offset + $1]) << (8 * $1)) }
  }

  private mutating func bytes() -> [UInt8] {
    let count = integer(8)
    defer { offset += count }
    return Array(data[offset..<(offset + count)])
  }

  private mutating func value(of type: Int) -> Value {
    switch type {
    case 0, 1, 7: return .number(Double(integer(1)))
    case 2, 3: return .number(Double(integer(2)))
    case 4, 5: return .number(Double(integer(4)))
    case 6: return .number(Double(Float(bitPattern: UInt32(truncatingIfNeeded: integer(4)))))
    case 8: return .bytes(bytes())
    case 9:
      let type = integer(4)
      let count = integer(8)
      return .list((0..<count).map { _ in value(of: type) })
    case 12: return .number(Double(bitPattern: UInt64(bitPattern: Int64(integer(8)))))
    default: return .number(Double(integer(8)))
    }
  }

  private func number(_ key: String) -> Int32? {
    if case .number(let value)? = metadata["tokenizer.ggml." + key] { Int32(value) } else { nil }
  }

  private func text(_ key: String) -> String? {
    if case .bytes(let value)? = metadata["tokenizer.ggml." + key] {
      String(decoding: value, as: UTF8.self)
    } else {
      nil
    }
  }

  private func list<T>(_ key: String, _ element: (Value) -> T?) -> [T] {
    if case .list(let values)? = metadata["tokenizer.ggml." + key] { values.compactMap(element) } else { [] }
  }

  var vocabulary: GGUFVocabulary {
    func bytes(_ value: Value) -> [UInt8]? { if case .bytes(let bytes) = value { bytes } else { nil } }
    func number(_ value: Value) -> Double? { if case .number(let number) = value { number } else { nil } }
    var result = GGUFVocabulary(model: text("model") ?? "", pre: text("pre"), tokens: list("tokens", bytes))
    result.types = list("token_type") { number($0).map { Int32($0) } }
    result.scores = list("scores") { number($0).map { Float($0) } }
    result.merges = list("merges", bytes)
    result.bosID = self.number("bos_token_id")
    result.eosID = self.number("eos_token_id")
    result.padID = self.number("padding_token_id")
    result.unkID = self.number("unknown_token_id")
    result.addsBOS = self.number("add_bos_token").map { $0 != 0 }
    result.addsSpacePrefix = self.number("add_space_prefix").map { $0 != 0 }
    if case .bytes(let template)? = metadata["tokenizer.chat_template"] {
      result.chatTemplate = String(decoding: template, as: UTF8.self)
    }
    return result
  }
}
