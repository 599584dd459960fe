import Foundation

// The functions, methods, filters and tests of Jinja that chat templates use, with Python's meaning.

extension TemplateRenderer {
  static let functions: Set<String> = ["raise_exception", "strftime_now", "range", "namespace", "dict"]
  static let dictionaryMethods: Set<String> = ["items", "keys", "values", "get"]
  static let stringMethods: Set<String> = [
    "strip", "lstrip", "rstrip", "split", "splitlines", "startswith", "endswith", "upper", "lower", "title",
    "capitalize", "replace", "find", "join", "count", "removeprefix", "removesuffix", "isdigit", "isalpha",
    "isspace",
  ]

  // MARK: Functions

  func call(function: String, _ call: TemplateCall) throws -> Value {
    switch function {
    case "strftime_now":
      return .string(TemplateRenderer.formatted(date, try string(call[0, "format"], "strftime_now")))
    case "range":
      let numbers = try call.positional.map { try whole($0, "range") }
      guard (1...3).contains(numbers.count), numbers.count < 3 || numbers[2] != 0 else {
        throw TextError("range takes an end, or start and end, and a step that is not 0")
      }
      let (from, to) = numbers.count == 1 ? (0, numbers[0]) : (numbers[0], numbers[1])
      let by = numbers.count == 3 ? numbers[2] : 1
      let count = (Double(to) - Double(from)) / Double(by)
      try step(count > 0x1p40 ? 1 << 40 : Int(max(count, 0)))
      return .list(stride(from: from, to: to, by: by).map { .int(Int64($0)) })
    case "namespace", "dict":
      var members = Value.Dictionary()
      if case .dictionary(let given)? = call.positional.first { members = given }
      for (name, value) in call.named { members[name] = value }
      if function == "dict" { return try measured(.dictionary(members)) }
      let namespace = Value.Namespace()
      namespace.members = members
      return .namespace(namespace)
    default:
      throw TextError("function '\(function)' is not supported")
    }
  }

