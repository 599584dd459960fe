#!/usr/bin/env python3
"""Goldens for unigram tokenizers, made with Hugging Face's tokenizers and SentencePiece (pip install tokenizers
sentencepiece transformers protobuf tiktoken):

    Tests/Goldens/make_unigram.py TEXT     writes text/unigram-*.json from a model trained on the file TEXT

text/unigram-NAME.json          a tokenizer.json
text/unigram-NAME-cases.json    texts, their ids (no special tokens added) and what the ids are decoded to
"""
import json
import os
import sys
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = ["", " ", "Hello, world!", "  two  spaces ", "a\nb\r\n\tc", "naïve café Zürich", "ﬁne ½ ① Ａ Ｂ", "日本語のテキスト",
         "🙂 and 👩‍👩‍👧", "the the the", "x" * 60, "12345.678", "don't won't", "É E\u0301 e\u0301x", "\u0000zero", "<unk> </s>",
         "▁marks▁here", "ﷺ", "\u200bzero width\ufeff", "…and so — on", "Whether 'tis nobler in the mind to suffer",
         "A" * 7 + "é" * 5, "가나다 한국어", "ǆ ŉ ſ", "\u0915\u094d\u0937\u093f", "end\u2028line"]


def write(name, tokenizer):
    tokenizer.save(f"{HERE}/text/unigram-{name}.json", pretty=False)
    cases = []
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        cases.append({"text": text, "ids": ids, "decoded": tokenizer.decode(ids, skip_special_tokens=False)})
    with open(f"{HERE}/text/unigram-{name}-cases.json", "w") as file:
        json.dump(cases, file, ensure_ascii=True, indent=0)


with tempfile.TemporaryDirectory() as folder:
    for name, fallback in (("plain", False), ("bytes", True)):
        sentencepiece.SentencePieceTrainer.train(
            input=sys.argv[1], model_prefix=f"{folder}/m", vocab_size=700, model_type="unigram", byte_fallback=fallback,
            character_coverage=0.999, num_threads=1, minloglevel=2)
        proto = sentencepiece_model_pb2.ModelProto()
        with open(f"{folder}/m.model", "rb") as file:
            proto.ParseFromString(file.read())
        pieces = [(piece.piece, piece.score) for piece in proto.pieces]
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=proto.trainer_spec.unk_id, byte_fallback=fallback))
        # As transformers converts T5 and XLM-RoBERTa.
        tokenizer.normalizer = normalizers.Sequence([
            normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap), normalizers.Replace(Regex(" {2,}"), "▁")])
        if fallback:
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace("▁", "always")
            tokenizer.decoder = decoders.Sequence(
                [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
                [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace("▁", "always")])
            tokenizer.decoder = decoders.Metaspace("▁", "always")
        write(name, tokenizer)
