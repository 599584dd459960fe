import Glibc
import Script

/// Where the Lua library is: the folder that holds `midtrain/init.lua`.
enum Library {
  /// Looks at $MIDTRAIN_STDLIB, then in `stdlib` of the executable's folder and those above it (a build
  /// folder inside the repository), then where an installation puts it.
  ///
  /// - Throws: `ScriptError` that says where it looked.
  static func locate() throws -> String {
    if let folder = environment("MIDTRAIN_STDLIB") {
      guard isLibrary(folder) else {
        throw ScriptError("MIDTRAIN_STDLIB is '\(folder)', but there is no midtrain/init.lua in it")
      }
      return folder
    }
    let start = executableFolder
    var folder = start
    while !folder.isEmpty {
      if isLibrary(folder + "/stdlib") { return folder + "/stdlib" }
      folder = parent(of: folder)
    }
    let installed = parent(of: start) + "/share/midtrain/stdlib"
    if isLibrary(installed) { return installed }
    throw ScriptError(
      """
      the Lua library (stdlib/midtrain/init.lua) is neither above \(start) nor in \(installed); set MIDTRAIN_STDLIB \
      to the folder that holds midtrain/init.lua
      """)
  }

  private static func isLibrary(_ folder: String) -> Bool { access(folder + "/midtrain/init.lua", R_OK) == 0 }

  private static func parent(of path: String) -> String {
    path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
  }

  /// The folder of the running program.
  private static var executableFolder: String {
    var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
    let length = readlink("/proc/self/exe", &buffer, buffer.count)
    guard length > 0 else { return "" }
    return parent(of: String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self))
  }
}

/// An environment variable, if it is set and not empty.
func environment(_ name: String) -> String? {
  guard let value = getenv(name), value.pointee != 0 else { return nil }
  return String(cString: value)
}
