// The tensor: a view of storage, and its place on the tape.
import Kernels
import Synchronization

/// An n-dimensional array of 32-bit floats: a shape and strides over shared storage.
///
/// Tensors are references. Operations make new ones and never change their inputs; only optimisers and what a script
/// asks for (see `write(_:)`) write in place.
/// Everything that computes with tensors runs under one lock (one operation at a time), which is what makes it
/// sound to hand them between threads.
public final class Tensor: @unchecked Sendable {
  /// Where the elements lie, perhaps shared with other views.
  public let storage: Storage
  /// Sizes of the dimensions; empty for a scalar.
  public let shape: [Int]
  /// Distance between neighbours in each dimension, in elements; 0 where a dimension is broadcast.
  public let strides: [Int]
  /// The first element's place in storage.
  public let offset: Int

  /// Whether `backward()` leaves a gradient in `gradient`. Only for tensors that no operation made.
  public var requiresGradient = false {
    didSet { if !requiresGradient { zeroGradient() } }
  }
  /// The accumulated gradient of a leaf, contiguous and of the same shape. May be asked for while another thread
  /// computes.
  public internal(set) var gradient: Tensor? {
    get { lockedGradient.withLock { $0.tensor } }
    set { lockedGradient.withLock { $0.tensor = newValue } }
  }
  /// Memory of a gradient that was forgotten, for the next one.
  var spareGradient: Storage? {
    get { lockedGradient.withLock { $0.spare } }
    set { lockedGradient.withLock { $0.spare = newValue } }
  }
  /// That memory, which its owner no longer keeps.
  func takeSpareGradient() -> Storage? {
    lockedGradient.withLock { gradient in
      defer { gradient.spare = nil }
      return gradient.spare
    }
  }
  /// Bytes of a gradient that is there, or whose memory is kept.
  public var gradientBytes: Int {
    lockedGradient.withLock { $0.tensor == nil && $0.spare == nil ? 0 : MemoryLayout<Float>.stride * count }
  }
  private struct Gradient {
    var tensor: Tensor?
    var spare: Storage?
  }
  private let lockedGradient = Mutex(Gradient())
  /// The operation that made this tensor, if it was recorded.
  var node: Node?
  /// What the elements stand for.
  public internal(set) var dtype = DType.f32
  /// Counts writes in place, through this tensor or another view of its storage.
  public var version: Int { storage.version }

  /// To be called by who wrote the values in place.
  public func markWritten() { storage.version += 1 }

  /// A view of existing storage.
  public init(storage: Storage, shape: [Int], strides: [Int]? = nil, offset: Int = 0) {
    self.storage = storage
    self.shape = shape
    self.strides = strides ?? Self.contiguousStrides(shape)
    self.offset = offset
  }

  /// New storage without values.
  public convenience init(uninitialized shape: [Int]) {
    self.init(storage: Storage(count: shape.reduce(1, *)), shape: shape)
  }

  /// New storage filled with one value.
  public convenience init(repeating value: Float, shape: [Int]) {
    self.init(uninitialized: shape)
    pointer.update(repeating: value, count: count)
  }

  /// A tensor from values in row-major order.
  ///
  /// - Throws: if the shape does not have as many elements as there are values.
  public convenience init(_ values: [Float], shape: [Int]) throws(TensorError) {
    guard shape.allSatisfy({ $0 >= 0 }), shape.reduce(1, *) == values.count else {
      throw TensorError("tensor: \(values.count) values do not fill the shape \(shape)")
    }
    self.init(uninitialized: shape)
    values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress { pointer.update(from: base, count: values.count) }
    }
  }

  /// A scalar.
  public convenience init(_ value: Float) {
    self.init(repeating: value, shape: [])
  }

  /// Number of elements.
  public var count: Int { shape.reduce(1, *) }

  /// Number of dimensions.
  public var rank: Int { shape.count }

  /// The first element. Elements follow in row-major order only if `isContiguous`.
  public var pointer: UnsafeMutablePointer<Float> { storage.pointer + offset }

  /// Whether the elements lie in row-major order without gaps.
  public var isContiguous: Bool {
    zip(shape, zip(strides, Self.contiguousStrides(shape))).allSatisfy { size, stride in
      size == 1 || stride.0 == stride.1
    }
  }

  /// The elements in row-major order.
  public var values: [Float] {
    let source = contiguousCopyIfNeeded()
    return Array(UnsafeBufferPointer(start: source.pointer, count: count))
  }

  /// The value of a tensor with one element.
  public func item() throws(TensorError) -> Float {
    guard count == 1 else {
      throw TensorError("item: expected a tensor with one element, got shape \(shape)")
    }
    return pointer.pointee
  }

  /// The same values without a place on the tape.
  public func detached() -> Tensor {
    Tensor(storage: storage, shape: shape, strides: strides, offset: offset).typed(dtype)
  }

  /// Whether no operation made this tensor, so that it may require a gradient.
  package var isLeaf: Bool { node == nil }

  /// Whether a gradient can flow to this tensor.
  var needsGradient: Bool { requiresGradient || node != nil }

  /// This tensor if its elements lie in row-major order, else a copy of it, unrecorded.
  package func contiguousCopyIfNeeded() -> Tensor {
    if isContiguous { return self }
    let result = Tensor(uninitialized: shape).typed(dtype)
    forEachRun { source, destination, count, stride in
      let (from, to) = (storage.pointer + source, result.pointer + destination)
      for i in 0..<count { to[i] = from[i * stride] }
    }
    return result
  }

  /// Calls `body` for each innermost run: its start in storage, its row-major start, its length and its stride.
  func forEachRun(_ body: (_ source: Int, _ destination: Int, _ count: Int, _ stride: Int) -> Void) {
    guard let inner = shape.last else { return body(offset, 0, 1, 1) }
    if count == 0 { return }
    let outer = shape.dropLast()
    var index = [Int](repeating: 0, count: outer.count)
    var source = offset
    for run in 0..<outer.reduce(1, *) {
      body(source, run * inner, inner, strides[rank - 1])
      for d in index.indices.reversed() {
        index[d] += 1
        source += strides[d]
        if index[d] < shape[d] { break }
        source -= index[d] * strides[d]
        index[d] = 0
      }
    }
  }

  static func contiguousStrides(_ shape: [Int]) -> [Int] {
    var strides = [Int](repeating: 1, count: shape.count)
    for d in shape.indices.dropLast().reversed() { strides[d] = strides[d + 1] * shape[d + 1] }
    return strides
  }
}
