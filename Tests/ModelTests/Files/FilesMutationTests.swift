// Damaged files: each loads, or is refused by an error that names it. Nothing crashes, nothing allocates wildly.

import Foundation
import Model
import TestSupport
import Testing

@Suite(.serialized) struct FilesMutationTests {
  /// Numbers that break careless arithmetic.
  private static let wicked: [JSONValue] = [
    .integer(-1), .integer(0), .integer(1), .integer(97), .integer(1 << 31), .integer(1 << 40),
    .integer(1 << 62),
    .integer(.max), .integer(.min), .number(1e19), .number(1.5), .number(1e300), .null, .bool(true),
    .string("x"), .string("../../etc/passwd"), .array([]), .object([:]),
    .array([.integer(1 << 40), .integer(1 << 40)]),
  ]

  @Test func singleSafetensors() throws {
    try mutate(
      count: 600, folder: "tiny-qwen2", file: "model.safetensors",
      by: [Self.bytes(), Self.prefix(), Self.header])
  }

  @Test func shards() throws {
    try withScratchFolder { folder throws in
      try shard("tiny-llama", into: folder)
      let shard = try #require(
        try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasPrefix("model-") }.sorted()
          .first)
      let index = "model.safetensors.index.json"
      try mutate(count: 250, in: folder, file: index, by: [Self.bytes(), Self.json, Self.indexNames(shard)])
      try mutate(count: 250, in: folder, file: shard, by: [Self.bytes(), Self.prefix(), Self.header])
    }
  }

  @Test func configs() throws {
    for name in ["tiny-llama", "tiny-qwen3"] {
      try mutate(count: 300, folder: name, file: "config.json", by: [Self.bytes(), Self.json])
      try mutate(count: 100, folder: name, file: "generation_config.json", by: [Self.bytes(), Self.json])
    }
  }

  @Test(arguments: ["llama", "qwen2", "qwen3"])
  func gguf(name: String) throws {
    try withScratchFolder { folder throws in
      let file = "tiny-\(name).gguf"
      try write(try read("\(goldens)/\(file)"), to: "\(folder)/\(file)")
      // The header with its vocabulary takes the first 4 kB or so.
      try mutate(count: 400, in: folder, file: file, model: file, by: [Self.bytes(4000), Self.prefix(4000)])
    }
  }

  // MARK: - The test

  private func mutate(count: Int, folder golden: String, file: String, by mutations: [Mutation]) throws {
    try withScratchFolder { folder throws in
      for name in ["config.json", "generation_config.json", "model.safetensors"] {
        try write(try read("\(goldens)/\(golden)/\(name)"), to: "\(folder)/\(name)")
      }
      try mutate(count: count, in: folder, file: file, by: mutations)
    }
  }

  /// Opens and reads the model in `folder` once for each of `count` mutations of `file`.
  private func mutate(
    count: Int, in folder: String, file: String, model: String = "", by mutations: [Mutation]
  ) throws {
    let good = try read("\(folder)/\(file)")
    let before = peakAddressSpace()
    var random = Random(20_250_929)
    var refused = 0
    for i in 0..<count {
      let bytes = mutations[i % mutations.count](good, &random)
      try write(bytes, to: "\(folder)/\(file)")
      do {
        let model = try ModelFiles(path: "\(folder)/\(model)")
        for name in model.weights.names { _ = try model.weights.read(name) }
      } catch let error as ModelError {
        refused += 1
        let names = error.description.hasPrefix(folder) && error.description.count > folder.count + 20
        #expect(names && error.description.count < 2000, "mutation \(i) of \(file): \(error)")
      } catch {
        Issue.record("mutation \(i) of \(file): \(error)")
      }
    }
    try write(good, to: "\(folder)/\(file)")
    #expect(refused > count / 4, "mutations hardly matter: \(refused) of \(count) refused")
    // An allocation that trusts a length field would reserve terabytes, or be refused and crash.
    #expect(peakAddressSpace() - before < 4 << 30)
  }

  /// `VmPeak` of this process in bytes; other tests of this process map a gigabyte or two.
  private func peakAddressSpace() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmPeak:") } ?? ""
    return (line.split(separator: " ").compactMap { Int($0) }.first ?? 0) << 10
  }

  private func shard(_ golden: String, into folder: String) throws {
    let model = try ModelFiles(path: "\(goldens)/\(golden)")
    try model.config.save(toFolder: folder, with: SafetensorsWriter(maximumShardSize: 20_000)) { name, sink in
      try model.weights.read(name).withUnsafeBufferPointer(sink)
    }
  }

  // MARK: - Mutations

  private typealias Mutation = @Sendable (_ good: [UInt8], _ random: inout Random) -> [UInt8]

  /// Truncates, flips bits, overwrites, inserts or removes bytes; most changes fall into the first `header` bytes.
  private static func bytes(_ header: Int = 2000) -> Mutation {
    { good, random in
      var bytes = good
      let place = Int.random(in: 0..<min(header, good.count), using: &random)
      switch Int.random(in: 0..<6, using: &random) {
      case 0: bytes.removeLast(Int.random(in: 1...good.count, using: &random))
      case 1: bytes.removeLast(good.count - place)
      case 2: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      case 3:
        for _ in 0..<Int.random(in: 1..<32, using: &random) {
          bytes[Int.random(in: 0..<min(header, good.count), using: &random)] = .random(
            in: 0...255, using: &random)
        }
      case 4:
        bytes.insert(contentsOf: good[..<Int.random(in: 1..<min(64, good.count), using: &random)], at: place)
      default: bytes.removeSubrange(place..<min(place + Int.random(in: 1..<64, using: &random), bytes.count))
      }
      return bytes
    }
  }

  /// Overwrites a little-endian u32 or u64 among the first `header` bytes with a length that lies.
  private static func prefix(_ header: Int = 8) -> Mutation {
    { good, random in
      let lies: [UInt64] = [
        0, 1, 7, 0xff, 0xffff, 1 << 20, UInt64(good.count), UInt64(good.count) - 8, 1 << 31, 0xffff_ffff,
        1 << 32,
        1 << 48, 1 << 62, 1 << 63, .max, .max - 7,
      ]
      var bytes = good
      let width = Bool.random(using: &random) ? 8 : 4
      let place = Int.random(in: 0...max(0, min(header, good.count) - 8), using: &random)
      let lie = lies.randomElement(using: &random)!
      for i in 0..<width { bytes[place + i] = UInt8(truncatingIfNeeded: lie >> (8 * UInt64(i))) }
      return bytes
    }
  }

  /// Replaces, removes or renames a random node of a JSON file.
  private static let json: Mutation = { good, random in
    guard let value = try? good.withUnsafeBytes({ try JSONValue(parsing: $0, file: "") }) else { return good }
    return Array(changed(value, &random).serialized().utf8)
  }

  /// The same in a safetensors header, with a length that tells the truth.
  private static let header: Mutation = { good, random in
    let length = good[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let text = Array(good[8..<(8 + length)])
    guard let value = try? text.withUnsafeBytes({ try JSONValue(parsing: $0, file: "") }) else { return good }
    let json = Array(changed(value, &random).serialized().utf8)
    return withUnsafeBytes(of: UInt64(json.count).littleEndian) { Array($0) } + json + good[(8 + length)...]
  }

  /// Points an entry of an index to another file.
  private static func indexNames(_ shard: String) -> Mutation {
    { good, random in
      let target = [shard, "x.safetensors", "../\(shard)", "/dev/zero", ".safetensors", "config.json"]
        .randomElement(using: &random)!
      let text = String(decoding: good, as: UTF8.self)
      var names = text.components(separatedBy: "model-0")
      names.remove(at: Int.random(in: 1..<names.count, using: &random))
      return Array(names.joined(separator: target + "\", \"model-0").utf8)
    }
  }

  private static func changed(_ value: JSONValue, _ random: inout Random) -> JSONValue {
    switch value {
    case .object(var members) where !members.isEmpty:
      let key = members.keys.sorted().randomElement(using: &random)!
      switch Int.random(in: 0..<8, using: &random) {
      case 0: members[key] = nil
      case 1: members[key + "x"] = members.removeValue(forKey: key)
      default: members[key] = changed(members[key]!, &random)
      }
      return .object(members)
    case .array(var elements) where !elements.isEmpty && Int.random(in: 0..<4, using: &random) > 0:
      let index = Int.random(in: 0..<elements.count, using: &random)
      elements[index] = changed(elements[index], &random)
      return .array(elements)
    default:
      return wicked.randomElement(using: &random)!
    }
  }
}
