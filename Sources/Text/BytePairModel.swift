// The merge algorithm of byte-pair encoding. Neighbouring tokens are merged, the pair with the lowest rank
// first and the leftmost among equals, until no pair is left that may be merged. The tokens of a word are a
// doubly linked list over arrays; candidate pairs wait in a heap, so a word of n bytes takes n log n steps
// (a SentencePiece vocabulary sees a whole text as one word).

/// Vocabulary and merges.
struct BytePairModel: Sendable {
  /// Merges by pair of token ids.
  var merges = PairTable(count: 0)
  /// Token of each single byte; -1 where there is none. For byte-level vocabularies these are the tokens that
  /// a word starts from; for the others, what an unknown character falls back to (`<0x0A>`).
  var tokenOfByte = [Int32](repeating: -1, count: 256)
  /// Whether words start from bytes instead of characters.
  var isByteLevel = false
  /// What a character becomes that is in no vocabulary; without one it is left out, as in `tokenizers`.
  var unknown: Int32?
  /// Whether neighbouring unknown characters become one unknown token.
  var fusesUnknown = false
  /// Whether unknown characters are spelt in bytes.
  var fallsBackToBytes = false
  /// Whether a word that is itself a token becomes that token without looking at merges.
  var ignoresMerges = false
  /// Tokens by the bytes that words are looked up with.
  var vocabulary = ByteTable()
  /// The token ids of `vocabulary`'s numbers.
  var ids: [Int32] = []

  /// The token that consists of exactly these bytes.
  func token(_ bytes: UnsafeBufferPointer<UInt8>) -> Int32? {
    vocabulary.find(bytes).map { ids[$0] }
  }

  /// Appends the tokens of one word.
  func encode(_ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32], _ work: inout MergeWork) {
    if ignoresMerges, let whole = token(word) {
      output.append(whole)
      return
    }
    work.tokens.removeAll(keepingCapacity: true)
    if isByteLevel {
      for byte in word { start(with: tokenOfByte[Int(byte)], &work.tokens) }
    } else {
      startFromCharacters(word, &work.tokens)
    }
    if work.tokens.count > 1 { merge(&work) }
    output.append(contentsOf: work.tokens)
  }

  private func start(with token: Int32, _ tokens: inout [Int32]) {
    if token >= 0 {
      tokens.append(token)
    } else if let unknown, !(fusesUnknown && tokens.last == unknown) {
      tokens.append(unknown)
    }
  }

  private func startFromCharacters(_ word: UnsafeBufferPointer<UInt8>, _ tokens: inout [Int32]) {
    var i = 0
    while i < word.count {
      let next = i + utf8Length(word[i])
      let character = UnsafeBufferPointer(rebasing: word[i..<next])
      if let token = token(character) {
        tokens.append(token)
      } else if fallsBackToBytes, character.allSatisfy({ tokenOfByte[Int($0)] >= 0 }) {
        for byte in character { tokens.append(tokenOfByte[Int(byte)]) }
      } else {
        start(with: -1, &tokens)
      }
      i = next
    }
  }

  private func merge(_ work: inout MergeWork) {
    work.begin()
    for i in 0..<(work.tokens.count - 1) { consider(i, &work) }
    while let (rank, left) = work.popCandidate() {
      // Whatever merged since has overwritten the rank here, so a candidate that is out of date shows.
      guard work.ranks[left] == rank else { continue }
      work.tokens[left] = work.merged[left]
      work.unlink(work.next[left])
      consider(left, &work)
      if work.previous[left] >= 0 { consider(work.previous[left], &work) }
    }
    work.compact()
  }

  /// Puts the pair that starts at `left` into the heap if it may be merged.
  @inline(__always)
  private func consider(_ left: Int, _ work: inout MergeWork) {
    let right = work.next[left]
    work.ranks[left] = .max
    guard right < work.tokens.count else { return }
    let merge = merges[work.tokens[left], work.tokens[right]]
    guard merge.rank != .max else { return }
    work.ranks[left] = merge.rank
    work.merged[left] = merge.token
    work.pushCandidate(merge.rank, left)
  }
}

