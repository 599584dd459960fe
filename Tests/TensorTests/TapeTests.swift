// The tape: accumulation, use and reuse, what it keeps alive and what it does not.
import Foundation
import Synchronization
import Testing

import Tensor

@Suite struct TapeTests {
  private func leaf(_ values: [Float]) throws -> Tensor {
    let tensor = try Tensor(values, shape: [values.count])
    tensor.requiresGradient = true
    return tensor
  }

  @Test func aForgottenGradientLeavesItsMemory() throws {
    let x = try leaf([1, 2, 3])
    func backward(_ factor: Float) throws { try x.multiplied(by: factor).sum().backward() }
    try backward(2)
    let place = x.gradient!.pointer
    for _ in 0..<2 { x.zeroGradient(keepingMemory: true) }
    #expect(x.gradient == nil && x.gradientBytes == 12)
    try backward(5)
    #expect(x.gradient!.pointer == place && x.gradient!.values == [5, 5, 5])
    // One that somebody holds stays what it is.
    let held = x.gradient!
    x.zeroGradient(keepingMemory: true)
    #expect(x.gradientBytes == 0)
    try backward(7)
    #expect(held.values == [5, 5, 5] && x.gradient!.values == [7, 7, 7])
    x.zeroGradient()
    #expect(x.gradientBytes == 0)
  }

  @Test func gradientsAccumulateUntilTheyAreZeroed() throws {
    let x = try leaf([1, 2, 3])
    try x.squared().sum().backward()
    #expect(x.gradient?.values == [2, 4, 6])
    try x.multiplied(by: 10).sum().backward()
    #expect(x.gradient?.values == [12, 14, 16])
    x.zeroGradient()
    #expect(x.gradient == nil)
    try x.sum().backward()
    #expect(x.gradient?.values == [1, 1, 1])
  }

  @Test func valuesThatNoRuleNeedsAreFreed() throws {
    let x = try leaf([1, 2, 3, 4])
    let table = RotaryTable(positions: [0, 5], frequencies: [1])
    let results: [(String, (Tensor) throws -> Tensor)] = [
      ("add", { try $0.adding($0).adding(1) }),
      ("rope", { try $0.reshaped([2, 2]).rope(table) }),
      ("embedding", { try $0.reshaped([2, 2]).embedding([1, 1, 0]) }),
      ("reshape", { try $0.reshaped([2, 2]).adding(0) }),
    ]
    for (name, operation) in results {
      x.zeroGradient()
      let expected = try operation(x).sum()
      try expected.backward()
      let direct = try #require(x.gradient).values
      x.zeroGradient()
      var hidden: Tensor? = x.multiplied(by: 3)
      weak let storage = hidden?.storage
      let result = try operation(hidden!).sum()
      hidden = nil
      #expect(storage == nil, "\(name) keeps its input")
      try result.backward()
      #expect(x.gradient?.values == direct.map { 3 * $0 }, "the gradient through \(name)")
    }
  }

  @Test func aUsedTapeIsAnError() throws {
    let x = try leaf([1, 2])
    let product = try x.multiplied(by: x)
    let (first, second) = (product.sum(), product.mean())
    try first.backward()
    let error = #expect(throws: TensorError.self) { try first.backward() }
    #expect(error?.description.contains("sum") == true)
    let shared = #expect(throws: TensorError.self) { try second.backward() }
    #expect(shared?.description.contains("multiply") == true)
    #expect(x.gradient?.values == [2, 4], "a refused backward leaves gradients as they were")
  }

  @Test func aChangeInPlaceIsFound() throws {
    let x = try leaf([1, 2])
    let factors = try Tensor([3, 4], shape: [2])
    let product = try x.multiplied(by: factors)
    try factors.reshaped([2, 1]).write(Tensor(5))
    #expect(factors.values == [5, 5], "a view writes into the same memory")
    let error = #expect(throws: TensorError.self) { try product.sum().backward() }
    #expect(error?.description.contains("multiply") == true)
    #expect(x.gradient == nil)
    #expect(throws: TensorError.self) { try x.write(Tensor(0)) }
    #expect(throws: TensorError.self) { try x.squared().write(Tensor(0)) }
    try Tape.withoutRecording { try x.write(Tensor(7)) }
    #expect(x.values == [7, 7])
  }

  @Test func aWalkStopsWhereARuleIsForeign() throws {
    let x = try leaf([1, 2])
    var calls = 0
    let doubled = x.multiplied(by: 2).withRule([x], isForeign: true) { dy in
      calls += 1
      return [dy.multiplied(by: 2)]
    }
    let pass = try BackwardPass(of: doubled.multiplied(by: x).sum())
    try pass.advance()
    #expect(pass.isUnfinished && calls == 0)
    try pass.runForeignRule()
    try pass.advance()
    #expect(!pass.isUnfinished && calls == 1)
    #expect(x.gradient?.values == [4, 8])
  }

