// The machine around a script: time, files and folders, memory.
import CLua
import Foundation
import Glibc
import Kernels
import Model
import Tensor

/// Characters on the terminal that standard output is; nil if it is none.
package func screenSize() -> (columns: Int, rows: Int)? {
  guard isatty(STDOUT_FILENO) != 0 else { return nil }
  var size = winsize()
  _ = ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size)
  return (size.ws_col > 0 ? Int(size.ws_col) : 80, size.ws_row > 0 ? Int(size.ws_row) : 24)
}

extension Registry {
  /// Time, files and folders, signals, memory, and what the engine runs on.
  package func addSystem() {
    value("version", midtrainVersion)

    function(
      "clock", "Seconds of a clock that never jumps; only differences mean something.", returns: "number",
      example: "t = mid.clock(); train(); print(mid.clock() - t)"
    ) { call in
      try call.return(monotonicSeconds())
    }

    function(
      "exists", "Whether a file or folder is there.", [Parameter("path", "string")], returns: "boolean",
      example: "if mid.exists \"runs/first\" then … end"
    ) { call in
      try call.return(access(call[1].path(), F_OK) == 0)
    }

    function(
      "list", "The names in a folder, sorted.", [Parameter("path", "string")], returns: "string[]",
      example: "for _, name in ipairs(mid.list \"runs\") do print(name) end"
    ) { call in
      let path = try call[1].path()
      guard let folder = opendir(path) else { throw systemError(path) }
      defer { closedir(folder) }
      var names: [String] = []
      while let entry = readdir(folder) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
          $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
      }
      return try call.return(names.sorted())
    }

    function(
      "mkdir", "Makes a folder and the folders above it; one that exists is fine.",
      [Parameter("path", "string")],
      example: "mid.mkdir \"runs/first\""
    ) { call in
      let path = try call[1].path()
      var prefix = path.hasPrefix("/") ? "/" : ""
      for part in path.split(separator: "/") {
        prefix += part + "/"
        guard mkdir(prefix, 0o777) == 0 || errno == EEXIST || errno == EISDIR else {
          throw systemError(prefix)
        }
      }
      var status = stat()
      guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else {
        throw ScriptError("\(path) exists and is not a folder")
      }
      return .none
    }

    function(
      "rename", "Renames a file or folder in one step, for good; a file that has the new name is replaced.",
      [Parameter("from", "string"), Parameter("to", "string")],
      example: "mid.rename(\"runs/first.tmp\", \"runs/first\")"
    ) { call in
      let from = try call[1].path()
      let to = try call[2].path()
      guard rename(from, to) == 0 else { throw systemError("\(from) → \(to)") }
      try OutputFile.synchronize(folder: OutputFile.folder(of: to))
      return .none
    }

    function(
      "remove",
      "Removes a file, or a folder with everything in it; a link is removed, not what it points to.",
      [Parameter("path", "string")], example: "mid.remove \"runs/first/checkpoints/step-100\""
    ) { call in
      let path = try call[1].path()
      do {
        try FileManager.default.removeItem(atPath: path)
      } catch {
        throw ScriptError("\(path): cannot remove: \(error.localizedDescription)")
      }
      return .none
    }

    function(
      "exit",
      "Ends the process at once, with what was written brought to its files; os.exit does so, too.",
      [Parameter("status", "integer", "0 for success", default: .integer(0))], example: "-- mid.exit(1)"
    ) { call in
      let status = try call[1].integer(min: 0, max: 255)
      fflush(nil)
      // Other threads may compute; the libraries' own clean-up would pull memory from under them.
      _exit(Int32(status))
    }

    function(
      "hold_termination",
      """
      Holds SIGTERM, and Ctrl-C where there is no prompt, until `release_termination`: it is noted (`is_terminated`), \
      and whoever holds it ends the process when its work is saved. A second signal ends it at once. Where nobody holds \
      them any more, they interrupt what runs, and runs are saved.
      """, example: "mid.hold_termination()"
    ) { _ in
      clua_hold_termination(1)
      return .none
    }

    function(
      "release_termination",
      "Holds the signals no longer. Can be a metatable's `__close`, which an interrupt does not keep from its work.",
      example: "local held <close> = setmetatable({}, { __close = mid.release_termination })"
    ) { _ in
      clua_hold_termination(-1)
      return .none
    }

    function(
      "is_terminated", "The signal that came while it was held, SIGTERM or SIGINT, and how many hold it now.",
      returns: "string?, integer", example: "if mid.is_terminated() then run:checkpoint() end"
    ) { call in
      let signal = clua_is_terminated()
      let name: String? = signal == 0 ? nil : signal == SIGINT ? "SIGINT" : "SIGTERM"
      return try call.return(name, Int(clua_hold_termination(0)))
    }

