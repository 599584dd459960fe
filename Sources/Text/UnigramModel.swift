// The unigram language model of SentencePiece (Kudo, arXiv:1804.10959): of all ways to divide a word into tokens the
// likeliest, found by Viterbi's algorithm over the places between characters. Ties and unknown characters go as in
// Hugging Face's tokenizers.

/// Tokens and the logarithms of their probabilities.
struct UnigramModel: Sendable {
  /// What a character becomes that no token begins with.
  let unknown: Int32?
  /// Token of each single byte, for unknown characters; empty where they are not spelt in bytes.
  private let tokenOfByte: [Int32]
  private let scores: [Double]
  private let unknownScore: Double
  /// The children of a tree of all tokens, by node and byte; and the token that ends at each node, or -1.
  private var children: PairTable
  private var tokens: [Int32] = [-1]

  /// How much less likely an unknown character is than the least likely token.
  private static let unknownPenalty = 10.0

  /// - Parameter vocabulary: tokens and scores by id.
  init(
    _ vocabulary: [(token: [UInt8], score: Double)], unknown: Int32?, fallsBackToBytes: Bool
  ) {
    self.unknown = unknown
    scores = vocabulary.map(\.score)
    unknownScore = (scores.min() ?? 0) - Self.unknownPenalty
    children = PairTable(count: vocabulary.reduce(0) { $0 + $1.token.count })
    var bytes = [Int32](repeating: -1, count: 256)
    for (id, entry) in vocabulary.enumerated() {
      if let byte = byteToken(entry.token) { bytes[Int(byte)] = Int32(id) }
      var node = 0
      for byte in entry.token {
        let child = children[Int32(node), Int32(byte)]
        if child.rank == .max {
          children[Int32(node), Int32(byte)] = PairTable.Merge(rank: 0, token: Int32(tokens.count))
          node = tokens.count
          tokens.append(-1)
        } else {
          node = Int(child.token)
        }
      }
      if node > 0 { tokens[node] = Int32(id) }
    }
    tokenOfByte = fallsBackToBytes ? bytes : []
  }

  /// Appends the tokens of one word.
  func encode(_ word: UnsafeBufferPointer<UInt8>, into output: inout [Int32]) {
    guard !word.isEmpty else { return }
    // The best way to each place: its score, the token that ends there (-1: an unknown character) and where that began.
    var best = [(score: Double, token: Int32, start: Int)](repeating: (0, -1, -1), count: word.count + 1)
    func offer(_ score: Double, _ token: Int32, _ start: Int, _ end: Int) {
      if best[end].start < 0 || score > best[end].score { best[end] = (score, token, start) }
    }
    var start = 0
    while start < word.count {
      let character = start + utf8Length(word[start])
      let reached = best[start].score
      var (node, end, hasCharacter) = (Int32(0), start, false)
      while end < word.count {
        let child = children[node, Int32(word[end])]
        guard child.rank != .max else { break }
        (node, end) = (child.token, end + 1)
        let token = tokens[Int(node)]
        guard token >= 0 else { continue }
        offer(reached + scores[Int(token)], token, start, end)
        if end == character { hasCharacter = true }
      }
      if !hasCharacter { offer(reached + unknownScore, -1, start, character) }
      start = character
    }
    var reversed: [(token: Int32, range: Range<Int>)] = []
    var end = word.count
    while end > 0 {
      let (_, token, start) = best[end]
      // Neighbouring unknown characters are one unknown token.
      if token < 0, let last = reversed.last, last.token < 0 {
        reversed[reversed.count - 1].range = start..<last.range.upperBound
      } else {
        reversed.append((token, start..<end))
      }
      end = start
    }
    for (token, range) in reversed.reversed() {
      if token >= 0 {
        output.append(token)
      } else if !tokenOfByte.isEmpty, word[range].allSatisfy({ tokenOfByte[Int($0)] >= 0 }) {
        output.append(contentsOf: word[range].map { tokenOfByte[Int($0)] })
      } else if let unknown {
        output.append(unknown)
      }
    }
  }
}
