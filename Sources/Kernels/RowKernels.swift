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
        mapVector(row, weight, y + n * C, C) { $0 * factor * $1 }
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
          var i = 0
          while i + 16 <= C {
            let d = multiplyAdd(row.vector(i), pull, g.vector(i) * weight.vector(i) * s)
            out.store(beta == 0 ? d : out.vector(i) + d, i)
            i += 16
          }
          while i < C {
            let d = g[i] * weight[i] * s + row[i] * pull[0]
            out[i] = beta == 0 ? d : out[i] + d
            i += 1
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
          var i = 0
          while i + 16 <= count {
            out.store(multiplyAdd(g.vector(i) * row.vector(i), s, out.vector(i)), i)
            i += 16
          }
          while i < count {
            out[i] += g[i] * row[i] * s[0]
            i += 1
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
          let (low, high) = (x + (n * H + h) * D, x + (n * H + h) * D + half)
          let (outLow, outHigh) = (y + (n * H + h) * D, y + (n * H + h) * D + half)
          for i in 0..<half {
            let (c, s) = (cosine[i], sign * sine[i])
            let (a, b) = (low[i] * c - high[i] * s, high[i] * c + low[i] * s)
            outLow[i] = beta == 0 ? a : outLow[i] + a
            outHigh[i] = beta == 0 ? b : outHigh[i] + b
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
      let i = piece.lowerBound
      mapVector(gate + i, up + i, y + i, piece.count) { g, u in g * logistic(g) * u }
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
      let (d, g, u) = (dy + start, gate + start, up + start)
      if let (dgate, beta) = dgate {
        accumulate(into: dgate + start, piece.count, beta) { i, n in
          let (g, sigma) = (load(g, i, n), logistic(load(g, i, n)))
          return load(d, i, n) * load(u, i, n) * sigma * (1 + g * (1 - sigma))
        }
      }
      if let (dup, beta) = dup {
        accumulate(into: dup + start, piece.count, beta) { i, n in
          let g = load(g, i, n)
          return load(d, i, n) * g * logistic(g)
        }
      }
    }
  }

  @inline(__always)
  private static func load(_ a: UnsafePointer<Float>, _ i: Int, _ count: Int) -> Vector {
    count == 16 ? a.vector(i) : a.partial(i, count)
  }

  @inline(__always)
  private static func accumulate(
    into out: UnsafeMutablePointer<Float>, _ count: Int, _ beta: Float, _ f: (Int, Int) -> Vector
  ) {
    var i = 0
    while i + 16 <= count {
      out.store(beta == 0 ? f(i, 16) : out.vector(i) + f(i, 16), i)
      i += 16
    }
    if i < count {
      let rest = count - i
      out.store(beta == 0 ? f(i, rest) : out.partial(i, rest) + f(i, rest), i, rest)
    }
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
