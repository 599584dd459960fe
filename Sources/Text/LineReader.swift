import Foundation

/// Reads a file line by line in constant memory, so that a data file may be larger than memory.
struct LineReader {
  /// A longer line is taken for a file of another kind.
  private static let maximumLine = 1 << 26

  private let path: String
  private let handle: FileHandle
  private var buffer: [UInt8] = []
  private var start = 0
  private var isAtEnd = false
  /// The number of the line that was read last, from 1.
  private(set) var line = 0

  init(path: String) throws {
    self.path = path
    do {
      handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
    } catch {
      throw TextError("\(path) cannot be read: \(error.localizedDescription)")
    }
  }

  /// The next line without its line break; nil at the end of the file.
  mutating func next() throws -> ArraySlice<UInt8>? {
    var searched = start
    while true {
      if let end = buffer[searched...].firstIndex(of: 0x0A) {
        defer { start = end + 1 }
        line += 1
        return buffer[start..<(end > start && buffer[end - 1] == 0x0D ? end - 1 : end)]
      }
      if isAtEnd {
        guard start < buffer.count else { return nil }
        defer { start = buffer.count }
        line += 1
        return buffer[start...]
      }
      if buffer.count - start > LineReader.maximumLine {
        throw TextError("\(path):\(line + 1): a line of more than \(LineReader.maximumLine) bytes")
      }
      buffer.removeFirst(start)
      start = 0
      searched = buffer.count
      try fill()
    }
  }

  private mutating func fill() throws {
    let chunk: Data?
    do {
      chunk = try handle.read(upToCount: 1 << 18)
    } catch {
      throw TextError("\(path) cannot be read: \(error.localizedDescription)")
    }
    if let chunk, !chunk.isEmpty { buffer.append(contentsOf: chunk) } else { isAtEnd = true }
  }
}
