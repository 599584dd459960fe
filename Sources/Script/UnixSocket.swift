// Sockets in the file system that only their owner can open: how a prompt attaches to a running process.
import Glibc

/// A Unix socket named `socket` in a folder of its own. The folder is reached through a descriptor, since the address
/// of a socket has room for 107 bytes only and folders of runs may lie deep.
package enum UnixSocket {
  /// Connections that wait to be accepted; more are refused.
  private static let backlog: Int32 = 8

  /// Makes the folder (0700) and listens at a socket in it (0600), without blocking.
  ///
  /// - Throws: `ScriptError` if somebody listens there already, or if the folder is another user's or open to others.
  static func listen(in folder: String) throws -> Int32 {
    guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw systemError(folder) }
    return try withFolder(folder) { place in
      if let other = try? connect(to: place, named: folder) {
        close(other)
        throw ScriptError("\(folder): another process listens there")
      }
      // It gets its name when everything about it is as it shall be.
      let nascent = place + ".new"
      unlink(nascent)
      return try withSocket(flags: Int32(SOCK_NONBLOCK.rawValue), at: nascent, named: folder) {
        descriptor, address, length in
        guard bind(descriptor, address, length) == 0, chmod(nascent, 0o600) == 0,
          Glibc.listen(descriptor, backlog) == 0, rename(nascent, place) == 0
        else { throw systemError(folder) }
      }
    }
  }

  /// Connects to the socket in a folder.
  ///
  /// - Throws: `ScriptError` if nobody listens there.
  package static func connect(in folder: String) throws -> Int32 {
    try withFolder(folder) { try connect(to: $0, named: folder) }
  }

  /// Whether the process at the other end is this user's own, or root's, who may do anything anyway.
  static func isOwner(at descriptor: Int32) -> Bool {
    var credentials: (pid: pid_t, user: uid_t, group: gid_t) = (0, .max, .max)  // struct ucred
    var length = socklen_t(MemoryLayout.size(ofValue: credentials))
    let peerCredentials: Int32 = 17  // SO_PEERCRED
    guard getsockopt(descriptor, SOL_SOCKET, peerCredentials, &credentials, &length) == 0 else {
      return false
    }
    return credentials.user == geteuid() || credentials.user == 0
  }

  private static func connect(to place: String, named folder: String) throws -> Int32 {
    try withSocket(flags: 0, at: place, named: folder) { descriptor, address, length in
      guard Glibc.connect(descriptor, address, length) == 0 else { throw systemError(folder) }
    }
  }

  /// Gives the socket's path by way of its folder's descriptor, once the folder is this user's alone.
  private static func withFolder<R>(_ folder: String, _ body: (String) throws -> R) throws -> R {
    let descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { throw systemError(folder) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw systemError(folder) }
    guard status.st_uid == geteuid() || geteuid() == 0, status.st_mode & 0o077 == 0 else {
      throw ScriptError("\(folder): must belong to you, with mode 700: others could listen there")
    }
    return try body("/proc/self/fd/\(descriptor)/socket")
  }

  private static func withSocket(
    flags: Int32, at place: String, named folder: String,
    _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) throws -> Void
  ) throws -> Int32 {
    let descriptor = socket(
      AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | flags, 0)
    guard descriptor >= 0 else { throw systemError(folder) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: place.utf8) }
    do {
      try withUnsafePointer(to: &address) {
        try $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          try body(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
      }
    } catch {
      close(descriptor)
      throw error
    }
    return descriptor
  }
}