  @Test func gradientsCanBeTakenWithoutAddingThem() throws {
    let (x, y) = (try leaf([1, 2]), try leaf([3, 4]))
    try x.sum().backward()
    let pass = try BackwardPass(of: x.multiplied(by: y).sum())
    pass.setGradientsAside()
    try pass.advance()
    let gradients = pass.takeGradients(of: [y, try leaf([0])])
    #expect(gradients[0]?.values == [1, 2] && gradients[1] == nil)
    #expect(x.gradient?.values == [1, 1] && y.gradient == nil)
  }

  @Test func backwardNeedsARecordedScalar() throws {
    let x = try leaf([1, 2])
    #expect(throws: TensorError.self) { try x.squared().backward() }
    #expect(throws: TensorError.self) { try Tensor(1).exp().backward() }
    #expect(throws: TensorError.self) { try x.detached().sum().backward() }
    let scalar = Tensor(3)
    scalar.requiresGradient = true
    try scalar.backward()
    #expect(scalar.gradient?.values == [1])
    #expect(try scalar.gradient?.item() == 1)
  }

  @Test func nothingIsRecordedWithoutRecording() throws {
    let x = try leaf([1, 2])
    let hidden = Tape.withoutRecording { () -> Tensor in
      #expect(!Tape.isRecording)
      Tape.withoutRecording { #expect(!Tape.isRecording) }
      #expect(!Tape.isRecording, "the inner scope does not end the outer one")
      return x.sum()
    }
    #expect(Tape.isRecording)
    #expect(throws: TensorError.self) { try hidden.backward() }

    struct Failure: Error {}
    #expect(throws: Failure.self) { try Tape.withoutRecording { throw Failure() } }
    #expect(Tape.isRecording, "an error ends the scope")

    let isRecordingElsewhere = Atomic(false)
    let done = DispatchSemaphore(value: 0)
    Tape.withoutRecording {
      Thread {
        isRecordingElsewhere.store(Tape.isRecording, ordering: .relaxed)
        done.signal()
      }.start()
      done.wait()
    }
    let wasRecording = isRecordingElsewhere.load(ordering: .relaxed)
    #expect(wasRecording, "the scope belongs to its thread")
  }

  @Test func detachingStopsTheGradient() throws {
    let x = try leaf([2])
    try x.multiplied(by: x.detached()).sum().backward()
    #expect(x.gradient?.values == [2])
  }

  @Test func diamondsAddUp() throws {
    let x = try leaf([3])
    let (a, b) = (x.multiplied(by: 2), x.squared())
    try a.adding(b).multiplied(by: a).sum().backward()
    // (2x + x²)·2x = 4x² + 2x³, with derivative 8x + 6x².
    #expect(x.gradient?.values == [78])
  }

  @Test func aTowerOfDiamondsTakesOneVisitANode() throws {
    let x = try leaf([1])
    var y = x
    for _ in 0..<60 { y = try y.adding(y) }
    try y.sum().backward()
    #expect(x.gradient?.values == [Float(1 << 60)])
  }

  @Test(arguments: [false, true])
  func aLongChainIsFreedWithoutRecursion(afterBackward: Bool) throws {
    let x = try leaf([0])
    var y = x
    for _ in 0..<200_000 { y = y.adding(1) }
    #expect(y.values == [200_000])
    if afterBackward {
      try y.sum().backward()
      #expect(x.gradient?.values == [1])
    }
    y = x
  }

  @Test func aLongLadderIsFreedWithoutRecursion() throws {
    // Each step depends on the one before twice, once through a second node.
    let x = try leaf([0])
    var y = x
    for _ in 0..<50_000 { y = try y.adding(y.multiplied(by: 0.5)).multiplied(by: 0.5) }
    y = x
  }

  @Test(arguments: Op.allCases)
  func noOperationKeepsItsResultAlive(op: Op) throws {
    for sample in op.samples {
      weak var result: Tensor?
      weak var storage: Storage?
      try {
        let inputs = zip(sample.inputs(), sample.shapes).map { MemoryLayout.plain.tensor($0, $1) }
        for input in inputs { input.requiresGradient = true }
        let results = try sample.body(inputs)
        (result, storage) = (results[0], results[0].storage)
        withExtendedLifetime(results) { #expect(result != nil && storage != nil) }
      }()
      #expect(result == nil && storage == nil, "\(op), \(sample.name)")
    }
  }

  @Test func backwardFreesWhatWasSaved() throws {
    let x = try leaf([1, 2, 3])
    weak var saved: Storage?
    let loss = try { () throws -> Tensor in
      let e = x.exp()
      saved = e.storage
      return e.squared().sum()
    }()
    #expect(saved != nil)
    try loss.backward()
    withExtendedLifetime(loss) { #expect(saved == nil) }
  }

  @Test func keptGradientsDoNotShareMemory() throws {
    let (x, y) = (try leaf([1, 2]), try leaf([3, 4]))
    try x.adding(y).sum().backward()
    try x.reshaped([2, 1]).reshaped([2]).adding(y).adding(x).sum().backward()
    #expect(x.gradient?.values == [3, 3])
    #expect(y.gradient?.values == [2, 2])
    #expect(x.gradient?.storage !== y.gradient?.storage)
  }
}
