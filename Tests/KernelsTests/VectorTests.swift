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
}
