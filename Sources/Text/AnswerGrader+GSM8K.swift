// GSM8K's exact match, as lm-evaluation-harness has it.

extension AnswerGrader {
  /// How lm-evaluation-harness takes the answer from a text.
  public enum GSM8KExtraction: String, CaseIterable, Sendable {
    /// The first `#### (\-?[0-9\.\,]+)`: "strict-match".
    case strict
    /// The last `(-?[$0-9.,]{2,})|(-?[0-9]+)`: "flexible-extract".
    case flexible
  }

  /// Whether an answer matches the gold answer, which may be a whole solution, by the rules of the task gsm8k: both
  /// sides lose commas, dollars, all up to the last `#### ` and one full stop at the end, and are compared as text in
  /// lower case. An answer without a match is wrong.
  public static func acceptsGSM8K(
    _ answer: String, gold: String, extraction: GSM8KExtraction = .flexible
  ) -> Bool {
    let bytes = Array(answer.utf8)
    let match = extraction == .strict ? strictMatch(bytes) : flexibleMatch(bytes)
    guard let match else { return false }
    return withoutIgnored(Array(match)) == withoutIgnored(Array(gold.utf8))
  }

  private static let marker = Array("#### ".utf8)

  private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
  private static func isNumeric(_ byte: UInt8) -> Bool {
    isDigit(byte) || byte == UInt8(ascii: ".") || byte == UInt8(ascii: ",")
  }

  private static func strictMatch(_ text: [UInt8]) -> ArraySlice<UInt8>? {
    var index = 0
    while index + marker.count < text.count {
      guard text[index...].starts(with: marker) else {
        index += 1
        continue
      }
      let start = index + marker.count
      let digits = text[start] == UInt8(ascii: "-") ? start + 1 : start
      let end = text[digits...].firstIndex { !isNumeric($0) } ?? text.count
      if end > digits { return text[start..<end] }
      index += 1
    }
    return nil
  }

  private static func flexibleMatch(_ text: [UInt8]) -> ArraySlice<UInt8>? {
    var last: ArraySlice<UInt8>?
    var index = 0
    while index < text.count {
      let body = text[index] == UInt8(ascii: "-") ? index + 1 : index
      let end = text[body...].firstIndex { !isNumeric($0) && $0 != UInt8(ascii: "$") } ?? text.count
      // One sign alone only counts if it is a digit.
      if end - body >= 2 || end - body == 1 && isDigit(text[body]) {
        last = text[index..<end]
        index = end
      } else {
        index = max(end, index + 1)
      }
    }
    return last
  }

  private static func withoutIgnored(_ text: [UInt8]) -> [UInt8] {
    var kept = text[...]
    // Python's (?s).*####\s is greedy: all up to the last marker goes.
    for start in stride(from: text.count - marker.count, through: 0, by: -1)
    where text[start...].starts(with: marker) {
      kept = text[(start + marker.count)...]
      break
    }
    // The harness removes commas and dollars before it looks for a full stop at the end.
    var result = kept.filter { $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "$") }
    if result.last == UInt8(ascii: "\n") && result.dropLast().last == UInt8(ascii: ".") {
      result.remove(at: result.count - 2)
    } else if result.last == UInt8(ascii: ".") {
      result.removeLast()
    }
    return Array(String(decoding: result, as: UTF8.self).lowercased().utf8)
  }
}
