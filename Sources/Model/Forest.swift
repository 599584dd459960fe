// A batch as a forest of segments: one trunk, many branches.
//
// A document is a trunk, the closing prompt at a position is a branch of it, and the rollouts are branches of that.
// All tokens lie packed in one list without padding. Linear layers see rows; only attention and positions know the
// forest. What several branches share is computed once, in sampling, in training, and in the backward pass.
import Kernels

/// Token segments that may hang off each other, packed into one list of rows.
public struct Forest: Sendable {
  /// A run of tokens with one history.
  public struct Segment: Sendable {
    /// Its rows in the packed list.
    public let rows: Range<Int>
    /// The segment whose tokens come before, if any.
    public let parent: Int?
    /// How many tokens of the parent come before.
    public let offset: Int
    /// The position of its first token in its branch, from 0.
    public let position: Int
    /// Divides the logits that predict its tokens.
    public let temperature: Float
    /// Whether its tokens get log-probabilities.
    public let isScored: Bool
  }

  /// All tokens, segment after segment.
  public private(set) var tokens: [Int32] = []
  /// Segments by their numbers.
  public private(set) var segments: [Segment] = []

  /// An empty forest.
  public init() {}

  /// Number of rows.
  public var count: Int { tokens.count }

  /// Adds a segment.
  ///
  /// - Parameters:
  ///   - parent: the number of the segment that comes before it, nil for a root.
  ///   - offset: how many of the parent's tokens come before it; nil for all.
  /// - Returns: the segment's number, from 0.
  @discardableResult
  public mutating func add(
    _ ids: [Int32], parent: Int? = nil, offset: Int? = nil, temperature: Float = 1, isScored: Bool = true
  ) throws(ModelError) -> Int {
    guard temperature > 0, temperature.isFinite else {
      throw ModelError("segment: expected a temperature above 0, got \(temperature)")
    }
    var (position, before) = (0, 0)
    if let parent {
      guard segments.indices.contains(parent) else {
        throw ModelError(
          "segment: there is no parent \(parent + 1); the batch has \(segments.count) segments")
      }
      let length = segments[parent].rows.count
      before = offset ?? length
      guard (0...length).contains(before) else {
        throw ModelError("segment: offset \(before) is outside the parent's \(length) tokens")
      }
      position = segments[parent].position + before
    } else if let offset, offset != 0 {
      throw ModelError("segment: offset \(offset) was given without a parent")
    }
    segments.append(
      Segment(
        rows: count..<count + ids.count, parent: parent, offset: before, position: position,
        temperature: temperature, isScored: isScored))
    tokens += ids
    return segments.count - 1
  }

  /// Rows that a branch of `segment`, hanging off after `offset` of its tokens, has before it.
  public func spans(before segment: Int?, offset: Int) -> [AttentionPlan.Span] {
    var spans: [AttentionPlan.Span] = []
    var (current, visible) = (segment, offset)
    while let index = current {
      if visible > 0 { spans.append(.init(start: segments[index].rows.lowerBound, count: visible)) }
      (current, visible) = (segments[index].parent, segments[index].offset)
    }
    return spans.reversed()
  }

  /// Position of every row in its branch, from 0.
  public var positions: [Int] {
    segments.flatMap { segment in segment.rows.indices.map { segment.position + $0 - segment.rows.lowerBound }
    }
  }

  /// Which rows see which: the branches of one place meet their common history together.
  public var attentionPlan: AttentionPlan {
    struct Place: Hashable {
      let parent: Int?
      let offset: Int
    }
    var order: [Place] = []
    var groups: [Place: [AttentionPlan.Part]] = [:]
    for segment in segments where !segment.rows.isEmpty {
      let place = Place(parent: segment.parent, offset: segment.offset)
      if groups[place] == nil { order.append(place) }
      groups[place, default: []].append(
        .init(
          queryStart: segment.rows.lowerBound, queryCount: segment.rows.count,
          keyStart: segment.rows.lowerBound,
          keyOffset: 0))
    }
    var plan = AttentionPlan()
    for place in order {
      plan.add(spans: spans(before: place.parent, offset: place.offset), parts: groups[place]!)
    }
    return plan
  }

  /// Row that predicts the first token of a segment: the last one before it.
  func lastRow(before segment: Segment) -> Int? {
    spans(before: segment.parent, offset: segment.offset).last.map { $0.start + $0.count - 1 }
  }

  /// What the head has to compute: for each scored token that has something before it, its own row, the row that
  /// predicts it, and what its logits are multiplied by.
  struct Predictions {
    var places: [Int32] = []
    var rows: [Int32] = []
    var targets: [Int32] = []
    var inverseTemperatures: [Float] = []
  }

  var predictions: Predictions {
    var result = Predictions()
    for segment in segments where segment.isScored {
      var previous = lastRow(before: segment)
      for row in segment.rows {
        if let previous {
          result.places.append(Int32(row))
          result.rows.append(Int32(previous))
          result.targets.append(tokens[row])
          result.inverseTemperatures.append(1 / segment.temperature)
        }
        previous = row
      }
    }
    return result
  }
}
