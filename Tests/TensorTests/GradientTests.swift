// Every operation's gradient: elementary ones against finite differences, fused ones against their definitions.
import Testing

import Tensor

@Suite struct GradientTests {
  @Test(arguments: Op.allCases.filter { !$0.isFused })
  func elementary(op: Op) throws {
    for sample in op.samples { try sample.checkFiniteDifferences() }
  }

  @Test(arguments: Op.allCases.filter(\.isFused))
  func fused(op: Op) throws {
    for sample in op.samples { try sample.checkDefinition() }
  }
}
