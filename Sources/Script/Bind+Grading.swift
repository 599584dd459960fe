// The answer grader.
import Text

extension Registry {
  /// `mid.grade` and `mid.grade_gsm8k`.
  package func addGrading() {
    let answer = Parameter("answer", "string", "what the model wrote, an answer alone or a solution")
    let gold = Parameter("gold", "string", "the right answer")
    function(
      "grade",
      """
      Whether an answer equals the gold answer in mathematics: numbers, fractions, percentages, units, LaTeX \
      expressions, equations, inequalities, sets, intervals, matrices, tuples, lists of solutions, choices, words. The \
      answer is taken from a longer text: the last \\boxed{…}, what follows "the final answer is" or "####", else the \
      last formula or number. Rational values are compared exactly; 28% equals both 28 and 0.28.
      """,
      [answer, gold], returns: "boolean",
      example: "mid.grade([[So \\boxed{\\frac{2}{4}}]], \"1/2\")  --> true"
    ) { call in
      try call.return(AnswerGrader.accepts(call[1].string(), gold: call[2].string()))
    }

    function(
      "grade_gsm8k",
      """
      Whether an answer matches the gold answer as text, by lm-evaluation-harness's rules for GSM8K. "strict" takes \
      the number after "#### ", "flexible" the last number.
      """,
      [
        answer, gold,
        .options([
          .choice("extract", AnswerGrader.GSM8KExtraction.flexible, "which number")
        ]),
      ], returns: "boolean",
      example: "mid.grade_gsm8k(\"so 6 * 7 = 42.\", \"#### 42\", { extract = \"flexible\" })"
    ) { call in
      let extraction = try call.options(3)["extract"].choice(AnswerGrader.GSM8KExtraction.self)
      return try call.return(
        AnswerGrader.acceptsGSM8K(call[1].string(), gold: call[2].string(), extraction: extraction))
    }
  }
}
