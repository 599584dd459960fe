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
