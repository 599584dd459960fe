import Glibc
import Script

/// How text looks: colours only on a terminal, and not when NO_COLOR is set.
enum Terminal {
  private static func isColored(_ descriptor: Int32) -> Bool {
    isatty(descriptor) != 0 && environment("NO_COLOR") == nil && environment("TERM") != "dumb"
  }

  /// Writes an error, its message in red and the traceback faint.
  static func report(_ message: String) {
    fflush(nil)
    guard isColored(STDERR_FILENO) else { return writeError("midtrain: " + message) }
    let lines = message.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
    writeError("\u{1b}[31m\(lines[0])\u{1b}[0m" + (lines.count > 1 ? "\n\u{1b}[2m\(lines[1])\u{1b}[0m" : ""))
  }

  /// Text that stands out on standard output.
  static func bold(_ text: String) -> String {
    isColored(STDOUT_FILENO) ? "\u{1b}[1m\(text)\u{1b}[0m" : text
  }
}
