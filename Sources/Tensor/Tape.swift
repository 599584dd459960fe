// Reverse-mode differentiation over a dynamic tape.
//
// An operation that has an input in need of a gradient leaves a node. `backward` walks the nodes that a result
// depends on, newest first. Gradients are accumulated where they belong: a backward rule gets the memory of its
// input's gradient and `beta`, 0 if that memory is new and 1 if it holds a sum already, just as a matrix product
// takes them. A node is used up by the walk, so its saved tensors are freed on the way.
import Glibc
import Kernels
import Synchronization

/// An operation on the tape.
final class Node {
  let op: Op
  /// Empty once the node is used up.
  private(set) var inputs: [Tensor]
  /// Later nodes have larger numbers.
  let number: Int
  /// Turns the gradient of the result into gradients of the inputs; nil once it has run.
  private(set) var backward: ((Tensor) throws -> Void)?
  /// Whether the rule must run where whoever gave it can: see `BackwardPass`.
  let isForeign: Bool
  /// The memory that the rule may read, and which state of it.
  private var read: [(storage: WeakStorage, version: Int)] = []
  /// The gradient of the result, summed so far.
  var gradient: Tensor?

  private static let counter = Atomic<Int>(0)

  init(
    op: Op, inputs: [Tensor], saved: Tensor? = nil, isForeign: Bool = false,
    backward: @escaping (Tensor) throws -> Void
  ) {
    self.op = op
    self.inputs = inputs
    self.isForeign = isForeign
    self.backward = backward
    number = Self.counter.add(1, ordering: .relaxed).newValue
    for tensor in inputs where tensor.storage.count > 0 {
      read.append((WeakStorage(tensor.storage), tensor.version))
    }
    if let saved { read.append((WeakStorage(saved.storage), saved.version)) }
  }

  /// Hands the gradient on to the inputs and lets go of everything that was kept for that.
  func run() throws {
    let (rule, gradient) = (backward, gradient)
    self.gradient = nil
    backward = nil
    if let rule, let gradient { try Tape.withoutRecording { try rule(gradient) } }
    inputs = []
  }

  /// Throws if the memory that the rule reads was written in place since.
  func checkUnchanged() throws(TensorError) {
    if read.contains(where: { $0.storage.value.map(\.version) ?? $0.version != $0.version }) {
      throw TensorError(
        "backward: a tensor that \(op.rawValue) needs for its gradient was changed in place since; "
          + "change a clone() instead, or change it after backward()")
    }
  }

  // A chain of nodes may be hundreds of thousands long: it must not be freed by recursion.
  deinit {
    backward = nil
    var pending = inputs
    inputs = []
    while var tensor = pending.popLast() {
      guard isKnownUniquelyReferenced(&tensor), var node = tensor.node else { continue }
      tensor.node = nil
      if isKnownUniquelyReferenced(&node) {
        node.backward = nil
        pending += node.inputs
        node.inputs = []
      }
    }
  }
}

/// Memory that a node knows but does not keep.
private struct WeakStorage {
  weak var value: Storage?
  init(_ value: Storage) { self.value = value }
}

/// Whether operations are recorded on the calling thread.
public enum Tape {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()

  /// True unless inside `withoutRecording`. Whoever switches between tasks on a thread sets it for each.
  public package(set) static var isRecording: Bool {
    get { pthread_getspecific(key) == nil }
    set { pthread_setspecific(key, newValue ? nil : UnsafeRawPointer(bitPattern: 1)) }
  }

  /// Runs `body` without recording, on this thread.
  public static func withoutRecording<Result, Failure: Error>(
    _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try recording(false, body)
  }

  /// Runs `body` with or without recording, on this thread.
  package static func recording<Result, Failure: Error>(
    _ isOn: Bool, _ body: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    let before = isRecording
    isRecording = isOn
    defer { isRecording = before }
    return try body()
  }
}

