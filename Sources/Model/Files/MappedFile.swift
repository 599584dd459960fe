// A file mapped read-only into memory, with access that is checked against its size.

import Foundation

/// A regular file mapped read-only into memory.
///
/// The mapping stays valid when the file is renamed over or removed. Nothing can protect it from another
/// process that truncates the file in place; checkpoints are therefore replaced by renaming, never rewritten.
public final class MappedFile: Sendable {
  /// The path as it was given; error messages begin with it.
  public let path: String
  /// The file's size in bytes.
  public let count: Int
  private let base: UInt

  /// Maps `path`. Throws `ModelError` when it is missing, unreadable or not a regular file.
  public init(path: String) throws {
    // O_NONBLOCK: opening a named pipe would otherwise wait for a writer.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw ModelError("\(path): cannot open: \(lastSystemError())") }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw ModelError("\(path): cannot stat: \(lastSystemError())")
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "not a regular file"
      throw ModelError("\(path): is \(kind), expected a file")
    }
    self.path = path
    count = Int(status.st_size)
    guard count > 0 else {
      base = 0  // mmap refuses empty ranges
      return
    }
    guard let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), address != MAP_FAILED else {
      throw ModelError("\(path): cannot map \(count) bytes: \(lastSystemError())")
    }
    base = UInt(bitPattern: address)
  }

  deinit {
    if count > 0 { munmap(UnsafeMutableRawPointer(bitPattern: base), count) }
  }

  /// The whole file. Valid as long as this object lives.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: base), count: count)
  }

  /// The `count` bytes from `offset` on; `what` names them in the error when the file ends before.
  public func slice(at offset: Int, count length: Int, what: @autoclosure () -> String) throws
    -> UnsafeRawBufferPointer
  {
    guard offset >= 0, length >= 0, offset <= count, length <= count - offset else {
      throw ModelError(
        "\(path): \(what()) needs \(length) bytes at offset \(offset), but the file has \(count) bytes")
    }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + length])
  }
}

/// The text of `errno`.
func lastSystemError() -> String { String(cString: strerror(errno)) }

/// The product of `shape`'s dimensions, or nil when one is negative or the product of some exceeds an `Int`.
func elementCount(_ shape: [Int]) -> Int? {
  var product = 1
  for dimension in shape where dimension != 0 {  // [0, 2^62, 2^62] is empty, but its rows are not countable
    let (next, overflow) = product.multipliedReportingOverflow(by: dimension)
    if dimension < 0 || overflow { return nil }
    product = next
  }
  return shape.contains(0) ? 0 : product
}