/// The arrays that merging works in, kept from word to word.
struct MergeWork {
  var tokens: [Int32] = []
  /// Neighbours in the list; `tokens.count` and -1 beyond its ends.
  fileprivate var next: [Int] = []
  fileprivate var previous: [Int] = []
  /// Rank and result of the pair that starts at each position; `UInt32.max` where nothing can be merged.
  fileprivate var ranks: [UInt32] = []
  fileprivate var merged: [Int32] = []
  /// A binary heap of rank · 2³² + position: the smallest is the next merge.
  private var heap: [UInt64] = []

  fileprivate mutating func begin() {
    let count = tokens.count
    if next.count < count {
      next = [Int](repeating: 0, count: count * 2)
      previous = next
      ranks = [UInt32](repeating: 0, count: count * 2)
      merged = [Int32](repeating: 0, count: count * 2)
    }
    for i in 0..<count {
      next[i] = i + 1
      previous[i] = i - 1
    }
    ranks[count - 1] = .max
    heap.removeAll(keepingCapacity: true)
  }

  fileprivate mutating func unlink(_ position: Int) {
    ranks[position] = .max
    let after = next[position]
    next[previous[position]] = after
    if after < tokens.count { previous[after] = previous[position] }
  }

  /// Moves the tokens that are left to the front.
  fileprivate mutating func compact() {
    var count = 0
    var i = 0
    let end = tokens.count
    while i < end {
      tokens[count] = tokens[i]
      count += 1
      i = next[i]
    }
    tokens.removeLast(end - count)
  }

  fileprivate mutating func pushCandidate(_ rank: UInt32, _ position: Int) {
    let entry = UInt64(rank) << 32 | UInt64(position)
    var i = heap.count
    heap.append(entry)
    while i > 0, heap[(i - 1) / 2] > entry {
      heap[i] = heap[(i - 1) / 2]
      i = (i - 1) / 2
    }
    heap[i] = entry
  }

  fileprivate mutating func popCandidate() -> (rank: UInt32, position: Int)? {
    guard let top = heap.first else { return nil }
    let entry = heap.removeLast()
    let count = heap.count
    if count > 0 {
      var i = 0
      while true {
        var child = 2 * i + 1
        if child >= count { break }
        if child + 1 < count, heap[child + 1] < heap[child] { child += 1 }
        if heap[child] >= entry { break }
        heap[i] = heap[child]
        i = child
      }
      heap[i] = entry
    }
    return (UInt32(top >> 32), Int(top & 0xFFFF_FFFF))
  }
}

/// The words seen last and their tokens: text repeats itself, so most words are found here.
struct WordCache {
  private static let maximumWords = 1 << 16
  private static let maximumBytes = 1 << 21
  /// Longer words are rare, and would only push out others.
  static let maximumWordLength = 64

  private var words = ByteTable()
  private var ends: [Int] = []
  private var tokens: [Int32] = []

  /// Appends a word's tokens if the word is known.
  mutating func append(_ word: UnsafeBufferPointer<UInt8>, to output: inout [Int32]) -> Bool {
    guard let number = words.find(word) else { return false }
    output.append(contentsOf: tokens[(number == 0 ? 0 : ends[number - 1])..<ends[number]])
    return true
  }

  /// Remembers a word that is not known yet.
  mutating func insert(_ word: UnsafeBufferPointer<UInt8>, _ ids: ArraySlice<Int32>) {
    if words.count >= WordCache.maximumWords || words.byteCount >= WordCache.maximumBytes {
      self = WordCache()
    }
    words.insert(word)
    tokens.append(contentsOf: ids)
    ends.append(tokens.count)
  }
}