    function(
      "hold_interrupts",
      """
      From now until `release_interrupts` Ctrl-C waits, for what must not be left half done; pressed twice it does not. \
      For code that no job runs: jobs wait for a second press anyway.
      """, example: "mid.hold_interrupts()"
    ) { _ in
      clua_hold_interrupts(1)
      return .none
    }

    function(
      "release_interrupts", "Lets Ctrl-C stop the evaluation again. Can be a metatable's `__close`.",
      example: "local held <close> = setmetatable({}, { __close = mid.release_interrupts })"
    ) { _ in
      clua_hold_interrupts(0)
      return .none
    }

    function(
      "info",
      """
      What the engine runs on: `blas` (library and version), `core` (its kernels), `verified` (whether they compute right \
      products), `amx` (whether large ones use the processor's matrix registers), `threads`, `processor`, `build`, \
      `version`.
      """,
      returns: "table", example: "print(mid.info().core)"
    ) { call in
      let blas = BLAS.prepare()
      return try call.return(
        [
          "blas": "OpenBLAS \(blas.version)", "core": blas.core, "verified": blas.isVerified,
          "amx": BLAS.usesAMX, "threads": ThreadPool.shared.threadCount, "processor": processorName,
          "build": buildName, "version": midtrainVersion,
        ] as Table)
    }

    function(
      "screen",
      "The terminal that scripts print to: `columns`, `rows`, `is_attended` (there is a prompt); nil if there is none.",
      returns: "table?", example: "if mid.screen() then … end"
    ) { call in
      guard let size = screenSize() else { return try call.return(Bool?.none) }
      let fields: Table = [
        "columns": size.columns, "rows": size.rows, "is_attended": clua_is_attended() != 0,
      ]
      return try call.return(fields)
    }

    function(
      "memory",
      """
      Bytes that Lua holds itself (`lua`), bytes that its objects keep outside (`native`), what the process holds now \
      (`resident`) and the most that it has held (`peak`). Who holds them: `held`, by type the `count` of objects and \
      their `bytes`; and of all tensors, those of the engine and what is recorded for gradients included, bytes in use \
      (`tensors`), the most of them so far (`tensors_peak`) and bytes kept to be used again (`cached`).
      """,
      returns: "table", example: "print(mid.memory().native)"
    ) { call in
      let pool = BufferPool.shared.statistics
      let held = call.state.registry.types.filter { $0.held.count > 0 }.map { type in
        (
          name: type.name,
          value: ["count": type.held.count, "bytes": type.held.bytes] as Table as (any LuaPushable)?
        )
      }
      return try call.return(
        [
          "lua": Int(clua_memory(call.lua)), "native": call.state.memory.bytes,
          "resident": residentBytes(), "peak": peakResidentBytes(),
          "held": Table(held), "tensors": pool.inUse, "tensors_peak": pool.peakInUse, "cached": pool.cached,
        ] as Table)
    }
  }
}

/// The version that `midtrain --version` prints.
package let midtrainVersion = "0.1"

/// How this program was built.
#if DEBUG
  package let buildName = "debug (slow)"
#else
  package let buildName = "release"
#endif

/// The processor's own name, and its widest vectors.
package var processorName: String {
  let line = contents(ofFile: "/proc/cpuinfo")?.split(separator: "\n").first { $0.hasPrefix("model name") }
  let name = line?.split(separator: ":").last.map { $0.drop { $0 == " " } } ?? "unknown"
  return name + (Processor.hasAVX512 ? ", AVX-512" : Processor.hasAVX2 ? ", AVX2" : "")
}

/// Seconds of the monotonic clock.
package func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}

/// The most memory that this process has used. (What `getrusage` says is at least what its parent held when it was made.)
private func peakResidentBytes() -> Int {
  let lines = contents(ofFile: "/proc/self/status")?.split(separator: "\n") ?? []
  let fields = lines.first { $0.hasPrefix("VmHWM:") }?.split(whereSeparator: \.isWhitespace) ?? []
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * 1024 : 0
}

/// The memory of this process that is in use now.
private func residentBytes() -> Int {
  let fields = contents(ofFile: "/proc/self/statm")?.split(separator: " ") ?? []
  return fields.count > 1 ? (Int(fields[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
}

/// What the last system call did not do, and why.
func systemError(_ subject: String) -> ScriptError {
  ScriptError("\(subject): \(String(cString: strerror(errno)))")
}
