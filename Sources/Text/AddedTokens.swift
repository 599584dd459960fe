// Added tokens: strings such as `<|im_end|>` that are found in the text before anything else happens to it
// and become one token each.

/// One entry of `added_tokens`.
struct AddedToken: Sendable {
  var id: Int32
  var content: [UInt8]
  /// Matches only where no word continues on either side.
  var singleWord = false
  /// Takes the white space before / after it along.
  var stripsLeft = false
  var stripsRight = false
  /// Is looked for in the normalised text.
  var isNormalised = false
  /// Belongs to the markup, not to the text.
  var isSpecial = true

  init(_ json: JSON) throws {
    guard let id = json["id"]?.int, id >= 0, id <= TokenizerDescription.largestID,
      let content = json["content"]?.string
    else {
      throw TextError(
        "an entry of added_tokens needs an id from 0 to \(TokenizerDescription.largestID) and a content, a string"
      )
    }
    self.id = Int32(id)
    self.content = Array(content.utf8)
    singleWord = json["single_word"]?.bool ?? false
    stripsLeft = json["lstrip"]?.bool ?? false
    stripsRight = json["rstrip"]?.bool ?? false
    isNormalised = json["normalized"]?.bool ?? false
    isSpecial = json["special"]?.bool ?? false
  }
}

/// Finds added tokens: the leftmost, and of those the longest.
struct AddedTokenMatcher: Sendable {
  /// By first byte, the longest first.
  private var tokens = [[AddedToken]](repeating: [], count: 256)
  private(set) var isEmpty = true

  init(_ tokens: [AddedToken]) {
    for token in tokens where !token.content.isEmpty {
      self.tokens[Int(token.content[0])].append(token)
      isEmpty = false
    }
    for i in 0..<256 where self.tokens[i].count > 1 {
      self.tokens[i].sort { $0.content.count > $1.content.count }
    }
  }

  /// Calls `body` with stretches of text (nil) and with added tokens, in order.
  func divide(
    _ text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, AddedToken?) throws -> Void
  ) rethrows {
    var done = 0
    var i = 0
    while i < text.count {
      guard let token = match(text, at: i) else {
        i += 1
        continue
      }
      let end = i + token.content.count
      if token.singleWord, isWord(text, before: i) || isWord(text, after: end) {
        i = end
        continue
      }
      let start = token.stripsLeft ? spaceStart(text, before: i, atLeast: done) : i
      if done < start { try body(done..<start, nil) }
      done = end
      if token.stripsRight {
        done = CharacterReader(bytes: text, end: text.count).endOfRun(.space, from: end)
      }
      try body(start..<done, token)
      i = done
    }
    if done < text.count { try body(done..<text.count, nil) }
  }

  @inline(__always)
  private func match(_ text: UnsafeBufferPointer<UInt8>, at offset: Int) -> AddedToken? {
    let candidates = tokens[Int(text[offset])]
    if candidates.isEmpty { return nil }
    return candidates.first { token in
      offset + token.content.count <= text.count
        && text[offset..<(offset + token.content.count)].elementsEqual(token.content)
    }
  }

  private func isWord(_ text: UnsafeBufferPointer<UInt8>, after offset: Int) -> Bool {
    guard offset < text.count else { return false }
    let reader = CharacterReader(bytes: text, end: text.count)
    let kind = reader.characterClass(at: offset).0
    return kind == .letter || kind == .number || text[offset] == UInt8(ascii: "_")
  }

  private func isWord(_ text: UnsafeBufferPointer<UInt8>, before offset: Int) -> Bool {
    offset > 0 && isWord(text, after: characterStart(text, before: offset))
  }

  private func spaceStart(_ text: UnsafeBufferPointer<UInt8>, before offset: Int, atLeast: Int) -> Int {
    let reader = CharacterReader(bytes: text, end: text.count)
    var start = offset
    while start > atLeast {
      let previous = characterStart(text, before: start)
      if reader.characterClass(at: previous).0 != .space { break }
      start = previous
    }
    return start
  }

  private func characterStart(_ text: UnsafeBufferPointer<UInt8>, before offset: Int) -> Int {
    var start = offset - 1
    while start > 0, text[start] & 0xC0 == 0x80 { start -= 1 }
    return start
  }
}
