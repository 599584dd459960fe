// Damage of every kind to a sealed folder is noticed, and named.

import Foundation
import Model
import TestSupport
import Testing

@Suite struct FolderSealTests {
  private static let files = ["a.bin", "empty", "inner/b.bin"]

  private func withSealedFolder(_ body: (String) throws -> Void) throws {
    try withScratchFolder { folder throws in
      var random = Random(3)
      try FileManager.default.createDirectory(atPath: folder + "/inner", withIntermediateDirectories: false)
      for (name, count) in zip(Self.files, [3_000_000, 0, 1000]) {
        try write((0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }, to: "\(folder)/\(name)")
      }
      try FolderSeal.seal(folder)
      try body(folder)
    }
  }

  @Test func aWholeFolderIsFine() throws {
    try withSealedFolder { folder throws in
      try FolderSeal.verify(folder)
      // Sealing again gives the same; what is added later is no harm.
      let before = try read(folder + "/checksums.json")
      try FolderSeal.seal(folder)
      #expect(try read(folder + "/checksums.json") == before)
      try write([1], to: folder + "/notes")
      try FolderSeal.verify(folder)
    }
  }

  @Test func everyBitCounts() throws {
    try withSealedFolder { folder throws in
      var random = Random(4)
      for name in ["a.bin", "inner/b.bin"] {
        let good = try read("\(folder)/\(name)")
        for place in [0, good.count - 1]
          + (0..<20).map({ _ in Int.random(in: 0..<good.count, using: &random) })
        {
          var bad = good
          bad[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
          try write(bad, to: "\(folder)/\(name)")
          let problem = modelError { try FolderSeal.verify(folder) }
          #expect(problem.hasPrefix("\(folder)/\(name): is damaged: its checksum is "), "\(problem)")
          // The others are as they were.
          try FolderSeal.verify(folder) { $0 != name }
        }
        try write(good, to: "\(folder)/\(name)")
      }
    }
  }

  @Test func sizesAndMissingFiles() throws {
    try withSealedFolder { folder throws in
      let good = try read(folder + "/a.bin")
      for bad in [good.dropLast(), good + [0], []] {
        try write(Array(bad), to: folder + "/a.bin")
        #expect(
          modelError { try FolderSeal.verify(folder) }.contains(
            "is damaged: it has \(bad.count) bytes, had 3000000"))
      }
      try write(good, to: folder + "/a.bin")
      try FileManager.default.removeItem(atPath: folder + "/inner")
      #expect(modelError { try FolderSeal.verify(folder) }.contains("inner/b.bin: cannot open: No such file"))
    }
  }

  @Test func foldersOfPaths() {
    for (path, folder) in [
      ("a/b", "a"), ("/a", "/"), ("a", "."), ("é", "."), ("a/é", "a"), ("/x/y/", "/x/y"), ("", "."),
      ("a/\u{301}b", "a"),
    ] {
      #expect(OutputFile.folder(of: path) == folder, "\(path)")
    }
  }

  @Test func theIndexItself() throws {
    try withSealedFolder { folder throws in
      let index = folder + "/checksums.json"
      for (text, problem) in [
        ("", "is not valid JSON"), ("[]", "expected a JSON object"), ("{}", "has no \"files\""),
        (#"{"files": {"a.bin": {"size": "x", "crc32c": ""}}}"#, "the entry of \"a.bin\""),
        (#"{"files": {"../secret": {"size": 0, "crc32c": "00000000"}}}"#, "the entry of \"../secret\""),
        (#"{"files": {"inner/../../secret": {"size": 0, "crc32c": "00000000"}}}"#, "the entry of"),
        (#"{"files": {"/etc/passwd": {"size": 0, "crc32c": "00000000"}}}"#, "the entry of \"/etc/passwd\""),
      ] {
        try write(Array(text.utf8), to: index)
        #expect(modelError { try FolderSeal.verify(folder) }.contains(problem), "\(text)")
      }
      try FileManager.default.removeItem(atPath: index)
      #expect(modelError { try FolderSeal.verify(folder) }.contains("has no checksums.json"))
    }
  }
}
