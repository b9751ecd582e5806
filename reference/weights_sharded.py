"""Writes a small checkpoint in shards with transformers, and the sum of each of its tensors, for internal/hf/weights.

    python reference/weights_sharded.py

Needs: torch, transformers.
"""

import json
import pathlib
import shutil

import torch
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).parent.parent / "internal/hf/weights/testdata/sharded"

torch.manual_seed(3)
config = LlamaConfig(vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1)
model = LlamaForCausalLM(config).to(torch.bfloat16)
shutil.rmtree(OUT, ignore_errors=True)
model.save_pretrained(OUT, max_shard_size="5KB")
for extra in ["config.json", "generation_config.json"]:
    (OUT / extra).unlink(missing_ok=True)
for f in OUT.iterdir():
    f.chmod(0o644)
sums = {k: {"shape": list(v.shape), "sum": v.double().sum().item()} for k, v in model.state_dict().items()}
(OUT / "sums.json").write_text(json.dumps(sums, indent=1) + "\n")
