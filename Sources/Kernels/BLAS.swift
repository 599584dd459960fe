// Row-major single-precision matrix products, and OpenBLAS with its start-up repair.
//
// Large products are `PanelGEMM`'s where the processor has registers for that. Elsewhere they run in pieces on our own
// pool, each piece by OpenBLAS on one thread. OpenBLAS's own threads take equal shares and yield while they wait for
// each other, so on a machine that others use too they lose whole slices of time.
//
// OpenBLAS 0.3.21 does not know newer processors and falls back to SSE3 code without a word, which costs a factor
// of five. `BLAS.prepare()` chooses a better core in-process, before the first product, and checks the result.
import COpenBLAS
import Glibc

/// A row-major matrix in memory that somebody else owns: element (i, j) is at `pointer[i * stride + j]`.
public struct Matrix {
  /// The first element.
  public var pointer: UnsafeMutablePointer<Float>
  /// Rows as they lie in memory.
  public var rows: Int
  /// Columns as they lie in memory.
  public var columns: Int
  /// Distance between the starts of two rows, in elements; at least `columns`.
  public var stride: Int
  /// Whether products read the matrix as its transpose. `rows` and `columns` describe it as it lies in memory.
  public var isTransposed = false

  /// A matrix whose rows follow each other without a gap, unless a stride is given.
  @inlinable
  public init(_ pointer: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int? = nil) {
    self.pointer = pointer
    self.rows = rows
    self.columns = columns
    self.stride = stride ?? columns
  }

  /// The same memory, read as its transpose by products.
  @inlinable
  public var transposed: Matrix {
    var matrix = self
    matrix.isTransposed.toggle()
    return matrix
  }
}

extension Matrix {
  /// Some of the rows as they lie in memory.
  func rows(_ range: Range<Int>) -> Matrix {
    Matrix(pointer + range.lowerBound * stride, rows: range.count, columns: columns, stride: stride)
  }

  /// Some of the columns as they lie in memory.
  func columns(_ range: Range<Int>) -> Matrix {
    Matrix(pointer + range.lowerBound, rows: rows, columns: range.count, stride: stride)
  }
}

/// Matrix products.
public enum BLAS {
  /// What `prepare()` found and did.
  public struct Status: Sendable {
    /// OpenBLAS's version, such as `0.3.21`.
    public let version: String
    /// The code path in use, such as `SkylakeX`.
    public let core: String
    /// The code path that OpenBLAS had chosen by itself, where it was replaced.
    public let replacedCore: String?
    /// Whether a product of two random matrices agrees with a plain loop.
    public let isVerified: Bool
  }

  /// Repairs OpenBLAS's choice of core where it is poorer than the processor, holds it to one thread, and checks a
  /// product against a plain loop. The work is done once, at the first use.
  @discardableResult
  public static func prepare() -> Status { status }

  /// The state of OpenBLAS after its repair.
  public static let status: Status = {
    let before = coreName
    if getenv("OPENBLAS_CORETYPE") == nil, let better = betterCore(than: before) { switchCore(to: better) }
    openblas_set_num_threads(1)
    let after = coreName
    let words = String(cString: openblas_get_config()).split(separator: " ")
    return Status(
      version: words.count > 1 ? String(words[1]) : "unknown", core: after,
      replacedCore: after == before ? nil : before, isVerified: productIsRight())
  }()

  /// Whether large products are those of the processor's matrix registers (AMX).
  public static var usesAMX: Bool { PanelGEMM.registers.last == .matrices }

  /// What products run on: `OpenBLAS 0.3.21 SkylakeX, AMX`.
  public static var summary: String {
    let status = prepare()
    return "OpenBLAS \(status.version) \(status.core)\(usesAMX ? ", AMX" : "")"
  }

