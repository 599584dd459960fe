// Who attends to whom: blocks of queries that see the same keys, and the sizes of an attention layer.

/// Which keys each query row sees.
public struct AttentionPlan: Sendable {
  /// Rows of keys, seen whole.
  public struct Span: Sendable, Hashable {
    /// The first row.
    public var start: Int
    /// Number of rows.
    public var count: Int

    /// Rows `start ..< start + count`.
    public init(start: Int, count: Int) {
      self.start = start
      self.count = count
    }

    var end: Int { start + count }
  }

  /// Consecutive query rows of one segment: row i sees keys `keyStart ..< keyStart + keyOffset + i + 1`.
  public struct Part: Sendable {
    /// The first query row.
    public var queryStart: Int
    /// Number of query rows.
    public var queryCount: Int
    /// The first of the segment's own key rows.
    public var keyStart: Int
    /// Own keys that lie before the part's first query.
    public var keyOffset: Int

    /// Query rows and where their own keys begin.
    public init(queryStart: Int, queryCount: Int, keyStart: Int, keyOffset: Int) {
      self.queryStart = queryStart
      self.queryCount = queryCount
      self.keyStart = keyStart
      self.keyOffset = keyOffset
    }

    var keys: Span { Span(start: keyStart, count: keyOffset + queryCount) }
  }

  /// Parts that see the same spans.
  public struct Block: Sendable {
    /// Rows that all queries of the block see.
    public var spans: [Span]
    /// The queries, and the keys of their own.
    public var parts: [Part]

    /// A block of parts that see the same spans.
    public init(spans: [Span], parts: [Part]) {
      self.spans = spans
      self.parts = parts
    }

    var queryCount: Int { parts.reduce(0) { $0 + $1.queryCount } }

    /// Pairs of a query and a key that it is multiplied with.
    var work: Int {
      let shared = spans.reduce(0) { $0 + $1.count }
      return parts.reduce(0) { $0 + $1.queryCount * (shared + $1.keyOffset + $1.queryCount) }
    }
  }

  /// Most query rows in one block: enough for an efficient product, few enough for a tile of scores to stay in cache.
  public static let blockRows = 64
  /// A decoding step has one query per branch: smaller blocks, so that there is work for several threads.
  private static let leastBlockRows = 8

  /// Units of work, independent of each other in the forward pass.
  public var blocks: [Block] = []

  /// A plan without queries.
  public init() {}

  /// Adds the query rows of segments that all hang off the same spans, cut into blocks.
  public mutating func add(spans: [Span], parts: [Part]) {
    let queries = parts.reduce(0) { $0 + $1.queryCount }
    let blockRows = min(Self.blockRows, max(Self.leastBlockRows, (queries + 7) / 8))
    var pending: [Part] = []
    var room = blockRows
    func close(_ blocks: inout [Block]) {
      if !pending.isEmpty { blocks.append(Block(spans: spans, parts: pending)) }
      pending = []
      room = blockRows
    }
    for part in parts {
      var done = 0
      while done < part.queryCount {
        let count = min(room, part.queryCount - done)
        pending.append(
          Part(
            queryStart: part.queryStart + done, queryCount: count, keyStart: part.keyStart,
            keyOffset: part.keyOffset + done))
        done += count
        room -= count
        if room == 0 { close(&blocks) }
      }
    }
    close(&blocks)
  }

  /// Query rows of the largest block.
  var largestBlock: Int { blocks.reduce(0) { max($0, $1.queryCount) } }
}

/// Sizes of an attention layer.
public struct AttentionShape: Sendable {
  /// Query heads H.
  public var heads: Int
  /// Key and value heads KVH.
  public var keyHeads: Int
  /// Size D of a head.
  public var headSize: Int

  /// The sizes of a layer; `heads` is a multiple of `keyHeads`.
  public init(heads: Int, keyHeads: Int, headSize: Int) {
    self.heads = heads
    self.keyHeads = keyHeads
    self.headSize = headSize
  }

  /// Query heads that share one key head.
  public var group: Int { heads / keyHeads }
  /// What scores are multiplied by, 1 / √D.
  public var scale: Float { 1 / Float(headSize).squareRoot() }
}
