// What the file tests share: where goldens are, scratch folders, expected failures.

import Foundation
import TestSupport
import Testing

import Model

let goldens = Places.golden("").path

/// Runs `body` with a fresh folder that is removed afterwards.
func withScratchFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = NSTemporaryDirectory() + "/midtrain-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: folder) }
  return try body(folder)
}

func write(_ bytes: [UInt8], to path: String) throws {
  try Data(bytes).write(to: URL(fileURLWithPath: path))
}

func read(_ path: String) throws -> [UInt8] { [UInt8](try Data(contentsOf: URL(fileURLWithPath: path))) }

/// The description of the `ModelError` that `body` throws; anything else fails the test.
func modelError(_ body: () throws -> Void) -> String {
  do {
    try body()
    Issue.record("expected a ModelError, but nothing was thrown")
  } catch let error as ModelError {
    return error.description
  } catch {
    Issue.record("expected a ModelError, got \(error)")
  }
  return ""
}
