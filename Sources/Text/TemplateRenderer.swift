import Foundation

// Carries out a parsed template. Scopes are as in Jinja: a loop's body and a macro have one of their own, so
// that only a namespace carries anything out of a loop. Steps and sizes are bounded, because templates come
// with checkpoints from elsewhere.

/// One rendering of a template.
final class TemplateRenderer {
  typealias Value = TemplateValue
  typealias Expression = TemplateExpression.Located

  private let name: String
  let date: Date
  private var scopes: [[String: Value]]
  private var output = ""
  private var steps = 0
  private var depth = 0
  private static let maximumSteps = 2_000_000
  private static let maximumDepth = 40
  private static let maximumElements = 200_000
  static let maximumSize = 1 << 24

  /// What a statement does to the loop around it.
  private enum Flow {
    case goesOn, breaksLoop, continuesLoop
  }

  init(name: String, variables: [String: Value], date: Date) {
    self.name = name
    self.date = date
    scopes = [variables]
  }

  /// The text that a template makes.
  func render(_ statements: [TemplateStatement]) throws -> String {
    _ = try run(statements)
    return output
  }

  // MARK: Statements

  private func run(_ statements: [TemplateStatement]) throws -> Flow {
    for statement in statements {
      let flow = try run(statement)
      if flow != .goesOn { return flow }
    }
    return .goesOn
  }

  private func run(_ statement: TemplateStatement) throws -> Flow {
    try step()
    switch statement {
    case .text(let text): try write(text)
    case .output(let expression): try write(value(expression).text)
    case .branches(let branches):
      for (condition, body) in branches {
        if let condition, try !value(condition).isTrue { continue }
        return try run(body)
      }
    case .loop(let loop): try run(loop)
    case .set(let names, let expression):
      try bind(names, to: value(expression), line: expression.line)
    case .setAttribute(let target, let attribute, let expression):
      guard case .namespace(let namespace) = look(up: target) else {
        throw error(expression.line, "only a namespace's attributes can be set, and '\(target)' is none")
      }
      namespace.members[attribute] = try value(expression)
    case .setBlock(let name, let body):
      let (flow, text) = try captured { try run(body) }
      scopes[scopes.count - 1][name] = .string(text)
      return flow
    case .macro(let macro): scopes[scopes.count - 1][macro.name] = .macro(macro)
    case .block(let body): return try run(body)
    case .breakLoop: return .breaksLoop
    case .continueLoop: return .continuesLoop
    }
    return .goesOn
  }

  private func run(_ loop: TemplateStatement.Loop) throws {
    var items = try locating(loop.line) { try value(loop.items).elements() }
    scopes.append([:])
    defer { scopes.removeLast() }
    if let condition = loop.condition {
      items = try items.filter { item in
        try step()
        try bind(loop.names, to: item, line: loop.line)
        return try value(condition).isTrue
      }
    }
    for (index, item) in items.enumerated() {
      try step(8)
      scopes[scopes.count - 1] = ["loop": .dictionary(loopVariable(items, index))]
      try bind(loop.names, to: item, line: loop.line)
      if try run(loop.body) == .breaksLoop { break }
    }
    if items.isEmpty { _ = try run(loop.otherwise) }
  }

  private func loopVariable(_ items: [Value], _ index: Int) -> Value.Dictionary {
    var loop = Value.Dictionary()
    loop["index"] = .int(Int64(index + 1))
    loop["index0"] = .int(Int64(index))
    loop["revindex"] = .int(Int64(items.count - index))
    loop["revindex0"] = .int(Int64(items.count - index - 1))
    loop["first"] = .bool(index == 0)
    loop["last"] = .bool(index == items.count - 1)
    loop["length"] = .int(Int64(items.count))
    if index > 0 { loop["previtem"] = items[index - 1] }
    if index + 1 < items.count { loop["nextitem"] = items[index + 1] }
    return loop
  }

  private func bind(_ names: [String], to value: Value, line: Int) throws {
    if names.count == 1 {
      scopes[scopes.count - 1][names[0]] = value
      return
    }
    let parts = try locating(line) { try value.elements() }
    guard parts.count == names.count else {
      throw error(line, "\(parts.count) values cannot be given to \(names.count) names")
    }
    for (name, part) in zip(names, parts) { scopes[scopes.count - 1][name] = part }
  }

  private func write(_ text: String) throws {
    if output.utf8.count + text.utf8.count > TemplateRenderer.maximumSize {
      throw TextError("\(name): the text is longer than \(TemplateRenderer.maximumSize) bytes")
    }
    output += text
  }

  /// Runs something and takes the text that it writes.
  private func captured<T>(_ body: () throws -> T) throws -> (T, String) {
    let outer = output
    output = ""
    defer { output = outer }
    let result = try body()
    return (result, output)
  }

  // MARK: Expressions

  private func look(up name: String) -> Value? {
    for scope in scopes.reversed() {
      if let value = scope[name] { return value }
    }
    return nil
  }

