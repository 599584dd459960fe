// Shapes and parts of tensors; tensors of several.
import Kernels
import Tensor

extension Registry {
  /// `mid.cat` and `mid.stack`.
  func addJoining() {
    let parts = Parameter("tensors", "Tensor[]")
    function(
      "cat", "Tensors one after another along a dimension; their other sizes must agree.",
      [parts, Parameter("dim", "integer", default: .integer(1))], returns: "Tensor",
      example: "u = mid.cat({ t, t }, 2)"
    ) { call in
      try call.joined { tensors in
        let dim = try call[2].dimension(of: tensors[0])
        return try Tensor.concatenated(tensors, dim: dim)
      }
    }
    function(
      "stack", "Tensors of one shape side by side along a new dimension.",
      [parts, Parameter("dim", "integer", default: .integer(1))], returns: "Tensor",
      example: "u = mid.stack { t, t }"
    ) { call in
      try call.joined { tensors in
        let dim = try call[2].dimension(of: tensors[0], extra: 1)
        return try Tensor.stacked(tensors, dim: dim)
      }
    }
  }

  func addViews(to type: LuaType<Tensor>) {
    let dim = Parameter("dim", "integer")
    type.method(
      "slice", "Elements `first` to `last` of a dimension, as `string.sub` counts them.",
      [dim, Parameter("first", "integer"), Parameter("last", "integer", default: .integer(-1))],
      returns: "Tensor", example: "tail = t:slice(1, -2)"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor)
      let range = try Argument.range(call[2].integer(), call[3].integer(), of: tensor, dim)
      return try call.give { try tensor.sliced(dim: dim, range) }
    }
    type.method(
      "reshape", "The same elements in another shape; one size may be -1, to be inferred.",
      [Parameter("...", "integer|integer[]", "sizes")], returns: "Tensor",
      example: "column = t:reshape(-1, 1)"
    ) { tensor, call in
      let shape = try call.sizes(from: 1)
      return try call.give { try tensor.reshaped(shape) }
    }
    type.method(
      "flatten", "Dimensions `first` to `last` merged into one.",
      [
        Parameter("first", "integer", default: .integer(1)),
        Parameter("last", "integer", default: .integer(-1)),
      ],
      returns: "Tensor", example: "v = t:flatten()"
    ) { tensor, call in
      if tensor.rank == 0 { return try call.give { try tensor.reshaped([1]) } }
      let (first, last) = (try call[1].dimension(of: tensor), try call[2].dimension(of: tensor))
      guard first <= last else { throw call[2].mismatch("dimension from the first on") }
      let middle = tensor.shape[first...last].reduce(1, *)
      return try call.give {
        try tensor.reshaped(tensor.shape[..<first] + [middle] + tensor.shape[(last + 1)...])
      }
    }
    type.method(
      "transpose", "Two dimensions exchanged, by default the last two.",
      [
        Parameter("first", "integer", default: .integer(-2)),
        Parameter("second", "integer", default: .integer(-1)),
      ],
      returns: "Tensor", example: "u = t:transpose()"
    ) { tensor, call in
      guard tensor.rank >= 2 || call.count > 0 else { return try call.give { try tensor.transposed() } }
      var order = Array(tensor.shape.indices)
      order.swapAt(try call[1].dimension(of: tensor), try call[2].dimension(of: tensor))
      return try call.give { try tensor.permuted(order) }
    }
    type.method(
      "permute", "The dimensions in another order: which of them becomes the first, the second, ….",
      [Parameter("...", "integer|integer[]", "dimensions")], returns: "Tensor", example: "u = t:permute(2, 1)"
    ) { tensor, call in
      let order = try call.sizes(from: 1).map { $0 < 0 ? $0 + tensor.rank : $0 - 1 }
      guard order.sorted() == Array(tensor.shape.indices) else {
        throw ScriptError("expected each of the \(tensor.rank) dimensions of \(tensor.shape) once")
      }
      return try call.give { try tensor.permuted(order) }
    }
    type.method(
      "squeeze", "Without a dimension that has the size 1, or without all of them.",
      [Parameter("dim", "integer", optional: true)], returns: "Tensor",
      example: "v = t:unsqueeze(1):squeeze(1)"
    ) { tensor, call in
      let dim = try call[1].optional?.dimension(of: tensor)
      let kept = tensor.shape.indices.filter { tensor.shape[$0] != 1 || (dim != nil && dim != $0) }
      return try call.give { try tensor.reshaped(kept.map { tensor.shape[$0] }) }
    }
    type.method(
      "unsqueeze", "With a new dimension of size 1, which has the number `dim`.", [dim], returns: "Tensor",
      example: "column = t:unsqueeze(-1)"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor, extra: 1)
      return try call.give { try tensor.unsqueezed(dim) }
    }
    type.method(
      "expand", "A view in which dimensions of size 1, or missing ones, repeat; -1 keeps a size.",
      [Parameter("...", "integer|integer[]", "sizes")], returns: "Tensor",
      example: "u = mid.ones { 2, 1 }:expand(-1, 3)"
    ) { tensor, call in
      var shape = try call.sizes(from: 1)
      for (i, size) in shape.enumerated() where size == -1 {
        let own = i - (shape.count - tensor.rank)
        guard own >= 0 else { throw ScriptError("a new dimension has no size that -1 could keep") }
        shape[i] = tensor.shape[own]
      }
      return try call.give { [shape] in try tensor.expanded(to: shape) }
    }
    type.method(
      "contiguous", "The same tensor if its elements lie in row-major order, else a copy in which they do.",
      returns: "Tensor", example: "u = t:transpose():contiguous()"
    ) { tensor, call in
      try call.give { tensor.isContiguous ? tensor : tensor.cloned() }
    }
    type.method(
      "clone", "A copy with memory of its own; gradients flow through it.", returns: "Tensor",
      example: "u = t:clone()"
    ) { tensor, call in
      try call.give { tensor.cloned() }
    }
    func triangle(_ name: String, _ doc: String, upper: Bool) {
      let diagonal = Parameter(
        "diagonal", "integer", "how far the border lies above the main diagonal", default: .integer(0))
      type.method(name, doc, [diagonal], returns: "Tensor", example: "u = t:\(name)()") { tensor, call in
        let diagonal = try call[1].integer()
        return try call.give { try tensor.triangle(upper: upper, diagonal: diagonal) }
      }
    }
    triangle("tril", "Matrices with 0 above a diagonal.", upper: false)
    triangle("triu", "Matrices with 0 below a diagonal.", upper: true)
    type.method(
      "diagonal", "The elements of the last two dimensions whose places there are equal.", returns: "Tensor",
      example: "trace = t:diagonal():sum()"
    ) { tensor, call in
      try call.give { try tensor.diagonal(-2, -1) }
    }

    func pieces(
      _ name: String, _ doc: String, _ parameter: Parameter, _ example: String,
      _ sizes: @escaping (_ given: Argument, _ total: Int) throws -> [Int]
    ) {
      type.method(
        name, doc, [parameter, Parameter("dim", "integer", default: .integer(1))], returns: "Tensor[]",
        example: example
      ) { tensor, call in
        let dim = try call[2].dimension(of: tensor)
        let total = tensor.shape[dim]
        let sizes = try sizes(call[1], total)
        guard sizes.allSatisfy({ $0 >= 0 }), sizes.reduce(0, +) == total else {
          throw call[1].error(
            "the sizes \(sizes) do not add up to \(total), dimension \(dim + 1) of \(tensor.shape)")
        }
        let parts = try call.compute {
          var start = 0
          return try sizes.map { size in
            defer { start += size }
            return try tensor.sliced(dim: dim, start..<start + size)
          }
        }
        return try call.return(parts)
      }
    }
    pieces(
      "split",
      "Parts of so many elements along a dimension, the last one perhaps smaller, or of the sizes in a list.",
      Parameter("size", "integer|integer[]"), "first, rest = table.unpack(t:split({ 1, 1 }, 2))"
    ) { given, total in
      if given.isTable { return try given.integers().map(Int.init) }
      let size = try given.integer(min: 1)
      return stride(from: 0, to: total, by: size).map { min(size, total - $0) }
    }
    pieces(
      "chunk", "So many parts along a dimension, as equal as they can be; the first ones are the larger.",
      Parameter("count", "integer"), "query, key = table.unpack(t:chunk(2, -1))"
    ) { given, total in
      let count = try given.integer(min: 1, max: 1 << 20)
      return (0..<count).map { total / count + ($0 < total % count ? 1 : 0) }
    }
    type.method(
      "unbind", "The parts at each place of a dimension, which goes away.",
      [Parameter("dim", "integer", default: .integer(1))], returns: "Tensor[]",
      example: "for _, row in ipairs(t:unbind()) do print(row) end"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor)
      let before = [TensorIndex](repeating: .all, count: dim)
      let parts = try call.compute {
        try (0..<tensor.shape[dim]).map { try tensor.indexed(before + [.place($0)]) }
      }
      return try call.return(parts)
    }
  }

  // MARK: Parts

  func addIndexing(to type: LuaType<Tensor>) {
    type.element = { tensor, call in
      switch try call[2].index(of: tensor) {
      case .mask(let mask): try call.give { try tensor.masked(mask) }
      case .parts(let parts): try call.give { try tensor.indexed(parts) }
      }
    }
    type.setElement = { tensor, call in
      let value = try tensor.inPlace { try call[3].operand().fitting(tensor) }
      let index = try call[2].index(of: tensor)
      try call.compute {
        switch index {
        case .mask(let mask): try tensor.write(value, where: mask)
        case .parts(let parts): try tensor.write(value, at: parts)
        }
      }
    }
    let dim = Parameter("dim", "integer")
    let places = Parameter("places", "integer[]|Tensor", "a list, or a tensor of integers")
    type.method(
      "index_select", "The parts at some places of a dimension, in their order.", [dim, places],
      returns: "Tensor", example: "u = t:index_select(1, { 2, 1, 2 })"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor)
      let places = try call[2].places(size: tensor.shape[dim])
      guard places.shape.count <= 1 else {
        throw call[2].error("expected a list of places, got shape \(places.shape)")
      }
      return try call.give { try tensor.taken(dim: dim, places.places) }
    }
    type.method(
      "gather",
      """
      Elements by their places along a dimension: the result has the shape of `places`, which is that of the tensor \
      except along `dim`. Where `places` leaves that dimension out, so does the result: \
      `logp:gather(-1, tokens)` is one number a row.
      """, [dim, Parameter("places", "table|Tensor", "lists, or a tensor of integers")], returns: "Tensor",
      example: "picked = t:gather(2, { 2, 1 })"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor)
      let (places, shape, isPerRow) = try call[2].gatherPlaces(tensor, dim)
      return try call.give {
        let result = try tensor.gathered(dim: dim, places)
        return try isPerRow ? result.reshaped(shape) : result
      }
    }
    type.method(
      "scatter_add",
      """
      This tensor plus the elements of `source` at the places that `gather` would take them from; those for one place \
      add up.
      """,
      [
        dim, Parameter("places", "table|Tensor", "lists, or a tensor of integers, of the shape of `source`"),
        Parameter("source", "Tensor"),
      ], returns: "Tensor", example: "counts = mid.zeros(3):scatter_add(1, { 1, 3, 3 }, mid.ones(3))"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor)
      let (places, shape, isPerRow) = try call[2].gatherPlaces(tensor, dim)
      let source = try call[3].object(Tensor.self)
      guard source.shape == shape else {
        throw call[3].error("expected a source of the places' shape \(shape), got \(source.shape)")
      }
      return try call.give {
        try tensor.scatterAdded(dim: dim, places, isPerRow ? source.unsqueezed(dim) : source)
      }
    }
    type.method(
      "nonzero",
      "The places of the elements that are not 0 or false, in row-major order, one row of places for each.",
      returns: "Tensor", example: "places = t:gt(1):nonzero()"
    ) { tensor, call in
      let places = tensor.placesOfNonzero()
      return try call.give {
        let result = Tensor(uninitialized: [places.count, tensor.rank])
        for (row, place) in places.enumerated() {
          var rest = Int(place)
          for d in tensor.shape.indices.reversed() {
            result.pointer[row * tensor.rank + d] = Float(rest % tensor.shape[d] + 1)
            rest /= tensor.shape[d]
          }
        }
        return try result.converted(to: .i32)
      }
    }
    type.method(
      "flip", "A dimension in reverse order.", [Parameter("dim", "integer", default: .integer(1))],
      returns: "Tensor", example: "u = t:flip(2)"
    ) { tensor, call in
      let dim = try call[1].dimension(of: tensor)
      return try call.give { try tensor.taken(dim: dim, (0..<Int32(tensor.shape[dim])).reversed()) }
    }
    type.method(
      "one_hot", "For each place, `size` zeros with a one there, as a new last dimension.",
      [Parameter("size", "integer")], returns: "Tensor",
      example: "u = mid.tensor({ 1, 3 }, \"i32\"):one_hot(3)"
    ) { tensor, call in
      let size = try call[1].integer(min: 1, max: Int(DType.integerLimit))
      guard tensor.dtype == .i32 else {
        throw ScriptError("expected places as integers (i32), got \(tensor.dtype.rawValue)")
      }
      return try call.give {
        let counted = try Tensor((1...size).map(Float.init), shape: [size])
        let mask = try tensor.unsqueezed(tensor.rank).equal(to: counted)
        return try mask.converted(to: .f32)
      }
    }
  }
}

