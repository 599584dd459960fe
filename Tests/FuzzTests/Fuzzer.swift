// Gives a reader many changed inputs. Each is read, or refused by an error that says what is wrong: no crash, no hang, no
// memory for a length that a file merely claims.

import Foundation
import Model
import Synchronization
import TestSupport
import Testing
import Text

/// A reader, what it reads when all is well, and how that is changed.
struct Fuzzer {
  let name: String
  /// Of the inputs of all readers, how many parts this one gets.
  var share = 1
  let corpus: [[UInt8]]
  var words: [String] = []
  var head = 4096
  var kind = Mutator.Kind.bytes
  /// Reads an input; throws `ModelError` or `TextError` to refuse it.
  let read: ([UInt8]) throws -> Void

  /// Inputs of all readers together: $MIDTRAIN_FUZZ, or a number for every run of the tests.
  static let total = variable("MIDTRAIN_FUZZ").flatMap(Int.init) ?? 12_000
  /// Starts a series of its own: $MIDTRAIN_FUZZ_SEED.
  private static let seed = variable("MIDTRAIN_FUZZ_SEED").flatMap(UInt64.init) ?? 20_250_929
  /// `name:number` of an input that is to be read alone.
  private static let only = variable("MIDTRAIN_FUZZ_ONLY")
  /// A file that has `name:number` of the input that is being read, for when that ends the process.
  private static let traceFile = variable("MIDTRAIN_FUZZ_TRACE").map {
    open($0, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
  }

  private static func variable(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

  /// Reads this reader's part of `total` inputs, of all shares `shares`.
  func run(of shares: Int) throws {
    for input in corpus {
      do { try read(input) } catch { Issue.record("\(name): an input of the corpus is refused: \(error)") }
    }
    let numbers = try Self.numbers(name, count: Self.total * share / shares)
    let watchdog = Watchdog(name)
    defer { watchdog.stop() }
    let before = peakAddressSpace()
    var refused = 0
    for number in numbers {
      trace(number)
      watchdog.begin(number)
      // Each input has a number of its own, so that it can be made again without those before it.
      let seed = name.utf8.reduce(Self.seed) { $0 &* 31 &+ UInt64($1) } &+ number &* 0x9e37_79b9
      var mutator = Mutator(number: seed, corpus: corpus, words: words, head: head, kind: kind)
      let input = mutator.next()
      if Self.only != nil { try Data(input).write(to: URL(fileURLWithPath: "fuzz-input")) }
      do {
        try read(input)
      } catch let error where error is ModelError || error is TextError {
        refused += 1
        let length = "\(error)".utf8.count
        if length < 10 || length > 4000 { Issue.record("\(name):\(number): an error of \(length) bytes") }
      } catch {
        Issue.record("\(name):\(number): \(type(of: error)): \(error)")
      }
    }
    print("fuzz: \(name): \(numbers.count) inputs, \(refused) refused")
    if numbers.count > 100 {
      #expect(
        refused > numbers.count / 10,
        "\(name): changes hardly matter: \(refused) of \(numbers.count) refused")
    }
    // An allocation that trusts a length field would reserve terabytes, or be refused and crash.
    #expect(peakAddressSpace() - before < 4 << 30, "\(name): memory")
  }

  private static func numbers(_ name: String, count: Int) throws -> Range<UInt64> {
    guard let only else { return 0..<UInt64(count) }
    let parts = only.split(separator: ":")
    guard parts.count == 2, parts[0] == name, let number = UInt64(parts[1]) else { return 0..<0 }
    return number..<number + 1
  }

  private func trace(_ number: UInt64) {
    guard let file = Self.traceFile else { return }
    let text = "\(name):\(number)".padding(toLength: 60, withPad: " ", startingAt: 0) + "\n"
    _ = text.withCString { pwrite(file, $0, strlen($0), 0) }
  }

  /// `VmPeak` of this process in bytes; other tests of this process map a gigabyte or two.
  private func peakAddressSpace() -> Int {
    let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmPeak:") } ?? ""
    return (line.split(separator: " ").compactMap { Int($0) }.first ?? 0) << 10
  }
}

/// Ends the process when one input takes longer than a minute, with its number.
private final class Watchdog: Sendable {
  private let state: Mutex<(number: UInt64, since: UInt64, isOver: Bool)>

  init(_ name: String) {
    state = Mutex((0, Self.now, false))
    Thread.detachNewThread { [self] in
      while true {
        sleep(1)
        let (number, since, isOver) = state.withLock { $0 }
        if isOver { return }
        if Self.now - since > 60 { fatalError("\(name):\(number) takes more than a minute") }
      }
    }
  }

  private static var now: UInt64 { DispatchTime.now().uptimeNanoseconds / 1_000_000_000 }

  func begin(_ number: UInt64) {
    let now = Self.now
    state.withLock { ($0.number, $0.since) = (number, now) }
  }

  func stop() { state.withLock { $0.isOver = true } }
}
