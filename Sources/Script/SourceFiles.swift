/// Lines of source text for a traceback; each file is read once.
struct SourceFiles {
  /// Text by chunk name, for chunks that are not files.
  let texts: [String: String]
  private var lines: [String: [Substring]] = [:]

  init(texts: [String: String]) { self.texts = texts }

  /// A line of the chunk with this name (`@path`, `=title`, or the text itself), without its indentation.
  mutating func line(_ number: Int, of chunk: String) -> String? {
    if lines[chunk] == nil {
      let text = chunk.hasPrefix("@") ? contents(ofFile: String(chunk.dropFirst())) : texts[chunk]
      let own = text ?? (chunk.hasPrefix("=") || chunk.hasPrefix("@") ? "" : chunk)
      lines[chunk] = own.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
    }
    guard let all = lines[chunk], number <= all.count else { return nil }
    let line = all[number - 1].drop { $0 == " " || $0 == "\t" }
    return line.count > 100 ? line.prefix(100) + "…" : String(line)
  }
}
