// Timings of the engine. Run by scripts/bench:
//   bench products                 few-row products against OpenBLAS, as GFLOPS and GB/s
//   bench decode MODEL             prefill and decoding at batch 1, 8, 32 after a 256-token prefix
//   bench train MODEL              forward and backward on 4 sequences of 512 tokens
//   bench step MODEL               one whole step: 4 positions × 8 rollouts × 64 tokens on a 384-token document
import Glibc
import Kernels
import Model
import Tensor
import Train

let words = Array(CommandLine.arguments.dropFirst())
let blas = BLAS.prepare()
print("OpenBLAS \(blas.version) \(blas.core) · \(ThreadPool.shared.threadCount) threads")
do {
  guard let name = words.first, try run(name, model: words.dropFirst().first) else {
    print("usage: bench products | bench decode|train|step MODEL")
    exit(2)
  }
} catch {
  print("bench: \(error)")
  exit(1)
}
