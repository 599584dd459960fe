@preconcurrency import CReadline
import Glibc
import Script

/// Readline behind its callbacks: the main loop hands it key presses, and it hands over whole lines.
final class LineEditor {
  enum Event {
    case line(String)
    case endOfInput
  }

  /// Candidates for a word after what stands before it in the line, whole words each; nil where a file's name belongs.
  private let complete: (_ word: String, _ before: String) -> [String]?
  private let historyPath: String
  private var event: Event?
  /// Set while readline owns the terminal, so that output has to make room.
  private(set) var isVisible = false
  private var isPutAside = false
  private var lastCharacter: UInt8 = 10

  /// Readline's callbacks carry no context. There is one terminal, so there is one editor.
  nonisolated(unsafe) private static var shared: LineEditor?

  /// Set by Ctrl-Z while a line is being typed.
  nonisolated(unsafe) private static var isToSuspend = false

  init(historyPath: String, complete: @escaping (String, String) -> [String]?) {
    self.historyPath = historyPath
    self.complete = complete
    Self.shared = self
    rl_readline_name = UnsafePointer(strdup("midtrain"))
    rl_catch_signals = 0  // Ctrl-C is ours
    rl_getc_function = { _ in LineEditor.nextKey() }
    rl_prep_term_function = { LineEditor.prepareTerminal($0) }
    rl_completion_word_break_hook = { LineEditor.wordBreaks }
    rl_completer_quote_characters = UnsafePointer(strdup("\"'"))
    rl_attempted_completion_function = { text, start, _ in
      guard let text, let line = rl_line_buffer, let editor = LineEditor.shared else { return nil }
      let before = UnsafeRawBufferPointer(start: line, count: Int(start))
      let candidates = editor.complete(String(cString: text), String(decoding: before, as: UTF8.self))
      guard let candidates else { return nil }  // readline's own completion offers file names
      rl_attempted_completion_over = 1
      rl_completion_append_character = 0
      return LineEditor.matches(candidates)
    }
    using_history()
    stifle_history(10_000)
    read_history(historyPath)
    close(open(historyPath, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0o600))
    atexit { if LineEditor.shared?.isVisible == true { rl_callback_handler_remove() } }
  }

  // MARK: Keys

  /// The next key. Ctrl-C throws away what was typed but not read, so readline may ask for a key that was there a
  /// moment ago: it must not wait for it where nobody looks at the interrupt.
  private static func nextKey() -> Int32 {
    while true {
      if Interrupt.isPending { return 7 }  // Ctrl-G: whatever readline wanted the key for, it drops
      var key: UInt8 = 0
      let count = read(STDIN_FILENO, &key, 1)
      if count == 1 { return Int32(key) }
      if count < 0, errno != EINTR, errno != EAGAIN { return EOF }
      var descriptor = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
      poll(&descriptor, 1, 20)
      if descriptor.revents & Int16(POLLHUP) != 0 { return EOF }
    }
  }

  /// Readline's way of reading keys one by one, but a read that finds none returns at once.
  private static func prepareTerminal(_ meta: Int32) {
    rl_prep_terminal(meta)
    var attributes = termios()
    guard tcgetattr(STDIN_FILENO, &attributes) == 0 else { return }
    withUnsafeMutableBytes(of: &attributes.c_cc) { $0[Int(VMIN)] = 0 }
    tcsetattr(STDIN_FILENO, TCSADRAIN, &attributes)
  }

  /// What a word ends at: inside a string only the quote, since file names hold all kinds of characters; in a shell
  /// command what the shell splits at.
  private static var wordBreaks: UnsafeMutablePointer<CChar>? {
    if rl_line_buffer[0] == 33 { return shellBreaks }
    var quote: CChar = 0
    for index in 0..<Int(rl_point) {
      let character = rl_line_buffer[index]
      if character == quote {
        quote = 0
      } else if quote == 0, character == 34 || character == 39 {
        quote = character
      }
    }
    return quote == 0 ? codeBreaks : stringBreaks
  }

