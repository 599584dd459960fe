// The way back over the tape, and what starts it.

extension Tensor {
  /// Adds the gradient of this scalar to `gradient` of every leaf that it depends on. The tape behind it is used up.
  ///
  /// - Throws: if this is no scalar, was not recorded, its tape was used before, or a tensor that a rule needs was
  ///   written in place since.
  public func backward() throws { try BackwardPass(of: self).finish() }

  /// Adds the gradient of Σ gradient · self to `gradient` of every leaf that this tensor depends on.
  func backward(from gradient: Tensor) throws {
    try BackwardPass(of: self, from: gradient.contiguousCopyIfNeeded()).finish()
  }

  /// A view of this tensor whose gradient goes to `inputs` as `rule` says: it gets the gradient of the result and gives
  /// one of the shape of each input, or nil for none.
  ///
  /// - Parameter isForeign: whether `rule` must not run on just any thread: see `BackwardPass`.
  package func withRule(
    _ inputs: [Tensor], isForeign: Bool = false, _ rule: @escaping (Tensor) throws -> [Tensor?]
  ) -> Tensor {
    let result = detached()
    guard Tape.isRecording, inputs.contains(where: \.needsGradient) else { return result }
    result.node = Node(op: .custom, inputs: inputs, isForeign: isForeign) { dy in
      let gradients = try rule(dy)
      guard gradients.count == inputs.count else {
        throw TensorError(
          .custom, "expected a gradient (or nil) for each of \(inputs.count) inputs, got \(gradients.count)")
      }
      for (input, gradient) in zip(inputs, gradients) {
        guard let gradient else { continue }
        guard gradient.shape == input.shape else {
          throw TensorError(
            .custom, "expected a gradient of its input's shape \(input.shape), got \(gradient.shape)")
        }
        input.accumulate(gradient.detached())
      }
    }
    return result
  }
}

/// A walk over all that a tensor depends on, newest first. It stops where a rule is foreign, that is, has to run
/// elsewhere than the rest: a function of a script on the script's thread.
package final class BackwardPass: @unchecked Sendable {
  /// What is left to do, the next one last.
  private var nodes: [Node] = []
  /// Gradients that leaves had before, where they are to keep them.
  private var setAside: [(leaf: Tensor, gradient: Tensor?)] = []

  /// Begins a walk from a scalar.
  package convenience init(of scalar: Tensor) throws(TensorError) {
    guard scalar.count == 1 else {
      throw TensorError(
        "backward: expected a tensor with one element, got shape \(scalar.shape); reduce it with sum() or mean()"
      )
    }
    guard scalar.needsGradient else {
      throw TensorError("backward: this tensor does not depend on anything that requires a gradient")
    }
    try self.init(of: scalar, from: Tensor(repeating: 1, shape: scalar.shape))
  }

  /// Begins a walk from a tensor that has the given gradient, contiguous.
  init(of tensor: Tensor, from gradient: Tensor) throws(TensorError) {
    let root = tensor.node ?? Node(op: .reshape, inputs: [tensor]) { tensor.accumulate($0) }
    nodes = root.reachable()
    if let used = nodes.last(where: { $0.backward == nil }) {
      throw TensorError(
        "backward: the tape behind \(used.op.rawValue) was used by an earlier backward(); compute it again")
    }
    for node in nodes { try node.checkUnchanged() }
    root.gradient = gradient
  }

  /// Whether there is something left, which begins with a foreign rule once `advance` returned.
  package var isUnfinished: Bool { !nodes.isEmpty }

  /// Goes on to the next foreign rule, or to the end.
  package func advance() throws {
    while let node = nodes.last, !node.isForeign { try nodes.removeLast().run() }
  }

  /// Runs the foreign rule that comes next.
  package func runForeignRule() throws { try nodes.popLast()?.run() }

  /// Goes to the end, all rules here.
  func finish() throws {
    while let node = nodes.popLast() { try node.run() }
  }

  /// Sets the gradients of all leaves aside that the walk will reach as far as operations name them (not those inside
  /// of a checkpoint), so that `takeGradients` can put them back.
  package func setGradientsAside() {
    var seen: Set<ObjectIdentifier> = []
    for leaf in nodes.flatMap(\.inputs) where leaf.isLeaf && leaf.requiresGradient {
      guard seen.insert(ObjectIdentifier(leaf)).inserted else { continue }
      setAside.append((leaf, leaf.gradient))
      leaf.gradient = nil
    }
  }

  /// What the walk gave to `leaves`; nil for what it did not reach. All leaves have again what they had before.
  package func takeGradients(of leaves: [Tensor]) -> [Tensor?] {
    let reached = Set(setAside.map { ObjectIdentifier($0.leaf) })
    let gradients = leaves.map { reached.contains(ObjectIdentifier($0)) ? $0.gradient : nil }
    putBack()
    return gradients
  }

  private func putBack() {
    for (leaf, gradient) in setAside { leaf.gradient = gradient }
    setAside = []
  }

  deinit { putBack() }
}

extension Node {
  /// This node and all it depends on, oldest first: every node before all that use its result.
  fileprivate func reachable() -> [Node] {
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(self)]
    var found = [self]
    var next = 0
    while next < found.count {
      for input in found[next].inputs {
        if let node = input.node, seen.insert(ObjectIdentifier(node)).inserted { found.append(node) }
      }
      next += 1
    }
    return found.sorted { $0.number < $1.number }
  }
}
