"""Prefill and decoding with llama.cpp, the prefix shared by all sequences; beside Decode.swift.

Its decoding does not sample, ours does.
"""
import time

import llama_cpp as llama
from common import options, report, tokens

prefix, new = (64, 8) if options.quick else (256, 32)
# Nothing but figures on the standard output, and no pages of loading messages on the other one.
quiet = llama.llama_log_callback(lambda level, text, data: None)
llama.llama_log_set(quiet, None)
llama.llama_backend_init()
model = llama.llama_model_load_from_file(options.model.encode(), llama.llama_model_default_params())
assert model, f"llama.cpp cannot load {options.model}"
vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))


def run(batch_size):
    parameters = llama.llama_context_default_params()
    parameters.n_ctx = prefix + (new + 1) * batch_size + 64
    parameters.n_batch = 512
    parameters.n_threads = parameters.n_threads_batch = options.threads
    parameters.n_seq_max = batch_size
    parameters.kv_unified = True
    context = llama.llama_init_from_model(model, parameters)
    batch = llama.llama_batch_init(512, 0, batch_size)

    def decode(rows):
        batch.n_tokens = len(rows)
        for i, (token, position, sequences, wants_logits) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, len(sequences)
            for j, sequence in enumerate(sequences):
                batch.seq_id[i][j] = sequence
            batch.logits[i] = wants_logits
        assert llama.llama_decode(context, batch) == 0
        llama.llama_synchronize(context)

    everyone = list(range(batch_size))
    ids = tokens(prefix, vocabulary)
    start = time.perf_counter()
    decode([(token, i, everyone, i == prefix - 1) for i, token in enumerate(ids)])
    first = time.perf_counter() - start
    start = time.perf_counter()
    for k in range(new):
        decode([((2000 + 7 * s + k) % vocabulary, prefix + k, [s], True) for s in everyone])
    rest = time.perf_counter() - start
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    return first, rest


for batch_size in (1, 8, 32):
    runs = [run(batch_size) for _ in range(3 if batch_size < 32 else 2)]
    first, rest = min(r[0] for r in runs), min(r[1] for r in runs)
    report("llama.cpp", f"same file, prefill, batch {batch_size}", batch_size * prefix / first, "tokens/s")
    report("llama.cpp", f"same file, first token, batch {batch_size}", first, "s")
    report("llama.cpp", f"same file, decode, batch {batch_size}", batch_size * new / rest, "tokens/s")
