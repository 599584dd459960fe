// Vector loops at every length, and the accuracy of the exponential.
import Foundation
import TestSupport
import Testing

import Kernels

@Suite struct VectorTests {
  private func exponentials(_ x: [Float]) -> [Float] {
    var y = [Float](repeating: 0, count: x.count)
    VectorKernels.exp(x, into: &y, x.count)
    return y
  }

  @Test func exponentialIsAccurateOverItsRange() {
    // Every 97th float between the bounds, of both signs, and everything near them.
    var x: [Float] = []
    var bits: UInt32 = 0
    while Float(bitPattern: bits) <= 88.73 {
      x += [Float(bitPattern: bits), -Float(bitPattern: bits)]
      bits += bits < Float(1e-6).bitPattern ? 100_003 : 97
    }
    x += (0..<4096).map { Float(bitPattern: Float(88.722_83).bitPattern - $0) }
    x += (0..<4096).map { Float(bitPattern: Float(-87.336_54).bitPattern - $0) }
    x = x.filter { $0 >= -87.336_54 && $0 <= 88.722_83 }
    let y = exponentials(x)
    var (worst, place) = (0.0, 0)
    for i in x.indices {
      let exact = Foundation.exp(Double(x[i]))
      let error = abs(Double(y[i]) - exact) / exact
      if !(error <= worst) { (worst, place) = (error, i) }
    }
    #expect(worst < 3e-7, "e^\(x[place]) is \(y[place]), relative error \(worst)")
    #expect(x.count > 1_000_000)
  }

  @Test func exponentialOfSpecialValues() {
    #expect(exponentials([0, -0.0]) == [1, 1])
    #expect(exponentials([.infinity, 88.73, 89, 1e30]) == [.infinity, .infinity, .infinity, .infinity])
    #expect(exponentials([-.infinity, -87.4, -100, -1e30]) == [0, 0, 0, 0])
    #expect(exponentials([.nan, -.nan, .signalingNaN]).allSatisfy { $0.isNaN })
    #expect(exponentials([.leastNonzeroMagnitude, -.leastNonzeroMagnitude]) == [1, 1])
    #expect(exponentials([88.722_83])[0].isFinite)
  }

  @Test func exponentialAroundTheSmallestNormalNumber() {
    // Normal results are exact to their precision; what would be smaller is 0, never in between.
    for step in 0...20_000 {
      let x = -104 + Float(step) * (17.5 / 20_000)
      let (y, exact) = (exponentials([x])[0], Foundation.exp(Double(x)))
      if x < -87.3366 {
        #expect(y == 0, "at \(x)")
      } else if x > -87.3365 {
        #expect(abs(Double(y) - exact) <= 3e-7 * exact, "at \(x)")
      }
    }
    // NaN with any payload stays NaN.
    for bits: UInt32 in [0x7F80_0001, 0x7FC0_0001, 0x7FFF_FFFF, 0xFFC0_01FF] {
      #expect(exponentials([Float(bitPattern: bits)])[0].isNaN)
    }
  }

  @Test func exponentialIsMonotonic() {
    let x = (0..<200_000).map { -88 + Float($0) * (176.7 / 200_000) }
    let y = exponentials(x)
    for i in 1..<y.count where y[i] < y[i - 1] {
      // Neighbouring results may differ by rounding, not by more.
      #expect(y[i - 1] - y[i] <= 2 * y[i].ulp, "at \(x[i])")
    }
  }

  @Test func aValueDoesNotDependOnItsPlace() {
    var random = Random(1)
    let x = random.floats(80, in: -20...20)
    let whole = exponentials(x)
    for start in 0..<20 {
      for count in 0..<50 {
        #expect(exponentials(Array(x[start..<start + count])) == Array(whole[start..<start + count]))
      }
    }
  }

  @Test func sumsAndProductsOfEveryLength() {
    var random = Random(2)
    for count in Array(0..<150) + [1000, 4099] {
      let (a, b) = (random.floats(count), random.floats(count))
      let sum = a.reduce(0) { $0 + Double($1) }
      let dot = zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      expectClose([VectorKernels.sum(a, count)], [sum], 1e-5, "sum of \(count)")
      expectClose([ReductionKernels.sum(a, count: count)], [sum], 1e-5, "sum of \(count)")
      expectClose([VectorKernels.dot(a, b, count)], [dot], 1e-5, "dot of \(count)")
      #expect(VectorKernels.maximum(a, count) == a.max() ?? -.infinity)

      var y = b
      VectorKernels.add(a, times: 3, to: &y, count)
      expectClose(y, zip(a, b).map { Double($1) + 3 * Double($0) }, 1e-6, "axpy of \(count)")
      VectorKernels.scale(&y, by: 0, count)
      #expect(y.allSatisfy { $0 == 0 } && y.count == count)
    }
  }

  @Test func theMaximumMeetsNaN() {
    for count in [1, 5, 16, 17, 40] {
      for place in 0..<count {
        var a = [Float](repeating: 1, count: count)
        a[place] = .nan
        #expect(VectorKernels.maximum(a, count).isNaN)
        a[place] = 2
        #expect(VectorKernels.maximum(a, count) == 2)
      }
    }
  }

