// The answer grader against answers that were graded by others.
import Foundation
import TestSupport
import Testing

import Text

@Suite struct GradingGoldenTests {
  /// Math-Verify's tests, by hand. One row of 123 is marked right although it is not: 1 + 1/e for 1 - 1/e.
  @Test func gradedAnswers() throws {
    var (right, falsePositives, falseNegatives) = (0, [String](), [String]())
    let rows = JSONLines(path: Places.golden("graded_answers.jsonl").path)
    _ = try rows.forEachRow { line, row in
      let gold = try #require(row["gold"]?.string)
      let answer = try #require(row["answer"]?.string)
      let isAccepted = AnswerGrader.accepts(answer, gold: gold)
      let description = "line \(line): \(gold.suffix(60)) / \(answer.suffix(60))"
      if isAccepted == (row["correct"] == .bool(true)) {
        right += 1
      } else if isAccepted {
        falsePositives.append(description)
      } else {
        falseNegatives.append(description)
      }
      return true
    }
    let count = right + falsePositives.count + falseNegatives.count
    print("graded answers: \(right) of \(count) decided right")
    for row in falsePositives { print("  wrongly accepted: \(row)") }
    for row in falseNegatives { print("  wrongly rejected: \(row)") }
    #expect(count == 123)
    #expect(falsePositives.isEmpty)
    #expect(Double(right) >= 0.99 * Double(count))
  }
}
