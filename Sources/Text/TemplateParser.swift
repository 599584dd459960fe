// Jinja's grammar, as far as chat templates use it, by recursive descent.

/// Parses the tokens of a template.
struct TemplateParser {
  typealias Expression = TemplateExpression.Located

  private let tokens: [TemplateToken]
  private let name: String
  private var index = 0
  /// Bounds that keep parsing and evaluating within the stack.
  private var blockDepth = 0
  private var bracketDepth = 0
  private var nodes = 0
  private var loopDepth = 0
  private static let maximumBlockDepth = 50
  private static let maximumBracketDepth = 30
  private static let maximumNodes = 500

  /// Parses a whole template.
  static func parse(_ source: String, name: String) throws -> [TemplateStatement] {
    var parser = TemplateParser(tokens: try TemplateLexer.tokens(of: source, name: name), name: name)
    return try parser.statements(until: [])
  }

  private init(tokens: [TemplateToken], name: String) {
    self.tokens = tokens
    self.name = name
  }

  // MARK: Statements

  /// Parses up to a statement that begins with one of `ends`, which is left as the next token.
  private mutating func statements(until ends: Set<String>) throws -> [TemplateStatement] {
    blockDepth += 1
    defer { blockDepth -= 1 }
    if blockDepth > TemplateParser.maximumBlockDepth { throw error("statements are nested too deeply") }
    var statements: [TemplateStatement] = []
    while true {
      nodes = 0
      switch kind {
      case .text(let text):
        index += 1
        statements.append(.text(text))
      case .beginOutput:
        index += 1
        statements.append(.output(try expressionOrTuple()))
        try expect(.endOutput, "'}}'")
      case .beginStatement:
        index += 1
        guard case .name(let word) = kind else { throw error("expected the name of a statement") }
        if ends.contains(word) { return statements }
        index += 1
        statements.append(try statement(word))
      default:
        if ends.isEmpty { return statements }
        throw error("expected '\(ends.sorted().joined(separator: "' or '"))'")
      }
    }
  }

  private mutating func statement(_ word: String) throws -> TemplateStatement {
    switch word {
    case "if": return try ifStatement()
    case "for": return try forStatement()
    case "set": return try setStatement()
    case "macro": return try macroStatement()
    case "generation":
      try endOfStatement()
      return .block(try body(until: "endgeneration"))
    case "break", "continue":
      if loopDepth == 0 { throw error("'\(word)' outside of a loop") }
      try endOfStatement()
      return word == "break" ? .breakLoop : .continueLoop
    default:
      index -= 1
      throw error("statement '\(word)' is not supported")
    }
  }

  private mutating func ifStatement() throws -> TemplateStatement {
    var branches: [(condition: Expression?, body: [TemplateStatement])] = []
    var condition: Expression? = try expression()
    while true {
      try endOfStatement()
      let isElse = condition == nil
      branches.append((condition, try statements(until: isElse ? ["endif"] : ["elif", "else", "endif"])))
      let word = kind
      index += 1
      if word == .name("endif") { break }
      condition = word == .name("elif") ? try expression() : nil
    }
    try endOfStatement()
    return .branches(branches)
  }

  private mutating func forStatement() throws -> TemplateStatement {
    let line = line
    let names = try targetNames()
    try expect(.name("in"), "'in'")
    let items = try disjunction()
    let condition = try take(.name("if")) ? expression() : nil
    if kind == .name("recursive") { throw error("recursive loops are not supported") }
    try endOfStatement()
    loopDepth += 1
    let body = try statements(until: ["else", "endfor"])
    loopDepth -= 1
    var otherwise: [TemplateStatement] = []
    if take(.name("else")) {
      try endOfStatement()
      otherwise = try statements(until: ["endfor"])
    }
    index += 1
    try endOfStatement()
    return .loop(
      .init(names: names, items: items, condition: condition, body: body, otherwise: otherwise, line: line))
  }

