// Row-wise kernels of a transformer: RMS normalisation, rotary positions, gated SiLU, biases, embedding rows.
// Every backward kernel adds to its gradients, or overwrites them when told that they are new (`beta` 0).
import Glibc

/// Kernels that treat each row of a matrix by itself.
public enum RowKernels {
  /// Rows that one thread takes at a time; fixed, so that no result depends on the number of threads.
  private static let grain = 16

  // MARK: RMS normalisation, y = w · x / √(mean(x²) + ε)

  /// - Parameters:
  ///   - x: (N, C), `weight`: (C), `y`: (N, C), `scale`: (N), which receives 1 / √(mean(x²) + ε).
  public static func rmsNorm(
    _ x: UnsafePointer<Float>, weight: UnsafePointer<Float>, epsilon: Float,
    into y: UnsafeMutablePointer<Float>, scale: UnsafeMutablePointer<Float>, rows N: Int, columns C: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: grain) { rows in
      for n in rows {
        let row = x + n * C
        let factor = 1 / (VectorKernels.dot(row, row, C) / Float(C) + epsilon).squareRoot()
        scale[n] = factor
        let out = y + n * C
        for (i, n) in steps(C) { out.store(row.load(i, n) * factor * weight.load(i, n), i, n) }
      }
    }
  }

  /// dx = s·(w·dy) − x·s³·Σ(w·dy·x)/C and dw = Σ_n dy·x·s.
  public static func rmsNormBackward(
    _ dy: UnsafePointer<Float>, x: UnsafePointer<Float>, weight: UnsafePointer<Float>,
    scale: UnsafePointer<Float>, dx: (pointer: UnsafeMutablePointer<Float>, beta: Float)?,
    dweight: (pointer: UnsafeMutablePointer<Float>, beta: Float)?, rows N: Int, columns C: Int
  ) {
    if let (dx, beta) = dx {
      ThreadPool.shared.forEach(count: N, grain: grain) { rows in
        for n in rows {
          let (g, row, out, s) = (dy + n * C, x + n * C, dx + n * C, scale[n])
          let inner = sumVector(
            C, { g.vector($0) * weight.vector($0) * row.vector($0) },
            { g.partial($0, $1) * weight.partial($0, $1) * row.partial($0, $1) })
          let pull = Vector(repeating: -s * s * s * inner / Float(C))
          for (i, n) in steps(C) {
            let d = multiplyAdd(row.load(i, n), pull, g.load(i, n) * weight.load(i, n) * s)
            store(d, out, i, n, beta)
          }
        }
      }
    }
    if let (dweight, beta) = dweight {
      // Threads take columns, each adding the rows in their order.
      ThreadPool.shared.forEach(count: C, grain: 64) { columns in
        let (start, count) = (columns.lowerBound, columns.count)
        if beta == 0 { (dweight + start).update(repeating: 0, count: count) }
        for n in 0..<N {
          let s = Vector(repeating: scale[n])
          let (g, row, out) = (dy + n * C + start, x + n * C + start, dweight + start)
          for (i, n) in steps(count) {
            out.store(multiplyAdd(g.load(i, n) * row.load(i, n), s, out.load(i, n)), i, n)
          }
        }
      }
    }
  }

  // MARK: Rotary positions

  /// Rotates pairs (i, i + D/2) of each head by the angle of the row's position; by the negative one if `inverse`,
  /// which is also the gradient. `x` and `y` are (N, H, D) and may be the same; the tables are (N, D/2).
  public static func rotate(
    _ x: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, cosines: UnsafePointer<Float>,
    sines: UnsafePointer<Float>, inverse: Bool, rows N: Int, heads H: Int, size D: Int, beta: Float = 0
  ) {
    let half = D / 2
    let sign: Float = inverse ? -1 : 1
    ThreadPool.shared.forEach(count: N, grain: grain) { rows in
      for n in rows {
        let (cosine, sine) = (cosines + n * half, sines + n * half)
        for h in 0..<H {
          let (low, out) = (x + (n * H + h) * D, y + (n * H + h) * D)
          let (high, outHigh) = (low + half, out + half)
          for (i, count) in steps(half) {
            let (c, s) = (cosine.load(i, count), sine.load(i, count) * sign)
            let (a, b) = (low.load(i, count), high.load(i, count))
            store(a * c - b * s, out, i, count, beta)
            store(b * c + a * s, outHigh, i, count, beta)
          }
        }
      }
    }
  }

  // MARK: Gated SiLU, y = silu(g) · u

  /// All arrays have `count` elements.
  public static func swiglu(
    gate: UnsafePointer<Float>, up: UnsafePointer<Float>, into y: UnsafeMutablePointer<Float>, count: Int
  ) {
    ThreadPool.shared.forEach(count: count, grain: 1 << 13) { piece in
      let start = piece.lowerBound
      let (gate, up, y) = (gate + start, up + start, y + start)
      for (i, n) in steps(piece.count) {
        let g = gate.load(i, n)
        y.store(g * logistic(g) * up.load(i, n), i, n)
      }
    }
  }

  /// dg = dy·u·σ(g)·(1 + g·(1 − σ(g))) and du = dy·silu(g).
  public static func swigluBackward(
    _ dy: UnsafePointer<Float>, gate: UnsafePointer<Float>, up: UnsafePointer<Float>,
    dgate: (pointer: UnsafeMutablePointer<Float>, beta: Float)?,
    dup: (pointer: UnsafeMutablePointer<Float>, beta: Float)?, count: Int
  ) {
    ThreadPool.shared.forEach(count: count, grain: 1 << 13) { piece in
      let start = piece.lowerBound
      let (dy, gate, up) = (dy + start, gate + start, up + start)
      for (i, n) in steps(piece.count) {
        let (d, g) = (dy.load(i, n), gate.load(i, n))
        let sigma = logistic(g)
        let silu = g * sigma
        if let dgate {
          let gradient = d * up.load(i, n) * multiplyAdd(silu, 1 - sigma, sigma)
          store(gradient, dgate.pointer + start, i, n, dgate.beta)
        }
        if let dup { store(d * silu, dup.pointer + start, i, n, dup.beta) }
      }
    }
  }

  @inline(__always)
  private static func store(
    _ value: Vector, _ out: UnsafeMutablePointer<Float>, _ i: Int, _ count: Int, _ beta: Float
  ) {
    out.store(beta == 0 ? value : out.load(i, count) + value, i, count)
  }

  // MARK: Biases and embedding rows

  /// Adds `bias` (C) to every row of `y` (N, C).
  public static func addBias(
    _ bias: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, rows N: Int, columns C: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: grain) { rows in
      for n in rows { VectorKernels.add(bias, to: y + n * C, C) }
    }
  }

  /// `out = beta · out + Σ_n a[n]` over the rows of `a` (N, C).
  public static func sumRows(
    _ a: UnsafePointer<Float>, into out: UnsafeMutablePointer<Float>, beta: Float, rows N: Int, columns C: Int
  ) {
    ThreadPool.shared.forEach(count: C, grain: 64) { columns in
      let start = columns.lowerBound
      if beta == 0 { (out + start).update(repeating: 0, count: columns.count) }
      for n in 0..<N { VectorKernels.add(a + n * C + start, to: out + start, columns.count) }
    }
  }

  /// Copies row `indices[n]` of `table` (V, C) to row n of `out`.
  public static func gather(
    _ table: UnsafePointer<Float>, rows indices: UnsafePointer<Int32>, into out: UnsafeMutablePointer<Float>,
    count N: Int, columns C: Int
  ) {
    ThreadPool.shared.forEach(count: N, grain: grain) { rows in
      for n in rows { (out + n * C).update(from: table + Int(indices[n]) * C, count: C) }
    }
  }

  /// Adds row n of `rows` to row `indices[n]` of `table` (V, C). Repeated indices add up, in their order.
  public static func scatterAdd(
    _ rows: UnsafePointer<Float>, to table: UnsafeMutablePointer<Float>, at indices: UnsafePointer<Int32>,
    count N: Int, columns C: Int
  ) {
    ThreadPool.shared.forEach(count: C, grain: 64) { columns in
      let start = columns.lowerBound
      for n in 0..<N {
        VectorKernels.add(rows + n * C + start, to: table + Int(indices[n]) * C + start, columns.count)
      }
    }
  }
}
