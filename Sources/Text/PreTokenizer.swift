// Dividing text into words, across whose borders nothing is merged.

/// Text and the words that it is divided into so far.
struct Words {
  var bytes: [UInt8]
  /// In order, without overlap and without empty ones.
  var ranges: [Range<Int>]
  /// Whether the text stands at the very start of what is encoded.
  let startsText: Bool

  init(_ bytes: [UInt8], startsText: Bool) {
    self.bytes = bytes
    self.startsText = startsText
    ranges = bytes.isEmpty ? [] : [0..<bytes.count]
  }

  /// Replaces each word by the words that `split` appends for it.
  mutating func divide(
    _ split: (UnsafeBufferPointer<UInt8>, Range<Int>, _ into: inout [Range<Int>]) -> Void
  ) {
    var result: [Range<Int>] = []
    result.reserveCapacity(max(ranges.count, bytes.count / 4))
    bytes.withUnsafeBufferPointer { bytes in
      for range in ranges { split(bytes, range, &result) }
    }
    ranges = result
  }

  /// Puts `prefix` before each word for which `needsPrefix` holds.
  mutating func prepend(
    _ prefix: [UInt8], where needsPrefix: (_ word: ArraySlice<UInt8>, _ isFirst: Bool) -> Bool
  ) {
    var text: [UInt8] = []
    text.reserveCapacity(bytes.count + prefix.count)
    ranges = ranges.enumerated().map { index, range in
      let start = text.count
      if needsPrefix(bytes[range], index == 0 && startsText) { text += prefix }
      text += bytes[range]
      return start..<text.count
    }
    bytes = text
  }
}

