"""What the peers' scripts share: the command line, and figures as JSON lines that `bench --peers` reads.

    SCRIPT.py [--quick] [--threads N] MODEL
"""
import argparse
import json
import resource
import time

parser = argparse.ArgumentParser()
parser.add_argument("model", nargs="?", help="a Hugging Face folder in f32, for llama.cpp a GGUF file")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--quick", action="store_true", help="smaller sizes, as bench --quick has them")
options = parser.parse_args()


def report(peer, name, value, unit):
    print(json.dumps({"peer": peer, "name": name, "value": value, "unit": unit}, ensure_ascii=False), flush=True)


def best(runs, body):
    """The shortest of some runs, in seconds: other work on the machine only ever adds."""
    shortest = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        body()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest


def peak_memory():
    """Most memory that this process has had so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def tokens(count, vocabulary, salt=0):
    """The ids that the benchmarks in Swift take."""
    return [(i * 7919 + salt * 31 + 1000) % vocabulary for i in range(count)]


def load():
    """The model in PyTorch, f32."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
