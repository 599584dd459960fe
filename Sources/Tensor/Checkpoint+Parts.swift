// Gradient accumulation behind one tensor: a result computed part by part, now and again in the backward pass.
import Kernels

extension Tensor {
  /// A vector of `count` elements that several computations fill in, of which nothing is kept: each is done again, by
  /// itself, in the backward pass. So memory is that of the largest, and whatever is made of the vector has the
  /// gradient that one large computation would have.
  ///
  /// - Parameters:
  ///   - places: for each part, where its elements go; places that no part names are 0.
  ///   - part: gives a vector with as many elements as the part has places.
  public static func computedInParts(
    count: Int, places: [[Int32]], _ part: @escaping (_ index: Int) throws -> Tensor
  ) throws -> Tensor {
    let result = Tensor(repeating: 0, shape: [count])
    for (index, places) in places.enumerated() {
      let values = try Tape.withoutRecording { try part(index).contiguousCopyIfNeeded() }
      precondition(values.shape == [places.count], "a part has as many elements as places")
      for (i, place) in places.enumerated() { result.pointer[Int(place)] = values.pointer[i] }
    }
    guard Tape.isRecording else { return result }
    result.node = Node(op: .checkpoint, inputs: []) { dy in
      for (index, places) in places.enumerated() {
        let gradient = Tensor(uninitialized: [places.count])
        for (i, place) in places.enumerated() { gradient.pointer[i] = dy.pointer[Int(place)] }
        do {
          let values = try Cancellation.deferred { try Tape.recording(true) { try part(index) } }
          try values.backward(from: gradient)
        } catch {
          preconditionFailure("what was computed once cannot be computed again: \(error)")
        }
      }
    }
    return result
  }
}
