#!/usr/bin/env python3
"""Goldens for architectures, made with PyTorch and transformers (pip install torch transformers safetensors):

    Tests/Goldens/make_models.py           writes tiny-gpt2/, tiny-neox/ and tiny-mistral/

NAME/                     a model of random weights as transformers saves it
NAME/golden.safetensors   input_ids (2, 24), logits, loss (mean over 46 predicted tokens), grad.<weight's name>
NAME/train10.json         ten AdamW steps from those weights: settings, batches, loss before and norm of the gradient
                          before clipping of each; and a greedy continuation

Gradients of GPT-2's Conv1D matrices are those of their transposes, which is how the engine holds them.
"""
import json
import os

import torch
from safetensors.torch import save_file
from transformers import (AutoModelForCausalLM, GPT2Config, GPTNeoXConfig, MistralConfig)
from transformers.pytorch_utils import Conv1D

HERE = os.path.dirname(os.path.abspath(__file__))
V = 97
CASES = {
    "tiny-gpt2": GPT2Config(vocab_size=V, n_embd=32, n_layer=2, n_head=4, n_positions=64, resid_pdrop=0, embd_pdrop=0,
                            attn_pdrop=0, bos_token_id=1, eos_token_id=2),
    "tiny-neox": GPTNeoXConfig(vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                               num_attention_heads=4, max_position_embeddings=64, rotary_pct=0.25, bos_token_id=1,
                               eos_token_id=2),
    "tiny-mistral": MistralConfig(vocab_size=V, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                                  num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128,
                                  sliding_window=64, bos_token_id=1, eos_token_id=2),
}
ADAMW = dict(lr=1e-3, betas=[0.9, 0.999], eps=1e-8, weight_decay=0.01, max_grad_norm=1.0, decay="all parameters")


def loss_of(model, ids):
    logits = model(ids).logits
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, V), ids[:, 1:].reshape(-1))
    return logits, loss


def gradients(model):
    turned = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, Conv1D)}
    renamed = {"lm_head": "embed_out"} if model.config.model_type == "gpt_neox" else {}  # as its checkpoints have it
    def stored(name):
        return ".".join(renamed.get(word, word) for word in name.split("."))

    return {f"grad.{stored(name)}": (p.grad.T if name in turned else p.grad).contiguous().clone()
            for name, p in model.named_parameters()}


for number, (name, config) in enumerate(CASES.items()):
    torch.manual_seed(1000 + number)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():  # norms and biases that differ from 1 and 0 are seen if they are mixed up
        for p in model.parameters():
            p.add_(torch.randn_like(p) * (0.1 if p.dim() == 1 else 0.08))
    folder = f"{HERE}/{name}"
    model.save_pretrained(folder)
    ids = torch.randint(3, V, (2, 24))
    logits, loss = loss_of(model, ids)
    loss.backward()
    save_file({"input_ids": ids, "logits": logits.detach(), "loss": loss.detach()[None], **gradients(model)},
              f"{folder}/golden.safetensors")

    prompt = torch.randint(3, V, (1, 8))
    with torch.no_grad():
        new = prompt
        for _ in range(16):
            new = torch.cat([new, model(new).logits[:, -1:].argmax(-1)], 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=ADAMW["lr"], betas=ADAMW["betas"], eps=ADAMW["eps"],
                                  weight_decay=ADAMW["weight_decay"])
    batches, steps = [], []
    for _ in range(10):
        batch = torch.randint(3, V, (2, 24))
        optimizer.zero_grad()
        _, loss = loss_of(model, batch)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), ADAMW["max_grad_norm"])
        optimizer.step()
        batches.append(batch.tolist())
        steps.append({"loss": loss.item(), "grad_norm": norm.item()})
    with open(f"{folder}/train10.json", "w") as file:
        json.dump({"adamw": ADAMW, "batches": batches, "steps": steps,
                   "greedy": {"prompt": prompt[0].tolist(), "new_ids": new[0, 8:].tolist()}}, file)
