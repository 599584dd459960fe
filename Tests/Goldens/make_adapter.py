#!/usr/bin/env python3
"""Goldens for adapters, made with PEFT (pip install torch transformers peft safetensors): writes adapters/.

adapters/NAME/               as PEFT saves it: adapter_config.json, adapter_model.safetensors
adapters/NAME/golden.safetensors   input_ids (2, 24), logits, loss (mean over 46 predicted tokens), grad.<weight's name>
"""
import os
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODULES = ["q_proj", "v_proj", "down_proj"]
CASES = [("tiny-llama", "llama", MODULES, False), ("tiny-llama", "llama-rslora", MODULES, True),
         ("tiny-qwen2", "qwen2", MODULES, False), ("tiny-qwen3", "qwen3-all", "all-linear", False)]


def base(name):
    return AutoModelForCausalLM.from_pretrained(f"{HERE}/{name}", dtype=torch.float32, attn_implementation="eager")


def loss_of(logits, ids):
    return torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))


def make(base_name, name, modules, rslora):
    torch.manual_seed(sum(name.encode()))
    config = LoraConfig(r=4, lora_alpha=8, target_modules=modules, use_rslora=rslora, task_type="CAUSAL_LM")
    model = get_peft_model(base(base_name), config)
    for parameter in model.parameters():
        if parameter.requires_grad:  # B is zero at first
            parameter.data.normal_(std=0.3)
    ids = torch.randint(0, 97, (2, 24))
    logits = model(ids).logits
    loss = loss_of(logits, ids)
    loss.backward()
    golden = {"input_ids": ids, "logits": logits.detach(), "loss": loss.detach().reshape(1)}
    for key, parameter in model.named_parameters():
        if parameter.requires_grad:
            golden["grad." + key.replace(".default", "")] = parameter.grad
    folder = f"{HERE}/adapters/{name}"
    shutil.rmtree(folder, ignore_errors=True)
    model.peft_config["default"].base_model_name_or_path = base_name
    model.save_pretrained(folder)
    os.remove(f"{folder}/README.md")
    save_file({key: value.contiguous() for key, value in golden.items()}, f"{folder}/golden.safetensors")


for case in CASES:
    make(*case)
