// What the machine can do at most: multiply-adds in registers, and bytes read from memory.
import Kernels
import Tensor

/// Limits of this machine, measured.
struct Machine {
  /// Multiply-adds in registers, GFLOPS, on one thread and on all.
  let (peakOfOne, peak): (Double, Double)
  /// Bytes read from memory, GB/s, on one thread and on all.
  let (bandwidthOfOne, bandwidth): (Double, Double)

  /// Measures, which takes a second, and prints what it found.
  init(_ report: Report) {
    let threads = ThreadPool.shared.threadCount
    (peakOfOne, peak) = (multiplyAddRate(threads: 1), multiplyAddRate(threads: threads))
    let source = Tensor(repeating: 1, shape: [512 << 18])
    (bandwidthOfOne, bandwidth) = (readRate(source, threads: 1), readRate(source, threads: threads))
    report.add("multiply-add peak, 1 thread", peakOfOne, "GFLOPS")
    report.add("multiply-add peak, all threads", peak, "GFLOPS")
    report.add("reading 512 MB, 1 thread", bandwidthOfOne, "GB/s")
    report.add("reading 512 MB, all threads", bandwidth, "GB/s")
  }
}

private func multiplyAddRate(threads: Int) -> Double {
  let rounds = 2_000_000
  // Twenty-four vectors of 16 fit the registers of AVX-512, twelve of 8 those of AVX2: the better one counts.
  func rate(_ flops: Int, _ body: @escaping (Int) -> Float) -> Double {
    let time = best(of: 5) {
      ThreadPool.shared.forEach(count: threads, grain: 1) { range in
        for _ in range where body(rounds) == 42 { print("") }
      }
    }
    return 1e-9 * Double(flops * rounds * threads) / time
  }
  return max(rate(2 * 24 * 16, wideChains), rate(2 * 12 * 8, narrowChains))
}

/// 24 independent chains of multiply-adds, 16 lanes each: more than latency × ports. All stay in registers.
@inline(never)
private func wideChains(_ rounds: Int) -> Float {
  typealias V = SIMD16<Float>
  let (x, y) = (V(repeating: 0.999), V(repeating: 0.001))
  // All start differently, so that none is computed for another.
  var (a0, a1, a2, a3, a4, a5, a6, a7) = (x, x + 1, x + 2, x + 3, x + 4, x + 5, x + 6, x + 7)
  var (b0, b1, b2, b3, b4, b5, b6, b7) = (a0 + 8, a1 + 8, a2 + 8, a3 + 8, a4 + 8, a5 + 8, a6 + 8, a7 + 8)
  var (c0, c1, c2, c3, c4, c5, c6, c7) = (b0 + 8, b1 + 8, b2 + 8, b3 + 8, b4 + 8, b5 + 8, b6 + 8, b7 + 8)
  @inline(__always) func step(_ a: inout V) { a = y.addingProduct(a, x) }
  for _ in 0..<rounds {
    step(&a0); step(&a1); step(&a2); step(&a3); step(&a4); step(&a5); step(&a6); step(&a7)
    step(&b0); step(&b1); step(&b2); step(&b3); step(&b4); step(&b5); step(&b6); step(&b7)
    step(&c0); step(&c1); step(&c2); step(&c3); step(&c4); step(&c5); step(&c6); step(&c7)
  }
  let a = a0 + a1 + a2 + a3 + a4 + a5 + a6 + a7
  let b = b0 + b1 + b2 + b3 + b4 + b5 + b6 + b7
  let c = c0 + c1 + c2 + c3 + c4 + c5 + c6 + c7
  return (a + b + c).sum()
}

/// 12 chains of 8 lanes.
@inline(never)
private func narrowChains(_ rounds: Int) -> Float {
  typealias V = SIMD8<Float>
  let (x, y) = (V(repeating: 0.999), V(repeating: 0.001))
  var (a0, a1, a2, a3, a4, a5) = (x, x + 1, x + 2, x + 3, x + 4, x + 5)
  var (b0, b1, b2, b3, b4, b5) = (a0 + 8, a1 + 8, a2 + 8, a3 + 8, a4 + 8, a5 + 8)
  @inline(__always) func step(_ a: inout V) { a = y.addingProduct(a, x) }
  for _ in 0..<rounds {
    step(&a0); step(&a1); step(&a2); step(&a3); step(&a4); step(&a5)
    step(&b0); step(&b1); step(&b2); step(&b3); step(&b4); step(&b5)
  }
  return (a0 + a1 + a2 + a3 + a4 + a5 + b0 + b1 + b2 + b3 + b4 + b5).sum()
}

private func readRate(_ source: Tensor, threads: Int) -> Double {
  let (pointer, share) = (source.pointer, source.count / threads)
  let time = best(of: 3) {
    ThreadPool.shared.forEach(count: threads, grain: 1) { range in
      for part in range where total(pointer + part * share, share) == 42 { print("") }
    }
  }
  return withExtendedLifetime(source) { 4e-9 * Double(share * threads) / time }
}

@inline(never)
private func total(_ pointer: UnsafePointer<Float>, _ count: Int) -> Float {
  typealias V = SIMD16<Float>
  let raw = UnsafeRawPointer(pointer)
  func vector(_ i: Int) -> V { raw.loadUnaligned(fromByteOffset: 4 * i, as: V.self) }
  var (a, b, c, d) = (V.zero, V.zero, V.zero, V.zero)
  for i in stride(from: 0, to: count - 63, by: 64) {
    a += vector(i)
    b += vector(i + 16)
    c += vector(i + 32)
    d += vector(i + 48)
  }
  return (a + b + c + d).sum()
}
