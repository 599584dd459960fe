// NumPy's broadcasting rules, and the way through several operands at once.
import Kernels

/// The shape that two shapes are broadcast to: dimensions are matched from the last one, a size of 1 or a missing
/// dimension repeats. Nil where they do not fit.
func broadcastShape(_ a: [Int], _ b: [Int]) -> [Int]? {
  var shape = a.count >= b.count ? a : b
  let other = a.count >= b.count ? b : a
  let lead = shape.count - other.count
  for (i, size) in other.enumerated() where size != shape[lead + i] {
    if shape[lead + i] == 1 {
      shape[lead + i] = size
    } else if size != 1 {
      return nil
    }
  }
  return shape
}

/// Refuses a result that memory has no room for: one transposed operand makes a matrix of what was meant as a vector,
/// and the system would end the process rather than say so. The half that is left is for what comes of the result.
package func checkSize(_ shape: [Int], of operation: String) throws(TensorError) {
  let bytes = shape.reduce(4.0) { $0 * Double($1) }
  // Asking the system costs some microseconds.
  guard bytes > Double(1 << 28) else { return }
  let available = Double(BufferPool.shared.availableMemory)
  guard bytes <= available / 2 else {
    let gigabytes = { (bytes: Double) in "\((bytes / 1e8).rounded() / 10) GB" }
    throw TensorError(
      "\(operation): a result of shape \(shape) would take \(gigabytes(bytes)), more than half of the "
        + "\(gigabytes(available)) that are free")
  }
}

extension Tensor {
  /// Whether broadcasting makes `shape` of this tensor's shape.
  func canBroadcast(to shape: [Int]) -> Bool { broadcastShape(self.shape, shape) == shape }

  /// A view of `shape`, in which repeated dimensions have the stride 0. The tensor must fit.
  func broadcast(to shape: [Int]) -> Tensor {
    let lead = shape.count - rank
    let strides = shape.indices.map { d in
      d < lead || (self.shape[d - lead] == 1 && shape[d] != 1) ? 0 : self.strides[d - lead]
    }
    return Tensor(storage: storage, shape: shape, strides: strides, offset: offset)
  }

  /// Adds a gradient of a broadcast form of this tensor: elements that were repeated get the sum.
  func accumulateBroadcast(_ gradient: Tensor, mayKeep: Bool = false) {
    if gradient.shape == shape { return accumulate(gradient, mayKeep: mayKeep) }
    accumulate { own, beta in
      if beta == 0 { own.update(repeating: 0, count: count) }
      if count == 1 {
        own[0] += ReductionKernels.sum(gradient.pointer, count: gradient.count)
        return
      }
      let target = Tensor(storage: storage, shape: shape).broadcast(to: gradient.shape)
      let source = gradient.pointer
      let walk = Walk(shape: gradient.shape, [target])
      walk.forEachRunInOrder { place, count, offsets in
        if walk.innerSteps[0] == 0 {
          own[offsets[0]] += VectorKernels.sum(source + place, count)
        } else {
          VectorKernels.add(source + place, to: own + offsets[0], count)
        }
      }
    }
  }
}

/// The way through up to four operands that are broadcast to one shape, in as few and as long runs as their strides
/// allow. The result of an elementwise operation lies row-major beside them.
struct Walk {
  /// Merged dimensions, without those of size 1. The last is the length of a run.
  private var sizes: [Int] = []
  /// What a step in each of them means for each operand.
  private var steps: [SIMD4<Int>] = []

  init(shape: [Int], _ operands: [Tensor]) {
    for d in shape.indices where shape[d] != 1 {
      var step = SIMD4<Int>.zero
      for (i, operand) in operands.enumerated() { step[i] = operand.strides[d] }
      if let outer = steps.last, outer == step &* SIMD4(repeating: shape[d]) {
        sizes[sizes.count - 1] *= shape[d]
        steps[steps.count - 1] = step
      } else {
        sizes.append(shape[d])
        steps.append(step)
      }
    }
    if sizes.isEmpty {
      sizes = [1]
      steps = [.zero]
    }
  }

  /// What a step inside a run means for each operand.
  var innerSteps: SIMD4<Int> { steps[steps.count - 1] }

  private var runLength: Int { sizes[sizes.count - 1] }
  private var runCount: Int { sizes.dropLast().reduce(1, *) }

  /// One run, or a piece of it: its row-major place, its length, and the operands' offsets.
  typealias Body = (_ place: Int, _ count: Int, _ offsets: SIMD4<Int>) -> Void

  /// Calls `body` for each run of operands that are broadcast to `shape`, on all threads.
  static func forEachRun(
    _ shape: [Int], _ a: Tensor, _ b: Tensor, _ c: Tensor? = nil,
    _ body: (_ place: Int, _ count: Int, _ a: Operand, _ b: Operand, _ c: Operand) -> Void
  ) {
    var operands = [a, b, c ?? b].map { $0.broadcast(to: shape) }
    var walk = Walk(shape: shape, operands)
    if (0..<3).contains(where: { walk.innerSteps[$0] > 1 }) {
      operands = [a, b, c ?? b].map { $0.contiguousCopyIfNeeded().broadcast(to: shape) }
      walk = Walk(shape: shape, operands)
    }
    let (a, b, c, steps) = (operands[0], operands[1], operands[2], walk.innerSteps)
    walk.forEachRun { place, count, offsets in
      body(
        place, count, Operand(a.pointer + offsets[0], step: steps[0]),
        Operand(b.pointer + offsets[1], step: steps[1]), Operand(c.pointer + offsets[2], step: steps[2]))
    }
  }

  /// Calls `body` for all runs, on all threads.
  func forEachRun(_ body: Body) {
    let grain = ElementwiseKernels.grain
    if runCount == 1 {
      ThreadPool.shared.forEach(count: runLength, grain: grain) { piece in
        body(piece.lowerBound, piece.count, innerSteps &* SIMD4(repeating: piece.lowerBound))
      }
    } else if runLength > 0 {
      ThreadPool.shared.forEach(count: runCount, grain: max(1, grain / runLength)) {
        forEachRun(in: $0, body)
      }
    }
  }

  /// Calls `body` for all runs, one after another.
  func forEachRunInOrder(_ body: Body) {
    if runLength > 0 { forEachRun(in: 0..<runCount, body) }
  }

  private func forEachRun(in runs: Range<Int>, _ body: Body) {
    let outer = sizes.count - 1
    var index = [Int](repeating: 0, count: outer)
    var offsets = SIMD4<Int>.zero
    var rest = runs.lowerBound
    for d in (0..<outer).reversed() where sizes[d] > 0 {
      index[d] = rest % sizes[d]
      rest /= sizes[d]
      offsets &+= steps[d] &* SIMD4(repeating: index[d])
    }
    for run in runs {
      body(run * runLength, runLength, offsets)
      for d in (0..<outer).reversed() {
        index[d] += 1
        offsets &+= steps[d]
        if index[d] < sizes[d] { break }
        offsets &-= steps[d] &* SIMD4(repeating: index[d])
        index[d] = 0
      }
    }
  }
}
