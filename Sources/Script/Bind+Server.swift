// Answering other programs: the way in for `midtrain attach` and `midtrain set`. What they say to each other is Lua's
// business (stdlib/midtrain/attach.lua).
import CLua

extension Registry {
  /// `mid.serve`, `mid.client`, `mid.compile`, `mid.traceback` and the types `Server` and `Client`.
  package func addServer() {
    function(
      "serve",
      """
      Listens at a Unix socket in a folder that only you can enter, and answers every line that a client sends with a \
      call of the function, in a job that gives way to others. A line that is Ctrl-C alone ends the job before it is \
      answered. The socket is there for as long as the server that is returned.
      """,
      [
        Parameter("folder", "string", "made with mode 700; the socket in it has mode 600"),
        Parameter("answer", "fun(client: Client, line: string)"),
      ],
      returns: "Server",
      example: "server = mid.serve(\"runs/first/.attach\", function(client, line) client:send(line) end)"
    ) { call in
      guard call[2].isFunction else { throw call[2].mismatch("function") }
      let answer = LuaReference(call.lua, call[2].index)
      return try call.return(call.state.scheduler.serve(in: call[1].string(), answer: answer))
    }

    function(
      "client", "The client whose line the present job answers; nil elsewhere.", returns: "Client?",
      example: "if mid.client() then … end"
    ) { call in
      try call.return(call.state.scheduler.current?.client)
    }

    function(
      "compile",
      "Compiles text whose lines are to show in tracebacks: a function, or nil, a message and whether more text is missing.",
      [
        Parameter("code", "string"), Parameter("name", "string", "such as `in[3]`"),
        Parameter("shown", "string", "the text to show, if not the code", optional: true),
      ],
      returns: "function?, string?, boolean?", example: "f = mid.compile(\"return 1 + 1\", \"mine\")"
    ) { call in
      let state = call.state
      do {
        try call[1].withBytes {
          try state.load($0, name: "=" + call[2].string(), shownAs: call[3].optional?.string())
        }
      } catch let error as ScriptError where error.kind != .failure {
        return try call.return(Bool?.none, "\(error)", error.kind == .incomplete)
      }
      if state.lua != call.lua { lua_xmove(state.lua, call.lua, 1) }
      return Results(count: 1)
    }

    function(
      "traceback", "A message with the calls that led here, each line with its source text; for xpcall.",
      [
        Parameter("message", "any"),
        Parameter("level", "integer", "where it begins: 1 is the caller", default: .integer(1)),
      ], returns: "string", example: "print(select(2, xpcall(f, mid.traceback)))"
    ) { call in
      let level = Int32(try call[2].integer(min: 0, max: 1000))
      return try call.return(
        call.state.traced(errorMessage(call.lua, call[1].index), in: call.lua, from: level))
    }

    type(Server.self, "Server") { type in
      type.method(
        "close", "Drops the clients and removes the socket.", example: "server:close()"
      ) { server, _ in
        server.close()
        return .none
      }
    }

    type(Client.self, "Client") { type in
      type.method(
        "send", "Sends a line; one that does not read what it is sent is dropped.",
        [Parameter("line", "string")], example: "client:send \"done\""
      ) { client, call in
        try client.send(call[1].bytes())
        return .none
      }
      type.property("is_open", "boolean", "Whether it is still there.") { client, stack in
        try stack.return(client.isOpen)
      }
      type.property(
        "session", "any", "Whatever the answering function keeps for this client, nil at first.",
        get: { client, stack in
          guard let session = client.session else { return try stack.return(Bool?.none) }
          session.push(on: stack.lua)
          return Results(count: 1)
        },
        set: { client, value in client.session = LuaReference(value.lua, value.index) })
    }
  }
}