extension Tensor {
  /// Puts this result of `op` on the tape if a gradient can flow to one of its inputs. `backward` gets the gradient
  /// of the result, contiguous, and calls `accumulate` on the inputs. It must not capture the result itself (that
  /// would be a cycle) but `detached()` of it; of an input whose values it does not need, `gradientRoute`, and the
  /// same then goes into `inputs`. A rule that reads the result's values says so with `savesResult`.
  func recorded(
    _ op: Op, _ inputs: [Tensor], savesResult: Bool = false, backward: @escaping (Tensor) -> Void
  ) -> Tensor {
    if Tape.isRecording, inputs.contains(where: \.needsGradient) {
      node = Node(op: op, inputs: inputs, saved: savesResult ? self : nil, backward: backward)
    }
    return self
  }

  /// This tensor as far as its gradient is concerned: the shape and the place on the tape, without values if an
  /// operation made it. A backward rule that needs no values of its input holds this, so that their memory can go.
  var gradientRoute: Tensor {
    guard let node else { return self }
    let route = Tensor(storage: .empty, shape: shape, strides: strides)
    route.node = node
    return route
  }

  /// Hands out the memory for this tensor's gradient: `body` overwrites it if `beta` is 0 and adds to it if 1.
  /// Not called if no gradient is wanted here.
  func accumulate(_ body: (_ gradient: UnsafeMutablePointer<Float>, _ beta: Float) -> Void) {
    guard needsGradient else { return }
    if let gradient = pendingGradient {
      body(gradient.pointer, 1)
    } else {
      // A leaf keeps its gradient until the optimiser is done, and the memory for the next one.
      let gradient = Tensor(
        storage: takeSpareGradient() ?? Storage(count: count, isLasting: node == nil), shape: shape)
      body(gradient.pointer, 0)
      pendingGradient = gradient
    }
  }

  /// The same for a rule that makes several gradients at once: `body` is always called, with nil where no gradient
  /// is wanted. The tensors of such a rule must be different ones, see `distinct(from:)`.
  func withGradient(_ body: (_ gradient: UnsafeMutablePointer<Float>?, _ beta: Float) -> Void) {
    if needsGradient { accumulate { body($0, $1) } } else { body(nil, 0) }
  }

  /// `withGradient` of a tensor that may not be there.
  static func withGradient(
    of tensor: Tensor?, _ body: (_ gradient: UnsafeMutablePointer<Float>?, _ beta: Float) -> Void
  ) {
    if let tensor { tensor.withGradient(body) } else { body(nil, 0) }
  }

  /// This tensor, or a view of it if it is one of `others`.
  func distinct(from others: Tensor...) throws(TensorError) -> Tensor {
    others.contains { $0 === self } ? try reshaped(shape) : self
  }

  /// Adds a finished gradient with this tensor's elements in row-major order. The first one is kept without a copy
  /// where `mayKeep` says that nobody else will use its storage.
  func accumulate(_ finished: Tensor, mayKeep: Bool = false) {
    guard needsGradient else { return }
    let finished = finished.contiguousCopyIfNeeded()
    if pendingGradient == nil, mayKeep {
      spareGradient = nil
      pendingGradient = Tensor(storage: finished.storage, shape: shape, offset: finished.offset)
      return
    }
    accumulate { gradient, beta in
      if beta == 0 {
        gradient.update(from: finished.pointer, count: finished.count)
      } else {
        VectorKernels.add(finished.pointer, gradient, into: gradient, finished.count)
      }
    }
  }

  private var pendingGradient: Tensor? {
    get { node.map(\.gradient) ?? gradient }
    set {
      if let node { node.gradient = newValue } else { gradient = newValue }
    }
  }

  /// Forgets the gradient, so that the next one starts from zero.
  ///
  /// - Parameter keepingMemory: whether its memory is kept for that one. Given back to the pool it serves a step's
  ///   activations first, and other memory has to be found for gradients, cleared by the system each time.
  public func zeroGradient(keepingMemory: Bool = false) {
    guard keepingMemory else {
      (gradient, spareGradient) = (nil, nil)
      return
    }
    guard var memory = gradient?.storage else { return }
    gradient = nil
    // Somebody may hold the old gradient.
    spareGradient = memory.count == count && isKnownUniquelyReferenced(&memory) ? memory : nil
  }
}
