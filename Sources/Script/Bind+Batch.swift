// Batches: forests of segments that a script builds up.
import Model
import Tensor

/// A forest that a script builds up.
package final class Batch: LuaObject {
  package var forest = Forest()
}

extension Registry {
  /// The type `Batch`.
  func addBatchType() {
    type(Batch.self, "Batch") { type in
      type.describe = { "Batch  \($0.forest.count) tokens in \($0.forest.segments.count) segments" }
      type.method(
        "segment", "Adds tokens, after those of another segment if a parent is given.",
        [
          Parameter("ids", "integer[]"),
          .options([
            Parameter("parent", "integer", "number of the segment before", optional: true),
            Parameter(
              "offset", "integer", "how many of the parent's tokens come before; all by default",
              optional: true),
            Parameter(
              "temperature", "number", "divides the logits that predict these tokens", default: .number(1)),
            Parameter(
              "score", "boolean", "whether these tokens get log-probabilities", default: .boolean(true)),
          ]),
        ], returns: "integer", example: "s = batch:segment({ 1, 2, 3 }, { parent = trunk, offset = 10 })"
      ) { batch, call in
        let options = try call.options(2)
        let number = try batch.forest.add(
          call[1].integers(), parent: options["parent"].optional?.integer(min: 1).advanced(by: -1),
          offset: options["offset"].optional?.integer(min: 0),
          temperature: Float(options["temperature"].number(above: 0)), isScored: options["score"].boolean())
        return try call.return(number + 1)
      }
      type.method(
        "range", "The first and last place of a segment in packed order, counted from 1.",
        [Parameter("segment", "integer")], returns: "integer, integer",
        example: "first, last = batch:range(s)"
      ) { batch, call in
        let rows = try batch.rows(call[1].integer(min: 1), call[1])
        return try call.return(rows.lowerBound + 1, rows.upperBound)
      }
      type.method(
        "spread",
        """
        A tensor with one number per token: for each segment a value for all its tokens or a list with one for each; \
        0 for segments that are not named.
        """,
        [Parameter("values", "table<integer, number|number[]>")], returns: "Tensor",
        example: "weights = batch:spread { [s] = 0.5 }"
      ) { batch, call in
        let result = Tensor(repeating: 0, shape: [batch.forest.count])
        for (key, value) in try call[1].pairs() {
          let rows = try batch.rows(key.integer(min: 1), key)
          if value.isTable {
            let values = try value.floats()
            guard values.count == rows.count else {
              throw value.error(
                "expected \(rows.count) numbers, one per token of the segment, got \(values.count)")
            }
            values.withUnsafeBufferPointer {
              (result.pointer + rows.lowerBound).update(from: $0.baseAddress!, count: rows.count)
            }
          } else {
            (result.pointer + rows.lowerBound).update(repeating: Float(try value.number()), count: rows.count)
          }
        }
        return try call.return(result)
      }
      type.method(
        "tolist", "The segments as tables: `ids`, `parent`, `offset`, `temperature`, `score`.",
        returns: "table[]",
        example: "for _, segment in ipairs(batch:tolist()) do print(#segment.ids, segment.parent) end"
      ) { batch, call in
        let tokens = batch.forest.tokens
        return try call.return(
          batch.forest.segments.map { segment -> Table in
            let parent = segment.parent.map { $0 + 1 }
            return [
              "ids": Array(tokens[segment.rows]), "parent": parent,
              "offset": parent.map { _ in segment.offset },
              "temperature": Double(segment.temperature), "score": segment.isScored,
            ]
          })
      }
      type.metamethod(.len) { call in try call.return(call[1].object(Batch.self).forest.count) }
    }
  }
}

extension Batch {
  fileprivate func rows(_ segment: Int, _ argument: Argument) throws -> Range<Int> {
    guard forest.segments.indices.contains(segment - 1) else {
      throw argument.error("there is no segment \(segment); the batch has \(forest.segments.count)")
    }
    return forest.segments[segment - 1].rows
  }
}
