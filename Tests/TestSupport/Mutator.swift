// Changes inputs at random: bits, bytes, lengths that lie, pieces of syntax, parts of other inputs, nodes of JSON. The
// same for the same number on every machine.

import Model

package struct Mutator {
  private var random: Random
  private let corpus: [[UInt8]]
  private let words: [[UInt8]]
  /// Most changes fall into the first so many bytes, where formats have their headers.
  private let head: Int
  private let kind: Kind

  /// Where an input is JSON: it is also changed as such.
  package enum Kind {
    case bytes, json
    /// Eight bytes of length, JSON, data.
    case safetensors
  }

  /// - Parameter words: pieces of syntax that are put into inputs.
  package init(number: UInt64, corpus: [[UInt8]], words: [String], head: Int, kind: Kind) {
    random = Random(number)
    self.corpus = corpus
    self.words = words.map { Array($0.utf8) }
    self.head = head
    self.kind = kind
  }

  /// A changed input.
  package mutating func next() -> [UInt8] {
    var bytes = pick(corpus)
    if kind != .bytes, random.next() % 2 == 0 { bytes = changedJSON(bytes) }
    for _ in 0..<pick([0, 1, 1, 1, 2, 3, 8]) { change(&bytes) }
    return bytes
  }

  private mutating func pick<Element>(_ elements: [Element]) -> Element {
    elements.randomElement(using: &random)!
  }

  private mutating func place(_ count: Int) -> Int {
    let limit = random.next() % 8 == 0 ? count : min(head, count)
    return Int.random(in: 0...limit, using: &random)
  }

  private mutating func change(_ bytes: inout [UInt8]) {
    let start = place(bytes.count)
    let end = min(bytes.count, start + pick([1, 1, 2, 4, 8, 16, 64, 1000]))
    switch Int.random(in: 0..<11, using: &random) {
    case 0 where start < end: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
    case 1 where start < end: bytes[start] = pick([0, 1, 0x20, 0x22, 0x7f, 0x80, 0xff])
    case 2 where start < end:
      for i in start..<end { bytes[i] = .random(in: 0...255, using: &random) }
    case 3: writeNumber(&bytes, at: start)
    case 4: bytes.removeSubrange(start..<end)
    case 5: bytes.removeLast(bytes.count - start)
    case 6:
      let piece = Array(bytes[start..<end])
      for _ in 0..<pick([1, 2, 50]) { bytes.insert(contentsOf: piece, at: start) }
    case 7:
      let other = pick(corpus)
      let from = place(other.count)
      bytes = Array(bytes[..<start]) + other[from...]
    case 8: replaceDigits(&bytes)
    default:
      guard !words.isEmpty else { return }
      bytes.replaceSubrange(start..<(random.next() % 2 == 0 ? start : end), with: pick(words))
    }
  }

  /// Overwrites two, four or eight bytes with a little-endian number that lies.
  private mutating func writeNumber(_ bytes: inout [UInt8], at start: Int) {
    let count = UInt64(bytes.count)
    let lie = pick([
      0, 1, 7, 0xff, 0xffff, 1 << 20, count, count &- 8, 1 << 31, 0xffff_ffff, 1 << 32, 1 << 48, 1 << 62,
      1 << 63,
      .max, .max - 7,
    ])
    let width = pick([2, 4, 8, 8])
    guard start + width <= bytes.count else { return }
    for i in 0..<width { bytes[start + i] = UInt8(truncatingIfNeeded: lie >> (8 * UInt64(i))) }
  }

  /// Puts another number where digits stand.
  private mutating func replaceDigits(_ bytes: inout [UInt8]) {
    let isDigit = { (byte: UInt8) in byte >= 0x30 && byte <= 0x39 }
    let start = place(bytes.count)
    guard let first = bytes[start...].firstIndex(where: isDigit) else { return }
    let end = bytes[first...].firstIndex { !isDigit($0) } ?? bytes.count
    let number = pick([
      "0", "-1", "1", "2", "255", "65536", "2147483648", "4294967296", "1099511627776", "9223372036854775807",
      "18446744073709551616", "1e308", "1e999", "0.5", "1000000",
    ])
    bytes.replaceSubrange(first..<end, with: Array(number.utf8))
  }

  // MARK: JSON

  /// Values that break careless code.
  private static let wicked: [JSONValue] = [
    .integer(-1), .integer(0), .integer(1), .integer(97), .integer(1 << 31), .integer(1 << 40),
    .integer(1 << 62), .integer(.max), .integer(.min), .number(1e19), .number(1.5), .number(1e300), .null,
    .bool(true), .string("x"), .string(""), .string("../../etc/passwd"), .array([]), .object([:]),
    .array([.integer(1 << 40), .integer(1 << 40)]),
  ]

  /// Replaces, removes or renames a node; of safetensors in the header, whose length then tells the truth.
  private mutating func changedJSON(_ bytes: [UInt8]) -> [UInt8] {
    let start = kind == .safetensors ? 8 : 0
    let end =
      kind == .safetensors && bytes.count >= 8
      ? 8 + bytes[..<4].reversed().reduce(0) { $0 << 8 | Int($1) } : bytes.count
    guard start <= end, end <= bytes.count else { return bytes }
    let text = Array(bytes[start..<end])
    guard let value = try? text.withUnsafeBytes({ try JSONValue(parsing: $0, file: "") }) else {
      return bytes
    }
    let json = Array(changed(value).serialized().utf8)
    guard kind == .safetensors else { return json }
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json + bytes[end...]
  }

  private mutating func changed(_ value: JSONValue) -> JSONValue {
    switch value {
    case .object(var members) where !members.isEmpty:
      let key = pick(members.keys.sorted())
      switch Int.random(in: 0..<9, using: &random) {
      case 0: members[key] = nil
      case 1: members[key + "x"] = members.removeValue(forKey: key)
      case 2: members[key] = members[pick(members.keys.sorted())]
      default: members[key] = changed(members[key]!)
      }
      return .object(members)
    case .array(var elements) where !elements.isEmpty && Int.random(in: 0..<4, using: &random) > 0:
      let index = Int.random(in: 0..<elements.count, using: &random)
      if Int.random(in: 0..<6, using: &random) == 0 {
        elements.append(elements[index])
      } else {
        elements[index] = changed(elements[index])
      }
      return .array(elements)
    default: return pick(Self.wicked)
    }
  }
}