  @Test func nothingBesideTheElementsIsTouched() {
    for count in 0..<40 {
      var y = [Float](repeating: 7, count: 60)
      let x = [Float](repeating: 1, count: count) + [Float](repeating: .nan, count: 20)
      y.withUnsafeMutableBufferPointer { y in
        VectorKernels.add(x, to: y.baseAddress!, count)
        VectorKernels.scale(y.baseAddress!, by: 2, count)
      }
      #expect(y[..<count].allSatisfy { $0 == 16 } && y[count...].allSatisfy { $0 == 7 })
      #expect(VectorKernels.sum(x, count) == Float(count))
      #expect(VectorKernels.maximum(x, count) == (count == 0 ? -.infinity : 1))
    }
  }

  @Test(arguments: [1, 3, 8, 16, 17, 32, 40])
  func rotations(half: Int) {
    var random = Random(UInt64(half))
    let (rows, heads) = (3, 2)
    let (x, start) = (random.floats(rows * heads * 2 * half), random.floats(rows * heads * 2 * half))
    let angles = random.floats(rows * half, in: -3...3)
    let (cosines, sines) = (angles.map { cosf($0) }, angles.map { sinf($0) })
    for (inverse, beta) in [(false, Float(0)), (true, 0), (true, 1)] {
      var y = start
      RowKernels.rotate(
        x, into: &y, cosines: cosines, sines: sines, inverse: inverse, rows: rows, heads: heads,
        size: 2 * half,
        beta: beta)
      var expected = start.map { Double($0 * beta) }
      for n in 0..<rows {
        for h in 0..<heads {
          for i in 0..<half {
            let (low, c) = ((n * heads + h) * 2 * half + i, Double(cosines[n * half + i]))
            let s = Double(sines[n * half + i]) * (inverse ? -1 : 1)
            expected[low] += Double(x[low]) * c - Double(x[low + half]) * s
            expected[low + half] += Double(x[low + half]) * c + Double(x[low]) * s
          }
        }
      }
      expectClose(y, expected, 1e-6, "rotation by \(half) angles")
    }
  }

  @Test(arguments: Array(1...40))
  func gatedActivations(count: Int) {
    var random = Random(UInt64(count))
    let (gate, up, dy) = (random.floats(count, in: -9...9), random.floats(count), random.floats(count))
    let sigma = gate.map { 1 / (1 + Foundation.exp(-Double($0))) }
    let dup = gate.indices.map { Double(dy[$0]) * Double(gate[$0]) * sigma[$0] }
    let dgate = gate.indices.map {
      Double(dy[$0]) * Double(up[$0]) * sigma[$0] * (1 + Double(gate[$0]) * (1 - sigma[$0]))
    }
    var y = [Float](repeating: .nan, count: count)
    RowKernels.swiglu(gate: gate, up: up, into: &y, count: count)
    expectClose(y, gate.indices.map { Double(gate[$0]) * sigma[$0] * Double(up[$0]) }, 1e-6, "swiglu")
    for (betaGate, betaUp) in [(Float(0), Float(1)), (1, 0)] {
      // Both gradients at once, and each alone.
      var (g, u) = ([Float](repeating: 2, count: count), [Float](repeating: 3, count: count))
      var (gateAlone, upAlone) = (g, u)
      g.withUnsafeMutableBufferPointer { g in
        u.withUnsafeMutableBufferPointer { u in
          RowKernels.swigluBackward(
            dy, gate: gate, up: up, dgate: (g.baseAddress!, betaGate), dup: (u.baseAddress!, betaUp),
            count: count)
        }
      }
      gateAlone.withUnsafeMutableBufferPointer {
        RowKernels.swigluBackward(
          dy, gate: gate, up: up, dgate: ($0.baseAddress!, betaGate), dup: nil, count: count)
      }
      upAlone.withUnsafeMutableBufferPointer {
        RowKernels.swigluBackward(
          dy, gate: gate, up: up, dgate: nil, dup: ($0.baseAddress!, betaUp), count: count)
      }
      #expect(g == gateAlone && u == upAlone)
      expectClose(g, dgate.map { $0 + 2 * Double(betaGate) }, 2e-6, "gradient of the gate")
      expectClose(u, dup.map { $0 + 3 * Double(betaUp) }, 2e-6, "gradient of the input")
    }
  }

  @Test func gatesAtTheEndsOfTheRange() {
    // σ is exactly 0 and 1 there; what PyTorch gives, NaN for -∞ included.
    let gate: [Float] = [-.infinity, -1e30, -104, -88, 88, 1e30, .infinity, .nan]
    var y = gate
    ElementwiseKernels.map(.sigmoid, gate, into: &y, count: gate.count)
    #expect(y[0] == 0 && y[1] == 0 && y[2] == 0 && y[3] < 1e-38 && y[4...6] == [1, 1, 1] && y[7].isNaN)
    ElementwiseKernels.map(.silu, gate, into: &y, count: gate.count)
    #expect(y[0].isNaN && y[1] == 0 && y[2] == 0 && y[4...6] == [88, 1e30, .infinity] && y[7].isNaN)
  }
}