  // Readline keeps the pointers.
  nonisolated(unsafe) private static let codeBreaks = strdup(" \t\n\"'><=;+-*/%^~#{}()[],&|?")
  nonisolated(unsafe) private static let shellBreaks = strdup(" \t\n\"'><=;&|()!")
  nonisolated(unsafe) private static let stringBreaks = strdup("\"'")

  /// Readline's form of a list of candidates: first what they have in common, each allocated for itself.
  private static func matches(_ candidates: [String]) -> UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? {
    guard let first = candidates.first else { return nil }
    let common = candidates.dropFirst().reduce(Substring(first)) { common, next in
      common.prefix(zip(common, next).prefix { $0 == $1 }.count)
    }
    let all = [String(common)] + (candidates.count > 1 ? candidates : [])
    let list = calloc(all.count + 1, MemoryLayout<UnsafeMutablePointer<CChar>?>.stride)!
      .assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)
    for (index, candidate) in all.enumerated() { list[index] = strdup(candidate) }
    return list
  }

  // MARK: Lines

  /// Shows a prompt and begins a line.
  func begin(_ prompt: String) {
    isVisible = true
    catchSuspension()
    rl_eof_found = 0
    rl_callback_handler_install(prompt) { line in
      LineEditor.shared?.finish(line)
    }
  }

  private func finish(_ line: UnsafeMutablePointer<CChar>?) {
    release()
    guard let line else {
      event = .endOfInput
      // With bracketed paste, readline has ended the line itself.
      if String(cString: rl_variable_value("enable-bracketed-paste")) == "off" { fputs("\n", rl_outstream) }
      return
    }
    event = .line(String(cString: line))
    free(line)
  }

  /// Reads what the person typed; gives a line when it is complete.
  func readKeys() -> Event? {
    rl_callback_read_char()
    defer { event = nil }
    return event
  }

  /// Drops the line that is being typed, as Ctrl-C does.
  func abandon() {
    guard isVisible else { return }
    fputs("^C", rl_outstream)
    rl_callback_sigcleanup()
    release()
    fputs("\n", rl_outstream)
    fflush(rl_outstream)
  }

  /// Adds a line to the history and its file.
  func remember(_ line: String) {
    let previous = history_length > 0 ? history_get(history_base + history_length - 1) : nil
    if line.isEmpty || previous.map({ String(cString: $0.pointee.line) == line }) == true { return }
    add_history(line)
    append_history(1, historyPath)
  }

  // MARK: Output beside the line

  /// Makes room for output that ends in this character, if a line is being typed.
  func makeRoom(last: UInt8?) {
    guard isVisible else { return }
    if !isPutAside {
      isPutAside = true
      rl_clear_visible_line()
      fflush(rl_outstream)
    }
    if let last { lastCharacter = last }
  }

  /// Stops the process if Ctrl-Z was pressed, with the terminal as the shell wants it, and shows the line again when
  /// it goes on.
  func suspendIfAsked() {
    guard Self.isToSuspend else { return }
    Self.isToSuspend = false
    rl_deprep_terminal()
    signal(SIGTSTP, SIG_DFL)
    raise(SIGTSTP)
    catchSuspension()
    Self.prepareTerminal(1)
    rl_forced_update_display()
  }

  /// Ctrl-Z is dealt with between keys; Ctrl-\ does nothing to a line, as in a shell.
  private func catchSuspension() {
    signal(SIGTSTP) { _ in LineEditor.isToSuspend = true }
    signal(SIGQUIT, SIG_IGN)
  }

  /// Gives the terminal back for an evaluation, which Ctrl-Z may stop as it is, and Ctrl-\ end with the process.
  private func release() {
    rl_callback_handler_remove()
    signal(SIGTSTP, SIG_DFL)
    signal(SIGQUIT, SIG_DFL)
    isVisible = false
  }

  /// Shows the line again after such output.
  func showAgain() {
    guard isPutAside else { return }
    isPutAside = false
    if lastCharacter != 10 { fputs("\n", rl_outstream) }
    lastCharacter = 10
    rl_on_new_line()
    rl_redisplay()
  }
}
