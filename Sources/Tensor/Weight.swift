// A matrix of a network, in the format that it is stored in.
import Kernels
import Synchronization

/// A weight matrix (N, K), one row per output, as linear layers, embeddings and the head read it.
///
/// Its values are 32-bit floats in a tensor, which can be trained; or packed (bfloat16, or integer blocks with their
/// scales), and then frozen; or both: products read the packed values and gradients go to the tensor, its master copy,
/// from which it is packed anew whenever that was written. Arithmetic is in 32 bits always.
public final class Weight: @unchecked Sendable {
  /// (N, K).
  public let shape: [Int]
  /// The values that gradients are for; nil for a matrix that is packed only.
  public private(set) var tensor: Tensor?
  /// How the values that products read are stored.
  public let format: WeightFormat
  /// The tensor's values in row-major order.
  private var floats: Tensor?
  private let packed: Storage?
  /// The version of the tensor that `packed` was made of.
  private let packedVersion = Mutex(-1)

  /// A matrix that is read as it lies in a tensor.
  public init(_ tensor: Tensor) {
    (shape, self.tensor, format, packed) = (tensor.shape, tensor, .f32, nil)
    floats = tensor.contiguousCopyIfNeeded()
  }

  /// A matrix that is packed from its master copy, a contiguous one, now and whenever that was written since.
  ///
  /// - Throws: if rows are no whole blocks of the format.
  public init(master: Tensor, format: WeightFormat) throws(TensorError) {
    precondition(format.isPackable && master.isContiguous)
    guard format.holds(master.shape) else {
      throw TensorError(
        "\(format.name): expected a matrix with rows of a multiple of \(format.blockLength), got \(master.shape)"
      )
    }
    (shape, tensor, floats, self.format) = (master.shape, master, master, format)
    packed = Self.storage(master.shape, format)
  }

  /// A frozen matrix that `fill` writes in its format, (N, K) in rows of `format.rowBytes(K)`.
  public init<Failure: Error>(
    shape: [Int], format: WeightFormat, fill: (UnsafeMutableRawPointer) throws(Failure) -> Void
  ) throws(Failure) {
    let storage = Self.storage(shape, format)
    try fill(storage.pointer)
    (self.shape, self.format, tensor, floats, packed) = (shape, format, nil, nil, storage)
  }

  private static func storage(_ shape: [Int], _ format: WeightFormat) -> Storage {
    Storage(count: (shape[0] * format.rowBytes(shape[1]) + 3) / 4)
  }

  /// Rows and columns; a vector is one row.
  private var size: (rows: Int, columns: Int) {
    shape.count == 2 ? (shape[0], shape[1]) : (1, shape.reduce(1, *))
  }

  /// Bytes of the values that products read, the master copy not counted.
  public var byteCount: Int { size.rows * format.rowBytes(size.columns) }

  /// The matrix for kernels; valid as long as this object lives.
  var rows: WeightRows {
    guard let packed else {
      return WeightRows(floats!.pointer, format: .f32, rows: size.rows, columns: size.columns)
    }
    if let floats { packedVersion.withLock { pack(floats, packed, &$0) } }
    return WeightRows(packed.pointer, format: format, rows: size.rows, columns: size.columns)
  }

  private func pack(_ floats: Tensor, _ packed: Storage, _ version: inout Int) {
    if version == floats.version { return }
    version = floats.version
    let (K, bytes) = (shape[1], format.rowBytes(shape[1]))
    let (source, target) = (floats.pointer, UnsafeMutableRawPointer(packed.pointer))
    ThreadPool.shared.forEach(count: shape[0], grain: 64) { range in
      for n in range { format.pack(source + n * K, into: target + n * bytes, count: K) }
    }
  }

  /// Gives a frozen bfloat16 matrix a master copy in 32 bits, so that it can be trained. It is packed anew from that
  /// after each write, as mixed-precision training does.
  public func makeTrainable() throws(TensorError) {
    if tensor != nil { return }
    guard format == .bf16 else {
      throw TensorError("a matrix stored as \(format.name) cannot be trained")
    }
    let master = expanded()
    packedVersion.withLock { $0 = master.version }
    (tensor, floats) = (master, master)
  }

  /// A frozen copy in a format that `isPackable`, f32 included.
  public func copy(as format: WeightFormat) throws(TensorError) -> Weight {
    guard format.holds(shape) else {
      throw TensorError(
        "\(format.name): expected a matrix with rows of a multiple of \(format.blockLength), got \(shape)")
    }
    let (source, K, bytes) = (rows, shape[1], format.rowBytes(shape[1]))
    return Weight(shape: shape, format: format) { target in
      if format == source.format {
        target.copyMemory(from: source.base, byteCount: byteCount)
        return
      }
      let buffers = Storage(count: ThreadPool.shared.threadCount * K)
      ThreadPool.shared.forEach(count: shape[0], grain: 64) { range, slot in
        let row = buffers.pointer + slot * K
        for n in range {
          source.expand(n..<n + 1, into: row)
          format.pack(row, into: target + n * bytes, count: K)
        }
      }
    }
  }

  /// The values that products read, as a new tensor.
  public func expanded() -> Tensor {
    let result = Tensor(uninitialized: shape)
    rows.expandAll(into: result.pointer)
    return result
  }
}