extension Call {
  /// Ends the call with what `body` makes of a list of tensors, argument 1; of their places where there are integers beyond 2²⁴.
  fileprivate func joined(_ body: ([Tensor]) throws -> Tensor) throws -> Results {
    if let parts = try integerParts() {
      return try give { () throws -> Integers in try .arranged(parts, body) }
    }
    let tensors = try self[1].tensors()
    guard !tensors.isEmpty else { throw self[1].mismatch("at least one tensor") }
    return try give { () throws -> Tensor in try body(tensors) }
  }
}

extension Argument {
  /// Places for `gather`, the shape of its result, and whether they leave out the dimension that they belong to.
  func gatherPlaces(
    _ tensor: Tensor, _ dim: Int
  ) throws -> (places: [Int32], shape: [Int], isPerRow: Bool) {
    let (places, shape) = try places(size: tensor.shape[dim])
    var others = tensor.shape
    others.remove(at: dim)
    if shape == others { return (places, shape, true) }
    var without = shape
    if shape.count == tensor.rank { without.remove(at: dim) }
    guard shape.count == tensor.rank, without == others else {
      throw error(
        "expected places of shape \(tensor.shape) in all but dimension \(dim + 1), or without it, got \(shape)"
      )
    }
    return (places, shape, false)
  }
}

extension Tensor {
  /// A number that was written without a point goes into a tensor of floats, and one that is whole into integers.
  func fitting(_ target: Tensor) throws -> Tensor {
    rank == 0 && dtype != target.dtype && target.dtype != .bool ? try converted(to: target.dtype) : self
  }
}
