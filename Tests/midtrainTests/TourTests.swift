// The transcript at the beginning of README.md is what a terminal shows.
import Foundation
import TestSupport
import Testing

@Suite struct TourTests {
  private static let readme = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: "README.md")

  /// Types every input of the transcript and compares what is shown, but for measured values and the shape of plots.
  /// With $MIDTRAIN_WRITE_TOUR the transcript is written anew.
  @Test(.enabled(if: Places.smolLM2GGUF != nil)) func isWhatATerminalShows() throws {
    let text = try String(contentsOf: Self.readme, encoding: .utf8)
    let start = "```\n$ midtrain\n"
    let begin = try #require(text.range(of: start)?.upperBound)
    let end = try #require(text.range(of: "```\n", range: begin..<text.endIndex)?.lowerBound)
    let transcript = String(text[begin..<end])
    let inputs = transcript.split(separator: "\n").filter { $0.hasPrefix("> ") }.map {
      String($0.dropFirst(2))
    }
    #expect(inputs.count > 10)

    let home = Home()
    // The model's name leads to wherever the tests have it.
    let models = home.path + "/models"
    try FileManager.default.createDirectory(atPath: models, withIntermediateDirectories: true)
    try FileManager.default.createSymbolicLink(
      atPath: models + "/SmolLM2-135M-Instruct.gguf", withDestinationPath: #require(Places.smolLM2GGUF))
    let terminal = try PseudoTerminal(home: home, variables: ["MIDTRAIN_MODELS": models], columns: 120)
    var shown = try terminal.shown(before: "> ")
    for input in inputs {
      terminal.enter(input)
      try terminal.expect("\n")
      let output = try terminal.shown(before: "> ", patience: 10)
      shown += "> \(input)\n\(output)"
    }
    if ProcessInfo.processInfo.environment["MIDTRAIN_WRITE_TOUR"] != nil {
      try text.replacingCharacters(in: begin..<end, with: shown).write(
        to: Self.readme, atomically: true, encoding: .utf8)
      return
    }
    #expect(withoutMeasurements(shown) == withoutMeasurements(transcript))
  }

  /// Lines with every number, bar and curve replaced by a mark.
  private func withoutMeasurements(_ text: String) -> [String] {
    // Entropies are reported now and then.
    text.split(separator: "\n").filter { !$0.hasPrefix("entropies of ") }.map { line in
      String(line)
        .replacing(/OpenBLAS \S+ \w+(?:, AMX)? · \d+ threads?/, with: "OpenBLAS")
        .replacing(/-?\d+(?:\.\d+)?(?:e[+-]?\d+)?(?: (?:s|min|h) left)?/, with: "#")
        .replacing(/[\u{2800}-\u{28FF}█▉▊▋▌▍▎▏]+/, with: "~")
        .replacing(/[ ~]+/, with: " ")
        .replacing(/^#? ?[┤│].*$/, with: "curve")
    }
  }
}
