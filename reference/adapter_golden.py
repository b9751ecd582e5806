"""Adapters as PEFT saves them under settings that go beyond one rank for all, and what PEFT computes with them: for
internal/engine/local/checkpoint.

    python reference/adapter_golden.py internal/engine/local/checkpoint/testdata

makes adapters/NAME with adapter_config.json, adapter_model.safetensors and golden.safetensors: logits of models/llama2 with the adapter.
"""

import pathlib
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

TOKENS = torch.arange(5, 45)[None]
CONFIGS = {
    "rslora": dict(r=4, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj"]),
    "patterns": dict(r=4, lora_alpha=8, target_modules="all-linear", rank_pattern={"layers.0.self_attn.q_proj": 6, "v_proj": 2},
                     alpha_pattern={"layers.1.self_attn.q_proj": 3, r".*\.up_proj": 5}),
    "patterns-rslora": dict(r=3, lora_alpha=7, use_rslora=True, target_modules=["k_proj", "down_proj", "o_proj"],
                            rank_pattern={"down_proj": 5}, alpha_pattern={"^model.layers.0.mlp.down_proj": 2.5}),
}


def main(root):
    for name, options in CONFIGS.items():
        out = root / "adapters" / name
        shutil.rmtree(out, ignore_errors=True)
        torch.manual_seed(len(name))
        base = AutoModelForCausalLM.from_pretrained(root / "models/llama2", dtype=torch.float32, attn_implementation="eager")
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **options)).eval()
        for key, p in model.named_parameters():
            if "lora_B" in key:
                torch.nn.init.normal_(p, std=0.2)
        model.peft_config["default"].base_model_name_or_path = "base"
        model.save_pretrained(out)
        (out / "README.md").unlink(missing_ok=True)
        with torch.no_grad():
            save_file({"logits": model(TOKENS).logits[0].contiguous(), "tokens": TOKENS[0]}, out / "golden.safetensors")


main(pathlib.Path(sys.argv[1]))
