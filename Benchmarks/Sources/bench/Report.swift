// The table: our figure, the peer's from the same run beside it, how much better ours is, and whether that is enough.
import Foundation
import Kernels

/// What a figure should reach.
enum Target {
  /// At least so many times better than a peer. Peers are named by the start of their names.
  case times(Double, than: String)
  /// The figure itself.
  case atMost(Double), atLeast(Double)
}

/// A figure of somebody else, measured in the same run.
struct PeerFigure: Codable {
  let peer: String
  let name: String
  let value: Double
  let unit: String
}

/// One row of the table as `--results` keeps it.
private struct Row: Codable {
  var name: String
  var value: Double
  var unit: String
  var peer: String?
  var peerValue: Double?
  /// How many times better ours is.
  var ratio: Double?
  var target: String?
  var isMet: Bool?
  var note: String?
}

/// Prints rows as they are measured, and joins them with the peers' by name.
final class Report {
  private let peers: [PeerFigure]
  private let resultsPath: String?
  private let isSilent: Bool
  /// True once a target that is no timing was missed.
  private(set) var hasFailed = false

  init(_ options: Options) throws {
    peers = try options.peers.map { try Self.read(PeerFigure.self, from: $0) } ?? []
    resultsPath = options.results
    isSilent = options.topic == "thread-work"
  }

  /// The first lines of a topic.
  func heading(_ topic: String) {
    print("\n== \(topic) · \(BLAS.summary) · \(ThreadPool.shared.threadCount) threads")
    printLine("", "ours", "peer", "ratio", "target", "")
  }

  /// Adds a figure: one row for each peer that has one of this name, or one row alone.
  ///
  /// - Parameters:
  ///   - note: shown at the end of the row.
  ///   - baselines: peers that ran in this process, such as plain OpenBLAS.
  ///   - targets: each is judged in the row of its peer.
  ///   - isGate: whether missing a target makes the exit status 1; timings on shared machines must not.
  func add(
    _ name: String, _ value: Double, _ unit: String, note: String? = nil,
    against baselines: [(peer: String, value: Double)] = [], targets: [Target] = [], isGate: Bool = false
  ) {
    var figures = baselines.map { PeerFigure(peer: $0.peer, name: name, value: $0.value, unit: unit) }
    figures += peers.filter { $0.name == name }
    var rows = figures.map { figure in
      let ratio = Self.isLowerBetter(unit) ? figure.value / value : value / figure.value
      var row = Row(
        name: name, value: value, unit: unit, peer: figure.peer, peerValue: figure.value, ratio: ratio)
      for case .times(let times, let peer) in targets where figure.peer.hasPrefix(peer) {
        (row.target, row.isMet) = ("≥ \(Self.format(times))×", ratio >= times)
      }
      return row
    }
    for case .times(let times, let peer) in targets
    where !rows.contains(where: { $0.target != nil && $0.peer!.hasPrefix(peer) }) {
      rows.append(Row(name: name, value: value, unit: unit, peer: peer, target: "≥ \(Self.format(times))×"))
    }
    if rows.isEmpty { rows.append(Row(name: name, value: value, unit: unit)) }
    for target in targets {
      switch target {
      case .times: break
      case .atMost(let limit): (rows[0].target, rows[0].isMet) = ("≤ \(Self.format(limit))", value <= limit)
      case .atLeast(let limit): (rows[0].target, rows[0].isMet) = ("≥ \(Self.format(limit))", value >= limit)
      }
    }
    rows[0].note = note
    for row in rows {
      if isGate, row.isMet == false { hasFailed = true }
      if !isSilent { show(row) }
      keep(row)
    }
  }

  /// Prints all rows with a target that `--results` has.
  func summary() throws {
    guard let resultsPath else { throw BenchError("summary needs --results FILE") }
    let rows = try Self.read(Row.self, from: resultsPath).filter { $0.target != nil }
    if rows.isEmpty { return }
    print("\n== targets")
    printLine("", "ours", "peer", "ratio", "target", "")
    for row in rows { show(row) }
    let count = (met: rows.filter { $0.isMet == true }.count, missed: rows.filter { $0.isMet == false }.count)
    print(
      "\(count.met) of \(rows.count) met, \(count.missed) missed, \(rows.count - count.met - count.missed) not judged"
    )
  }

  /// Figures that another process of this run kept.
  static func figures(in path: String) throws -> [(name: String, value: Double, unit: String)] {
    try read(Row.self, from: path).map { ($0.name, $0.value, $0.unit) }
  }

  // MARK: Lines

  private func show(_ row: Row) {
    let ours = "\(Self.format(row.value)) \(row.unit)"
    let theirs = row.peer.map { peer in
      row.peerValue.map { "\(Self.format($0)) \(peer)" } ?? "(no \(peer))"
    }
    let mark = row.target.map { target in
      target + (row.isMet.map { $0 ? " pass" : " MISS" } ?? " –")
    }
    printLine(
      row.name, ours, theirs ?? "", row.ratio.map { String(format: "%.2f×", $0) } ?? "", mark ?? "",
      row.note ?? "")
  }

  private func printLine(
    _ name: String, _ ours: String, _ peer: String, _ ratio: String, _ target: String, _ note: String
  ) {
    func left(_ text: String, _ width: Int) -> String {
      text + String(repeating: " ", count: max(0, width - text.count))
    }
    func right(_ text: String, _ width: Int) -> String {
      String(repeating: " ", count: max(0, width - text.count)) + text
    }
    var line =
      left(name, 42) + right(ours, 15) + "  " + left(peer, 22) + right(ratio, 7) + "  " + left(target, 14)
      + note
    while line.hasSuffix(" ") { line.removeLast() }
    print(line)
    fflush(nil)
  }

  private func keep(_ row: Row) {
    guard let resultsPath else { return }
    guard let data = try? JSONEncoder().encode(row), let file = fopen(resultsPath, "a") else {
      complain("cannot write \(resultsPath)")
      return
    }
    defer { fclose(file) }
    fputs(String(decoding: data, as: UTF8.self) + "\n", file)
  }

  private static func read<Line: Decodable>(_ type: Line.Type, from path: String) throws -> [Line] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
      throw BenchError("\(path) cannot be read")
    }
    return try text.split(separator: "\n").map { line in
      do {
        return try JSONDecoder().decode(type, from: Data(line.utf8))
      } catch {
        throw BenchError("\(path): expected a JSON line with a figure, got '\(line)'")
      }
    }
  }

  private static func isLowerBetter(_ unit: String) -> Bool {
    ["s", "ms", "µs", "ns", "GB"].contains(unit)
  }

  /// Three significant digits, and all digits before the point.
  static func format(_ value: Double) -> String {
    if value != 0, abs(value) < 0.01 { return String(format: "%.1e", value) }
    let digits = abs(value) >= 100 || value == value.rounded() ? 0 : abs(value) >= 10 ? 1 : 2
    return String(format: "%.\(digits)f", value)
  }
}
