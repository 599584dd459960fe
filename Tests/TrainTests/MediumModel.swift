// The model of medium size that tests of memory and threads train.
import Foundation
import Model
import Tensor
import TestSupport

extension RandomModel {
  func model() throws -> CausalLM {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
      "midtrain-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try config.write(to: folder.appendingPathComponent("config.json"))
    let config = try ModelConfig(folder: folder.path)
    var tensors: [String: Tensor] = [:]
    for info in config.weights {
      let count = info.shape.reduce(1, *)
      tensors[info.name] = try Tensor(
        values(info.name, count: count, inputs: info.shape.last!), shape: info.shape)
    }
    return try CausalLM(config: config, tensors: tensors)
  }

  /// A trunk with branches, of so many rows in all.
  func forest(rows: Int) throws -> Forest {
    var forest = Forest()
    var random = Random(5)
    func ids(_ count: Int) -> [Int32] {
      (0..<count).map { _ in .random(in: 0..<Int32(vocabulary), using: &random) }
    }
    let trunk = try forest.add(ids(rows / 5))
    while forest.count < rows {
      let offset = Int.random(in: 1...rows / 5, using: &random)
      try forest.add(ids(min(64, rows - forest.count)), parent: trunk, offset: offset)
    }
    return forest
  }
}

extension CausalLM.TrainingOptions {
  init(_ checkpointing: Checkpointing, maxRows: Int? = nil) {
    self.init()
    (self.checkpointing, self.maxRows) = (checkpointing, maxRows)
  }
}
