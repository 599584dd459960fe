import Foundation

/// Python's operators on template values. Results are bounded, so that no template can ask for all memory.
enum TemplateArithmetic {
  static func apply(_ sign: String, _ left: TemplateValue, _ right: TemplateValue) throws -> TemplateValue {
    for case .undefined(let name) in [left, right] where sign != "~" {
      throw TextError("'\(name)' is undefined, so '\(sign)' cannot use it")
    }
    switch (sign, left, right) {
    case ("~", _, _): return .string(try joined(left.text, right.text))
    case ("+", .string(let a), .string(let b)): return .string(try joined(a, b))
    case ("+", .list(let a), .list(let b)):
      try check(a.count + b.count)
      return .list(a + b)
    case ("*", .string(let text), .int(let count)), ("*", .int(let count), .string(let text)):
      let times = Int(clamping: max(count, 0))
      try check(text.utf8.count.multipliedReportingOverflow(by: times))
      return .string(String(repeating: text, count: times))
    default: break
    }
    if sign != "/", sign != "**", let a = left.whole, let b = right.whole { return try whole(sign, a, b) }
    guard let a = left.number, let b = right.number else {
      throw TextError("'\(sign)' cannot be applied to \(left.kind) and \(right.kind)")
    }
    if ["/", "//", "%"].contains(sign), b == 0 { throw TextError("division by zero") }
    switch sign {
    case "+": return .double(a + b)
    case "-": return .double(a - b)
    case "*": return .double(a * b)
    case "/": return .double(a / b)
    case "//": return .double((a / b).rounded(.down))
    case "%": return .double(a - (a / b).rounded(.down) * b)
    default:
      let power = pow(a, b)
      if left.whole != nil, right.whole != nil, b >= 0, abs(power) < 0x1p53 { return .int(Int64(power)) }
      return .double(power)
    }
  }

  private static func whole(_ sign: String, _ a: Int64, _ b: Int64) throws -> TemplateValue {
    if sign == "//" || sign == "%" {
      if b == 0 { throw TextError("division by zero") }
      if b == -1 { return sign == "%" ? .int(0) : try whole("-", 0, a) }
      let (quotient, remainder) = a.quotientAndRemainder(dividingBy: b)
      let goesDown = remainder != 0 && (remainder < 0) != (b < 0)
      return .int(sign == "%" ? (goesDown ? remainder + b : remainder) : (goesDown ? quotient - 1 : quotient))
    }
    let (result, overflow) =
      switch sign {
      case "+": a.addingReportingOverflow(b)
      case "-": a.subtractingReportingOverflow(b)
      default: a.multipliedReportingOverflow(by: b)
      }
    if overflow { throw TextError("\(a) \(sign) \(b) does not fit 64 bits") }
    return .int(result)
  }

  private static func joined(_ a: String, _ b: String) throws -> String {
    try check(a.utf8.count + b.utf8.count)
    return a + b
  }

  /// Throws when a result would be larger than any sensible text.
  static func check(_ size: Int) throws {
    if size > TemplateRenderer.maximumSize {
      throw TextError("a value is larger than \(TemplateRenderer.maximumSize) bytes or elements")
    }
  }

  private static func check(_ size: (partialValue: Int, overflow: Bool)) throws {
    try check(size.overflow ? .max : size.partialValue)
  }
}
