// Writing a file so that it is there completely or not at all.

import Foundation

/// A file that is written under a temporary name beside its own and takes its own only when complete.
///
/// Dropping it before `commit` removes what was written.
package final class OutputFile {
  /// The name that the file will have.
  let path: String
  private let temporary: String
  private var descriptor: Int32
  private var isCommitted = false

  init(path: String) throws {
    self.path = path
    temporary = "\(path).\(getpid()).tmp"
    descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw ModelError("\(path): cannot write: \(lastSystemError())") }
  }

  deinit {
    if descriptor >= 0 { close(descriptor) }
    if !isCommitted { unlink(temporary) }
  }

  func write(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes
    while !rest.isEmpty {
      let written = Foundation.write(descriptor, rest.baseAddress, rest.count)
      if written < 0 && errno == EINTR { continue }
      guard written > 0 else { throw ModelError("\(path): cannot write: \(lastSystemError())") }
      rest = UnsafeRawBufferPointer(rebasing: rest[written...])
    }
  }

  /// Brings the contents to the disk, still under the temporary name.
  func finish() throws {
    guard fsync(descriptor) == 0 else { throw ModelError("\(path): cannot write: \(lastSystemError())") }
    close(descriptor)
    descriptor = -1
  }

  /// Gives the finished file its name, replacing what had it.
  func commit() throws {
    guard rename(temporary, path) == 0 else {
      throw ModelError("\(path): cannot rename from \(temporary): \(lastSystemError())")
    }
    isCommitted = true
  }

  /// Makes renames in `folder` durable, or, of a file, its contents.
  package static func synchronize(folder: String) throws {
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw ModelError("\(folder): cannot open: \(lastSystemError())") }
    defer { close(descriptor) }
    guard fsync(descriptor) == 0 else { throw ModelError("\(folder): cannot sync: \(lastSystemError())") }
  }

  /// The folder that `path` is in. Foundation's own function crashes on a name of one character beyond ASCII.
  package static func folder(of path: String) -> String {
    guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Writes `contents` to `path`, completely or not at all.
  package static func write(_ contents: [UInt8], to path: String) throws {
    let file = try OutputFile(path: path)
    try contents.withUnsafeBytes { try file.write($0) }
    try file.finish()
    try file.commit()
  }
}