  func value(_ expression: Expression) throws -> Value {
    try step()
    switch expression.expression {
    case .literal(let json): return Value(json)
    case .name(let name):
      if let value = look(up: name) { return value }
      return TemplateRenderer.functions.contains(name) ? .function(name) : .undefined(name)
    case .list(let elements): return try measured(.list(elements.map { try value($0) }))
    case .dictionary(let members): return try measured(dictionary(members))
    case .attribute(let object, let attribute):
      return try locating(expression.line) { try self.attribute(attribute, of: value(object)) }
    case .item(let object, let key):
      return try locating(expression.line) { try item(value(key), of: value(object)) }
    case .slice(let object, let from, let to, let step):
      let bounds = try [from, to, step].map { try $0.map { try value($0) } }
      return try locating(expression.line) { try charged(slice(value(object), bounds)) }
    case .call(let function, let arguments):
      return try charged(call(function, arguments, line: expression.line))
    case .filter(let input, let filter, let arguments):
      let input = try value(input)
      let arguments = try values(arguments)
      return try locating(expression.line) { try charged(apply(filter: filter, to: input, arguments)) }
    case .test(let input, let test, let arguments, let negated):
      let input = try value(input)
      let arguments = try values(arguments)
      return try locating(expression.line) { .bool(try holds(test, input, arguments) != negated) }
    case .not(let operand): return .bool(try !value(operand).isTrue)
    case .negative(let operand):
      return try locating(expression.line) { try TemplateArithmetic.apply("-", .int(0), value(operand)) }
    case .and(let left, let right):
      let first = try value(left)
      return try first.isTrue ? value(right) : first
    case .or(let left, let right):
      let first = try value(left)
      return try first.isTrue ? first : value(right)
    case .binary(let sign, let left, let right):
      let (left, right) = (try value(left), try value(right))
      return try locating(expression.line) { try charged(TemplateArithmetic.apply(sign, left, right)) }
    case .comparison(let first, let comparisons):
      return try locating(expression.line) { try .bool(compare(first, comparisons)) }
    case .conditional(let then, let condition, let otherwise):
      if try value(condition).isTrue { return try value(then) }
      return try otherwise.map { try value($0) } ?? .undefined("")
    }
  }

  private func dictionary(_ members: [(Expression, Expression)]) throws -> Value {
    var dictionary = Value.Dictionary()
    for (key, member) in members {
      guard case .string(let name) = try value(key) else {
        throw error(key.line, "the keys of a mapping must be strings")
      }
      dictionary[name] = try value(member)
    }
    return .dictionary(dictionary)
  }

  private func compare(_ first: Expression, _ comparisons: [(sign: String, right: Expression)]) throws -> Bool
  {
    var left = try value(first)
    for (sign, expression) in comparisons {
      let right = try value(expression)
      let holds =
        switch sign {
        case "==": left.equals(right)
        case "!=": !left.equals(right)
        case "<": try left.precedes(right)
        case ">": try right.precedes(left)
        case "<=": try left.equals(right) || left.precedes(right)
        case ">=": try left.equals(right) || right.precedes(left)
        case "in": try right.contains(left)
        default: try !right.contains(left)
        }
      if !holds { return false }
      left = right
    }
    return true
  }

  private func attribute(_ name: String, of value: Value) throws -> Value {
    switch value {
    case .undefined(let missing): throw TextError("'\(missing)' is undefined, so it has no '\(name)'")
    case .namespace(let namespace): return namespace.members[name] ?? .undefined(name)
    case .dictionary(let dictionary):
      if TemplateRenderer.dictionaryMethods.contains(name) { return .method(value, name) }
      return dictionary[name] ?? .undefined(name)
    case .string:
      return TemplateRenderer.stringMethods.contains(name) ? .method(value, name) : .undefined(name)
    default: return .undefined(name)
    }
  }

  private func item(_ key: Value, of value: Value) throws -> Value {
    switch (value, key) {
    case (.undefined(let missing), _): throw TextError("'\(missing)' is undefined, so it has no elements")
    case (.dictionary(let dictionary), .string(let key)):
      if let member = dictionary[key] { return member }
      return try attribute(key, of: value)
    case (.list(let elements), _):
      guard let index = key.whole else { return .undefined(key.text) }
      let place = index < 0 ? Int(index) + elements.count : Int(index)
      return elements.indices.contains(place) ? elements[place] : .undefined("element \(index)")
    case (.string(let text), .int(let index)):
      let scalars = Array(text.unicodeScalars)
      let place = index < 0 ? Int(index) + scalars.count : Int(index)
      return scalars.indices.contains(place)
        ? .string(String(scalars[place])) : .undefined("element \(index)")
    case (_, .string(let key)): return try attribute(key, of: value)
    default: return .undefined(key.text)
    }
  }

