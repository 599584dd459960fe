import CLua
import Testing

import Script
import Tensor

/// Everything here shares the process's interrupt flag, so the suites inside run one after the other.
@Suite(.serialized) struct ScriptTests {}

/// An object whose instances are counted, so that a leak shows.
final class Probe: LuaObject {
  nonisolated(unsafe) static var alive = 0
  nonisolated(unsafe) static var deferred = 0
  var value: Double
  let nativeBytes: Int

  init(_ value: Double, bytes: Int = 0) {
    self.value = value
    nativeBytes = bytes
    Self.alive += 1
  }

  deinit { Self.alive -= 1 }

  static func reset() {
    alive = 0
    deferred = 0
  }
}

struct ProbeError: Error, CustomStringConvertible {
  let description = "the probe broke"
}

/// A state with functions that exercise each part of the bridge.
func makeState() -> LuaState {
  let registry = Registry()
  registry.addSystem()
  registry.addJobs()
  registry.addTensors()
  registry.addProbe()
  let state = LuaState(registry)
  try! state.run("mid = require 'midtrain.native'")
  return state
}

extension Registry {
  fileprivate func addProbe() {
    type(Probe.self, "Probe") { type in
      type.describe = { "Probe(\($0.value))" }
      type.close = { _ in Probe.deferred += 1 }
      type.method("get", "Its value.", returns: "number") { probe, call in try call.return(probe.value) }
      type.longMethod("wait", "Takes a while.", [Parameter("seconds", "number")]) { probe, call in
        let seconds = try call[1].number(min: 0)
        return {
          let end = monotonicSeconds() + seconds
          while monotonicSeconds() < end {
            if isInterrupted() { throw ScriptError("stopped") }
          }
          return { try $0.return(probe.value) }
        }
      }
      type.property("value", "number", "Its value.") { probe, stack in
        try stack.return(probe.value)
      } set: { probe, value in
        probe.value = try value.number()
      }
      type.property("fixed", "number", "Always 7.") { _, stack in try stack.return(7) }
      type.metamethod(.add) { call in
        func value(_ argument: Argument) throws -> Double {
          try argument.ifObject(Probe.self)?.value ?? argument.number()
        }
        return try call.return(Probe(value(call[1]) + value(call[2])))
      }
      type.metamethod(.len) { call in try call.return(Int(call[1].object(Probe.self).value)) }
    }
    function("probe", "A probe.", [Parameter("value", "number", default: .number(1))]) { call in
      try call.return(Probe(call[1].number(), bytes: call[2].optional?.integer() ?? 0))
    }
    function("fail", "Throws with objects alive and a defer pending.") { call in
      let probe = Probe(0)
      defer { Probe.deferred += 1 }
      if probe.value == 0 { throw ProbeError() }
      return .none
    }
    function(
      "generate", "Options.",
      [
        Parameter("text", "string"),
        .options([
          Parameter("temperature", "number", default: .number(1)),
          Parameter("max_tokens", "integer", optional: true),
          Parameter("stop", "string[]", optional: true),
        ]),
      ]
    ) { call in
      let options = try call.options(2)
      let stop = try options["stop"].optional?.strings() ?? []
      return try call.return(
        call[1].string(), options["temperature"].number(min: 0),
        options["max_tokens"].optional?.integer(min: 1),
        stop.count)
    }
    function("sum", "Of a list.", [Parameter("list", "number[]")]) { call in
      try call.return(call[1].floats().reduce(0, +))
    }
    function("ids", "The same list.", [Parameter("ids", "integer[]")]) { call in
      try call.return(call[1].integers())
    }
    function("apply", "Calls a function.", [Parameter("f", "function"), Parameter("x", "number")]) { call in
      let probe = Probe(0)
      defer { Probe.deferred += 1 }
      let result = try call[1].function().call(on: call.stack, call[2].number() + probe.value)
      guard case .number(let number) = result else { throw call[1].error("gave \(result)") }
      return try call.return(number)
    }
    function("answer", "A table.") { call in
      try call.return(["ids": [Int32(1), 2], "text": "x", "none": nil as Int?] as Table)
    }
    function("recording", "Whether operations are recorded.") { call in try call.return(Tape.isRecording) }
    longFunction("work_recording", "Whether operations are recorded where long work runs.") { _ in
      {
        let isRecording = Tape.isRecording
        return { try $0.return(isRecording) }
      }
    }
    function("nothing", "Nothing.") { _ in .none }
    function("nested.deep.name", "In a table of a table.") { call in try call.return("deep") }
  }
}
