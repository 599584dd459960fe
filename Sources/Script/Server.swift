// Lua code that other programs of the same user talk to while jobs run: lines of text in, lines of text out.
import CLua
import Glibc

/// A socket whose clients' lines a Lua function answers, each in a job of its own that gives way to others. A client
/// that hangs, floods or vanishes is dropped; it never holds up anybody else.
package final class Server: LuaObject {
  /// What a client may send in one line, and how many lines may wait for their turn.
  static let longestLine = 1 << 20, mostLines = 64
  /// What may wait to be read by a client, in bytes.
  static let mostUnread = 8 << 20
  static let mostClients = 16

  private unowned let scheduler: Scheduler
  private let descriptor: Int32
  let folder: String
  private let answer: LuaReference
  private var clients: [Client] = []
  private(set) var isOpen = true

  /// Listens in a folder; see `UnixSocket`.
  ///
  /// - Parameter answer: The Lua function `(client, line)`.
  init(folder: String, scheduler: Scheduler, answer: LuaReference) throws {
    self.scheduler = scheduler
    self.folder = folder
    self.answer = answer
    descriptor = try UnixSocket.listen(in: folder)
  }

  deinit { close() }

  /// Drops the clients and removes the socket.
  func close() {
    guard isOpen else { return }
    isOpen = false
    for client in clients { client.close() }
    clients = []
    Glibc.close(descriptor)
    unlink(folder + "/socket")
    rmdir(folder)
  }

  // MARK: For the scheduler

  /// What to wait for.
  var descriptors: [pollfd] {
    [pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)]
      + clients.map {
        pollfd(fd: $0.descriptor, events: Int16($0.hasUnread ? POLLIN | POLLOUT : POLLIN), revents: 0)
      }
  }

  /// Reads and writes what can be without waiting, and runs no Lua.
  func communicate() {
    guard isOpen else { return }
    while clients.count < Self.mostClients {
      let peer = accept(descriptor, nil, nil)
      guard peer >= 0 else { break }
      guard UnixSocket.isOwner(at: peer) else {
        Glibc.close(peer)
        continue
      }
      clients.append(Client(peer, scheduler))
    }
    for client in clients { client.communicate() }
    clients.removeAll { !$0.isOpen }
  }

  /// Starts a job for the next line of each client whose last one is answered.
  func startAnswers(in state: LuaState) {
    for client in clients {
      guard client.job?.status.isOver != false, let line = client.nextLine() else { continue }
      let lua = state.lua
      guard lua_checkstack(lua, 4) != 0 else { return }
      answer.push(on: lua)
      do {
        try client.push(on: Stack(lua: lua))
        Bytes(line).push(on: Stack(lua: lua))
      } catch { preconditionFailure("\(error)") }
      client.job = scheduler.spawn(from: lua, arguments: 2, client: client)
    }
  }
}

/// One program at the other end.
package final class Client: LuaObject {
  let descriptor: Int32
  private(set) var isOpen = true
  /// What answers this client now.
  var job: Job?
  /// What the answering function keeps for this client.
  var session: LuaReference?
  private unowned let scheduler: Scheduler
  private var received: [UInt8] = []
  private var lines: [[UInt8]] = []
  private var unread: [UInt8] = []

  init(_ descriptor: Int32, _ scheduler: Scheduler) {
    self.descriptor = descriptor
    self.scheduler = scheduler
    _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
  }

  deinit { close() }

  var hasUnread: Bool { !unread.isEmpty }

  func nextLine() -> [UInt8]? { lines.isEmpty ? nil : lines.removeFirst() }

  /// Sends a line, now or when the client has read what came before. What a cancelled job still says is dropped.
  func send(_ line: [UInt8]) {
    guard isOpen, job?.isCancelled != true else { return }
    unread += line
    unread.append(10)
    write()
    if unread.count > Server.mostUnread { close() }
  }

  /// Ends the connection and what answers it.
  func close() {
    guard isOpen else { return }
    isOpen = false
    Glibc.close(descriptor)
    lines = []
    unread = []
    if let job { scheduler.cancel(job) }
  }

  func communicate() {
    write()
    while isOpen {
      var chunk = [UInt8](repeating: 0, count: 1 << 14)
      let count = recv(descriptor, &chunk, chunk.count, 0)
      if count > 0 {
        received += chunk[..<count]
        takeLines()
      } else if count == 0 || (errno != EINTR && errno != EAGAIN) {
        close()
      } else if errno == EAGAIN {
        return
      }
    }
  }

  /// Cuts lines off what was received. A line that is Ctrl-C alone takes the place of all that wait, and ends the job
  /// that answers.
  private func takeLines() {
    while let end = received.firstIndex(of: 10) {
      let line = Array(received[..<end])
      received.removeSubrange(...end)
      if line == [3] {
        lines = []
        if let job { scheduler.cancel(job) }
      }
      lines.append(line)
    }
    if received.count > Server.longestLine || lines.count > Server.mostLines { close() }
  }

  private func write() {
    while isOpen, !unread.isEmpty {
      let count = Glibc.send(descriptor, unread, unread.count, Int32(MSG_NOSIGNAL))
      if count > 0 {
        unread.removeFirst(count)
      } else if errno == EAGAIN {
        return
      } else if errno != EINTR {
        close()
      }
    }
  }
}
