// Weighted sums of a tile of values for very few rows, as each branch of a decoding step has them. Where OpenBLAS has no
// kernels for small matrices (all but its AVX-512 cores) a call costs more than such a product. A result is a sum in an
// order that depends on nothing but its length, so a branch does not depend on the ones beside it.

enum FewRows {
  /// Most rows that this way is used for, see LOG.md.
  static let maximum = 4

  /// `out += weights · values`.
  ///
  /// - Parameters:
  ///   - weights: (R, n), contiguous. `values`: (n, D). `out`: (R, D), contiguous.
  static func weightedSums(_ weights: Matrix, _ values: Matrix, addingTo out: Matrix) {
    let (size, count, stride) = (values.columns, values.rows, values.stride)
    for r in 0..<weights.rows {
      let (w, target) = (UnsafePointer(weights.pointer + r * count), out.pointer + r * size)
      var i = 0
      while i + 64 <= size {
        var (a0, a1, a2, a3) = (
          target.vector(i), target.vector(i + 16), target.vector(i + 32), target.vector(i + 48)
        )
        var value = UnsafePointer(values.pointer + i)
        for j in 0..<count {
          let factor = Vector(repeating: w[j])
          a0 = multiplyAdd(factor, value.vector(0), a0)
          a1 = multiplyAdd(factor, value.vector(16), a1)
          a2 = multiplyAdd(factor, value.vector(32), a2)
          a3 = multiplyAdd(factor, value.vector(48), a3)
          value += stride
        }
        target.store(a0, i)
        target.store(a1, i + 16)
        target.store(a2, i + 32)
        target.store(a3, i + 48)
        i += 64
      }
      if i == size { continue }
      for j in 0..<count {
        VectorKernels.add(values.pointer + j * stride + i, times: w[j], to: target + i, size - i)
      }
    }
  }
}
