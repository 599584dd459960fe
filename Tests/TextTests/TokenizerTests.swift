import Foundation
import TestSupport
import Testing

import Text

/// Tokenizers made by hand: pre-tokenizers, normalizers, added tokens, merges, decoding, errors.
@Suite struct TokenizerTests {
  private static let fallbackDecoder: JSON = [
    "type": "Sequence",
    "decoders": [
      ["type": "Replace", "pattern": ["String": "▁"], "content": " "], ["type": "ByteFallback"],
      ["type": "Fuse"],
      ["type": "Strip", "content": " ", "start": 1, "stop": 0],
    ],
  ]

  /// A byte-level vocabulary of the 256 bytes and these merges.
  private func byteLevel(
    _ merges: [(String, String)] = [], added: [JSON] = [], normalizer: JSON = nil, preTokenizer: JSON? = nil,
    ignoresMerges: Bool = false
  ) throws -> Tokenizer {
    var vocabulary = JSON.Object()
    var next: UInt32 = 0x100
    for byte in UInt32(0)..<256 {
      let isItself = 0x21...0x7E ~= byte || 0xA1...0xAC ~= byte || byte >= 0xAE
      vocabulary.append(String(Character(Unicode.Scalar(isItself ? byte : next)!)), .int(Int64(byte)))
      if !isItself { next += 1 }
    }
    for (left, right) in merges { vocabulary.append(left + right, .int(Int64(vocabulary.count))) }
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "use_regex": true]
    let json: JSON = [
      "added_tokens": .array(added), "normalizer": normalizer, "pre_tokenizer": preTokenizer ?? byteLevel,
      "decoder": ["type": "ByteLevel"],
      "model": [
        "type": "BPE", "vocab": .object(vocabulary), "ignore_merges": .bool(ignoresMerges),
        "merges": .array(merges.map { [.string($0.0), .string($0.1)] }),
      ],
    ]
    return try Tokenizer(tokenizerJSON: json.serialised())
  }

  private func added(_ id: Int64, _ content: String, _ flags: [String] = []) -> JSON {
    var token = JSON.Object([("id", .int(id)), ("content", .string(content)), ("special", true)])
    for flag in flags { token.append(flag, true) }
    return .object(token)
  }

  private func strings(_ words: [[UInt8]]) -> [String] { words.map { String(decoding: $0, as: UTF8.self) } }

  /// Words against those of the tokenizers library, for each kind of pre-tokenizer.
  @Test func preTokenizers() throws {
    let golden = try JSON(parsing: golden("text/pretokenizers.json"))
    let texts = try #require(golden["texts"]?.array).compactMap(\.string)
    let cases = try #require(golden["cases"]?.object)
    #expect(cases.count == 19)
    for (name, one) in cases {
      let tokenizer = try byteLevel(preTokenizer: one["pre_tokenizer"])
      for (text, words) in zip(texts, try #require(one["words"]?.array)) {
        let expected = try #require(words.array).compactMap(\.string).map { Array($0.utf8) }
        let found = tokenizer.words(text)
        #expect(
          found == expected,
          "\(name): \(text.debugDescription) gave \(strings(found)), not \(strings(expected))")
      }
    }
  }

  @Test(
    arguments: [
      (["type": "NFC"], "e\u{301}a", "\u{e9}a"), (["type": "NFD"], "\u{e9}", "e\u{301}"),
      (["type": "NFKC"], "ﬁ²", "fi2"),
      (["type": "Lowercase"], "ÀB ǅ", "àb ǆ"),
      (["type": "Strip", "strip_left": true, "strip_right": true], " \n a b \u{a0}", "a b"),
      (["type": "Prepend", "prepend": "▁"], "a", "▁a"), (["type": "Prepend", "prepend": "▁"], "", ""),
      (["type": "Replace", "pattern": ["String": "ab"], "content": "x"], "abaab", "xax"),
      (["type": "Replace", "pattern": ["Regex": "\\s+"], "content": "_"], "a \n\u{85}b c", "a_b_c"),
      (
        ["type": "Sequence", "normalizers": [["type": "Lowercase"], ["type": "Prepend", "prepend": "B"]]],
        "A", "Ba"
      ),
    ] as [(JSON, String, String)])
  func normalizers(_ normalizer: JSON, _ text: String, _ expected: String) throws {
    let tokenizer = try byteLevel(
      normalizer: normalizer,
      preTokenizer: ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false])
    #expect(tokenizer.words(text) == (expected.isEmpty ? [] : [Array(expected.utf8)]))
  }

  @Test func mergesGoByRankThenFromTheLeft() throws {
    let tokenizer = try byteLevel([("b", "c"), ("a", "b"), ("a", "a"), ("aa", "a"), ("ab", "bc")])
    func pieces(_ text: String) throws -> [String] {
      try tokenizer.encode(text).map { try String(decoding: tokenizer.token($0), as: UTF8.self) }
    }
    #expect(try pieces("abc") == ["a", "bc"])
    #expect(try pieces("abbc") == ["abbc"])
    #expect(try pieces("aaaaa") == ["aa", "aaa"])
    #expect(try pieces("") == [])
    // A word longer than any buffer so far, and then a short one again.
    #expect(try tokenizer.encode(String(repeating: "a", count: 10_001)).count == 5000)
    #expect(try pieces("ab") == ["ab"])
  }

  @Test func wholeWordsGoBeforeMerges() throws {
    let files = try byteLevel([("a", "b"), ("c", "d"), ("b", "c")], ignoresMerges: true).huggingFaceFiles()
    var json = try #require(JSON(parsing: files[0].bytes).object)
    var model = try #require(json["model"]?.object)
    var vocabulary = try #require(model["vocab"]?.object)
    vocabulary.append("abcd", 300)
    model["vocab"] = .object(vocabulary)
    json["model"] = .object(model)
    let tokenizer = try Tokenizer(tokenizerJSON: JSON.object(json).serialised())
    #expect(try tokenizer.encode("abcd") == [300])
    #expect(try tokenizer.encode("abcde").count == 3)
  }

  @Test func addedTokens() throws {
    let tokenizer = try byteLevel(
      added: [
        added(300, "<a>"), added(301, "<a><b>"), added(302, "<l>", ["lstrip"]), added(303, "<r>", ["rstrip"]),
        added(304, "word", ["single_word"]), added(305, "norm", ["normalized"]), added(306, "é"),
      ], normalizer: ["type": "Lowercase"])
    #expect(try tokenizer.encode("<a>x<a><b>") == [300, 0x78, 301])
    #expect(try tokenizer.encode("x \n<l> y") == [0x78, 302, 0x20, 0x79])
    #expect(try tokenizer.encode("x <r> \ny") == [0x78, 0x20, 303, 0x79])
    #expect(try tokenizer.encode("word") == [304])
    #expect(try tokenizer.encode("words sword _word word.").filter { $0 > 255 } == [304])
    #expect(try tokenizer.encode("NORM") == [305])
    #expect(try tokenizer.encode("<A>").count == 3)
    #expect(try tokenizer.decode([306, 300]) == Array("é<a>".utf8))
    #expect(tokenizer.specialIDs == [300, 301, 302, 303, 304, 305, 306])
    #expect(tokenizer.id(of: "<a>".utf8) == 300 && tokenizer.id(of: "é".utf8) == 306)
    #expect(
      tokenizer.id(of: " ".utf8) == 0x20 && tokenizer.id(of: "ab".utf8) == nil && tokenizer.id(of: []) == nil)
    #expect(tokenizer.vocabularySize == 307)
    #expect(try tokenizer.token(280) == [] && tokenizer.token(99_999) == [])
    #expect(throws: TextError("token id -1 is negative; ids are 0 to 306")) { try tokenizer.decode([-1]) }
  }

  @Test func textThatIsNotUTF8() throws {
    let tokenizer = try byteLevel()
    let cases: [([UInt8], Int)] = [
      ([0x61, 0xFF], 1), ([0xC3], 0), ([0x61, 0x62, 0xE2, 0x82], 2), ([0xC0, 0x80], 0),
      ([0xED, 0xA0, 0x80], 0),
      ([0xF4, 0x90, 0x80, 0x80], 0), ([0xE2, 0x82, 0x28], 0), ([0x80], 0), ([0xF0, 0x9F, 0x99, 0x41], 0),
    ]
    for (bytes, offset) in cases {
      let byte = String(bytes[offset], radix: 16, uppercase: true)
      #expect(throws: TextError("the text to encode is not UTF-8: byte 0x\(byte) at offset \(offset)")) {
        try tokenizer.encode(bytes)
      }
    }
  }

  /// Whatever goes in comes out, and streams give the same text in whole characters.
  @Test func roundTripAndStreams() throws {
    let merges = [("Ã", "©"), ("Ġ", "a"), ("e", "r"), ("ð", "Ł"), ("ðŁ", "Ļ")]
    let tokenizers = try [
      byteLevel(merges), byteLevel(merges, added: [added(400, "<|x|>"), added(401, "é")]),
      byteLevel(
        merges,
        preTokenizer: [
          "type": "Sequence",
          "pretokenizers": [
            ["type": "Digits", "individual_digits": true], ["type": "ByteLevel", "add_prefix_space": false],
          ],
        ]),
    ]
    var random = Random(4)
    for _ in 0..<400 {
      let text = randomText(&random) + ["", "é", "<|x|>", "🙂", " er"].randomElement(using: &random)!
      for tokenizer in tokenizers {
        let ids = try tokenizer.encode(text)
        #expect(try tokenizer.decode(ids) == Array(text.utf8), "\(text.debugDescription)")
        var stream = StreamDecoder(tokenizer)
        var streamed: [UInt8] = []
        for id in ids {
          let piece = try stream.append(id)
          #expect(String(validating: piece, as: UTF8.self) != nil)
          streamed += piece
        }
        #expect(stream.finish() == [])
        #expect(streamed == Array(text.utf8))
      }
    }
  }

  @Test func streamsOfDamagedText() throws {
    let tokenizer = try byteLevel()
    var stream = StreamDecoder(tokenizer)
    #expect(try stream.append(0xF0) == [])
    #expect(try stream.append(0x9F) == [])
    #expect(try stream.append(0x61) == [0xF0, 0x9F, 0x61])
    #expect(try stream.append(0x80) == [0x80])
    #expect(try stream.append(0xFF) == [0xFF])
    #expect(try stream.append(0xE2) == [])
    #expect(stream.finish() == [0xE2])
    #expect(stream.finish() == [])
  }

  @Test func sentencePieceVocabulary() throws {
    var tokens: [String] = ["<unk>", "<s>", "</s>"]
    tokens += (0..<256).map {
      "<0x" + (String($0, radix: 16).count < 2 ? "0" : "") + String($0, radix: 16).uppercased() + ">"
    }
    let words = ["▁", "a", "b", "c", "▁a", "ab", "bc", "▁ab", "abc"]
    let scores: [Float] = [-10, -11, -12, -13, -2, -1, -3, -4, -5]
    var vocabulary = GGUFVocabulary(model: "llama", tokens: (tokens + words).map { Array($0.utf8) })
    vocabulary.types =
      [2, 3, 3] + [Int32](repeating: 6, count: 256) + [Int32](repeating: 1, count: words.count)
    vocabulary.scores = [Float](repeating: 0, count: 259) + scores
    (vocabulary.bosID, vocabulary.eosID, vocabulary.addsBOS) = (1, 2, true)
    let tokenizer = try Tokenizer(vocabulary)
    func pieces(_ text: String) throws -> [String] {
      try tokenizer.encode(text).map {
        tokens.indices.contains(Int($0)) ? tokens[Int($0)] : words[Int($0) - 259]
      }
    }
    #expect(tokenizer.addsBOS && tokenizer.bosID == 1 && tokenizer.unkID == 0)
    #expect(try pieces("abc") == ["▁ab", "c"])
    #expect(try pieces("bc ab") == ["▁", "bc", "▁ab"])
    #expect(try pieces("é</s>a") == ["▁", "<0xC3>", "<0xA9>", "</s>", "▁a"])
    for text in ["abc", "é🙂\n", " a  b ", "a</s>b"] {
      // As in transformers, the stretch after a special token begins with a space of its own.
      let spaced = text.replacing("</s>", with: "</s> ")
      let ids = try tokenizer.encode(text)
      #expect(try tokenizer.decode(ids) == Array(spaced.utf8))
      #expect(
        try tokenizer.decode(ids, continuing: true)
          == Array((" " + spaced).utf8))
      var stream = StreamDecoder(tokenizer)
      #expect(try ids.flatMap { try stream.append($0) } + stream.finish() == Array(spaced.utf8))
    }
  }

  @Test func unsupportedIsSaid() {
    func failure(_ json: JSON) -> String {
      do {
        _ = try Tokenizer(tokenizerJSON: json.serialised())
        return "no error"
      } catch {
        return "\(error)"
      }
    }
    let bpe: JSON = ["type": "BPE", "vocab": ["a": 0, "b": 1], "merges": []]
    let decoder: JSON = ["type": "ByteLevel"]
    #expect(failure([]) == "tokenizer.json: expected an object, found an array")
    #expect(failure(["model": bpe]).contains("has no decoder"))
    #expect(
      failure(["model": ["type": "WordPiece", "vocab": [:]], "decoder": decoder]).contains(
        "only BPE and Unigram are supported"))
    #expect(
      failure(["model": ["type": "Unigram", "vocab": [:]], "decoder": decoder]).contains(
        "model.vocab must be a list"))
    #expect(failure(["model": bpe, "decoder": ["type": "CTC"]]).contains("decoder 'CTC' is not known"))
    #expect(
      failure(["model": bpe, "decoder": decoder, "normalizer": ["type": "Nmt"]]).contains("normalizer 'Nmt'"))
    #expect(
      failure(["model": bpe, "decoder": decoder, "pre_tokenizer": ["type": "X"]]).contains(
        "pre-tokenizer 'X'"))
    #expect(
      failure(["model": ["type": "BPE", "vocab": ["a": 0, "b": 1], "merges": ["a b"]], "decoder": decoder])
        == "tokenizer.json: model.merges[0] joins 'a' and 'b', but not all are in the vocabulary"
    )
    #expect(
      failure(["model": ["type": "BPE", "vocab": ["a": -1], "merges": []], "decoder": decoder]).contains(
        "'a'"))
    #expect(
      failure(["model": ["type": "BPE", "vocab": ["a": 99_999_999], "merges": []], "decoder": decoder])
        .contains("'a'"))
    #expect(
      failure(["model": bpe, "decoder": decoder, "added_tokens": [added(1 << 30, "x")]]).contains(
        "added_tokens"))
    var vocabulary = GGUFVocabulary(model: "gpt2", pre: "nosuch", tokens: [])
    #expect(throws: TextError.self) { try Tokenizer(vocabulary) }
    vocabulary.model = "t5"
    #expect(throws: TextError.self) { try Tokenizer(vocabulary) }
    #expect(throws: TextError.self) { try Tokenizer(path: "/nonexistent") }
    #expect(throws: TextError.self) { try Tokenizer(path: "/tmp") }
  }

  /// Damaged files are read or refused, and what is read works.
  @Test func damage() throws {
    let seed = try byteLevel(
      [("a", "b"), ("ab", "c")], added: [added(300, "<a>", ["rstrip"])], normalizer: ["type": "NFC"]
    ).huggingFaceFiles()[0].bytes
    var random = Random(5)
    var refused = 0
    for _ in 0..<1500 {
      do {
        let tokenizer = try Tokenizer(tokenizerJSON: damaged(seed, &random))
        _ = try tokenizer.decode(tokenizer.encode("abc <a> é1"))
      } catch {
        #expect(error is TextError)
        refused += 1
      }
    }
    #expect(refused > 500)
  }
}