  private static func formatted(_ date: Date, _ format: String) -> String {
    var seconds = time_t(date.timeIntervalSince1970)
    var parts = tm()
    localtime_r(&seconds, &parts)
    var buffer = [CChar](repeating: 0, count: 256)
    let count = strftime(&buffer, buffer.count, format, &parts)
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  // MARK: Methods

  func call(method: String, of receiver: Value, _ call: TemplateCall) throws -> Value {
    switch receiver {
    case .string(let text): return try callString(method, text, call)
    case .dictionary(let dictionary):
      switch method {
      case "items": return .list(dictionary.members.map { .list([.string($0.key), $0.value]) })
      case "keys": return .list(dictionary.members.map { .string($0.key) })
      case "values": return .list(dictionary.members.map(\.value))
      default:
        let key = try string(call[0, "key"], "get")
        return dictionary[key] ?? call[1, "default"] ?? .none
      }
    default: throw TextError("\(receiver.kind) has no method '\(method)'")
    }
  }

  private func callString(_ method: String, _ text: String, _ call: TemplateCall) throws -> Value {
    func argument(_ position: Int) throws -> String { try string(call[position, ""], method) }
    switch method {
    case "strip", "lstrip", "rstrip":
      return .string(try strip(text, call[0, "chars"], left: method != "rstrip", right: method != "lstrip"))
    case "split":
      let limit = try call[1, "maxsplit"].map { try whole($0, method) } ?? -1
      let parts: [String]
      if let separator = call[0, "sep"], separator.isTrue {
        parts = text.split(atBytes: try string(separator, method), limit: limit < 0 ? .max : limit)
      } else {
        parts = text.unicodeScalars.split(
          maxSplits: limit < 0 ? .max : limit, whereSeparator: \.properties.isWhitespace
        ).map { String($0) }
      }
      return .list(parts.map { .string($0) })
    case "splitlines":
      var lines = text.unicodeScalars.split(
        omittingEmptySubsequences: false, whereSeparator: { $0 == "\n" }
      ).map { Value.string(String($0).trimmed(left: false, right: true) { $0 == "\r" }) }
      if let last = lines.last, !last.isTrue { lines.removeLast() }
      return .list(lines)
    case "startswith", "endswith":
      guard let given = call.positional.first else { throw TextError("\(method) needs an argument") }
      let candidates: [Value] = if case .list(let several) = given { several } else { [given] }
      return .bool(
        try candidates.contains { candidate in
          let part = try string(candidate, method).utf8
          return method == "startswith"
            ? text.utf8.starts(with: part) : text.utf8.reversed().starts(with: part.reversed())
        })
    case "upper", "lower", "title", "capitalize": return .string(TemplateRenderer.cased(text, method))
    case "replace":
      let limit = try call[2, "count"].map { try whole($0, method) } ?? -1
      return .string(try replace(text, argument(0), argument(1), limit: limit < 0 ? .max : limit))
    case "find":
      let range = text.firstRange(ofBytes: try argument(0))
      return .int(
        range.map { Int64(text.unicodeScalars.distance(from: text.startIndex, to: $0.lowerBound)) } ?? -1)
    case "count": return .int(Int64(text.split(atBytes: try argument(0)).count - 1))
    case "join": return .string(try join(call.positional.first?.elements() ?? [], text))
    case "removeprefix":
      let part = try argument(0).utf8
      return .string(text.utf8.starts(with: part) ? String(text.utf8.dropFirst(part.count)) ?? "" : text)
    case "removesuffix":
      let part = try argument(0).utf8
      let matches = text.utf8.reversed().starts(with: part.reversed())
      return .string(matches ? String(text.utf8.dropLast(part.count)) ?? "" : text)
    case "isdigit":
      return .bool(!text.isEmpty && text.unicodeScalars.allSatisfy { $0.properties.numericType == .decimal })
    case "isalpha":
      return .bool(!text.isEmpty && text.unicodeScalars.allSatisfy { CharacterClass($0.value) == .letter })
    case "isspace": return .bool(!text.isEmpty && text.unicodeScalars.allSatisfy(\.properties.isWhitespace))
    default: throw TextError("string method '\(method)' is not supported")
    }
  }

  // MARK: Filters

  func apply(filter: String, to input: Value, _ call: TemplateCall) throws -> Value {
    switch filter {
    case "trim": return .string(try strip(input.text, call[0, "chars"], left: true, right: true))
    case "length", "count":
      if case .string(let text) = input { return .int(Int64(text.unicodeScalars.count)) }
      return .int(Int64(try input.elements().count))
    case "tojson": return .string(try toJSON(input, call))
    case "upper", "lower", "capitalize": return .string(TemplateRenderer.cased(input.text, filter))
    case "title":
      return .string(TemplateRenderer.cased(input.text, "title") { "-([{<".unicodeScalars.contains($0) })
    case "string", "safe": return .string(input.text)
    case "default", "d":
      let replacesFalse = call[1, "boolean"]?.isTrue ?? false
      let isMissing = if case .undefined = input { true } else { replacesFalse && !input.isTrue }
      return isMissing ? call[0, "default_value"] ?? .string("") : input
    case "replace":
      return .string(
        try replace(
          input.text, string(call[0, "old"], filter), string(call[1, "new"], filter),
          limit: call[2, "count"].map { try whole($0, filter) } ?? .max))
    case "indent": return .string(try indent(input.text, call))
    case "int":
      if case .string(let text) = input { return .int(Int64(text) ?? 0) }
      return .int(input.number.flatMap { Int64(exactly: $0.rounded(.towardZero)) } ?? 0)
    case "float":
      if case .string(let text) = input { return .double(Double(text) ?? 0) }
      return .double(input.number ?? 0)
    case "abs":
      return try input.precedes(.int(0)) ? TemplateArithmetic.apply("-", .int(0), input) : input
    case "items":
      if case .undefined = input { return .list([]) }
      return try self.call(method: "items", of: input, call)
    default: return try applyToList(filter, input, call)
    }
  }

  private func applyToList(_ filter: String, _ input: Value, _ call: TemplateCall) throws -> Value {
    switch filter {
    case "first": return try input.elements().first ?? .undefined("the first element")
    case "last": return try input.elements().last ?? .undefined("the last element")
    case "list": return .list(try input.elements())
    case "reverse":
      let reversed = Array(try input.elements().reversed())
      if case .string = input { return .string(reversed.map(\.text).joined()) }
      return .list(reversed)
    case "join":
      let attribute = try call[1, "attribute"].map { try string($0, filter) }
      let elements = try input.elements().map { element in
        try attribute.map { try member($0, of: element) } ?? element
      }
      return .string(try join(elements, call[0, "d"]?.text ?? ""))
    case "map":
      if let attribute = call["attribute"] {
        let name = try string(attribute, filter)
        return .list(
          try input.elements().map { element in
            let value = try member(name, of: element)
            if case .undefined = value, let other = call["default"] { return other }
            return value
          })
      }
      let name = try string(call.positional.first, filter)
      let rest = TemplateCall(positional: Array(call.positional.dropFirst()), named: call.named)
      return .list(try input.elements().map { try apply(filter: name, to: $0, rest) })
    case "select", "reject":
      let test = try call.positional.first.map { try string($0, filter) }
      let rest = TemplateCall(positional: Array(call.positional.dropFirst()))
      return .list(
        try input.elements().filter { element in
          try (test.map { try holds($0, element, rest) } ?? element.isTrue) == (filter == "select")
        })
    case "selectattr", "rejectattr":
      let name = try string(call.positional.first, filter)
      let test = try call.positional.dropFirst().first.map { try string($0, filter) }
      let rest = TemplateCall(positional: Array(call.positional.dropFirst(2)))
      return .list(
        try input.elements().filter { element in
          let value = try member(name, of: element)
          return try (test.map { try holds($0, value, rest) } ?? value.isTrue) == (filter == "selectattr")
        })
    case "sum":
      return try input.elements().reduce(.int(0)) { try TemplateArithmetic.apply("+", $0, $1) }
    case "min", "max":
      let elements = try input.elements()
      func precedes(_ a: Value, _ b: Value) throws -> Bool {
        try TemplateRenderer.ignoringCase(a).precedes(TemplateRenderer.ignoringCase(b))
      }
      let best = try filter == "min" ? elements.min(by: precedes) : elements.max(by: precedes)
      return best ?? .undefined("the \(filter) of nothing")
    case "unique":
      var result: [Value] = []
      for element in try input.elements() {
        try step()
        let key = TemplateRenderer.ignoringCase(element)
        try step(result.count / 8)
        if !result.contains(where: { TemplateRenderer.ignoringCase($0).equals(key) }) {
          result.append(element)
        }
      }
      return .list(result)
    case "sort":
      let attribute = try call["attribute"].map { try string($0, filter) }
      let isExact = call[1, "case_sensitive"]?.isTrue ?? false
      func key(_ value: Value) throws -> Value {
        let key = try attribute.map { try member($0, of: value) } ?? value
        return isExact ? key : TemplateRenderer.ignoringCase(key)
      }
      let isReversed = call[0, "reverse"]?.isTrue ?? false
      return .list(
        try input.elements().sorted { try isReversed ? key($1).precedes(key($0)) : key($0).precedes(key($1)) }
      )
    case "dictsort":
      guard case .dictionary(let dictionary) = input else { throw TextError("dictsort needs a mapping") }
      let sorted = dictionary.members.sorted {
        $0.key.lowercased().utf8.lexicographicallyPrecedes($1.key.lowercased().utf8)
      }
      return .list(sorted.map { .list([.string($0.key), $0.value]) })
    default: throw TextError("filter '\(filter)' is not supported")
    }
  }

  // MARK: Tests

  func holds(_ test: String, _ input: Value, _ call: TemplateCall) throws -> Bool {
    func argument() throws -> Value {
      guard let argument = call.positional.first else { throw TextError("test '\(test)' needs an argument") }
      return argument
    }
    switch (test, input) {
    case ("defined", .undefined): return false
    case ("defined", _): return true
    case ("undefined", .undefined): return true
    case ("undefined", _): return false
    case ("none", .none), ("boolean", .bool), ("true", .bool(true)), ("false", .bool(false)),
      ("string", .string),
      ("mapping", .dictionary), ("integer", .int), ("float", .double), ("number", .int), ("number", .double),
      ("number", .bool), ("sequence", .list), ("sequence", .string), ("sequence", .dictionary),
      ("iterable", .list),
      ("iterable", .string), ("iterable", .dictionary), ("iterable", .undefined), ("sequence", .undefined),
      ("callable", .function), ("callable", .method), ("callable", .macro):
      return true
    case ("none", _), ("boolean", _), ("true", _), ("false", _), ("string", _), ("mapping", _),
      ("integer", _),
      ("float", _), ("number", _), ("sequence", _), ("iterable", _), ("callable", _):
      return false
    case ("odd", _): return try whole(input, test) % 2 != 0
    case ("even", _): return try whole(input, test) % 2 == 0
    case ("divisibleby", _):
      let divisor = try whole(argument(), test)
      if divisor == 0 { throw TextError("division by zero") }
      return divisor == -1 ? true : try whole(input, test) % divisor == 0
    case ("eq", _), ("equalto", _), ("sameas", _): return try input.equals(argument())
    case ("ne", _): return try !input.equals(argument())
    case ("lt", _), ("lessthan", _): return try input.precedes(argument())
    case ("gt", _), ("greaterthan", _): return try argument().precedes(input)
    case ("le", _): return try !argument().precedes(input)
    case ("ge", _): return try !input.precedes(argument())
    case ("in", _): return try argument().contains(input)
    case ("lower", _): return sameBytes(input.text, input.text.lowercased())
    case ("upper", _): return sameBytes(input.text, input.text.uppercased())
    default: throw TextError("test '\(test)' is not supported")
    }
  }

  // MARK: Helpers

  private func string(_ value: Value?, _ user: String) throws -> String {
    guard case .string(let text)? = value else {
      throw TextError("'\(user)' needs a string, not \(value?.kind ?? "nothing")")
    }
    return text
  }

  private func whole(_ value: Value, _ user: String) throws -> Int {
    guard let whole = value.whole else { throw TextError("'\(user)' needs an integer, not \(value.kind)") }
    return Int(whole)
  }

  /// A member by a path such as "function.name".
  private func member(_ path: String, of value: Value) throws -> Value {
    try path.split(atBytes: ".").reduce(value) { value, key in
      switch value {
      case .dictionary(let dictionary): return dictionary[key] ?? .undefined(key)
      case .list(let elements):
        guard let index = Int(key), elements.indices.contains(index) else { return .undefined(key) }
        return elements[index]
      case .namespace(let namespace): return namespace.members[key] ?? .undefined(key)
      case .undefined(let name): throw TextError("'\(name)' is undefined, so it has no '\(key)'")
      default: return .undefined(key)
      }
    }
  }

  private func strip(_ text: String, _ characters: Value?, left: Bool, right: Bool) throws -> String {
    guard let characters, !isNone(characters) else {
      return text.trimmed(left: left, right: right) {
        $0.properties.isWhitespace || (0x1C...0x1F).contains($0.value)
      }
    }
    let stripped = try Set(string(characters, "strip").unicodeScalars)
    return text.trimmed(left: left, right: right) { stripped.contains($0) }
  }

  private func isNone(_ value: Value) -> Bool {
    if case .none = value { true } else { false }
  }

  private func replace(_ text: String, _ old: String, _ new: String, limit: Int) throws -> String {
    if old.isEmpty { throw TextError("'replace' needs something to look for") }
    return try join(text.split(atBytes: old, limit: limit).map { .string($0) }, new)
  }

  private func join(_ elements: [Value], _ separator: String) throws -> String {
    let texts = elements.map(\.text)
    try TemplateArithmetic.check(texts.reduce(separator.utf8.count * texts.count) { $0 + $1.utf8.count })
    return texts.joined(separator: separator)
  }

  private func indent(_ text: String, _ call: TemplateCall) throws -> String {
    let width = call[0, "width"] ?? .int(4)
    let prefix: String
    if case .string(let given) = width {
      prefix = given
    } else {
      prefix = try TemplateArithmetic.apply("*", .string(" "), .int(Int64(whole(width, "indent")))).text
    }
    let indentsFirst = call[1, "first"]?.isTrue ?? false
    let indentsBlank = call[2, "blank"]?.isTrue ?? false
    let lines = text.split(atBytes: "\n").enumerated().map { index, line in
      (index == 0 ? indentsFirst : indentsBlank || !line.isEmpty) ? prefix + line : line
    }
    return try join(lines.map { .string($0) }, "\n")
  }

  /// What sorting and comparing filters go by: Jinja's ignore case.
  private static func ignoringCase(_ value: Value) -> Value {
    if case .string(let text) = value { .string(text.lowercased()) } else { value }
  }

  /// Changes of case. A word begins, for Python's method `title`, after whatever has no case; for Jinja's
  /// filter, after white space and a few `separators`.
  private static func cased(
    _ text: String, _ how: String, separators: ((Unicode.Scalar) -> Bool)? = nil
  ) -> String {
    switch how {
    case "upper": return text.uppercased()
    case "lower": return text.lowercased()
    case "capitalize":
      let scalars = text.unicodeScalars
      return (scalars.first?.properties.titlecaseMapping ?? "") + String(scalars.dropFirst()).lowercased()
    default:
      var result = ""
      var startsWord = true
      for scalar in text.unicodeScalars {
        result += startsWord ? scalar.properties.titlecaseMapping : scalar.properties.lowercaseMapping
        startsWord =
          separators.map { scalar.properties.isWhitespace || $0(scalar) } ?? !scalar.properties.isCased
      }
      return result
    }
  }

  /// As transformers has it: Python's `json.dumps` without escaping what is not ASCII.
  private func toJSON(_ value: Value, _ call: TemplateCall) throws -> String {
    var style = JSON.Style.spaced
    if let indent = call[0, "indent"], !isNone(indent) {
      let spaces = try whole(indent, "tojson")
      try TemplateArithmetic.check(spaces)
      style.indent = max(spaces, 0)
    }
    if case .list(let separators)? = call["separators"], separators.count == 2 {
      style.separator = separators[0].text
      style.colon = separators[1].text
    }
    if call["sort_keys"]?.isTrue ?? false { throw TextError("tojson with sort_keys is not supported") }
    let text = try value.json().serialised(style)
    try TemplateArithmetic.check(text.count)
    return String(decoding: text, as: UTF8.self)
  }
}
