// Texts that are made to be hard on the answer grader, and GSM8K's rules.
import Testing

import Text

@Suite struct GradingLimitsTests {
  private func repeated(_ text: String, _ count: Int) -> String { String(repeating: text, count: count) }

  /// Each of these is wrong for 5 and is found to be so at once.
  @Test(.timeLimit(.minutes(20))) func hostileTexts() {
    let many = 100_000
    let texts = [
      "", " ", "\\boxed{}", "\\boxed{ }", "$$", "$$$$", "\\[\\]", "NaN", "inf", "-inf", "1e999999999",
      "1e-999999999",
      "1e99999999999999999999999999", "1/0", "0/0", "5/0", "9^{9^{9^{9}}}", "9223372036854775807!",
      "\\binom{1000000000000}{1000}", "\\sqrt[99999999999999999999]{5}", "\\gcd(-9223372036854775808, 0)",
      "\\lfloor 10^{300} \\rfloor", "\\frac{5}{", ")5(", "\u{0}", "\\", "\\boxed{5", "$5",
      repeated("{", many) + "4" + repeated("}", many), repeated("(", many) + "4" + repeated(")", many),
      repeated("(", 300) + "5" + repeated(")", 300) + "1", repeated("\\boxed{", many),
      repeated("\\boxed{", many) + "4" + repeated("}", many), repeated("\\boxed{4}, ", many),
      repeated("\\frac{1}{", 500) + "4" + repeated("}", 500), repeated("-", 999) + "4",
      repeated("9^", 400) + "9",
      repeated("7", 1_000_000), repeated("$", 1_000_000), repeated("$x ", many), repeated("\\[ ", many),
      repeated("\\( x ", many), repeated("the number is 4 ", many), repeated("final answer is ", many),
      repeated("answer is answer: ", many), repeated("1,", 490) + "1", repeated("|x", 450),
      repeated("1/", 900) + "1",
      repeated("\\sin x+", 240) + "1<0", repeated("\\text{", 1100) + repeated("}", 1100),
      repeated("\\begin{matrix}", 400), repeated("</think>", many), repeated("e\u{301}", many),
      repeated("f(", 400) + repeated(")", 400), repeated("\\pm 1", 300), repeated("[0,1]∪", 150) + "[0,1]",
      repeated("1000!+", 330) + "1",
      "The answer is one of " + (0..<100).map(String.init).joined(separator: ", ") + ".",
      (0..<100).map(String.init).joined(separator: ", "), (0..<100).map(String.init).joined(separator: " "),
    ]
    for text in texts where text != "$5" {
      #expect(!AnswerGrader.accepts(text, gold: "5"), "\(text.prefix(40))")
    }
    for text in texts {
      _ = AnswerGrader.accepts("5", gold: text)
      _ = AnswerGrader.acceptsGSM8K(text, gold: "5")
    }
    #expect(!AnswerGrader.accepts("", gold: ""))
    #expect(!AnswerGrader.accepts(repeated("7", 7000), gold: repeated("7", 6999) + "8"))
  }

  /// Random pieces of formulas: nothing traps, and the same texts are always graded alike.
  @Test(.timeLimit(.minutes(20))) func randomTexts() {
    let pieces = [
      "\\frac", "{", "}", "1", "23", "x", "\\sqrt", "[", "]", "(", ")", ",", "\\{", "\\}", "^", "_", "+", "-",
      "/", "*",
      "=", "<", "\\cup", "|", "\\pm", "!", "%", "^\\circ", "\\text{cm}", "\\sin", "\\log", "e", "1e5", ".",
      ":", ";",
      " and ", "\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "&", "\\boxed{", "$", "\\infty", "0", "\\binom",
      "answer is ", "\\overline", "f(", "\\lfloor", "\\rfloor", "\\in", "or", "abc", "'", "\\mathbb{R}",
      "\\[", "\n",
      "\\text{", "\\setminus", "\\max", "\\gcd", "1000", "-1", "\\choose",
    ]
    var state: UInt64 = 1
    func next(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    for _ in 0..<5000 {
      let answer = (0..<(1 + next(14))).map { _ in pieces[next(pieces.count)] }.joined()
      let gold = (0..<(1 + next(8))).map { _ in pieces[next(pieces.count)] }.joined()
      let first = AnswerGrader.accepts(answer, gold: gold)
      #expect(AnswerGrader.accepts(answer, gold: gold) == first)
    }
  }

  @Test func gsm8k() {
    let solution = "She has 2 + 3 = <<2+3=5>>5 bags.\nThat is $1,005.\n#### 1,005"
    let cases: [(answer: String, gold: String, strict: Bool, flexible: Bool)] = [
      (solution, solution, true, true), ("so 1005", solution, false, true),
      ("#### 1005", solution, true, true),
      ("#### 1005.", solution, true, true), ("#### $1005", solution, false, true),
      ("#### -3", "#### -3", true, true),
      ("#### 5\n\n#### 6", "#### 5", true, false), ("#### 5\n\n#### 6", "#### 6", false, true),
      ("####5", "5", false, true), ("#### 1005.0", solution, false, false), ("7 or 8", "7", false, false),
      ("", "5", false, false), ("no number", "5", false, false), ("#### ", "", false, false),
      ("It is 5.", "5", false, true),
      ("It is 5. ...", "5", false, false), ("#### --5", "5", false, false), ("10-5", "-5", false, true),
    ]
    for (answer, gold, strict, flexible) in cases {
      #expect(AnswerGrader.acceptsGSM8K(answer, gold: gold, extraction: .strict) == strict, "\(answer)")
      #expect(AnswerGrader.acceptsGSM8K(answer, gold: gold, extraction: .flexible) == flexible, "\(answer)")
    }
  }
}