  /// Python's slices: `bounds` are start, end and step.
  private func slice(_ value: Value, _ bounds: [Value?]) throws -> Value {
    func bound(_ index: Int) throws -> Int? {
      guard let value = bounds[index] else { return nil }
      if case .none = value { return nil }
      guard let whole = value.whole else { throw TextError("a slice needs integers, not \(value.kind)") }
      return Int(whole)
    }
    func picked<T>(_ elements: [T]) throws -> [T] {
      let step = try bound(2) ?? 1
      guard step != 0 else { throw TextError("a slice's step may not be 0") }
      let count = elements.count
      func place(_ bound: Int) -> Int {
        let low = step > 0 ? 0 : -1
        let high = step > 0 ? count : count - 1
        return min(max(bound < 0 ? bound + count : bound, low), high)
      }
      let from = try bound(0).map(place) ?? (step > 0 ? 0 : count - 1)
      let to = try bound(1).map(place) ?? (step > 0 ? count : -1)
      return stride(from: from, to: to, by: step).map { elements[$0] }
    }
    switch value {
    case .list(let elements): return .list(try picked(elements))
    case .string(let text):
      var result = String.UnicodeScalarView()
      result.append(contentsOf: try picked(Array(text.unicodeScalars)))
      return .string(String(result))
    default: throw TextError("\(value.kind) cannot be sliced")
    }
  }

  // MARK: Calls

  func values(_ arguments: TemplateArguments) throws -> TemplateCall {
    TemplateCall(
      positional: try arguments.positional.map { try value($0) },
      named: try arguments.named.map { ($0.name, try value($0.value)) })
  }

  private func call(_ function: Expression, _ arguments: TemplateArguments, line: Int) throws -> Value {
    let callee = try value(function)
    let arguments = try values(arguments)
    switch callee {
    case .function("raise_exception"):
      throw TextError("\(name):\(line): the template refuses: \(arguments.positional.first?.text ?? "")")
    case .function(let function): return try locating(line) { try call(function: function, arguments) }
    case .method(let receiver, let method):
      return try locating(line) { try call(method: method, of: receiver, arguments) }
    case .macro(let macro): return try call(macro, arguments, line: line)
    case .undefined(let missing): throw error(line, "'\(missing)' is not a function that templates know here")
    default: throw error(line, "\(callee.kind) cannot be called")
    }
  }

  private func call(_ macro: TemplateStatement.Macro, _ call: TemplateCall, line: Int) throws -> Value {
    guard call.positional.count <= macro.parameters.count else {
      throw error(line, "macro '\(macro.name)' takes at most \(macro.parameters.count) arguments")
    }
    depth += 1
    defer { depth -= 1 }
    if depth > TemplateRenderer.maximumDepth { throw error(line, "macros call each other too deeply") }
    // A macro sees what is set at the top of the template, not where it is called from.
    let outer = scopes
    defer { scopes = outer }
    scopes = [outer[0], [:]]
    for (index, parameter) in macro.parameters.enumerated() {
      let given = index < call.positional.count ? call.positional[index] : call[parameter.name]
      scopes[1][parameter.name] =
        try given ?? parameter.value.map { try value($0) } ?? .undefined(parameter.name)
    }
    if let unknown = call.named.first(where: { named in !macro.parameters.contains { $0.name == named.name } }
    ) {
      throw error(line, "macro '\(macro.name)' has no parameter '\(unknown.name)'")
    }
    return .string(try captured { try run(macro.body) }.1)
  }

  // MARK: Bounds and errors

  func step(_ count: Int = 1) throws {
    steps += count
    if steps > TemplateRenderer.maximumSteps {
      throw TextError("\(name): the template does not end within \(TemplateRenderer.maximumSteps) steps")
    }
  }

  /// Counts a result's size as steps, so that large values cannot be made over and over.
  private func charged(_ value: Value) throws -> Value {
    switch value {
    case .string(let text): try step(text.utf8.count / 64)
    case .list(let elements): try step(elements.count / 8)
    default: break
    }
    return value
  }

  /// Passes on a list or mapping made of other values, unless it is too large or too deep: values that hold
  /// themselves twice, twenty times over, would take for ever to print.
  func measured(_ value: Value) throws -> Value {
    var count = 0
    func measure(_ value: Value, depth: Int) throws {
      count += 1
      if depth > TemplateRenderer.maximumDepth || count > TemplateRenderer.maximumElements {
        throw TextError("\(name): a value in the template is nested too deeply or too large")
      }
      switch value {
      case .list(let elements): for element in elements { try measure(element, depth: depth + 1) }
      case .dictionary(let dictionary):
        for member in dictionary.members { try measure(member.value, depth: depth + 1) }
      default: break
      }
    }
    try measure(value, depth: 0)
    try step(count / 8)
    return value
  }

  private func error(_ line: Int, _ message: String) -> TextError {
    TextError("\(name):\(line): \(message)")
  }

  /// Adds the line to errors that have none yet.
  private func locating<T>(_ line: Int, _ body: () throws -> T) throws -> T {
    do {
      return try body()
    } catch let error as TextError where !error.description.hasPrefix(name + ":") {
      throw self.error(line, error.description)
    }
  }
}

/// The evaluated arguments of a call.
struct TemplateCall {
  var positional: [TemplateValue] = []
  var named: [(name: String, value: TemplateValue)] = []

  subscript(name: String) -> TemplateValue? { named.first { $0.name == name }?.value }

  /// An argument by position or name.
  subscript(position: Int, name: String) -> TemplateValue? {
    position < positional.count ? positional[position] : self[name]
  }
}
