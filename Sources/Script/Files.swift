// Files and descriptors, without Foundation, which would slow the start.
import Glibc

/// The whole of a file as text, or nil when it cannot be read.
func contents(ofFile path: String) -> String? {
  readFile(path).map { String(decoding: $0, as: UTF8.self) }
}

/// The bytes of a file, or nil with `errno` set.
package func readFile(_ path: String) -> [UInt8]? {
  let descriptor = open(path, O_RDONLY | O_CLOEXEC)
  guard descriptor >= 0 else { return nil }
  defer { close(descriptor) }
  return readAll(descriptor)
}

/// Everything that a descriptor still gives, or nil with `errno` set.
package func readAll(_ descriptor: Int32) -> [UInt8]? {
  var bytes: [UInt8] = []
  var chunk = [UInt8](repeating: 0, count: 1 << 16)
  while true {
    let count = read(descriptor, &chunk, chunk.count)
    if count == 0 { return bytes }
    if count > 0 {
      bytes += chunk[..<count]
    } else if errno != EINTR {
      return nil
    }
  }
}

/// Writes a line to standard error.
package func writeError(_ line: String) {
  var text = line + "\n"
  text.withUTF8 { bytes in
    var done = 0
    while done < bytes.count {
      let count = write(STDERR_FILENO, bytes.baseAddress! + done, bytes.count - done)
      if count > 0 { done += count } else if errno != EINTR { return }
    }
  }
}

/// Files that this process has claimed. The system lets them go when it ends, however it ends.
enum FileLock {
  /// Closing any descriptor of a file would let go of it, so each is kept, with the file that it stands for.
  nonisolated(unsafe) private static var descriptors: [String: Int32] = [:]

  /// Claims a file, on the Lua thread.
  ///
  /// - Returns: Nil, or the process that has it.
  /// - Throws: `ScriptError` if the file cannot be opened.
  static func take(_ path: String) throws -> Int? {
    // A claim on a file that was removed since is worth nothing.
    if let descriptor = descriptors[path], isFile(descriptor, at: path) { return nil }
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw ScriptError("cannot open '\(path)': \(String(cString: strerror(errno)))")
    }
    while true {
      var lock = flock()
      lock.l_type = Int16(F_WRLCK)
      lock.l_whence = Int16(SEEK_SET)
      if fcntl(descriptor, F_SETLK, &lock) == 0 {
        descriptors[path] = descriptor
        return nil
      }
      guard errno == EAGAIN || errno == EACCES else {
        // Some file systems know no locks; then nobody is kept out.
        close(descriptor)
        return nil
      }
      guard fcntl(descriptor, F_GETLK, &lock) == 0, lock.l_type != Int16(F_UNLCK) else { continue }
      close(descriptor)
      return Int(lock.l_pid)
    }
  }

  private static func isFile(_ descriptor: Int32, at path: String) -> Bool {
    var (open, named) = (stat(), stat())
    return fstat(descriptor, &open) == 0 && stat(path, &named) == 0 && open.st_dev == named.st_dev
      && open.st_ino == named.st_ino
  }
}