  private mutating func setStatement() throws -> TemplateStatement {
    let names = try targetNames()
    if names.count == 1, take(.sign(".")) {
      let attribute = try identifier()
      try expect(.sign("="), "'='")
      let value = try expressionOrTuple()
      try endOfStatement()
      return .setAttribute(names[0], attribute, value)
    }
    if names.count == 1, kind == .endStatement {
      try endOfStatement()
      return .setBlock(names[0], try body(until: "endset"))
    }
    try expect(.sign("="), "'='")
    let value = try expressionOrTuple()
    try endOfStatement()
    return .set(names, value)
  }

  private mutating func macroStatement() throws -> TemplateStatement {
    let macro = try identifier()
    try expect(.sign("("), "'('")
    var parameters: [(name: String, value: Expression?)] = []
    while !take(.sign(")")) {
      if !parameters.isEmpty { try expect(.sign(","), "',' or ')'") }
      let parameter = try identifier()
      parameters.append((parameter, take(.sign("=")) ? try expression() : nil))
    }
    try endOfStatement()
    let outerLoops = loopDepth
    loopDepth = 0
    defer { loopDepth = outerLoops }
    return .macro(.init(name: macro, parameters: parameters, body: try body(until: "endmacro")))
  }

  /// Parses up to and over the statement `end`.
  private mutating func body(until end: String) throws -> [TemplateStatement] {
    let body = try statements(until: [end])
    index += 1
    try endOfStatement()
    return body
  }

  private mutating func targetNames() throws -> [String] {
    let isParenthesised = take(.sign("("))
    var names = [try identifier()]
    while take(.sign(",")) { names.append(try identifier()) }
    if isParenthesised { try expect(.sign(")"), "')'") }
    return names
  }

  // MARK: Expressions, loosest binding first

  private mutating func expressionOrTuple() throws -> Expression {
    let line = line
    let first = try expression()
    guard kind == .sign(",") else { return first }
    var elements = [first]
    while take(.sign(",")) { elements.append(try expression()) }
    return Expression(expression: .list(elements), line: line)
  }

  /// A complete expression: `a if b else c` and everything that binds tighter.
  private mutating func expression() throws -> Expression {
    var value = try disjunction()
    while kind == .name("if") {
      let line = line
      index += 1
      let condition = try disjunction()
      let otherwise = take(.name("else")) ? try nested { try $0.expression() } : nil
      value = try node(.conditional(value, if: condition, else: otherwise), line)
    }
    return value
  }

  private mutating func disjunction() throws -> Expression {
    var left = try conjunction()
    while case let line = line, take(.name("or")) { left = try node(.or(left, conjunction()), line) }
    return left
  }

  private mutating func conjunction() throws -> Expression {
    var left = try negation()
    while case let line = line, take(.name("and")) { left = try node(.and(left, negation()), line) }
    return left
  }

  private mutating func negation() throws -> Expression {
    let line = line
    guard take(.name("not")) else { return try comparison() }
    return try node(.not(nested { try $0.negation() }), line)
  }

  private mutating func comparison() throws -> Expression {
    let line = line
    let left = try sum()
    var comparisons: [(sign: String, right: Expression)] = []
    while true {
      if case .sign(let sign) = kind, ["==", "!=", "<", "<=", ">", ">="].contains(sign) {
        index += 1
        comparisons.append((sign, try sum()))
      } else if take(.name("in")) {
        comparisons.append(("in", try sum()))
      } else if kind == .name("not"), tokens[index + 1].kind == .name("in") {
        index += 2
        comparisons.append(("not in", try sum()))
      } else {
        break
      }
    }
    return comparisons.isEmpty ? left : try node(.comparison(left, comparisons), line)
  }

  private mutating func sum() throws -> Expression {
    try leftAssociative(["+", "-"]) { parser in
      try parser.leftAssociative(["~"]) { parser in
        try parser.leftAssociative(["*", "/", "//", "%"]) { parser in
          try parser.leftAssociative(["**"]) { try $0.unary(withFilters: true) }
        }
      }
    }
  }

