"""What a Python script waits for before it can load a model; beside Program.swift."""
import subprocess
import sys

from common import best, report

command = [sys.executable, "-c", "import torch; from transformers import AutoModelForCausalLM"]
report("PyTorch", "start-up, midtrain -e ''", best(3, lambda: subprocess.run(command, check=True)) * 1e3, "ms")
