"""One step of reinforcement mid-training as a plain script: rollouts at some positions of a document by generate, a
sequence for each, then the dual loss; beside Step.swift."""
import time

import torch
from common import load, options, peak_memory, report, tokens

document, positions, rollouts, new = (128, 2, 4, 8) if options.quick else (384, 4, 8, 64)
model = load()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
ids = torch.tensor([tokens(document, model.config.vocab_size)])
laps = {}
start = time.perf_counter()


def lap(name):
    global start
    laps[name] = time.perf_counter() - start
    start = time.perf_counter()


with torch.no_grad():
    entropy = torch.distributions.Categorical(logits=model(ids).logits[0]).entropy()
lap("entropy")

groups = []
places = torch.linspace(document // 2, document - 1, positions).long().tolist()
for place in places:
    prompt = ids[:, :place].repeat(rollouts, 1)
    with torch.no_grad():
        groups.append(model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=True, temperature=0.8, top_k=0, top_p=1.0,
            min_new_tokens=new, max_new_tokens=new, pad_token_id=0))
lap("rollouts")

for group, place in zip(groups, places):
    logits = model(group).logits[:, place - 1:-1]
    logprobs = torch.log_softmax(logits.float(), -1).gather(-1, group[:, place:, None])[..., 0]
    (-(torch.randn(rollouts, 1) * logprobs).mean() / positions).backward()
(model(ids, labels=ids).loss * 0.1).backward()
lap("forward and backward")

torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
optimizer.step()
optimizer.zero_grad()
lap("optimiser")

laps["total"] = sum(laps.values())
for name, seconds in laps.items():
    report("PyTorch", f"first step: {name}", seconds, "s")
report("PyTorch", "peak memory of the step", peak_memory(), "GB")
