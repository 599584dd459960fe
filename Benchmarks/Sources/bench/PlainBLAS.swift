// OpenBLAS as it comes, whatever the engine does with it: the baseline of products.
import COpenBLAS
import Glibc
import Kernels

/// `c = a · b + beta · c` by cblas_sgemm with as many of OpenBLAS's threads as the engine has.
func plainProduct(_ a: Matrix, _ b: Matrix, into c: Matrix, beta: Float = 0) {
  cblas_sgemm(
    CblasRowMajor, a.isTransposed ? CblasTrans : CblasNoTrans, b.isTransposed ? CblasTrans : CblasNoTrans,
    blasint(c.rows), blasint(c.columns), blasint(a.isTransposed ? a.rows : a.columns), 1, a.pointer,
    blasint(a.stride), b.pointer, blasint(b.stride), beta, c.pointer, blasint(c.stride))
}

/// Runs `body` with OpenBLAS's threads set to the engine's.
func withAllBLASThreads<Result>(_ body: () throws -> Result) rethrows -> Result {
  BLAS.prepare()
  openblas_set_num_threads(Int32(ThreadPool.shared.threadCount))
  defer {
    openblas_set_num_threads(1)
    // Its threads yield in a loop for some 25 ms before they sleep, which would slow what is measured next.
    usleep(100_000)
  }
  return try body()
}