  private mutating func leftAssociative(
    _ signs: [String], _ operand: (inout TemplateParser) throws -> Expression
  ) throws -> Expression {
    var left = try operand(&self)
    while case .sign(let sign) = kind, signs.contains(sign) {
      let line = line
      index += 1
      left = try node(.binary(sign, left, operand(&self)), line)
    }
    return left
  }

  private mutating func unary(withFilters: Bool) throws -> Expression {
    let line = line
    var value: Expression
    if take(.sign("-")) {
      value = try node(.negative(nested { try $0.unary(withFilters: false) }), line)
    } else if take(.sign("+")) {
      value = try nested { try $0.unary(withFilters: false) }
    } else {
      value = try postfix(primary())
    }
    return withFilters ? try filters(value) : value
  }

  private mutating func primary() throws -> Expression {
    let line = line
    let token = kind
    index += 1
    switch token {
    case .name("true"), .name("True"): return try node(.literal(true), line)
    case .name("false"), .name("False"): return try node(.literal(false), line)
    case .name("none"), .name("None"): return try node(.literal(nil), line)
    case .name(let name): return try node(.name(name), line)
    case .int(let value): return try node(.literal(.int(value)), line)
    case .double(let value): return try node(.literal(.double(value)), line)
    case .string(var text):
      while case .string(let more) = kind {
        text += more
        index += 1
      }
      return try node(.literal(.string(text)), line)
    case .sign("("):
      return try nested { parser in
        if parser.take(.sign(")")) { return try parser.node(.list([]), line) }
        var elements = [try parser.expression()]
        var isTuple = false
        while parser.take(.sign(",")) {
          isTuple = true
          if parser.kind == .sign(")") { break }
          elements.append(try parser.expression())
        }
        try parser.expect(.sign(")"), "')'")
        return isTuple ? try parser.node(.list(elements), line) : elements[0]
      }
    case .sign("["):
      return try nested { parser in
        var elements: [Expression] = []
        while !parser.take(.sign("]")) {
          if !elements.isEmpty { try parser.expect(.sign(","), "',' or ']'") }
          if parser.take(.sign("]")) { break }
          elements.append(try parser.expression())
        }
        return try parser.node(.list(elements), line)
      }
    case .sign("{"):
      return try nested { parser in
        var members: [(Expression, Expression)] = []
        while !parser.take(.sign("}")) {
          if !members.isEmpty { try parser.expect(.sign(","), "',' or '}'") }
          if parser.take(.sign("}")) { break }
          let key = try parser.expression()
          try parser.expect(.sign(":"), "':'")
          members.append((key, try parser.expression()))
        }
        return try parser.node(.dictionary(members), line)
      }
    default:
      index -= 1
      throw error("expected an expression")
    }
  }

  private mutating func postfix(_ start: Expression) throws -> Expression {
    var value = start
    while true {
      let line = line
      if take(.sign(".")) {
        if case .int(let position) = kind {
          index += 1
          value = try node(.item(value, node(.literal(.int(position)), line)), line)
        } else {
          value = try node(.attribute(value, identifier()), line)
        }
      } else if take(.sign("[")) {
        value = try nested { try $0.subscripted(value, line) }
      } else if take(.sign("(")) {
        value = try node(.call(value, arguments()), line)
      } else {
        return value
      }
    }
  }

  private mutating func subscripted(_ value: Expression, _ line: Int) throws -> Expression {
    func isBoundary() -> Bool { kind == .sign(":") || kind == .sign("]") }
    let first = isBoundary() ? nil : try expression()
    if let first, take(.sign("]")) { return try node(.item(value, first), line) }
    try expect(.sign(":"), "':' or ']'")
    let last = isBoundary() ? nil : try expression()
    let step = take(.sign(":")) && !isBoundary() ? try expression() : nil
    try expect(.sign("]"), "']'")
    return try node(.slice(value, from: first, to: last, step: step), line)
  }

