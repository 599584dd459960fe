"""Causal attention of one layer in PyTorch, 9 query heads and 3 key heads of 64; beside AttentionBenchmark.swift."""
import time

import torch
import torch.nn.functional as F
from common import options, report

torch.set_num_threads(options.threads)
rows = 2048


def random(heads):
    return (torch.rand(1, heads, rows, 64) * 2 - 1).requires_grad_()


q, k, v = random(9), random(3), random(3)
forward = backward = float("inf")
for _ in range(15):
    for tensor in (q, k, v):
        tensor.grad = None
    start = time.perf_counter()
    result = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    forward = min(forward, time.perf_counter() - start)
    total = (result * result).sum()
    start = time.perf_counter()
    total.backward()
    backward = min(backward, time.perf_counter() - start)
report("PyTorch", f"chain of {rows}, {rows} rows: forward", 1e3 * forward, "ms")
report("PyTorch", f"chain of {rows}, {rows} rows: backward", 1e3 * backward, "ms")