/// A pre-tokenizer of `tokenizer.json`.
indirect enum PreTokenizer: Sendable {
  case sequence([PreTokenizer])
  case split(Pattern, SplitBehaviour, invert: Bool)
  case digits(individual: Bool)
  case byteLevel(addsPrefixSpace: Bool, splits: Bool)
  case metaspace(replacement: [UInt8], prepend: PrependScheme, splits: Bool)
  case whitespace

  enum PrependScheme: String {
    case always, first, never
  }

  /// Where a match goes.
  enum SplitBehaviour: String {
    case isolated = "Isolated"
    case removed = "Removed"
    case mergedWithPrevious = "MergedWithPrevious"
    case mergedWithNext = "MergedWithNext"
    case contiguous = "Contiguous"
  }

  /// Reads a pre-tokenizer; nil for `null`.
  init?(_ json: JSON?) throws {
    guard let json, !json.isNull else { return nil }
    switch json["type"]?.string ?? "" {
    case "Sequence":
      self = .sequence(try (json["pretokenizers"]?.array ?? []).compactMap { try PreTokenizer($0) })
    case "Split":
      let name = json["behavior"]?.string ?? ""
      guard let behaviour = SplitBehaviour(rawValue: name) else {
        throw TextError("pre-tokenizer Split: behavior '\(name)' is not known")
      }
      self = .split(try Pattern(json["pattern"]), behaviour, invert: json["invert"]?.bool ?? false)
    case "Digits":
      self = .digits(individual: json["individual_digits"]?.bool ?? false)
    case "ByteLevel":
      self = .byteLevel(
        addsPrefixSpace: json["add_prefix_space"]?.bool ?? true, splits: json["use_regex"]?.bool ?? true)
    case "Metaspace":
      let name = json["prepend_scheme"]?.string
      let legacy = json["add_prefix_space"]?.bool ?? true ? "always" : "never"
      guard let scheme = PrependScheme(rawValue: name ?? legacy) else {
        throw TextError("pre-tokenizer Metaspace: prepend_scheme '\(name ?? "")' is not known")
      }
      self = .metaspace(
        replacement: Array((json["replacement"]?.string ?? "▁").utf8), prepend: scheme,
        splits: json["split"]?.bool ?? true)
    case "WhitespaceSplit":
      self = .whitespace
    case let type:
      throw TextError(
        "pre-tokenizer '\(type)' is not known; known are Sequence, Split, Digits, ByteLevel, Metaspace, "
          + "WhitespaceSplit")
    }
  }

  /// Whether words reach the vocabulary as bytes instead of characters.
  var isByteLevel: Bool {
    switch self {
    case .byteLevel: true
    case .sequence(let parts): parts.contains { $0.isByteLevel }
    default: false
    }
  }

  /// Divides the words further.
  func apply(to words: inout Words) {
    switch self {
    case .sequence(let parts):
      for part in parts { part.apply(to: &words) }
    case .split(.scanner(let scanner), .isolated, _), .split(.scanner(let scanner), .removed, invert: true):
      PreTokenizer.scan(&words, scanner)
    case .split(let pattern, let behaviour, let invert):
      words.divide { bytes, range, result in
        let spans = pattern.spans(bytes, range).map { ($0.range, $0.isMatch != invert) }
        result.append(contentsOf: behaviour.words(spans))
      }
    case .digits(let individual):
      PreTokenizer.divideDigits(&words, individual: individual)
    case .byteLevel(let addsPrefixSpace, let splits):
      if addsPrefixSpace { words.prepend([0x20]) { word, _ in word.first != 0x20 } }
      if splits { PreTokenizer.scan(&words, .gpt2) }
    case .metaspace(let replacement, let scheme, let splits):
      words = PreTokenizer.replacingSpaces(words, replacement)
      if scheme != .never {
        words.prepend(replacement) { word, isFirst in
          !word.starts(with: replacement) && (scheme == .always || isFirst)
        }
      }
      if splits {
        PreTokenizer.split(.literal(replacement), .mergedWithNext, invert: false).apply(to: &words)
      }
    case .whitespace:
      words.divide { bytes, range, result in
        let reader = CharacterReader(bytes: bytes, end: range.upperBound)
        var start = range.lowerBound
        var i = start
        while i < range.upperBound {
          let (kind, length) = reader.characterClass(at: i)
          if kind == .space {
            if start < i { result.append(start..<i) }
            start = i + length
          }
          i += length
        }
        if start < i { result.append(start..<i) }
      }
    }
  }

  private static func scan(_ words: inout Words, _ scanner: Scanner) {
    words.divide { bytes, range, result in
      let reader = CharacterReader(bytes: bytes, end: range.upperBound)
      var start = range.lowerBound
      while start < range.upperBound {
        let end = scanner.end(of: start, reader)
        result.append(start..<end)
        start = end
      }
    }
  }

  private static func divideDigits(_ words: inout Words, individual: Bool) {
    words.divide { bytes, range, result in
      let reader = CharacterReader(bytes: bytes, end: range.upperBound)
      var start = range.lowerBound
      var i = start
      var wasNumber = false
      while i < range.upperBound {
        let (kind, length) = reader.characterClass(at: i)
        let isNumber = kind == .number
        if start < i, isNumber != wasNumber || (isNumber && individual) {
          result.append(start..<i)
          start = i
        }
        wasNumber = isNumber
        i += length
      }
      if start < i { result.append(start..<i) }
    }
  }

  private static func replacingSpaces(_ words: Words, _ replacement: [UInt8]) -> Words {
    var result = words
    result.bytes.removeAll(keepingCapacity: true)
    result.ranges = words.ranges.map { range in
      let start = result.bytes.count
      for byte in words.bytes[range] {
        if byte == 0x20 { result.bytes += replacement } else { result.bytes.append(byte) }
      }
      return start..<result.bytes.count
    }
    return result
  }
}

extension PreTokenizer.SplitBehaviour {
  /// The words that matches and gaps become.
  func words(_ spans: [(range: Range<Int>, isMatch: Bool)]) -> [Range<Int>] {
    var words: [Range<Int>] = []
    switch self {
    case .isolated:
      words = spans.map(\.range)
    case .removed:
      words = spans.filter { !$0.isMatch }.map(\.range)
    case .contiguous:
      for (i, span) in spans.enumerated() {
        if i > 0, spans[i - 1].isMatch == span.isMatch {
          words[words.count - 1] = words[words.count - 1].lowerBound..<span.range.upperBound
        } else {
          words.append(span.range)
        }
      }
    case .mergedWithPrevious:
      for (i, span) in spans.enumerated() {
        if span.isMatch, i > 0, !spans[i - 1].isMatch {
          words[words.count - 1] = words[words.count - 1].lowerBound..<span.range.upperBound
        } else {
          words.append(span.range)
        }
      }
    case .mergedWithNext:
      for (i, span) in spans.enumerated() {
        if !span.isMatch, i > 0, spans[i - 1].isMatch {
          words[words.count - 1] = words[words.count - 1].lowerBound..<span.range.upperBound
        } else {
          words.append(span.range)
        }
      }
    }
    return words
  }
}
