// What the processor can do, as the kernel reports it. Used to choose OpenBLAS's code path and the thread count.
import Glibc

/// The processor that this process runs on.
public enum Processor {
  /// Instruction-set flags, as `/proc/cpuinfo` names them (empty where the file cannot be read).
  public static let flags = Set(
    field("flags", of: "/proc/cpuinfo").split(whereSeparator: \.isWhitespace).map(String.init))

  /// True where the 512-bit float kernels of OpenBLAS's `SkylakeX` core run.
  public static var hasAVX512: Bool { flags.isSuperset(of: ["avx512f", "avx512bw", "avx512dq", "avx512vl"]) }

  /// True where the 256-bit fused multiply-add kernels of OpenBLAS's `Haswell` core run.
  public static var hasAVX2: Bool { flags.isSuperset(of: ["avx2", "fma"]) }

  /// The number of processors this process may use: those that it may run on, or fewer where a container gives it less
  /// time than they have.
  public static let count: Int = {
    let mask = field("Cpus_allowed", of: "/proc/self/status").compactMap(\.hexDigitValue)
    let allowed = mask.reduce(0) { $0 + $1.nonzeroBitCount }
    let present = allowed > 0 ? allowed : max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
    return min(present, processors(ofQuota: contents("/sys/fs/cgroup/cpu.max")) ?? .max)
  }()

  /// Processors that a control group's `cpu.max` amounts to, rounded up: `200000 100000` are 2; nil for `max`.
  package static func processors(ofQuota text: String) -> Int? {
    let numbers = text.split(whereSeparator: \.isWhitespace).map { Double($0) }
    guard numbers.count == 2, let quota = numbers[0], let period = numbers[1], quota > 0, period > 0 else {
      return nil
    }
    return Int(min((quota / period).rounded(.up), 1e6))
  }

  /// Threads to compute with: `MIDTRAIN_THREADS`, else all processors, one of them left free where there are many.
  public static let defaultThreadCount: Int = {
    if let text = getenv("MIDTRAIN_THREADS"), let wanted = Int(String(cString: text)), wanted > 0 {
      return min(wanted, 256)
    }
    return count > 4 ? count - 1 : count
  }()

  /// The first line of a small file; empty where there is none.
  private static func contents(_ path: String) -> String {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    return getline(&line, &capacity, file) > 0 ? line.map { String(cString: $0) } ?? "" : ""
  }

  /// The text after the first `name:` in a file of such lines; empty where there is none.
  private static func field(_ name: String, of path: String) -> Substring {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var line: UnsafeMutablePointer<CChar>?
    var capacity = 0
    defer { free(line) }
    while getline(&line, &capacity, file) > 0, let line {
      let text = String(cString: line)
      guard let colon = text.firstIndex(of: ":") else { continue }
      if text[..<colon].trimmingSuffix(while: \.isWhitespace) == name {
        return text[text.index(after: colon)...]
      }
    }
    return ""
  }
}

extension Substring {
  fileprivate func trimmingSuffix(while isTrimmed: (Character) -> Bool) -> Substring {
    var text = self
    while let last = text.last, isTrimmed(last) { text.removeLast() }
    return text
  }
}
