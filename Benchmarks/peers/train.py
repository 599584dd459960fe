"""Forward and backward pass in PyTorch; beside Train.swift."""
import torch
from common import best, load, options, peak_memory, report, tokens

sequences, length = (1, 128) if options.quick else (4, 512)
model = load()
ids = torch.tensor([tokens(length, model.config.vocab_size, salt) for salt in range(sequences)])


def run():
    model.zero_grad()
    model(ids, labels=ids).loss.backward()


name = f"forward and backward, {sequences}×{length}"
report("PyTorch", name, sequences * length / best(1 if options.quick else 3, run), "rows/s")
report("PyTorch", "peak memory of training", peak_memory(), "GB")
