// Cutting a forest into smaller ones that together score the same tokens.

extension Forest {
  /// A part of a forest that stands by itself.
  package struct Part {
    /// Segments of the whole and what they need of those before them, which is not scored here.
    package fileprivate(set) var forest = Forest()
    /// For each of the part's rows that belongs to it, its row there and in the whole.
    package fileprivate(set) var rows: [(own: Int, whole: Int)] = []
    /// For each of the part's rows, its row in the whole.
    package fileprivate(set) var origins: [Int32] = []
    /// The numbers of its segments, by those in the whole.
    fileprivate var numbers: [Int: Int] = [:]
  }

  /// The longest way from a root to an end, in rows: no part can be smaller.
  public var longestBranch: Int {
    segments.map { $0.position + $0.rows.count }.max() ?? 0
  }

  /// Parts of at most `maxRows` rows, where a single branch is not longer. A scored segment belongs to one part; what
  /// comes before it is repeated in every part that needs it. What nobody needs is left out.
  package func split(maxRows: Int) throws(ModelError) -> [Part] {
    var parts: [Part] = []
    var own: Set<Int> = []
    /// For each segment of the part that grows, how many of its rows are needed.
    var needed: [Int: Int] = [:]
    var size = 0
    for number in segments.indices where segments[number].isScored {
      var path = lineage(of: number)
      func added() -> Int { path.reduce(0) { $0 + max(0, $1.rows - needed[$1.number, default: 0]) } }
      if size + added() > maxRows, !own.isEmpty {
        parts.append(try part(own: own, needed: needed))
        (own, needed, size) = ([], [:], 0)
      }
      size += added()
      while let step = path.popLast() {
        needed[step.number] = max(step.rows, needed[step.number, default: 0])
      }
      own.insert(number)
    }
    if !own.isEmpty || parts.isEmpty { parts.append(try part(own: own, needed: needed)) }
    return parts
  }

  /// Some segments and what comes before them, without what none of them needs; and their numbers there.
  func pruned(to segments: [Int]) throws(ModelError) -> (forest: Forest, segments: [Int]) {
    var needed: [Int: Int] = [:]
    for step in segments.flatMap(lineage) {
      needed[step.number] = max(step.rows, needed[step.number, default: 0])
    }
    let part = try part(own: [], needed: needed)
    return (part.forest, segments.map { part.numbers[$0]! })
  }

  /// A segment and its ancestors, and how many rows of each lie on the way to its end.
  private func lineage(of number: Int) -> [(number: Int, rows: Int)] {
    var path = [(number: number, rows: segments[number].rows.count)]
    var current = segments[number]
    while let parent = current.parent {
      path.append((parent, current.offset))
      current = segments[parent]
    }
    return path
  }

  private func part(own: Set<Int>, needed: [Int: Int]) throws(ModelError) -> Part {
    var part = Part()
    for (number, count) in needed.sorted(by: { $0.key < $1.key }) {
      let segment = segments[number]
      let (start, rows) = (part.forest.count, segment.rows.prefix(count))
      part.numbers[number] = try part.forest.add(
        Array(tokens[rows]), parent: segment.parent.map { part.numbers[$0]! },
        offset: segment.parent == nil ? nil : segment.offset, temperature: segment.temperature,
        isScored: own.contains(number))
      part.origins += rows.map { Int32($0) }
      if own.contains(number) {
        part.rows += rows.enumerated().map { (own: start + $0.offset, whole: $0.element) }
      }
    }
    return part
  }
}
