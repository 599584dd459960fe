// What a parsed template consists of.

/// An expression and the line that it is on.
indirect enum TemplateExpression: Sendable {
  case literal(JSON)
  case name(String)
  case list([Located])
  case dictionary([(Located, Located)])
  case attribute(Located, String)
  case item(Located, Located)
  case slice(Located, from: Located?, to: Located?, step: Located?)
  case call(Located, TemplateArguments)
  case filter(Located, String, TemplateArguments)
  case test(Located, String, TemplateArguments, negated: Bool)
  case not(Located)
  case negative(Located)
  case and(Located, Located)
  case or(Located, Located)
  case binary(String, Located, Located)
  case comparison(Located, [(sign: String, right: Located)])
  case conditional(Located, if: Located, else: Located?)

  struct Located: Sendable {
    let expression: TemplateExpression
    let line: Int
  }
}

/// The arguments of a call.
struct TemplateArguments: Sendable {
  var positional: [TemplateExpression.Located] = []
  var named: [(name: String, value: TemplateExpression.Located)] = []
}

/// A statement.
indirect enum TemplateStatement: Sendable {
  typealias Expression = TemplateExpression.Located

  case text(String)
  case output(Expression)
  case branches([(condition: Expression?, body: [TemplateStatement])])
  case loop(Loop)
  case set([String], Expression)
  case setAttribute(String, String, Expression)
  case setBlock(String, [TemplateStatement])
  case macro(Macro)
  case block([TemplateStatement])
  case breakLoop
  case continueLoop

  struct Loop: Sendable {
    var names: [String]
    var items: Expression
    var condition: Expression?
    var body: [TemplateStatement]
    var otherwise: [TemplateStatement]
    var line: Int
  }

  struct Macro: Sendable {
    var name: String
    var parameters: [(name: String, value: Expression?)]
    var body: [TemplateStatement]
  }
}
