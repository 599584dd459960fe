import CLua
import Glibc
import Synchronization
import Tensor

/// Memory that Lua keeps alive without knowing its size. A tensor is a few bytes to Lua's collector, so it
/// would let gigabytes pile up; past a soft limit everything unreachable is collected at once. When nearly
/// all of it survives, it is in use, and the limit grows.
package final class NativeMemory {
  /// Bytes that objects held by Lua keep.
  package private(set) var bytes = 0
  /// Where the next full collection happens, in bytes, or later: see `allowance`.
  package var softLimit = 16 << 20
  /// How many times as large as Lua's own heap, which is what a collection goes through, garbage may be in any case.
  package var allowance = 1
  /// Full collections so far.
  package private(set) var collections = 0
  private let lua: LuaPointer
  private var isCollecting = false

  init(_ lua: LuaPointer) { self.lua = lua }

  func add(_ count: Int) {
    bytes += count
    // With room for one more of this size: after large ones it would be too late.
    guard !isCollecting, inUse + count > max(softLimit, allowance * Int(clua_memory(lua))) else { return }
    let before = inUse
    collect()
    if Double(inUse) > 0.8 * Double(before) { softLimit = max(softLimit, inUse) * 5 / 4 }
  }

  /// Memory of all tensors. Behind a small one that Lua holds there may be the tape of a whole forward pass.
  package var tensorBytes: () -> Int = { BufferPool.shared.statistics.inUse }

  private var inUse: Int { max(bytes, tensorBytes()) }

  func remove(_ count: Int) { bytes -= count }

  /// From now on garbage is collected when the system has no memory left for a tensor that this thread makes, which is
  /// to be the one that runs Lua.
  package func collectWhenExhausted() {
    nonisolated(unsafe) let memory = self
    let thread = pthread_self()
    BufferPool.shared.onExhaustion {
      if pthread_equal(pthread_self(), thread) != 0 { memory.collect() }
    }
  }

  /// Frees every unreachable object now, for instance when an allocation failed.
  package func collect() {
    isCollecting = true
    defer { isCollecting = false }
    collections += 1
    clua_collect(lua)
  }
}
