// Timings of the engine, one topic per process, so that peak memory and warm memory pools are a topic's own.
// Run by scripts/bench, which runs the peers of a topic just before it.
import Glibc
import Kernels

do {
  let options = try Options(Array(CommandLine.arguments.dropFirst()))
  let report = try Report(options)
  guard let run = topics[options.topic] else {
    throw BenchError(
      "there is no topic '\(options.topic)'; there are \(topics.keys.sorted().joined(separator: ", "))")
  }
  if options.topic != "summary", options.topic != "thread-work" { report.heading(options.topic) }
  try run(report, options)
  exit(report.hasFailed ? 1 : 0)
} catch {
  complain("\(error)")
  exit(2)
}