  /// `c = alpha · a · b + beta · c`. Transposed operands are read in place.
  ///
  /// Each piece of `c` is computed on one thread of our own pool: a thread that others hold up then takes fewer of them.
  /// What OpenBLAS gets depends on the sizes alone, and so do the sums, which its own threads would cut otherwise.
  public static func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix, alpha: Float = 1, beta: Float = 0) {
    prepare()
    let inner = a.isTransposed ? a.rows : a.columns
    guard c.rows * c.columns * inner > smallestCut else {
      return product(a, b, into: c, alpha: alpha, beta: beta)
    }
    if let registers = PanelGEMM.registers.last {
      return PanelGEMM.multiply(a, b, into: c, alpha: alpha, beta: beta, with: registers)
    }
    let rows = pieceLength(c.rows, longest: c.rows > 4096 ? 512 : 256, least: 2)
    let columns = pieceLength(c.columns, longest: 768, least: 1)
    let (down, across) = ((c.rows + rows - 1) / rows, (c.columns + columns - 1) / columns)
    ThreadPool.shared.forEach(count: down * across, grain: 1) { piece in
      let (i, j) = (piece.lowerBound / across * rows, piece.lowerBound % across * columns)
      let (m, n) = (i..<min(c.rows, i + rows), j..<min(c.columns, j + columns))
      product(
        a.isTransposed ? a.columns(m).transposed : a.rows(m),
        b.isTransposed ? b.rows(n).transposed : b.columns(n), into: c.rows(m).columns(n), alpha: alpha,
        beta: beta)
    }
  }

  /// Multiplications of a product that one thread computes alone.
  private static let smallestCut = 1 << 20

  /// An even part of a length, a multiple of 16: at most `longest`, and at least so many of them.
  private static func pieceLength(_ length: Int, longest: Int, least: Int) -> Int {
    let count = max(least, (length + longest - 1) / longest)
    return (length + 16 * count - 1) / (16 * count) * 16
  }

  private static func product(_ a: Matrix, _ b: Matrix, into c: Matrix, alpha: Float, beta: Float) {
    let inner = a.isTransposed ? a.rows : a.columns
    precondition((a.isTransposed ? a.columns : a.rows) == c.rows, "product: rows of a and c differ")
    precondition((b.isTransposed ? b.rows : b.columns) == c.columns, "product: columns of b and c differ")
    precondition((b.isTransposed ? b.columns : b.rows) == inner, "product: inner sizes differ")
    if c.rows == 0 || c.columns == 0 { return }
    // BLAS wants a stride of at least 1, also for matrices that are empty because the inner size is 0.
    func stride(_ matrix: Matrix) -> blasint { blasint(max(1, matrix.stride)) }
    cblas_sgemm(
      CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans, b.isTransposed ? CblasTrans : CblasNoTrans,
      blasint(c.rows), blasint(c.columns), blasint(inner), alpha, a.pointer, stride(a),
      b.pointer, stride(b), beta, c.pointer, stride(c))
  }

  private static var coreName: String { String(cString: openblas_get_corename()) }

  /// The core that fits the processor, if the present one is poorer.
  private static func betterCore(than core: String) -> String? {
    let wide: Set = ["SkylakeX", "Cooperlake", "SapphireRapids"]
    if Processor.hasAVX512 { return wide.contains(core) ? nil : "SkylakeX" }
    if Processor.hasAVX2 { return wide.union(["Haswell", "Zen"]).contains(core) ? nil : "Haswell" }
    return nil
  }

  /// Makes OpenBLAS choose its code path again. The two functions are exported but not documented, so they are
  /// looked up by name; where they are missing, the process starts itself again with the environment set.
  private static func switchCore(to core: String) {
    setenv("OPENBLAS_CORETYPE", core, 1)
    typealias Function = @convention(c) () -> Void
    guard let quit = dlsym(nil, "gotoblas_dynamic_quit"), let start = dlsym(nil, "gotoblas_dynamic_init")
    else {
      execv("/proc/self/exe", CommandLine.unsafeArgv)
      return
    }
    unsafeBitCast(quit, to: Function.self)()
    unsafeBitCast(start, to: Function.self)()
  }

  private static func productIsRight() -> Bool {
    let (m, n, k) = (37, 53, 71)
    var state: UInt32 = 12345
    func random(_ count: Int) -> [Float] {
      (0..<count).map { _ in
        state = state &* 1_664_525 &+ 1_013_904_223
        return Float(state >> 8) / Float(1 << 24) - 0.5
      }
    }
    var (a, b, c) = (random(m * k), random(k * n), [Float](repeating: 0, count: m * n))
    a.withUnsafeMutableBufferPointer { a in
      b.withUnsafeMutableBufferPointer { b in
        c.withUnsafeMutableBufferPointer { c in
          product(
            Matrix(a.baseAddress!, rows: m, columns: k), Matrix(b.baseAddress!, rows: k, columns: n),
            into: Matrix(c.baseAddress!, rows: m, columns: n), alpha: 1, beta: 0)
        }
      }
    }
    for i in 0..<m {
      for j in 0..<n {
        var sum = 0.0
        for p in 0..<k { sum += Double(a[i * k + p]) * Double(b[p * n + j]) }
        if abs(sum - Double(c[i * n + j])) > 1e-4 { return false }
      }
    }
    return true
  }
}
