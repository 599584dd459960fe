#!/usr/bin/env python3
"""Goldens for the GGUF reader, made with the reference implementation (pip install numpy gguf):

    Tests/Goldens/make_gguf.py

gguf_blocks.safetensors   per format, random blocks (`Q4_K.blocks`, U8) and their values (`Q4_K.values`, F32)
gguf_packed.safetensors   values, and the blocks that they are packed into (`Q8_0.values`, `Q8_0.blocks`)
tiny-*.gguf               the tiny models as llama.cpp's converter would write them
"""
import json
import os
import struct

import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

HERE = os.path.dirname(os.path.abspath(__file__))
HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0]}


def write_safetensors(path, tensors):
    kinds = {"uint8": "U8", "float32": "F32"}
    header, offset = {}, 0
    for name, x in tensors.items():
        header[name] = dict(dtype=kinds[str(x.dtype)], shape=list(x.shape), data_offsets=[offset, offset + x.nbytes])
        offset += x.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for x in tensors.values():
            f.write(x.tobytes())


def read_safetensors(path):
    with open(path, "rb") as f:
        data = f.read()
    (length,) = struct.unpack("<Q", data[:8])
    result = {}
    for name, t in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = t["data_offsets"]
            result[name] = np.frombuffer(data[8 + length + begin:8 + length + end], "<f4").reshape(t["shape"])
    return result


def blocks():
    random = np.random.default_rng(1)
    tensors = {}
    for name in ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K"]:
        kind = Type[name]
        length, size = GGML_QUANT_SIZES[kind]
        shape = (3, max(1, 512 // length))  # rows, blocks in a row
        if length == 1:
            values = random.normal(size=(3, 512)).astype(np.float32)
            raw = quantize(values, kind).view(np.uint8)
        else:
            raw = random.integers(0, 256, (*shape, size), dtype=np.uint8)
            for at in HALVES[name]:  # random bytes as a scale would often be infinite
                scale = random.normal(scale=0.1, size=shape).astype("<f2")
                raw[..., at:at + 2] = scale[..., None].view(np.uint8)
            raw = raw.reshape(shape[0], -1)
        tensors[f"{name}.blocks"] = np.ascontiguousarray(raw)
        tensors[f"{name}.values"] = np.ascontiguousarray(dequantize(raw, kind).astype(np.float32))
    write_safetensors(f"{HERE}/gguf_blocks.safetensors", tensors)


def packed():
    random = np.random.default_rng(2)
    tensors = {}
    for name in ["BF16", "Q8_0"]:
        values = (random.normal(size=(8, 256)) * 10.0 ** random.integers(-3, 3, (8, 1))).astype(np.float32)
        values[0, :64] = 0
        tensors[f"{name}.values"] = values
        tensors[f"{name}.blocks"] = np.ascontiguousarray(quantize(values, Type[name]).view(np.uint8))
    write_safetensors(f"{HERE}/gguf_packed.safetensors", tensors)


LAYER = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
         "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
         "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
         "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
GLOBAL = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def add_tokens(w, config):
    w.add_tokenizer_model("gpt2")
    w.add_token_list([f"t{i}" for i in range(config["vocab_size"])])
    if config["eos_token_id"] is not None:
        w.add_bos_token_id(config["bos_token_id"])
        w.add_eos_token_id(config["eos_token_id"])


def write(w):
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def model(arch):
    config = json.load(open(f"{HERE}/tiny-{arch}/config.json"))
    heads, kv_heads = config["num_attention_heads"], config["num_key_value_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    w = GGUFWriter(f"{HERE}/tiny-{arch}.gguf", arch)
    w.add_context_length(config["max_position_embeddings"])
    w.add_embedding_length(config["hidden_size"])
    w.add_block_count(config["num_hidden_layers"])
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head_dim)
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    add_tokens(w, config)
    for name, x in read_safetensors(f"{HERE}/tiny-{arch}/model.safetensors").items():
        stem, end = name.rsplit(".", 1)
        if stem in GLOBAL:
            target = GLOBAL[stem]
        else:
            _, _, layer, rest = stem.split(".", 3)
            target = f"blk.{layer}.{LAYER[rest]}"
            if arch == "llama" and rest in ("self_attn.q_proj", "self_attn.k_proj"):
                n = heads if rest == "self_attn.q_proj" else kv_heads
                x = x.reshape(n, 2, x.shape[0] // n // 2, *x.shape[1:]).swapaxes(1, 2).reshape(x.shape)
        w.add_tensor(f"{target}.{end}", np.ascontiguousarray(x))
    write(w)


PLAIN = {
    "transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm",
    "gpt_neox.embed_in": "token_embd", "gpt_neox.final_layer_norm": "output_norm", "embed_out": "output",
    "ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down", "input_layernorm": "attn_norm", "attention.query_key_value": "attn_qkv",
    "attention.dense": "attn_output", "post_attention_layernorm": "ffn_norm", "mlp.dense_h_to_4h": "ffn_up",
    "mlp.dense_4h_to_h": "ffn_down",
}


def plain(name, arch, config):
    """GPT-2 and GPT-NeoX; `config` has what config.json leaves to defaults."""
    config = {**json.load(open(f"{HERE}/tiny-{name}/config.json")), **config}
    heads = config.get("n_head") or config["num_attention_heads"]
    width = config.get("n_embd") or config["hidden_size"]
    w = GGUFWriter(f"{HERE}/tiny-{name}.gguf", arch)
    w.add_context_length(config.get("n_positions") or config["max_position_embeddings"])
    w.add_embedding_length(width)
    w.add_block_count(config.get("n_layer") or config["num_hidden_layers"])
    w.add_feed_forward_length(config.get("n_inner") or config["intermediate_size"])
    w.add_head_count(heads)
    w.add_layer_norm_eps(config.get("layer_norm_epsilon") or config["layer_norm_eps"])
    if arch == "gptneox":
        w.add_rope_dimension_count(int(config["rope_parameters"]["partial_rotary_factor"] * (width // heads)))
        w.add_parallel_residual(config["use_parallel_residual"])
    add_tokens(w, config)
    for key, x in read_safetensors(f"{HERE}/tiny-{name}/model.safetensors").items():
        stem, end = key.rsplit(".", 1)
        if stem in PLAIN:
            target = PLAIN[stem]
        else:
            _, _, layer, rest = stem.split(".", 3)
            target = f"blk.{layer}.{PLAIN[rest]}"
            if arch == "gpt2" and x.ndim == 2:
                x = x.T
            if rest == "attention.query_key_value":
                x = x.reshape(heads, 3, -1, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)
        w.add_tensor(f"{target}.{end}", np.ascontiguousarray(x))
    write(w)


blocks()
packed()
for arch in ["llama", "qwen2", "qwen3"]:
    model(arch)
plain("gpt2", "gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "n_inner": 128})
plain("neox", "gptneox", {})
