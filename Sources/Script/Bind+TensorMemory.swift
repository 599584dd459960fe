// Giving memory back early.
import Tensor

extension Registry {
  /// `mid.scope`.
  func addScopes() {
    scopedFunction(
      "scope",
      """
      Calls a function and returns what it returns; everything that it made and that nothing refers to any more is \
      given back at once, also after an error.
      """,
      [
        Parameter("f", "fun(...): ...", "what to run"),
        Parameter("...", "any", "its arguments", optional: true),
      ],
      returns: "any", example: "norm = mid.scope(function() return t:mm(t):norm():item() end)",
      Scope {
        0
      } leave: { state, _ in
        state.memory.collect()
      })
  }
}