  /// Filters (`| name(…)`) and tests (`is name …`).
  private mutating func filters(_ start: Expression) throws -> Expression {
    var value = start
    while true {
      let line = line
      if take(.sign("|")) {
        let name = try identifier()
        value = try node(.filter(value, name, take(.sign("(")) ? arguments() : .init()), line)
      } else if take(.name("is")) {
        let negated = take(.name("not"))
        let name = try identifier()
        var arguments = TemplateArguments()
        if take(.sign("(")) {
          arguments = try self.arguments()
        } else if startsTestArgument {
          arguments.positional = [try postfix(primary())]
        }
        value = try node(.test(value, name, arguments, negated: negated), line)
      } else {
        return value
      }
    }
  }

  /// Whether a test's argument follows without brackets, as in `is divisibleby 3`.
  private var startsTestArgument: Bool {
    switch kind {
    case .name(let word): !["else", "or", "and", "is", "if", "in", "not"].contains(word)
    case .string, .int, .double: true
    case .sign(let sign): ["(", "[", "{"].contains(sign)
    default: false
    }
  }

  /// Arguments after an opening bracket.
  private mutating func arguments() throws -> TemplateArguments {
    try nested { parser in
      var arguments = TemplateArguments()
      var isFirst = true
      while !parser.take(.sign(")")) {
        if !isFirst { try parser.expect(.sign(","), "',' or ')'") }
        isFirst = false
        if parser.take(.sign(")")) { break }
        if case .name(let name) = parser.kind, parser.tokens[parser.index + 1].kind == .sign("=") {
          parser.index += 2
          arguments.named.append((name, try parser.expression()))
        } else {
          if !arguments.named.isEmpty { throw parser.error("a positional argument after a named one") }
          arguments.positional.append(try parser.expression())
        }
      }
      return arguments
    }
  }

  // MARK: Tokens

  private var kind: TemplateToken.Kind { tokens[index].kind }
  private var line: Int { tokens[index].line }

  private mutating func take(_ wanted: TemplateToken.Kind) -> Bool {
    guard kind == wanted else { return false }
    index += 1
    return true
  }

  private mutating func expect(_ wanted: TemplateToken.Kind, _ description: String) throws {
    if !take(wanted) { throw error("expected \(description)") }
  }

  private mutating func endOfStatement() throws {
    try expect(.endStatement, "'%}'")
  }

  private mutating func identifier() throws -> String {
    guard case .name(let name) = kind else { throw error("expected a name") }
    index += 1
    return name
  }

  /// Makes a node of the expression at hand, whose size is bounded.
  private mutating func node(_ expression: TemplateExpression, _ line: Int) throws -> Expression {
    nodes += 1
    if nodes > TemplateParser.maximumNodes { throw error("the expression is too long") }
    return Expression(expression: expression, line: line)
  }

  private mutating func nested<T>(_ body: (inout TemplateParser) throws -> T) throws -> T {
    bracketDepth += 1
    defer { bracketDepth -= 1 }
    if bracketDepth > TemplateParser.maximumBracketDepth { throw error("brackets are nested too deeply") }
    return try body(&self)
  }

  private func error(_ message: String) -> TextError {
    let found =
      switch kind {
      case .text: "text"
      case .beginOutput: "'{{'"
      case .endOutput: "'}}'"
      case .beginStatement: "'{%'"
      case .endStatement: "'%}'"
      case .name(let name): "'\(name)'"
      case .string(let text): "the string \"\(text)\""
      case .int(let value): "\(value)"
      case .double(let value): "\(value)"
      case .sign(let sign): "'\(sign)'"
      case .end: "the end of the template"
      }
    return TextError("\(name):\(line): \(message); found \(found)")
  }
}
