// Files that are there completely or not at all, and checksums.
import Glibc
import Kernels
import Model

extension Registry {
  /// `mid.write`, `mid.append`, `mid.lock`, `mid.sync`, `mid.seal`, `mid.verify`, `mid.crc32c`.
  func addFiles() {
    function(
      "write", "Writes a file that is there completely or not at all, and on the disk when this returns.",
      [Parameter("path", "string"), Parameter("bytes", "string")],
      example: "mid.write(\"runs/first/notes.txt\", text)"
    ) { call in
      let path = try call[1].path()
      try OutputFile.write(call[2].bytes(), to: path)
      try OutputFile.synchronize(folder: OutputFile.folder(of: path))
      return .none
    }

    function(
      "append", "Adds to a file, which is made if it is missing: all of the bytes, or after an error none.",
      [Parameter("path", "string"), Parameter("bytes", "string")],
      example: "mid.append(\"notes.jsonl\", mid.json.encode { step = 1 } .. \"\\n\")"
    ) { call in
      let path = try call[1].path()
      try call[2].withBytes { try append($0, to: path) }
      return .none
    }

    function(
      "lock",
      """
      Claims a file, which is made if it is missing, for this process until it ends, also when it is killed. Gives \
      nothing, or the number of the process that has it.
      """, [Parameter("path", "string")], returns: "integer?",
      example: "if mid.lock(scratch .. \"/.lock\") then error \"another process works there\" end"
    ) { call in
      try call.return(FileLock.take(call[1].path()))
    }

    longFunction(
      "sync", "Brings what was written to a file, or the names in a folder, to the disk.",
      [Parameter("path", "string")], example: "mid.sync \"runs/first/metrics.jsonl\""
    ) { call in
      let path = try call[1].path()
      return {
        try OutputFile.synchronize(folder: path)
        return { _ in .none }
      }
    }

    longFunction(
      "seal",
      "Writes the checksums of all files in a folder into it, as checksums.json, and brings them to the disk.",
      [Parameter("dir", "string")], example: "mid.seal \"checkpoints/first\""
    ) { call in
      let path = try call[1].path()
      return {
        try FolderSeal.seal(path)
        return { _ in .none }
      }
    }

    longFunction(
      "verify",
      "Compares the files of a folder with the checksums that `seal` wrote; an error names what differs.",
      [Parameter("dir", "string")], example: "mid.verify \"checkpoints/first\""
    ) { call in
      let path = try call[1].path()
      return {
        try FolderSeal.verify(path)
        return { _ in .none }
      }
    }

    function(
      "crc32c", "The CRC-32C of bytes.", [Parameter("bytes", "string")], returns: "integer",
      example: "mid.crc32c \"123456789\"  --> 0xe3069283"
    ) { call in
      try call.return(call[1].withBytes { Int(crc32c($0)) })
    }
  }
}

/// Adds `bytes` to the end of a file. What a full disk took of them is taken back, so that no half line stays.
private func append(_ bytes: UnsafeRawBufferPointer, to path: String) throws {
  let descriptor = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0o666)
  guard descriptor >= 0 else { throw systemError(path) }
  defer { close(descriptor) }
  let before = lseek(descriptor, 0, SEEK_END)
  var rest = bytes
  while !rest.isEmpty {
    let written = Glibc.write(descriptor, rest.baseAddress, rest.count)
    if written < 0 && errno == EINTR { continue }
    guard written > 0 else {
      let error = systemError(path)
      if before >= 0 { ftruncate(descriptor, before) }
      throw error
    }
    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
  }
}
