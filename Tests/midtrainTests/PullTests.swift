// `midtrain pull` against a server of this machine that breaks off, lies, wants a token, and names files outside.
import Foundation
import Testing

@Suite struct PullTests {
  private static let hasTools = ["curl", "python3"].allSatisfy { tool in
    ProcessInfo.processInfo.environment["PATH", default: ""].split(separator: ":").contains {
      FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)")
    }
  }

  /// Tests/hub_server.py, as long as this lives.
  private final class Hub {
    private let process = Process()
    private let input = Pipe()
    let port: String

    init() throws {
      let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("hub_server.py").path
      let output = Pipe()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["python3", script]
      (process.standardInput, process.standardOutput) = (input, output)
      try process.run()
      var bytes = Data()
      while !bytes.contains(0x0A), case let more = output.fileHandleForReading.availableData, !more.isEmpty {
        bytes += more
      }
      port = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
      try #require(Int(port) != nil, "the server does not start")
    }

    deinit {
      try? input.fileHandleForWriting.close()
      process.terminate()
      process.waitUntilExit()
    }
  }

  @Test(.enabled(if: hasTools, "curl and python3 are needed"))
  func aModelIsFetchedOnceAndWhole() throws {
    let (home, hub) = (Home(), try Hub())
    func pull(_ words: String..., token: String = "") throws -> Outcome {
      try midtrain(
        ["pull"] + words, home: home,
        environment: [
          "HF_ENDPOINT": "http://127.0.0.1:\(hub.port)", "HF_TOKEN": token,
          "MIDTRAIN_MODELS": home.path + "/models",
        ])
    }
    func files(_ name: String) throws -> [String] {
      try FileManager.default.contentsOfDirectory(atPath: "\(home.path)/models/\(name)").sorted()
    }
    let whole = ["checksums.json", "config.json", "model.safetensors", "tokenizer.json"]

    // The connection breaks in the middle of the weights; the same command goes on there.
    let first = try pull("some/model")
    #expect(first.status == 1 && first.errors.contains("what came is kept"), "\(first.errors)")
    #expect(try files("some/model") == ["config.json", "model.safetensors.part", "tokenizer.json"])
    let second = try pull("some/model")
    #expect(second.status == 0, "\(second.errors)")
    #expect(second.output.contains("config.json, 0.0 MB … there already"))
    #expect(second.output.contains("model.safetensors, 1.0 MB … done, from 512000 bytes on"))
    #expect(try files("some/model") == whole)
    let weights = try Data(
      contentsOf: URL(fileURLWithPath: home.path + "/models/some/model/model.safetensors"))
    #expect(weights == Data((0..<4000).flatMap { _ in UInt8(0)...255 }))

    // One that was damaged since is fetched again.
    try Data("{}".utf8).write(to: URL(fileURLWithPath: home.path + "/models/some/model/config.json"))
    let third = try pull("some/model")
    #expect(third.status == 0 && third.output.contains("config.json, 0.0 MB … done"), "\(third.errors)")

    let denied = try pull("private/model")
    #expect(denied.status == 1 && denied.errors.contains("needs a token in HF_TOKEN"), "\(denied.errors)")
    #expect(try pull("private/model", token: "hf_secret").status == 0)
    #expect(try files("private/model") == whole)

    let lying = try pull("lying/model")
    #expect(lying.status == 1 && lying.errors.contains("is not what the hub describes"), "\(lying.errors)")
    #expect(try files("lying/model") == [])

    for (words, problem) in [
      (["no/such"], "there is no such model"), (["../x"], "is no name of a model"),
      (["x"], "is no name of a model"),
      (["some/model", "x.gguf"], "there is no file x.gguf"),
    ] {
      let outcome = try midtrain(
        ["pull"] + words, home: home, environment: ["HF_ENDPOINT": "http://127.0.0.1:\(hub.port)"])
      #expect(outcome.status == 1 && outcome.errors.contains(problem), "\(words): \(outcome.errors)")
    }
    #expect(try midtrain(["pull"], home: home).errors.contains("pull needs a model"))
    // Names that led out of the folder were passed over.
    let all = try FileManager.default.subpathsOfDirectory(atPath: home.path)
    #expect(
      !all.contains { $0.contains("escaped") } && !FileManager.default.fileExists(atPath: "/tmp/escaped.json")
    )
  }
}
