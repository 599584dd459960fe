import Foundation

// What happens to text before it is divided into words.

/// A normalizer of `tokenizer.json`.
indirect enum Normalizer: Sendable {
  case sequence([Normalizer])
  case prepend([UInt8])
  case replace(Pattern, [UInt8])
  case composed(UnicodeForm)
  case lowercase
  case strip(left: Bool, right: Bool)
  case precompiled(PrecompiledCharacters)

  enum UnicodeForm: String {
    case NFC, NFD, NFKC, NFKD
  }

  /// Reads a normalizer; nil for `null`.
  init?(_ json: JSON?) throws {
    guard let json, !json.isNull else { return nil }
    switch json["type"]?.string ?? "" {
    case "Sequence":
      self = .sequence(try (json["normalizers"]?.array ?? []).compactMap { try Normalizer($0) })
    case "Prepend":
      self = .prepend(Array((json["prepend"]?.string ?? "").utf8))
    case "Replace":
      self = .replace(try Pattern(json["pattern"]), Array((json["content"]?.string ?? "").utf8))
    case "Lowercase":
      self = .lowercase
    case "Strip":
      self = .strip(left: json["strip_left"]?.bool ?? false, right: json["strip_right"]?.bool ?? false)
    case "Precompiled":
      // Some files have an empty one, which changes nothing.
      let table = json["precompiled_charsmap"]?.string ?? ""
      self = table.isEmpty ? .sequence([]) : .precompiled(try PrecompiledCharacters(base64: table))
    case let type:
      guard let form = UnicodeForm(rawValue: type) else {
        throw TextError(
          "normalizer '\(type)' is not known; known are Sequence, Prepend, Replace, Lowercase, Strip, "
            + "Precompiled, NFC, NFD, NFKC, NFKD")
      }
      self = .composed(form)
    }
  }

  /// The normalised text.
  func normalised(_ text: [UInt8]) -> [UInt8] {
    switch self {
    case .sequence(let parts):
      return parts.reduce(text) { $1.normalised($0) }
    case .prepend(let prefix):
      return text.isEmpty ? text : prefix + text
    case .replace(let pattern, let content):
      var result: [UInt8] = []
      result.reserveCapacity(text.count * 2)
      text.withUnsafeBufferPointer { bytes in
        for (range, isMatch) in pattern.spans(bytes, 0..<bytes.count) {
          if isMatch { result.append(contentsOf: content) } else { result.append(contentsOf: bytes[range]) }
        }
      }
      return result
    case .composed(let form):
      // ASCII is in every normal form already.
      if text.allSatisfy({ $0 < 0x80 }) { return text }
      let string = String(decoding: text, as: UTF8.self)
      return switch form {
      case .NFC: Array(string.precomposedStringWithCanonicalMapping.utf8)
      case .NFD: Array(string.decomposedStringWithCanonicalMapping.utf8)
      case .NFKC: Array(string.precomposedStringWithCompatibilityMapping.utf8)
      case .NFKD: Array(string.decomposedStringWithCompatibilityMapping.utf8)
      }
    case .lowercase:
      let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
      return scalars.flatMap { Array($0.properties.lowercaseMapping.utf8) }
    case .precompiled(let table):
      return table.normalised(text)
    case .strip(let left, let right):
      var scalars = String(decoding: text, as: UTF8.self).unicodeScalars[...]
      if left { scalars = scalars.drop { $0.properties.isWhitespace } }
      if right { while scalars.last?.properties.isWhitespace == true { scalars.removeLast() } }
      return Array(String(String.UnicodeScalarView(scalars)).utf8)
    }
  }
}
