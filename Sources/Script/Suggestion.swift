/// ` (did you mean "temperature"?)` for a name that is close to one of `known`, otherwise nothing.
package func suggestion(for name: String, among known: some Sequence<String>) -> String {
  nearest(to: name, among: known).map { "; did you mean '\($0)'?" } ?? ""
}

/// The known name that differs from `name` by the fewest edits, if that is few enough to be a slip.
package func nearest(to name: String, among known: some Sequence<String>) -> String? {
  let limit = max(1, name.utf8.count / 3)
  let candidates = known.map { (name: $0, distance: editDistance(name, $0)) }
  return candidates.filter { $0.distance <= limit || $0.name.hasPrefix(name) && name.utf8.count > 2 }
    .min { $0.distance < $1.distance }?.name
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one name to the other.
private func editDistance(_ a: String, _ b: String) -> Int {
  let a = Array(a.utf8)
  let b = Array(b.utf8)
  var rows = [Array(0...b.count)]
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
      row.append(best)
    }
    rows.append(row)
  }
  return rows[a.count][b.count]
}
