// Clocks, and inputs that repeat from run to run.
import Glibc
import Kernels
import Model
import Tensor

/// Seconds of a clock that never jumps.
func seconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// Seconds that something takes.
func time(_ body: () throws -> Void) rethrows -> Double {
  let start = seconds()
  try body()
  return seconds() - start
}

/// The shortest of some runs: other work on the machine only ever adds.
func best(of runs: Int = 3, _ body: () throws -> Void) rethrows -> Double {
  try (0..<runs).map { _ in try time(body) }.min()!
}

/// The middle one of some values.
func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

/// Most memory that this process has had so far, in GB.
func peakMemory() -> Double {
  var usage = rusage()
  getrusage(RUSAGE_SELF.rawValue, &usage)
  return Double(usage.ru_maxrss) * 1024 / 1e9
}

/// `12 %`
func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

extension CausalLM {
  /// Token ids that are spread over the vocabulary.
  func someTokens(_ count: Int, salt: Int = 0) -> [Int32] {
    (0..<count).map { Int32(($0 * 7919 + salt * 31 + 1000) % config.vocabSize) }
  }
}

extension Weight {
  /// Blocks of different bytes below 64: then scales are numbers below 2. bfloat16 would have numbers too small for
  /// some processors to be quick, so it is made of floats.
  static func some(_ shape: [Int], _ format: WeightFormat) -> Weight {
    if format == .bf16 {
      let floats = Tensor.some(shape)
      return Weight(shape: shape, format: format) { memory in
        BFloat16Kernels.encode(
          floats.pointer, into: memory.assumingMemoryBound(to: UInt16.self), floats.count)
        withExtendedLifetime(floats) {}
      }
    }
    return Weight(shape: shape, format: format) { memory in
      let bytes = memory.assumingMemoryBound(to: UInt8.self)
      var state: UInt32 = 1
      for i in 0..<shape[0] * format.rowBytes(shape[1]) {
        state = state &* 1_664_525 &+ 1_013_904_223
        bytes[i] = UInt8(state >> 26)
      }
    }
  }
}

extension Tensor {
  /// Different numbers between -1 and 1. Not all the same: products of constant matrices draw less power, so a
  /// processor may run them faster.
  static func some(_ shape: [Int]) -> Tensor {
    let tensor = Tensor(uninitialized: shape)
    let pointer = tensor.pointer
    var state: UInt32 = 1
    for i in 0..<tensor.count {
      state = state &* 1_664_525 &+ 1_013_904_223
      pointer[i] = Float(Int32(bitPattern: state)) * 0x1p-31
    }
    return withExtendedLifetime(tensor) { tensor }
  }
}
