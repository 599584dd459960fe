"""Prefill and decoding with transformers' generate; beside Decode.swift."""
import time

import torch
from common import load, options, report, tokens
from transformers import StoppingCriteria, StoppingCriteriaList

prefix, new = (64, 8) if options.quick else (256, 32)
model = load()


class Clock(StoppingCriteria):
    """Notes when each token is there."""

    def __init__(self):
        self.times = []

    def __call__(self, ids, scores, **_):
        self.times.append(time.perf_counter())
        return torch.zeros(ids.shape[0], dtype=torch.bool)


def generate(ids, count):
    clock, start = Clock(), time.perf_counter()
    with torch.no_grad():
        model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.0, min_new_tokens=count,
            max_new_tokens=count, pad_token_id=0, stopping_criteria=StoppingCriteriaList([clock]))
    return clock.times[0] - start, clock.times[-1] - clock.times[0]


for batch in (1, 8, 32):
    ids = torch.tensor([tokens(prefix, model.config.vocab_size)]).repeat(batch, 1)
    generate(ids[:, :8], 2)
    runs = [generate(ids, new + 1) for _ in range(3 if batch < 32 else 2)]
    first, rest = min(run[0] for run in runs), min(run[1] for run in runs)
    report("transformers", f"prefill, batch {batch}", batch * prefix / first, "tokens/s")
    report("transformers", f"first token, batch {batch}", first, "s")
    report("transformers", f"decode, batch {batch}", batch * new / rest, "tokens/s")
