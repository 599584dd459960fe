// The words and signs that the grader knows.

extension GradingLexer {
  /// Functions by their usual names; `\operatorname` and `\mathrm` give the same.
  static let functions: Set<String> = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "log",
    "ln", "lg",
    "exp", "abs", "max", "min", "gcd", "lcm", "floor", "ceil",
  ]

  static let names: [String: String] = [
    "pi": "pi", "infty": "∞", "infinity": "∞", "inf": "∞", "emptyset": "∅", "varnothing": "∅", "ell": "ell",
    "theta": "theta", "alpha": "alpha", "beta": "beta", "varphi": "phi", "varepsilon": "epsilon",
  ]

  static let greek: Set<String> = [
    "gamma", "delta", "epsilon", "zeta", "eta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma",
    "tau",
    "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi",
    "Psi",
    "Omega",
  ]

  static let letters: [Character: String] = [
    "π": "pi", "θ": "theta", "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "λ": "lambda", "μ": "mu",
    "φ": "phi", "ω": "omega", "σ": "sigma", "ρ": "rho", "∞": "∞", "∅": "∅", "ℝ": "\\R", "ℤ": "\\Z",
    "ℕ": "\\N",
  ]

  static let words: [String: String] = [
    "percent": "%", "percentage": "%", "pct": "%", "per cent": "%", "degrees": "°", "degree": "°", "deg": "°",
    "union": "∪", "intersection": "∩",
  ]

  /// Units that are told apart; other words after a number are taken for a description of it.
  static let units: Set<String> = [
    "mm", "cm", "dm", "km", "meter", "meters", "metre", "metres", "centimeters", "kilometers", "inch",
    "inches", "in",
    "ft", "foot", "feet", "yd", "yards", "mile", "miles", "mi", "mph", "kg", "mg", "gram", "grams",
    "kilograms", "lb",
    "lbs", "pounds", "oz", "ounces", "ml", "liter", "liters", "litres", "ms", "sec", "second", "seconds",
    "min",
    "minute", "minutes", "hr", "hrs", "hour", "hours", "day", "days", "week", "weeks", "month", "months",
    "year",
    "years", "cents", "cent", "dollars", "dollar", "euros", "euro", "usd", "eur", "hz", "khz", "mhz", "kj",
    "mol", "kw",
    "sq", "square", "cubic", "units", "unit", "am", "pm",
  ]

  /// Words of two letters that are hardly products.
  static let shortWords: Set<String> = ["is", "of", "to", "we", "it", "by", "if", "so", "no", "on", "he"]

  /// One name for the spellings of a unit.
  static let unitSpellings: [String: String] = [
    "meter": "m", "metre": "m", "centimeter": "cm", "centimetre": "cm", "kilometer": "km", "kilometre": "km",
    "millimeter": "mm", "inch": "in", "inches": "in", "foot": "ft", "feet": "ft", "yard": "yd", "mile": "mi",
    "gram": "g", "kilogram": "kg", "pound": "lb", "ounce": "oz", "liter": "l", "litre": "l", "second": "s",
    "sec": "s",
    "minute": "min", "hour": "h", "hr": "h", "dollar": "usd", "euro": "eur",
  ]

  static let pairs: [String: String] = [
    "<=": "≤", ">=": "≥", "=<": "≤", "=>": "≥", "!=": "≠", "==": "=", "+-": "±",
  ]

  static let signs: [Character: String] = [
    "+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "·": "*", "⋅": "*", "×": "*", "∙": "*", "/": "/",
    "÷": "/",
    "^": "^", "_": "_", "=": "=", "<": "<", ">": ">", "≤": "≤", "≥": "≥", "≠": "≠", "≈": "≈", "∈": "∈",
    "∪": "∪",
    "∩": "∩", "±": "±", "∓": "∓", "√": "sqrt", "%": "%", "°": "°", "!": "!", "'": "'", "′": "'", "|": "|",
    "(": "(",
    ")": ")", "[": "[", "]": "]", "{": "{", "}": "}", ",": ",", ";": ";", ":": ":", "&": "&", "⌊": "⌊",
    "⌋": "⌋",
    "⌈": "⌈", "⌉": "⌉",
  ]

  static let superscripts: [Character: String] = ["²": "2", "³": "3", "⁴": "4", "⁵": "5", "⁶": "6"]

  static let commandSigns: [String: String] = [
    "frac": "frac", "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "sqrt": "sqrt", "binom": "binom",
    "dbinom": "binom", "tbinom": "binom", "choose": "choose", "overline": "overline", "cdot": "*",
    "times": "*",
    "ast": "*", "div": "/", "pm": "±", "mp": "∓", "le": "≤", "leq": "≤", "leqslant": "≤", "ge": "≥",
    "geq": "≥",
    "geqslant": "≥", "ne": "≠", "neq": "≠", "lt": "<", "gt": ">", "approx": "≈", "in": "∈", "cup": "∪",
    "cap": "∩",
    "bigcup": "∪", "setminus": "∖", "backslash": "∖", "circ": "°", "degree": "°", "percent": "%",
    "lvert": "|",
    "rvert": "|", "vert": "|", "mid": "|", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉",
    "lbrace": "\\{",
    "rbrace": "\\}", "land": "and", "lor": "or", "prime": "'", "colon": ":", "equiv": "=", "lbrack": "[",
    "rbrack": "]",
  ]

  static let textCommands: Set<String> = [
    "text", "textbf", "textit", "textrm", "textsf", "texttt", "textnormal", "mbox", "hbox", "mathrm",
    "mathbf",
    "mathit", "mathsf", "operatorname", "mathcal",
  ]

  static let layout: Set<String> = [
    "boxed", "fbox", "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl",
    "biggr",
    "quad", "qquad", "displaystyle", "textstyle", "limits", "angle", "triangle", "vec", "hat", "bar",
    "overrightarrow", "overleftrightarrow", "widehat", "mathop", "space", "thinspace", "hspace", "bf", "rm",
    "it",
    "star",
  ]
}
