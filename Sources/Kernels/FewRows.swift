// Products of very few rows with a tile of keys or values, as each branch of a decoding step has them. Where OpenBLAS
// has no kernels for small matrices (all but its AVX-512 cores) a call costs more than such a product. A result is a
// sum in an order that depends on nothing but its length, so a branch does not depend on the ones beside it.

enum FewRows {
  /// Most rows that this way is used for, see LOG.md.
  static let maximum = 4

  /// `out = rows · keysᵀ`.
  ///
  /// - Parameters:
  ///   - rows: (R, D), contiguous. `keys`: (n, D). `out`: (R, n), contiguous.
  static func scores(_ rows: Matrix, _ keys: Matrix, into out: Matrix) {
    let size = rows.columns
    for r in 0..<rows.rows {
      let (query, target) = (UnsafePointer(rows.pointer + r * size), out.pointer + r * keys.rows)
      var j = 0
      while j + 4 <= keys.rows {
        let k0 = UnsafePointer(keys.pointer + j * keys.stride)
        let (k1, k2, k3) = (k0 + keys.stride, k0 + 2 * keys.stride, k0 + 3 * keys.stride)
        var (a0, a1, a2, a3) = (Vector.zero, Vector.zero, Vector.zero, Vector.zero)
        var i = 0
        while i + 16 <= size {
          let q = query.vector(i)
          a0 = multiplyAdd(q, k0.vector(i), a0)
          a1 = multiplyAdd(q, k1.vector(i), a1)
          a2 = multiplyAdd(q, k2.vector(i), a2)
          a3 = multiplyAdd(q, k3.vector(i), a3)
          i += 16
        }
        if i < size {
          let q = query.partial(i, size - i)
          a0 = multiplyAdd(q, k0.partial(i, size - i), a0)
          a1 = multiplyAdd(q, k1.partial(i, size - i), a1)
          a2 = multiplyAdd(q, k2.partial(i, size - i), a2)
          a3 = multiplyAdd(q, k3.partial(i, size - i), a3)
        }
        (target[j], target[j + 1]) = (treeSum(a0), treeSum(a1))
        (target[j + 2], target[j + 3]) = (treeSum(a2), treeSum(a3))
        j += 4
      }
      while j < keys.rows {
        let key = UnsafePointer(keys.pointer + j * keys.stride)
        var sum = Vector.zero
        var i = 0
        while i + 16 <= size {
          sum = multiplyAdd(query.vector(i), key.vector(i), sum)
          i += 16
        }
        if i < size { sum = multiplyAdd(query.partial(i, size - i), key.partial(i, size - i), sum) }
        target[j] = treeSum(sum)
        j += 1
      }
    }
  }

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

  /// The sum of all lanes, halves first: `sum()` adds one lane after the other.
  @inline(__always)
  private static func treeSum(_ x: Vector) -> Float {
    let eight = x.lowHalf + x.highHalf
    let four = eight.lowHalf + eight.highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
  }
}
