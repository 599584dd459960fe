// Tensors of bf16, which are kept and not computed with, and of integers beyond 2²⁴, which have arithmetic of their own
// (Bind+Integers). To scripts they are tensors like others: what they have no method for is asked of what they are worth
// as f32 or i32.
import CLua
import Tensor

extension StoredTensor: LuaObject {
  package var nativeBytes: Int { byteCount }
}

/// What elements of tensors can be, in scripts.
enum ElementKind: String, CaseIterable {
  case f32, i32, bool, bf16, i64
}

extension Argument {
  /// The word for a type of elements.
  func elementKind() throws -> ElementKind { try choice(ElementKind.self) }

  /// Whole numbers, or lists of lists of them; nil for a value that is no list and no integer.
  func newIntegers(_ width: Integers.Width) throws -> Integers? {
    if isInteger { return Integers([Int64(try integer())], shape: [], width: width) }
    guard isTable else { return nil }
    var whole: [Int64] = []
    let shape = try readList(into: &whole) { list in try list.elements().map { Int64(try $0.integer()) } }
    return Integers(whole, shape: shape, width: width)
  }
}

extension Call {
  /// Ends the call with the values of a tensor as elements of a type.
  func give(_ tensor: Tensor, as kind: ElementKind) throws -> Results {
    switch kind {
    case .f32: try give { try tensor.converted(to: .f32) }
    case .i32: try give { try tensor.converted(to: .i32) }
    case .bool: try give { try tensor.converted(to: .bool) }
    case .bf16: try self.return(compute { StoredTensor(bf16: tensor) })
    case .i64: try give { () throws -> Integers in try Integers(whole: tensor, width: .i64) }
    }
  }
}

extension Registry {
  /// The type `StoredTensor`. To be added after `Tensor`.
  func addStored() {
    let computing = type(of: Tensor.self)
    type(StoredTensor.self, "StoredTensor") { type in
      type.describe = { $0.summary }
      type.property("shape", "integer[]", "Sizes of its dimensions; empty for one element.") {
        try $1.return($0.shape)
      }
      type.property("dtype", "string", "What the elements are: bf16, i32 or i64.") {
        try $1.return($0.typeName)
      }
      type.property("count", "integer", "How many elements there are.") { try $1.return($0.count) }
      type.property("requires_grad", "boolean", "False: only f32 has gradients.") {
        try $1.return(false)
      } set: { _, _ in
        throw Self.isKept("requires_grad")
      }
      type.property("bytes", "integer", "Memory that the elements take.") { try $1.return($0.byteCount) }
      type.method(
        "to", "The same values as another type; see Tensor's `to`. f32 rounds integers beyond 2^24.",
        [Parameter("dtype", "string", "f32, i32, bool, bf16 or i64")], returns: "Tensor|StoredTensor",
        example: "h = mid.ones({ 2, 3 }, \"bf16\"):to \"f32\""
      ) { stored, call in
        let kind = try call[1].elementKind()
        if kind.rawValue == stored.typeName { return try call.return(stored) }
        if let own = stored.integers, let width = Integers.Width(rawValue: kind.rawValue) {
          return try call.give { () throws -> Integers in Integers(own.values, shape: own.shape, width: width)
          }
        }
        return try call.give(stored.floats(), as: kind)
      }
      type.method(
        "item", "The value of a tensor with one element.", returns: "number",
        example: "n = mid.tensor(1 << 60, \"i64\"):item()"
      ) { stored, call in
        guard let item = NestedList(stored).item else {
          throw ScriptError("expected a tensor with one element, got shape \(stored.shape)")
        }
        try item.push(on: call.stack)
        return Results(count: 1)
      }
      type.method(
        "tolist", "The values as a number, a list, or lists of lists.", returns: "number|table",
        example: "ids = mid.tensor({ 1, 2 }, \"i64\"):tolist()"
      ) { stored, call in try call.return(NestedList(stored)) }
      addSaving(to: type) { .stored($0) }

      addIntegers(to: type, like: computing)
      // Everything else reads it as f32 or i32.
      type.addOperators(of: computing)
      type.setElement = { _, _ in throw Self.isKept("[…]") }
      type.missing = { _, call in
        let name = try call[2].string()
        if name.hasSuffix("_") || name == "backward" { throw Self.isKept(name) }
        return try computing.field(name, call)
      }
    }
  }

  private static func isKept(_ name: String) -> ScriptError {
    ScriptError(
      "'\(name)' changes or trains a tensor, and one of bf16 or of integers beyond 2^24 never changes; make one with "
        + "to(\"f32\")"
    )
  }
}
