// Checksums of the files of a folder, kept in the folder: damage that leaves a file its size is noticed, too.

import Foundation
import Kernels

/// `checksums.json`, which says of every file of a folder how long it is and what its CRC-32C is.
public enum FolderSeal {
  /// The name of the file with the checksums.
  public static let fileName = "checksums.json"

  /// Writes the checksums of all files of `folder` and of the folders in it, and brings all of them to the disk.
  public static func seal(_ folder: String) throws {
    var files: [String: JSONValue] = [:]
    var folders: Set = [folder]
    for name in try fileNames(in: folder) where name != fileName {
      let (size, checksum) = try checksum(of: "\(folder)/\(name)", isSynchronizing: true)
      files[name] = .object(["size": .integer(size), "crc32c": .string(checksum)])
      folders.insert(OutputFile.folder(of: "\(folder)/\(name)"))
    }
    let text = JSONValue.object(["files": .object(files)]).serialized(indented: true) + "\n"
    try OutputFile.write(Array(text.utf8), to: "\(folder)/\(fileName)")
    for folder in folders { try OutputFile.synchronize(folder: folder) }
  }

  /// Whether `folder` has checksums.
  public static func isSealed(_ folder: String) -> Bool { access("\(folder)/\(fileName)", F_OK) == 0 }

  /// Compares the files of `folder` with their checksums. Files that were added since are no harm.
  ///
  /// - Parameter isMeant: which of the files are looked at, by their names in the folder.
  /// - Throws: `ModelError` that names the first file that is missing or not what it was, or says that there are no
  ///   checksums.
  public static func verify(_ folder: String, where isMeant: (String) -> Bool = { _ in true }) throws {
    guard isSealed(folder) else {
      throw ModelError("\(folder): has no \(fileName): it is incomplete, or no checkpoint of this version")
    }
    let index = "\(folder)/\(fileName)"
    guard let files = try readJSONObject(index)["files"]?.object else {
      throw ModelError("\(index): is damaged: it has no \"files\"")
    }
    for (name, entry) in files.sorted(by: { $0.key < $1.key }) where isMeant(name) {
      // The index may come with a download: it may only name files in its folder.
      guard !name.hasPrefix("/"), !name.split(separator: "/").contains(".."), !name.contains("\0"),
        let size = entry.object?["size"]?.integer, let expected = entry.object?["crc32c"]?.string
      else { throw ModelError("\(index): is damaged: the entry of \(name.debugDescription)") }
      let found = try checksum(of: "\(folder)/\(name)")
      guard found.size == size else {
        throw ModelError("\(folder)/\(name): is damaged: it has \(found.size) bytes, had \(size)")
      }
      guard found.checksum == expected else {
        throw ModelError(
          "\(folder)/\(name): is damaged: its checksum is \(found.checksum), was \(expected); if it was changed on "
            + "purpose, remove \(fileName)")
      }
    }
  }

  /// Regular files, by their paths from `folder`; links are not followed.
  private static func fileNames(in folder: String) throws -> [String] {
    do {
      return try FileManager.default.subpathsOfDirectory(atPath: folder).sorted().filter { name in
        var status = stat()
        return lstat("\(folder)/\(name)", &status) == 0 && status.st_mode & S_IFMT == S_IFREG
      }
    } catch {
      throw ModelError("\(folder): cannot list: \(error.localizedDescription)")
    }
  }

  /// Size and CRC-32C, read through a buffer: a disk that fails is an error here, where a mapped file would be a signal.
  private static func checksum(of path: String, isSynchronizing: Bool = false) throws -> (
    size: Int, checksum: String
  ) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw ModelError("\(path): cannot open: \(lastSystemError())") }
    defer { close(descriptor) }
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
    defer { buffer.deallocate() }
    var (size, crc) = (0, UInt32(0))
    while true {
      let count = read(descriptor, buffer.baseAddress, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { throw ModelError("\(path): cannot read: \(lastSystemError())") }
      if count == 0 { break }
      crc = crc32c(UnsafeRawBufferPointer(rebasing: buffer[..<count]), after: crc)
      size += count
      try Cancellation.check()
    }
    guard !isSynchronizing || fsync(descriptor) == 0 else {
      throw ModelError("\(path): cannot write: \(lastSystemError())")
    }
    let digits = String(crc, radix: 16)
    return (size, String(repeating: "0", count: 8 - digits.count) + digits)
  }
}
