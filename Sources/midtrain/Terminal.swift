import Glibc
import Script

/// How text looks: colours only on a terminal, and not when NO_COLOR is set.
enum Terminal {
  static func isColored(_ descriptor: Int32 = STDOUT_FILENO) -> Bool {
    isatty(descriptor) != 0 && environment("NO_COLOR") == nil && environment("TERM") != "dumb"
  }

  /// Writes an error, its message in red and the traceback faint.
  static func report(_ message: String) {
    fflush(nil)
    guard isColored(STDERR_FILENO) else { return writeError("midtrain: " + message) }
    let lines = message.split(separator: "\n", maxSplits: 1, omittingEmptySubsequences: false)
    writeError("\u{1b}[31m\(lines[0])\u{1b}[0m" + (lines.count > 1 ? "\n\u{1b}[2m\(lines[1])\u{1b}[0m" : ""))
  }

  /// Runs a line like `!command` by the shell, and says its exit status if that is not 0.
  ///
  /// - Returns: False if it is another kind of line.
  static func runByShell(_ line: String) -> Bool {
    let text = line.drop(while: \.isWhitespace)
    guard text.hasPrefix("!") else { return false }
    fflush(nil)
    let status = system(String(text.dropFirst()))
    if status != 0 {
      print(status & 0x7f == 0 ? "(exit status \(status >> 8 & 0xff))" : "(signal \(status & 0x7f))")
    }
    return true
  }

  /// Text that stands out on standard output.
  static func bold(_ text: String) -> String {
    isColored() ? "\u{1b}[1m\(text)\u{1b}[0m" : text
  }
}
