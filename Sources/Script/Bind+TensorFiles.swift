// Tensors in files, and matrices packed in memory.
import Kernels
import Model
import Tensor

extension Weight: LuaObject {
  package var nativeBytes: Int { byteCount }
}

extension Argument {
  /// A tensor as it is, or one that is kept.
  fileprivate func entry() throws -> TensorFile.Entry {
    if let stored = try ifObject(StoredTensor.self) { return .stored(stored) }
    return .tensor(try object(Tensor.self))
  }
}

extension Registry {
  /// `mid.save_tensors` and `mid.load_tensors`.
  func addTensorFiles() {
    longFunction(
      "save_tensors",
      """
      Writes tensors by name as a safetensors file, f32 as F32 or BF16, others as what they are; the file is there \
      completely or not at all.
      """,
      [
        Parameter("path", "string"), Parameter("tensors", "table<string, Tensor>"),
        .options([Parameter("dtype", "string", "how f32 is written: f32 or bf16", default: .string("f32"))]),
      ], example: "mid.save_tensors(scratch .. \"/state.safetensors\", { w = t, step = mid.tensor(3) })"
    ) { call in
      let path = try call[1].string()
      if path.hasSuffix(".npy") {
        throw call[1].error(
          "expected another name: this writes safetensors; t:save writes .npy files of one tensor")
      }
      let tensors = try call[2].pairs().map { (name: try $0.key.string(), tensor: try $0.value.entry()) }
      let floats: ElementType = try call.options(3)["dtype"].word(["f32", "bf16"]) == "f32" ? .f32 : .bf16
      return {
        try TensorFile.write(tensors.sorted { $0.name < $1.name }, floats: floats, to: path)
        return { _ in .none }
      }
    }
    longFunction(
      "load_tensors",
      """
      The tensors of a safetensors file by name, or the one of a .npy file: floats as f32, integers of 64 bits as i64, \
      shorter ones as i32 if that holds them. With `keep_dtype` BF16 stays what it is.
      """,
      [
        Parameter("path", "string"),
        .options([Parameter("keep_dtype", "boolean", default: .boolean(false))]),
      ],
      returns: "table<string, Tensor|StoredTensor>|Tensor|StoredTensor",
      example:
        "mid.save_tensors(scratch .. \"/a.safetensors\", { w = t }); w = mid.load_tensors(scratch .. \"/a.safetensors\").w"
    ) { call in
      let path = try call[1].string()
      let keepsTypes = try call.options(2)["keep_dtype"].boolean()
      return {
        if path.hasSuffix(".npy") {
          let tensor = try TensorFile.readNumPy(path, keepsTypes: keepsTypes)
          return { try $0.return(tensor) }
        }
        let tensors = try TensorFile.read(path, keepsTypes: keepsTypes)
        return { try $0.return(Table(tensors.map { (name: $0.name, value: $0.tensor as any LuaPushable) })) }
      }
    }
  }

  /// The method `save`.
  func addSaving<Object>(to type: LuaType<Object>, _ entry: @escaping (Object) -> TensorFile.Entry) {
    type.longMethod(
      "save", "Writes a .npy file, which NumPy and mid.load_tensors read.", [Parameter("path", "string")],
      example: "mid.arange(3):save(scratch .. \"/t.npy\")"
    ) { object, call in
      let path = try call[1].string()
      guard path.hasSuffix(".npy") else {
        throw call[1].error("expected a name that ends in .npy; mid.save_tensors writes safetensors")
      }
      return {
        try TensorFile.writeNumPy(entry(object), to: path)
        return { _ in .none }
      }
    }
  }

  func addTensorFiles(to type: LuaType<Tensor>) {
    addSaving(to: type) { .tensor($0) }
    type.method(
      "pack",
      """
      A matrix as it is stored to save memory: bf16 takes half, int8 (blocks of 32 with a scale) about a quarter. \
      Frozen; `linear` reads it as it is.
      """, [Parameter("dtype", "string", "bf16 or int8")], returns: "Packed",
      example: "w = mid.ones({ 4, 32 }):pack \"bf16\""
    ) { tensor, call in
      let word = try call[1].word(["bf16", "int8"])
      guard tensor.rank == 2 else { throw ScriptError("expected a matrix, got shape \(tensor.shape)") }
      return try call.return(call.compute { try Weight(tensor).copy(as: word == "bf16" ? .bf16 : .q8_0) })
    }
  }

  /// The type `Packed`.
  func addPacked() {
    type(Weight.self, "Packed") { type in
      type.describe = { "Packed \($0.shape) in \($0.format.name), \($0.byteCount) bytes" }
      type.property("shape", "integer[]", "Rows and columns.") { try $1.return($0.shape) }
      type.property("bytes", "integer", "Memory that it takes.") { try $1.return($0.byteCount) }
      type.method(
        "unpack", "The values as a tensor of 32-bit floats.", returns: "Tensor",
        example: "w = mid.ones({ 4, 32 }):pack(\"bf16\"):unpack()"
      ) { weight, call in
        try call.return(call.compute { weight.expanded() })
      }
    }
  }
}
