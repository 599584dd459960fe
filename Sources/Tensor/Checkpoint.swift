// Activation checkpointing (Chen et al., arXiv:1604.06174): memory for time.
import Kernels

extension Tensor {
  /// `body` of this tensor, of which only the input is kept: what lies between is computed again in the backward pass.
  ///
  /// - Parameters:
  ///   - rowsAtATime: for a computation that treats each row by itself: no more rows than this go through it at a time,
  ///     both times, so that memory for what lies between does not grow with their number.
  ///   - isValueNeeded: false where only the gradients are wanted; then the result holds no values.
  ///   - body: gives a tensor of its argument's shape; the flag says whether its values are needed. It is called
  ///     again later and must do the same then.
  public func checkpointed(
    rowsAtATime: Int? = nil, isValueNeeded: Bool = true,
    _ body: @escaping (_ x: Tensor, _ isValueNeeded: Bool) throws -> Tensor
  ) throws -> Tensor {
    let rows = shape[0]
    // Parts of one size, none of which is so small that its products are slow.
    let parts = rowsAtATime.map { Swift.max(1, (rows + $0 - 1) / $0) } ?? 1
    let chunk = Swift.max(1, (rows + parts - 1) / parts)
    let x = contiguousCopyIfNeeded().detached()
    func part(_ start: Int) throws -> Tensor { try x.sliced(dim: 0, start..<Swift.min(rows, start + chunk)) }
    let result = try Tape.withoutRecording {
      if isValueNeeded, chunk >= rows { return try body(x, true).contiguousCopyIfNeeded().detached() }
      let result = Tensor(uninitialized: shape)
      if !isValueNeeded { return result }
      for start in stride(from: 0, to: rows, by: chunk) {
        let piece = try body(part(start), true).contiguousCopyIfNeeded()
        (result.pointer + start * (count / rows)).update(from: piece.pointer, count: piece.count)
      }
      return result
    }
    // Recorded even if no gradient is wanted here: there may be parameters inside.
    guard Tape.isRecording else { return result }
    result.node = Node(op: .checkpoint, inputs: [self]) { dy in
      self.withGradient { dx, beta in
        let width = rows == 0 ? 0 : self.count / rows
        // Once for no rows at all: parameters inside get the gradient 0 then.
        for start in stride(from: 0, to: Swift.max(1, rows), by: chunk) {
          do {
            let input = try part(start).detached()
            input.requiresGradient = true
            let output = try Cancellation.deferred { try Tape.recording(true) { try body(input, false) } }
            try output.backward(from: dy.sliced(dim: 0, start..<start + input.shape[0]))
            guard let dx else { continue }
            let place = dx + start * width
            guard let gradient = input.gradient else {
              if beta == 0 { place.update(repeating: 0, count: input.count) }
              continue
            }
            if beta == 0 {
              VectorKernels.copy(gradient.pointer, to: place, gradient.count)
            } else {
              VectorKernels.add(gradient.pointer, place, into: place, gradient.count)
            }
          } catch {
            preconditionFailure("what was computed once cannot be computed again: \(error)")
          }
        }
      }
    }
    return result
  }
}
