// Cutting a forest into smaller ones that together score the same tokens.

extension Forest {
  /// A part of a forest that stands by itself.
  struct Part {
    /// Segments of the whole and what comes before them. Those that are there for others only are not scored.
    var forest = Forest()
    /// For each of the part's rows that belongs to it, its row there and in the whole.
    var rows: [(own: Int, whole: Int)] = []
    /// The part's numbers of the whole's segments.
    fileprivate var numbers: [Int: Int] = [:]
  }

  /// The longest way from a root to an end, in rows: no part can be smaller.
  public var longestBranch: Int {
    segments.map { $0.position + $0.rows.count }.max() ?? 0
  }

  /// Parts of at most `maxRows` rows, where a single branch is not longer. A segment belongs to one part; what comes
  /// before it is repeated in every part that needs it.
  func split(maxRows: Int) throws(ModelError) -> [Part] {
    var parts: [Part] = []
    var current = Part()
    for number in segments.indices {
      let missing = lineage(of: number).filter { current.numbers[$0] == nil }
      let added = missing.reduce(0) { $0 + segments[$1].rows.count }
      if current.forest.count + added > maxRows, !current.rows.isEmpty {
        parts.append(current)
        current = Part()
      }
      try current.add(number, of: self)
    }
    if !current.rows.isEmpty || parts.isEmpty { parts.append(current) }
    return parts
  }

  /// A segment and its ancestors, the root first.
  fileprivate func lineage(of number: Int) -> [Int] {
    var chain = [number]
    while let parent = segments[chain[chain.count - 1]].parent { chain.append(parent) }
    return chain.reversed()
  }
}

extension Forest.Part {
  fileprivate mutating func add(_ number: Int, of whole: Forest) throws(ModelError) {
    for ancestor in whole.lineage(of: number) where numbers[ancestor] == nil {
      let segment = whole.segments[ancestor]
      let isOwn = ancestor == number
      let start = forest.count
      numbers[ancestor] = try forest.add(
        Array(whole.tokens[segment.rows]), parent: segment.parent.map { numbers[$0]! },
        offset: segment.parent == nil ? nil : segment.offset, temperature: segment.temperature,
        isScored: isOwn && segment.isScored)
      if isOwn {
        rows += segment.rows.enumerated().map { (own: start + $0.offset, whole: $0.element) }
      }
    }
  }
}
