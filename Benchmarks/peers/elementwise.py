"""Elementwise operations, normalisation and softmax in PyTorch; beside Elementwise.swift."""
import torch
import torch.nn.functional as F
from common import best, options, report

torch.set_num_threads(options.threads)


def measure(name, count, operation):
    repeats = max(1, 4_000_000 // count)

    def run():
        for _ in range(repeats):
            operation()

    report("PyTorch", name, count * repeats / best(7, run) / 1e9, "Gelem/s")


with torch.no_grad():
    for size, rows, columns in (("2432×1536", 2432, 1536), ("64×1024", 64, 1024)):
        a, b, weight = torch.rand(rows, columns) * 2 - 1, torch.rand(rows, columns) * 2 - 1, torch.rand(columns)
        for name, operation in (
            ("add", lambda: a + b),
            ("multiply", lambda: a * b),
            ("exp", lambda: a.exp()),
            ("silu", lambda: F.silu(a)),
            ("gelu", lambda: F.gelu(a, approximate="tanh")),
            ("silu(a)·b", lambda: F.silu(a) * b),
            ("sum", lambda: a.sum()),
            ("rms norm", lambda: F.rms_norm(a, (columns,), weight, 1e-5)),
            ("softmax", lambda: a.softmax(1)),
        ):
            measure(f"{name}, {size}", rows * columns, operation)
    logits = torch.rand(128, 49152) * 2 - 1
    measure("log softmax, 128×49152", logits.numel(), lambda: logits.log_softmax(1))
